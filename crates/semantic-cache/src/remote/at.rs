//! Where in the log a replica is.

/// Where in the log it is.
pub(super) struct At {
    pub(super) run: String,
    pub(super) cursor: String,
    /// The number of the last entry that was read.
    pub(super) number: Option<u64>,
    /// The number of the last one when it began to read: up to there, what was written here is new as well.
    pub(super) goal: u64,
    /// The server's clock then, in milliseconds.
    pub(super) now_ms: u64,
    /// The number of the last entry by the book, when there was nothing to read.
    pub(super) missing: Option<u64>,
}

// === impl At ===

impl At {
    /// The number of the last entry that is accounted for.
    pub(super) fn last(&self) -> u64 {
        self.number.unwrap_or(0).max(self.goal)
    }
}
