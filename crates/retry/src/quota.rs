//! A quota that retries spend and successes refill.

use buttress_core::Verdict;

use crate::sync::{AtomicU64, Ordering};

/// What a retry takes from a [`quota`](crate::Budget::quota).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two numbers, and the defaults of two specifications")]
pub struct QuotaCosts {
    /// After throttling.
    pub throttled: u32,
    /// After any other failure.
    pub other: u32,
}

#[derive(Debug)]
pub(crate) struct Quota {
    capacity: u64,
    costs: QuotaCosts,
    left: AtomicU64,
}

// === impl QuotaCosts ===

impl QuotaCosts {
    /// Those of the AWS SDKs' standard mode of 2026 ("2.1"), for a capacity of 500.
    pub const AWS_2026: Self = Self { throttled: 5, other: 14 };

    /// Those of their standard mode before that ("2.0"), for a capacity of 500.
    pub const AWS: Self = Self { throttled: 5, other: 5 };
}

// === impl Quota ===

impl Quota {
    /// What a success brings that needed no retry.
    pub(crate) const WITHOUT_RETRY: u32 = 1;

    pub(crate) fn new(capacity: u32, costs: QuotaCosts) -> Self {
        let capacity = u64::from(capacity);
        Self { capacity, costs, left: AtomicU64::new(capacity) }
    }

    /// Takes what a retry after `verdict` costs, and returns it, if there is enough.
    pub(crate) fn take(&self, verdict: Verdict) -> Option<u32> {
        let throttled = matches!(verdict, Verdict::RateLimited | Verdict::CapacityByDesign);
        let cost = if throttled { self.costs.throttled } else { self.costs.other };
        let take = |left: u64| left.checked_sub(u64::from(cost));
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok().then_some(cost)
    }

    pub(crate) fn give_back(&self, amount: u32) {
        let give =
            |left: u64| Some(left.saturating_add(u64::from(amount)).min(self.capacity)).filter(|&now| now != left);
        // Full already: nothing is written, so that callers do not contend for a word that would stay the same.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use crate::vectors::{list, number, section};
    use serde_json::Value;

    impl Quota {
        fn left(&self) -> u64 {
            self.left.load(Ordering::Relaxed)
        }
    }

    fn play(scenario: &Value) {
        let (name, config) = (&scenario["name"], &scenario["config"]);
        let (throttled, other) = (number(&config["cost"]["throttling"]), number(&config["cost"]["other"]));
        let quota = Quota::new(number(&config["quota"]), QuotaCosts { throttled, other });
        if let Some(start) = config["quota_start"].as_u64() {
            quota.left.store(start, Ordering::Relaxed);
        }
        for part in ["attempts", "then"] {
            let (mut spent, mut made) = (None, 0);
            for attempt in scenario[part].as_array().into_iter().flatten() {
                made += 1;
                let verdict = match attempt["response"].as_str() {
                    Some("200") => Verdict::Success,
                    Some("400") => Verdict::CallerFault,
                    Some("throttled") => Verdict::RateLimited,
                    _ => Verdict::Transient,
                };
                let may = verdict.retry_here() && made < number(&config["max_attempts"]);
                let granted = may.then(|| quota.take(verdict)).flatten();
                spent = granted.or(spent);
                if verdict == Verdict::Success {
                    quota.give_back(spent.unwrap_or(Quota::WITHOUT_RETRY));
                }
                assert_eq!(granted.is_some(), attempt["retry"] == true, "{name}");
                assert_eq!(quota.left(), attempt["quota_after"], "{name}");
            }
        }
    }

    #[test]
    fn the_scenarios_of_the_aws_sdks_hold() {
        list(&section("aws_quota")["scenarios"]).iter().for_each(play);
    }

    #[test]
    fn a_call_without_a_retry_brings_one() {
        let quota = Quota::new(30, QuotaCosts::AWS_2026);
        assert_eq!(quota.take(Verdict::Transient), Some(14));
        quota.give_back(Quota::WITHOUT_RETRY);
        assert_eq!(quota.left(), 17);
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let quota = Quota::new(3, QuotaCosts::AWS);
        (0..10).for_each(|_| quota.give_back(u32::MAX));
        assert_eq!(quota.left(), 3);
    }
}

#[cfg(all(test, buttress_loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    const COSTS: QuotaCosts = QuotaCosts { throttled: 1, other: 3 };

    fn take(quota: &Arc<Quota>) -> thread::JoinHandle<Option<u32>> {
        let quota = Arc::clone(quota);
        thread::spawn(move || quota.take(Verdict::Transient))
    }

    #[test]
    fn what_is_there_once_is_taken_once_and_nothing_is_lost() {
        loom::model(|| {
            let quota = Arc::new(Quota::new(5, COSTS));
            let other = take(&quota);
            let mine = quota.take(Verdict::Transient);
            let taken = [mine, other.join().unwrap()];
            assert_eq!(taken.iter().flatten().count(), 1, "five, and each takes three");
            assert_eq!(quota.left.load(Ordering::Relaxed), 2);
        });
    }

    #[test]
    fn what_is_given_back_meanwhile_is_neither_lost_nor_more_than_the_capacity() {
        loom::model(|| {
            let quota = Arc::new(Quota::new(5, COSTS));
            let mine = quota.take(Verdict::Transient).expect("it is full");
            let other = take(&quota);
            quota.give_back(mine);
            let taken = other.join().unwrap().unwrap_or(0);
            assert_eq!(quota.left.load(Ordering::Relaxed) + u64::from(taken), 5);
        });
    }

    #[test]
    fn two_successes_at_once_do_not_fill_it_beyond_its_capacity() {
        loom::model(|| {
            let quota = Arc::new(Quota::new(5, COSTS));
            assert_eq!(quota.take(Verdict::RateLimited), Some(1));
            let other = {
                let quota = Arc::clone(&quota);
                thread::spawn(move || quota.give_back(1))
            };
            quota.give_back(1);
            assert!(quota.left.load(Ordering::Relaxed) <= 5);
            other.join().unwrap();
            assert_eq!(quota.left.load(Ordering::Relaxed), 5);
        });
    }
}
