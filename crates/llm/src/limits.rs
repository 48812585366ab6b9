//! The bounds of what a reader of streams holds.

use std::{error::Error, fmt};

/// How much of a stream a reader holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    line: usize,
    event: usize,
}

/// Why a reader stopped. It never shows what the stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError {
    kind: StreamErrorKind,
    limit: usize,
}

/// What made a reader stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// A line is longer than allowed.
    LineTooLong,
    /// An event is longer than allowed.
    EventTooLong,
    /// The reader had been told that the stream is at its end.
    Ended,
}

// === impl StreamLimits ===

impl StreamLimits {
    /// Allows 4 MiB for a line and 4 MiB for an event.
    ///
    /// Model servers write an event's data as one line, however long, so that a lower limit for lines would be the limit for
    /// events; and a picture in base64 takes megabytes.
    pub const DEFAULT: Self = Self { line: 4 << 20, event: 4 << 20 };

    /// Sets how many bytes a line may have, without its end.
    #[must_use]
    pub const fn line(self, bytes: usize) -> Self {
        Self { line: bytes, ..self }
    }

    /// Sets how many bytes an event's data, name and id may have together.
    #[must_use]
    pub const fn event(self, bytes: usize) -> Self {
        Self { event: bytes, ..self }
    }

    pub(crate) const fn max_line(self) -> usize {
        self.line
    }

    pub(crate) const fn max_event(self) -> usize {
        self.event
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl StreamError ===

impl StreamError {
    pub(crate) const ENDED: Self = Self { kind: StreamErrorKind::Ended, limit: 0 };

    pub(crate) const fn line(limit: usize) -> Self {
        Self { kind: StreamErrorKind::LineTooLong, limit }
    }

    pub(crate) const fn event(limit: usize) -> Self {
        Self { kind: StreamErrorKind::EventTooLong, limit }
    }

    /// Returns what made the reader stop.
    #[must_use]
    pub const fn kind(&self) -> StreamErrorKind {
        self.kind
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            StreamErrorKind::LineTooLong => write!(f, "a line of the stream is longer than {} bytes", self.limit),
            StreamErrorKind::EventTooLong => write!(f, "an event of the stream is longer than {} bytes", self.limit),
            StreamErrorKind::Ended => f.write_str("the stream had been said to be at its end"),
        }
    }
}

impl Error for StreamError {}
