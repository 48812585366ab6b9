//! What a layer has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gate::Opening;

/// What a layer has done so far, in numbers that only grow. Answers that began with content are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Answers that went out unjudged, because the bound of events was reached.
    pub over_events: u64,
    /// … because the bound of bytes was reached.
    pub over_bytes: u64,
    /// Answers that failed before any content, those that came too late included.
    pub failed: u64,
    /// Answers without content in time.
    pub late: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    over_events: AtomicU64,
    over_bytes: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
}

// === impl Counters ===

impl Counters {
    pub(crate) fn opened(&self, by: Opening) {
        match by {
            Opening::Events => &self.over_events,
            Opening::Bytes => &self.over_bytes,
            Opening::Content | Opening::End => return,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        Counts {
            over_events: self.over_events.load(Ordering::Relaxed),
            over_bytes: self.over_bytes.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
        }
    }
}
