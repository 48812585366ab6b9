//! Why a text has no vector.

use std::fmt;

/// Why a text has no vector. It shows neither text nor secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedError(EmbedErrorKind);

/// The kinds of [`EmbedError`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmbedErrorKind {
    /// There was no answer in time.
    Timeout,
    /// Too many texts are waiting.
    Busy,
    /// The text is longer than the limit. Cut, it would be like every text that begins the same.
    TooLong,
    /// The text has nothing to go by.
    Empty,
    /// The model failed, or is not there any more.
    Unavailable,
    /// The model takes no such text.
    Rejected,
    /// The model was not asked: its circuit is open, say.
    Refused,
    /// The model's answer cannot be read, or has other dimensions.
    Malformed,
}

// === impl EmbedError ===

impl EmbedError {
    /// Creates an error of `kind`.
    #[must_use]
    pub const fn new(kind: EmbedErrorKind) -> Self {
        Self(kind)
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(self) -> EmbedErrorKind {
        self.0
    }
}

impl From<EmbedErrorKind> for EmbedError {
    fn from(kind: EmbedErrorKind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            EmbedErrorKind::Timeout => "no vector in time",
            EmbedErrorKind::Busy => "too many texts wait for a vector",
            EmbedErrorKind::TooLong => "the text is too long for a vector",
            EmbedErrorKind::Empty => "the text has nothing to make a vector of",
            EmbedErrorKind::Unavailable => "the embedding model is not available",
            EmbedErrorKind::Rejected => "the embedding model does not take the text",
            EmbedErrorKind::Refused => "the embedding model is not asked at present",
            EmbedErrorKind::Malformed => "the embedding model's answer cannot be used",
        })
    }
}

impl std::error::Error for EmbedError {}
