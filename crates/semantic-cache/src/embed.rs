//! Where vectors of texts come from.

mod error;
mod front;
mod http;
mod lexical;
mod limits;
#[cfg(feature = "minilm")]
mod minilm;
mod recent;
mod texts;

use std::{fmt, future::Future, num::NonZeroUsize, pin::Pin, sync::Arc};

#[cfg(feature = "minilm")]
pub use self::minilm::{LoadError, MiniLm, MiniLmModel};
pub use self::{
    error::{EmbedError, EmbedErrorKind},
    http::{HttpEmbedder, HttpEmbedderConfig, HttpEmbedderWorker, HttpVectors, HttpVectorsFuture},
    lexical::Lexical,
    limits::{EmbedLimits, EmbedStats},
    texts::Texts,
};

/// The vector of a text. Clones count a reference.
pub type Embedding = Arc<[f32]>;

/// The future of [`Embedder::embed`].
pub type EmbedFuture<'a> = Pin<Box<dyn Future<Output = Result<Embedding, EmbedError>> + Send + 'a>>;

/// Turns texts into vectors, such that what means the same has a small angle between.
///
/// A failure is a miss of the cache, never an error of the call: whoever implements it gives up early rather than late.
pub trait Embedder: Send + Sync {
    /// Returns what names the space of its vectors. Vectors of different spaces are never compared.
    fn fingerprint(&self) -> &Fingerprint;

    /// Embeds `text`. Callers that ask at the same time may be answered together.
    ///
    /// # Errors
    ///
    /// Fails as [`EmbedErrorKind`] says; none of its kinds shows the text.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer, and nothing else: others that asked for the same text still get theirs.
    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a>;
}

/// Names a space of vectors: the model, its version, and how many dimensions it has.
///
/// It is part of the scope of a cache. Change the version whenever vectors change: with the model, its pooling, or what is done
/// to texts before.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    name: Box<str>,
    version: Box<str>,
    dimensions: NonZeroUsize,
}

// === impl Embedder ===

impl<E: Embedder + ?Sized> Embedder for Arc<E> {
    fn fingerprint(&self) -> &Fingerprint {
        (**self).fingerprint()
    }

    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a> {
        (**self).embed(text)
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// Creates the name of a space.
    pub fn new(name: impl Into<Box<str>>, version: impl Into<Box<str>>, dimensions: NonZeroUsize) -> Self {
        Self { name: name.into(), version: version.into(), dimensions }
    }

    /// Returns the name of the model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns how many dimensions its vectors have.
    #[must_use]
    pub const fn dimensions(&self) -> NonZeroUsize {
        self.dimensions
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.name, self.version, self.dimensions)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
