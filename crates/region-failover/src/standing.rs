//! What one look at a target says.

use tokio::time::Instant;

/// What one look at a target says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    /// It serves, with this part of its weight.
    Up(Share),
    /// It is out for its health. It may see a request at this time.
    Out(Instant),
    /// It is not to be asked before this time.
    Parked(Instant),
    /// An operator has taken it out.
    Drained,
}

/// How much of its weight counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// The moving average of its successes.
    pub(crate) score: f64,
    /// The part of its load that it takes up: less than all while it comes back, while little is left there by its own word,
    /// and while it fails far more often than the others.
    pub(crate) ease: f64,
    /// There is little left there until then.
    pub(crate) scarce: Option<Instant>,
    /// How many requests may wait there for their answer to begin.
    pub(crate) most: u32,
}

// === impl Share ===

impl Share {
    pub(crate) const fn factor(self) -> f64 {
        self.score * self.ease
    }
}
