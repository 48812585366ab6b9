//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::store::Store;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) asked: AtomicU64,
    pub(crate) leased: AtomicU64,
    pub(crate) remembered: AtomicU64,
    pub(crate) away: AtomicU64,
}

/// How calls under [shared limits](crate::SharedLimits) were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedCounts {
    /// Calls for which Redis was asked.
    pub asked: u64,
    /// Calls that took from a lease.
    pub leased: u64,
    /// Calls that were refused by what Redis had said before.
    pub remembered: u64,
    /// Calls that were decided without Redis, since it was away.
    pub away: u64,
    /// Changes that were written in the background.
    pub settled: u64,
    /// Changes that were lost, since too many waited, or Redis was away for too long after the first attempt.
    pub dropped: u64,
    /// Changes that wait to be written.
    pub waiting: usize,
}

// === impl Store ===

impl Store {
    pub(crate) fn counts(&self) -> SharedCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { asked, leased, remembered, away } = &self.counters;
        SharedCounts {
            asked: read(asked),
            leased: read(leased),
            remembered: read(remembered),
            away: read(away),
            settled: read(&self.outbox.settled),
            dropped: read(&self.outbox.dropped),
            waiting: self.outbox.len(),
        }
    }
}
