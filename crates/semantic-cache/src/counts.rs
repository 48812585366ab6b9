//! What the cache did.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Bypass, Miss, Unfit};

/// What the cache did so far, in numbers that only grow but for the last two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Answers to the very question that was asked.
    pub hits: u64,
    /// … to one that means the same.
    pub semantic_hits: u64,
    /// … that were fresh no more, while a new one was fetched.
    pub stale: u64,
    /// … that were fresh no more, because the inner service failed.
    pub stale_if_error: u64,
    /// Questions that the inner service has answered, or failed to. See [`missed_for`](crate::CacheHandle::missed_for).
    pub misses: u64,
    /// Requests that the cache left alone. See [`bypassed_for`](crate::CacheHandle::bypassed_for).
    pub bypassed: u64,
    /// Requests that were to be answered from the cache only, and were not.
    pub refused: u64,
    /// Answers that were kept.
    pub stored: u64,
    /// … that were not. See [`unfit_for`](crate::CacheHandle::unfit_for).
    pub unfit: u64,
    /// … that went to make room for others. See [`gone`](crate::CacheHandle::gone).
    pub evicted: u64,
    /// Calls that were made to have a fresh answer next time.
    pub renewed: u64,
    /// … that were not made, because too many were under way.
    pub not_renewed: u64,
    /// Searches for a question that means the same which took too long to be waited for.
    pub late: u64,
    /// How many answers there are now.
    pub entries: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// Why answers that were kept are kept no more, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gone {
    /// They made room for others.
    pub for_room: u64,
    /// They made room for others of the same tenant, which has no more.
    pub for_tenant: u64,
    /// They were good for nothing any more when they were asked for.
    pub expired: u64,
    /// They were forgotten, as somebody said, which was seen when they were asked for.
    pub forgotten: u64,
    /// A fresh one came in their place.
    pub replaced: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Count,
    pub(crate) semantic_hits: Count,
    pub(crate) stale: Count,
    pub(crate) stale_if_error: Count,
    pub(crate) refused: Count,
    pub(crate) stored: Count,
    pub(crate) evicted: Count,
    pub(crate) renewed: Count,
    pub(crate) not_renewed: Count,
    pub(crate) late: Count,
    missed: [Count; Miss::ALL.len()],
    bypassed: [Count; Bypass::ALL.len()],
    unfit: [Count; Unfit::ALL.len()],
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

// === impl Count ===

impl Count {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) const fn missed(&self, why: Miss) -> &Count {
        &self.missed[why as usize]
    }

    pub(crate) const fn bypassed(&self, why: Bypass) -> &Count {
        &self.bypassed[why as usize]
    }

    pub(crate) const fn unfit(&self, why: Unfit) -> &Count {
        &self.unfit[why as usize]
    }

    pub(crate) fn read(&self, entries: usize, bytes: usize) -> Counts {
        Counts {
            hits: self.hits.read(),
            semantic_hits: self.semantic_hits.read(),
            stale: self.stale.read(),
            stale_if_error: self.stale_if_error.read(),
            misses: self.missed.iter().map(Count::read).sum(),
            bypassed: self.bypassed.iter().map(Count::read).sum(),
            refused: self.refused.read(),
            stored: self.stored.read(),
            unfit: self.unfit.iter().map(Count::read).sum(),
            evicted: self.evicted.read(),
            renewed: self.renewed.read(),
            not_renewed: self.not_renewed.read(),
            late: self.late.read(),
            entries: entries as u64,
            bytes: bytes as u64,
        }
    }
}
