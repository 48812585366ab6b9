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

    impl Quota {
        fn left(&self) -> u64 {
            self.left.load(Ordering::Relaxed)
        }
    }

    /// One call of a published scenario: verdicts of its failures and what is left after each retry that was granted, then
    /// whether it succeeded, and what is left at its end.
    type Call<'a> = (&'a [(Verdict, Option<u64>)], bool, u64);

    fn play(name: &str, capacity: u32, costs: QuotaCosts, calls: &[Call<'_>]) {
        let quota = Quota::new(capacity, costs);
        for (failures, succeeded, left) in calls {
            let mut spent = None;
            for (verdict, after) in *failures {
                let granted = quota.take(*verdict);
                assert_eq!(granted.is_some(), after.is_some(), "{name}");
                if let Some(after) = after {
                    assert_eq!(quota.left(), *after, "{name}");
                    spent = granted;
                }
            }
            if *succeeded {
                quota.give_back(spent.unwrap_or(Quota::WITHOUT_RETRY));
            }
            assert_eq!(quota.left(), *left, "{name}");
        }
    }

    #[test]
    fn the_scenarios_of_the_aws_sdks_hold() {
        use Verdict::{RateLimited as Throttled, Transient as Other};
        let new = QuotaCosts::AWS_2026;
        play("succeeds in the end", 500, new, &[(&[(Other, Some(486)), (Other, Some(472))], true, 486)]);
        play(
            "fails in the end, and what was spent is gone",
            500,
            new,
            &[(&[(Other, Some(486)), (Other, Some(472))], false, 472)],
        );
        play("is spent after one retry", 14, new, &[(&[(Other, Some(0)), (Other, None)], false, 0)]);
        play("is zero from the start", 0, new, &[(&[(Other, None)], false, 0)]);
        play(
            "gets back what the last retry cost, and 1 for a call without one",
            30,
            new,
            &[(&[(Other, Some(16)), (Other, Some(2))], true, 16), (&[], true, 17)],
        );
        play(
            "costs less after throttling",
            500,
            new,
            &[(&[(Throttled, Some(495)), (Throttled, Some(490))], true, 495)],
        );
        play(
            "the costs of the mode before",
            500,
            QuotaCosts::AWS,
            &[(&[(Other, Some(495)), (Other, Some(490))], true, 495), (&[(Other, Some(490))], false, 490)],
        );
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let quota = Quota::new(3, QuotaCosts::AWS);
        (0..10).for_each(|_| quota.give_back(u32::MAX));
        assert_eq!(quota.left(), 3);
    }
}
