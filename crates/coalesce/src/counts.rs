//! How many calls were shared.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many calls were shared so far, in numbers that only grow but for [`under_way`](Self::under_way).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that were made to the inner service and could be joined.
    pub led: u64,
    /// Requests that joined such a call.
    pub joined: u64,
    /// Calls that another caller carried on when the one whose call it was had left.
    pub handed_over: u64,
    /// Calls that a follower made after the one it waited for had failed.
    pub promoted: u64,
    /// Readers that were too slow for a stream and were cut off.
    pub detached: u64,
    /// Requests that made a call of their own because too many calls were under way, or too many waited for theirs.
    pub full: u64,
    /// Requests without a tenant, or that were to share nothing.
    pub alone: u64,
    /// Calls that can be joined now.
    pub under_way: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) led: Count,
    pub(crate) joined: Count,
    pub(crate) handed_over: Count,
    pub(crate) promoted: Count,
    pub(crate) detached: Count,
    pub(crate) full: Count,
    pub(crate) alone: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

// === impl Count ===

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn read(&self, under_way: usize) -> Counts {
        Counts {
            led: self.led.read(),
            joined: self.joined.read(),
            handed_over: self.handed_over.read(),
            promoted: self.promoted.read(),
            detached: self.detached.read(),
            full: self.full.read(),
            alone: self.alone.read(),
            under_way: under_way as u64,
        }
    }
}
