//! A tower layer that answers a question again that was answered before: the same one, or one that means the same.

mod embed;
mod index;

pub use self::embed::{
    EmbedError, EmbedErrorKind, EmbedFuture, EmbedLimits, EmbedStats, Embedder, Embedding, Fingerprint, HttpEmbedder,
    HttpEmbedderConfig, HttpEmbedderWorker, Lexical,
};
#[cfg(feature = "minilm")]
pub use self::embed::{LoadError, MiniLm, MiniLmModel};
pub use self::index::{Index, Neighbour, Slot, VectorError, VectorErrorKind};
