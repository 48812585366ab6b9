//! What was done with Redis.

use super::Search;
use crate::counts::Count;

/// What a replica did with the answers that it shares with others, in numbers that only grow but for the last four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedCounts {
    /// Answers that were not here, and were in Redis.
    pub recalled: u64,
    /// … that were not there either.
    pub absent: u64,
    /// Times that Redis was to be asked and was away, or did not answer in time.
    pub unavailable: u64,
    /// Values that are none: damaged, moved, of another version, not sealed by a key that is known, or from the future.
    pub broken: u64,
    /// Values that are larger than what is taken in.
    pub too_large: u64,
    /// Answers and lessons that were written.
    pub written: u64,
    /// … that Redis would not have: they were forgotten while they came, or it has forgotten everything since.
    pub outdated: u64,
    /// … that were not written: there was no room in the queue, or Redis did not take them.
    pub dropped: u64,
    /// Entries of the log that were heard.
    pub heard: u64,
    /// Times that some of the log was missed, and all was read again.
    pub gaps: u64,
    /// Times that the nearest questions were found in Redis.
    pub searched: u64,
    /// Questions that were found there without their answer, and removed.
    pub stale: u64,
    /// How many answers and lessons wait to be written.
    pub waiting: u64,
    /// Whether something was forgotten that Redis has not heard of yet.
    pub forgetting: bool,
    /// Whether it follows the log of what the others do.
    pub follows: bool,
    /// Where it searches for questions that mean the same.
    pub search: Search,
}

/// The counters behind [`SharedCounts`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) recalled: Count,
    pub(super) absent: Count,
    pub(super) unavailable: Count,
    pub(super) broken: Count,
    pub(super) too_large: Count,
    pub(super) written: Count,
    pub(super) outdated: Count,
    pub(super) dropped: Count,
    pub(super) heard: Count,
    pub(super) gaps: Count,
    pub(super) searched: Count,
    pub(super) stale: Count,
}

// === impl Counters ===

impl Counters {
    pub(super) fn read(&self, waiting: usize, forgetting: bool, follows: bool, search: Search) -> SharedCounts {
        SharedCounts {
            recalled: self.recalled.read(),
            absent: self.absent.read(),
            unavailable: self.unavailable.read(),
            broken: self.broken.read(),
            too_large: self.too_large.read(),
            written: self.written.read(),
            outdated: self.outdated.read(),
            dropped: self.dropped.read(),
            heard: self.heard.read(),
            gaps: self.gaps.read(),
            searched: self.searched.read(),
            stale: self.stale.read(),
            waiting: waiting as u64,
            forgetting,
            follows,
            search,
        }
    }
}
