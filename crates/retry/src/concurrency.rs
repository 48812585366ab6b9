//! A budget of retries under way, by first attempts under way.

use crate::{
    budget::Share,
    sync::{AtomicU64, Ordering},
};

/// Calls and retries under way, in one word, so that no two callers can take one place.
#[derive(Debug)]
pub(crate) struct Concurrency {
    share: Share,
    min: u32,
    /// The calls in the upper half, the retries in the lower.
    under_way: AtomicU64,
}

const CALL: u64 = 1 << 32;
const RETRIES: u64 = CALL - 1;

// === impl Concurrency ===

impl Concurrency {
    pub(crate) fn new(share: Share, min: u32) -> Self {
        Self { share, min, under_way: AtomicU64::new(0) }
    }

    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(CALL, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(CALL, Ordering::Relaxed);
    }

    /// Takes the place of one retry, if there is one.
    ///
    /// Relaxed is enough: the word is all there is to agree on, and no other memory hangs on it.
    pub(crate) fn begin_retry(&self) -> bool {
        let take = |word: u64| {
            let (calls, retries) = (word / CALL, word & RETRIES);
            // A call that is retried is no reason for more retries: 20 % of them all would be 25 % of the others.
            (retries < self.places(calls.saturating_sub(retries))).then_some(word + 1)
        };
        self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn end_retry(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// Fewer than the lower half of the word can count, whatever the share.
    fn places(&self, first_attempts: u64) -> u64 {
        self.share.floor_of(first_attempts).max(u64::from(self.min)).min(RETRIES)
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use crate::vectors::{list, number, section};

    #[test]
    fn envoys_cases_hold() {
        for case in list(&section("envoy_concurrency_budget")["cases"]) {
            let [percent, min, active, retries] = ["pct", "min", "active", "retries"].map(|name| number(&case[name]));
            let budget = Concurrency::new(Share::percent(percent), min);
            // Each retry is a call's, too.
            budget.under_way.store(u64::from(active + retries) * CALL + u64::from(retries), Ordering::Relaxed);
            assert_eq!(budget.begin_retry(), case["allowed"], "{case}");
        }
    }

    #[test]
    fn all_places_come_back() {
        let budget = Concurrency::new(Share::percent(50), 0);
        (0..10).for_each(|_| budget.begin());
        let taken = (0..10).filter(|_| budget.begin_retry()).count();
        assert_eq!(taken, 3, "and seven are in their first attempt");
        (0..taken).for_each(|_| budget.end_retry());
        (0..10).for_each(|_| budget.end());
        assert_eq!(budget.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_share_beyond_all_bounds_does_not_overflow() {
        let budget = Concurrency::new(Share::percent(u32::MAX), u32::MAX);
        budget.begin();
        assert!(budget.begin_retry());
        budget.end_retry();
        budget.end();
        assert_eq!(budget.under_way.load(Ordering::Relaxed), 0);
    }
}

#[cfg(all(test, buttress_loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    #[test]
    fn two_callers_never_take_one_place() {
        loom::model(|| {
            let budget = Arc::new(Concurrency::new(Share::percent(0), 1));
            let other = {
                let budget = Arc::clone(&budget);
                thread::spawn(move || {
                    budget.begin();
                    let taken = budget.begin_retry();
                    (taken, budget)
                })
            };
            budget.begin();
            let mine = budget.begin_retry();
            let (theirs, _) = other.join().unwrap();
            assert!(mine ^ theirs, "one place, two callers");
        });
    }

    #[test]
    fn a_place_that_was_given_back_can_be_taken_and_the_word_ends_at_zero() {
        loom::model(|| {
            let budget = Arc::new(Concurrency::new(Share::percent(100), 0));
            let call = |budget: &Concurrency| {
                budget.begin();
                if budget.begin_retry() {
                    budget.end_retry();
                }
                budget.end();
            };
            let other = {
                let budget = Arc::clone(&budget);
                thread::spawn(move || call(&budget))
            };
            call(&budget);
            other.join().unwrap();
            assert_eq!(budget.under_way.load(Ordering::Relaxed), 0);
        });
    }
}
