//! What has been taken in advance.

use super::exact::{Exact, Parts};
use crate::Limits;

/// A block of tokens that calls of one key take from without asking Redis.
#[derive(Debug)]
pub(crate) struct Pot {
    pub(crate) limits: Limits,
    pub(crate) left: Parts,
    /// When it is to be given back, in nanoseconds.
    pub(crate) until: u64,
}

/// The part of a bucket that may be leased at once, and twice that may be in a pot with what comes back to it.
const TENTH: i64 = 10;

// === impl Pot ===

impl Pot {
    /// Takes `needs`, or nothing.
    pub(crate) fn take(&mut self, needs: &Parts) -> bool {
        let enough = self.left.iter().zip(needs).all(|(left, need)| left >= need);
        if enough {
            self.left.iter_mut().zip(needs).for_each(|(left, need)| *left -= need);
        }
        enough
    }

    /// Settles a call here if there is enough for it, and if not too much comes back.
    pub(crate) fn settle(&mut self, exact: &Exact, change: &Parts) -> bool {
        let fits = |((left, change), rule): ((&i64, &i64), &super::exact::ExactRule)| {
            (0..=rule.capacity / TENTH * 2).contains(&(left - change)) || *change == 0
        };
        self.left.iter().zip(change).zip(&exact.rules).all(fits) && {
            self.left.iter_mut().zip(change).for_each(|(left, change)| *left -= change);
            true
        }
    }

    /// Returns what is given back, or nothing if nothing is left.
    pub(crate) fn given_back(&self) -> Option<Parts> {
        self.left.iter().any(|left| *left > 0).then(|| self.left.map(|left| -left))
    }
}

/// Returns what is to be leased with a call that needs `needs`, where `expected` of its like are.
pub(crate) fn wants(exact: &Exact, needs: &Parts, expected: u32, pot: Option<&Pot>) -> Parts {
    let mut wants = Parts::default();
    for (at, (want, rule)) in wants.iter_mut().zip(&exact.rules).enumerate() {
        let most = rule.capacity / TENTH;
        let left = pot.map_or(0, |pot| pot.left[at]);
        *want = (needs[at].saturating_mul(i64::from(expected)).min(most) - left).max(0);
    }
    wants
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Dimension, Limit};

    fn limits() -> Limits {
        let limit = |name, dimension, amount| {
            Limit::try_new(name, dimension, amount, Duration::from_secs(1)).expect("it makes sense")
        };
        Limits::try_new([limit("a", Dimension::REQUESTS, 1_000_000), limit("b", Dimension::TOKENS, 2_000_000)])
            .expect("two limits")
    }

    fn parts(first: i64, second: i64) -> Parts {
        let mut parts = Parts::default();
        parts[..2].copy_from_slice(&[first, second]);
        parts
    }

    #[test]
    fn a_pot_gives_all_that_is_needed_or_nothing_and_takes_back_what_fits() {
        let limits = limits();
        let exact = limits.exact().expect("it is exact");
        let mut pot = Pot { limits: limits.clone(), left: parts(5, 10), until: 0 };
        assert!(!pot.take(&parts(6, 0)) && !pot.take(&parts(1, 11)) && pot.take(&parts(5, 4)));
        assert_eq!(pot.left, parts(0, 6));
        assert!(!pot.settle(exact, &parts(0, 7)), "there is not so much");
        assert!(pot.settle(exact, &parts(0, -4)) && pot.left == parts(0, 10));
        assert!(!pot.settle(exact, &parts(-200_001, 0)), "two tenths at most");
        assert_eq!(pot.given_back(), Some(parts(0, -10)));
        assert!(pot.take(&parts(0, 10)) && pot.given_back().is_none());
    }

    #[test]
    fn no_more_than_a_tenth_is_wanted() {
        let limits = limits();
        let exact = limits.exact().expect("it is exact");
        assert_eq!(wants(exact, &parts(1, 10), 100, None), parts(100, 1_000));
        assert_eq!(wants(exact, &parts(1, 10_000), 100, None), parts(100, 200_000));
        let pot = Pot { limits: limits.clone(), left: parts(60, 2_000), until: 0 };
        assert_eq!(wants(exact, &parts(1, 10), 100, Some(&pot)), parts(40, 0), "less what there is");
    }
}
