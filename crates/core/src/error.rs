//! Why no answer came.

use std::{error::Error, fmt, io, sync::Arc};

/// Any error, boxed.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a target gave no answer.
///
/// The adapter at the bottom of a stack makes it of the client's own error, so that layers above can tell a request that
/// was never sent from one that may have been served.
#[derive(Clone, Debug)]
pub struct TransportError {
    kind: TransportErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What went wrong on the way to a target. See [`TransportError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// No connection was made: refused, unreachable, TLS failed. The request was not sent.
    Connect,
    /// The connection broke after the request was, or may have been, sent.
    Reset,
    /// No answer came in time.
    Timeout,
    /// The request's own body failed on the way: the caller broke off, or a newer attempt took over.
    RequestBody,
    /// Something else; the request may have been sent.
    Other,
}

// === impl TransportError ===

impl TransportError {
    /// Creates an error of `kind` without a cause.
    #[must_use]
    pub const fn new(kind: TransportErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Creates an error of `kind` that was caused by `source`.
    #[must_use]
    pub fn with_source(kind: TransportErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, source: Some(Arc::from(source.into())) }
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// Finds a transport error in `error` or among its causes.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TransportErrorKind::Connect => "could not connect to the target",
            TransportErrorKind::Reset => "the connection to the target broke",
            TransportErrorKind::Timeout => "the target did not answer in time",
            TransportErrorKind::RequestBody => "the body of the request failed",
            TransportErrorKind::Other => "the exchange with the target failed",
        })
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

// === impl TransportErrorKind ===

impl TransportErrorKind {
    /// Returns the word used in the trail of attempts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::RequestBody => "request-body",
            Self::Other => "error",
        }
    }
}

/// Walks `error` and its causes, a bounded number of them.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // `io::Error::source` skips the error it wraps and goes on with that one's cause.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    })
    .take(16)
}

/// Returns whether an I/O error among the causes says that the connection ended before its time.
pub(crate) fn is_broken_off(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    })
}
