//! A tower layer that answers a question again that was answered before: the same one, or one that means the same.

mod embed;
mod index;
mod judge;
mod policy;
mod semantic;
mod text;

pub use self::embed::{
    EmbedError, EmbedErrorKind, EmbedFuture, EmbedLimits, EmbedStats, Embedder, Embedding, Fingerprint, HttpEmbedder,
    HttpEmbedderConfig, HttpEmbedderWorker, Lexical,
};
pub use self::index::{Index, Neighbour, Slot, VectorError, VectorErrorKind};
pub use self::judge::{And, Judge, Or, SameFacts, SameJson, SameText, Similar};
pub use self::policy::{ErrorBound, Policy, PolicyError, SnapshotError};
pub use self::semantic::{Bounds, Decision, Learned, Learning, Question, Reason, Semantic, Settled, Ticket};
pub use self::text::{Guard, Guards, Text};
