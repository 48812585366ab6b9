//! What an embedder may hold and take, and what it did.

use std::{num::NonZeroUsize, time::Duration};

/// How long callers wait for a vector, and how much is held for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedLimits {
    pub(super) timeout: Duration,
    pub(super) queue: NonZeroUsize,
    pub(super) text: usize,
    pub(super) recent: usize,
}

/// What an embedder did since it was made.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedStats {
    /// Texts that were asked for.
    pub asked: u64,
    /// Of these, answered from vectors of late.
    pub recent: u64,
    /// Of these, answered together with an earlier caller that asked for the same.
    pub joined: u64,
    /// Of these, given up for want of an answer in time.
    pub timeouts: u64,
    /// Of these, turned away because the queue was full.
    pub busy: u64,
    /// Of these, turned away for their length.
    pub too_long: u64,
    /// Texts that the model was asked for and gave no vector of.
    pub failed: u64,
    /// Texts that nobody waited for any more when their turn came.
    pub abandoned: u64,
    /// Calls of the model. A second one, for a server that takes no base64, is not counted.
    pub calls: u64,
    /// Texts that the model was not asked for, since there was no use in it: its circuit is open, say.
    pub refused: u64,
}

// === impl EmbedLimits ===

impl EmbedLimits {
    /// Creates the usual limits: 50 ms, 256 texts in the queue, 32 KiB a text, 8 MiB of vectors of late.
    #[must_use]
    pub const fn new() -> Self {
        const QUEUE: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");
        Self { timeout: Duration::from_millis(50), queue: QUEUE, text: 32 * 1024, recent: 8 * 1024 * 1024 }
    }

    /// Sets how long a caller waits at most. The model goes on, and its vector is there for the next who asks.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many texts wait for the model at most.
    #[must_use]
    pub const fn queue(mut self, texts: NonZeroUsize) -> Self {
        self.queue = texts;
        self
    }

    /// Sets how many bytes a text has at most.
    #[must_use]
    pub const fn text(mut self, bytes: usize) -> Self {
        self.text = bytes;
        self
    }

    /// Sets how many bytes of vectors are kept for texts that are asked for again; 0 keeps none.
    #[must_use]
    pub const fn recent(mut self, bytes: usize) -> Self {
        self.recent = bytes;
        self
    }
}

impl Default for EmbedLimits {
    fn default() -> Self {
        Self::new()
    }
}
