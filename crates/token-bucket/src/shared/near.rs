//! What is known here of a key whose levels are in Redis.

use super::lease::Pot;
use crate::{Bucket, Limits};

/// What is known here of a key, beside the levels that Redis told last.
#[derive(Debug, Default)]
pub(crate) struct Near {
    /// Until when what cannot pass by those levels is refused without asking, in nanoseconds.
    pub(crate) believed_until: u64,
    pub(crate) calls: Calls,
    /// Until when nobody else asks for a lease, since somebody does, in nanoseconds.
    pub(crate) leasing_until: u64,
    /// What has been taken in advance.
    pub(crate) pot: Option<Box<Pot>>,
    /// What was used while Redis was away.
    pub(crate) spent: Option<Box<Spent>>,
}

/// What was used while Redis was away, and would not be refilled by now if this replica had its share of what comes: the costs of
/// calls as many times as there are replicas, taken from full buckets.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) bucket: Bucket,
    pub(crate) limits: Limits,
}

/// How often a key is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    since: u64,
    /// In this interval, and in the one before it.
    now: u32,
    before: u32,
}

/// With fewer calls in an interval, a lease would be no gain.
const HOT: u32 = 8;

// === impl Near ===

impl Near {
    /// Returns whether something would be lost if this were forgotten. What was used while Redis was away and is refilled is nothing.
    pub(crate) fn is_busy(&mut self, now: u64) -> bool {
        self.pot.is_some() || self.spent.as_mut().is_some_and(|spent| !spent.bucket.is_full(&spent.limits, now))
    }
}

// === impl Calls ===

impl Calls {
    pub(crate) fn count(&mut self, now: u64, interval: u64) {
        let passed = now.saturating_sub(self.since);
        if passed >= interval {
            self.before = if passed < interval.saturating_mul(2) { self.now } else { 0 };
            (self.since, self.now) = (now, 0);
        }
        self.now = self.now.saturating_add(1);
    }

    /// Returns how many calls are to be expected in an interval, where they are many.
    pub(crate) fn expected(&self) -> Option<u32> {
        let most = self.before.max(self.now);
        (most >= HOT).then_some(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_often_is_hot_and_only_as_long() {
        let mut calls = Calls::default();
        (0..7).for_each(|at| calls.count(at, 100));
        assert_eq!(calls.expected(), None);
        calls.count(7, 100);
        assert_eq!(calls.expected(), Some(8));
        calls.count(105, 100);
        assert_eq!(calls.expected(), Some(8), "as in the interval before");
        calls.count(400, 100);
        assert_eq!(calls.expected(), None);
    }
}
