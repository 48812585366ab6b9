//! How much is left of each limit of one key.

use crate::{Costs, Limits, limit::Rule};

/// Two levels lie where their key is; more are elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Levels {
    Few([i64; 2]),
    Many(Box<[i64]>),
    /// Limits beyond all sense.
    Wide(Box<[i128]>),
}

// === impl Levels ===

impl Levels {
    pub(crate) fn new(limits: &Limits) -> Self {
        match limits.rules().len() {
            number if !limits.is_narrow() => Self::Wide(vec![0; number].into_boxed_slice()),
            ..=2 => Self::Few([0; 2]),
            number => Self::Many(vec![0; number].into_boxed_slice()),
        }
    }

    #[inline]
    pub(crate) fn at(&self, at: usize) -> i128 {
        match self {
            Self::Few(levels) => i128::from(levels[at]),
            Self::Many(levels) => i128::from(levels[at]),
            Self::Wide(levels) => levels[at],
        }
    }

    #[inline]
    pub(crate) fn set(&mut self, at: usize, level: i128) {
        // A level is between what may be owed and what the bucket holds, and that is known to fit.
        match self {
            Self::Few(levels) => levels[at] = level as i64,
            Self::Many(levels) => levels[at] = level as i64,
            Self::Wide(levels) => levels[at] = level,
        }
    }

    pub(crate) fn all(&self, limits: &Limits) -> impl Iterator<Item = i128> {
        (0..limits.rules().len()).map(|at| self.at(at))
    }
}

/// Returns a level after so many nanoseconds, in 64 bits, as limits that are [narrow](Limits::is_narrow) allow: what came and leaves
/// them is more than was missing.
#[inline]
pub(crate) fn refilled(level: i64, rule: &Rule, passed: u64) -> i64 {
    let capacity = rule.capacity as i64;
    let missing = capacity.wrapping_sub(level).cast_unsigned();
    match passed.checked_mul(rule.rate) {
        Some(came) if came < missing => level.wrapping_add_unsigned(came),
        _ => capacity,
    }
}

/// Returns what is left of a level without `costs`, if it is enough, in 64 bits: what leaves them is more than any level.
#[inline]
pub(crate) fn without(level: i64, rule: &Rule, costs: &Costs) -> Option<i64> {
    let need = costs.amount(rule.dimension).checked_mul(rule.unit)?;
    u64::try_from(level).ok()?.checked_sub(need).map(u64::cast_signed)
}

/// Returns the greatest number that divides both, by Euclid.
pub(crate) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{Bucket, Dimension, Limit};

    /// Limits whose levels just fit, or easily do.
    fn limit(name: &'static str, dimension: Dimension) -> impl Strategy<Value = Limit> {
        let most = i64::MAX.unsigned_abs();
        let rate = prop_oneof![
            (1..100_u64, 1..30_000_000_000_000_000_u64),
            (1..9_000_000_000_000_000_u64, 1..1_000_u64),
            (1..=most, Just(1)),
            (Just(most), Just(1)),
        ];
        (rate, any::<u64>()).prop_map(move |((amount, period), debt)| {
            let limit = Limit::try_new(name, dimension, amount, Duration::from_nanos(period));
            limit.expect("it makes sense").max_debt(debt % (amount + 1))
        })
    }

    fn costs() -> impl Strategy<Value = Costs> {
        let amount = || prop_oneof![0..3_u64, 0..100_u64, any::<u64>()];
        (amount(), amount()).prop_map(|(requests, tokens)| {
            Costs::ZERO.with(Dimension::REQUESTS, requests).with(Dimension::INPUT_TOKENS, tokens)
        })
    }

    proptest! {
        /// In 64 bits as in 128, at the ends of both too: the same passes, and the same is left.
        #[test]
        fn the_short_way_comes_to_what_the_long_way_comes_to(
            limits in (limit("a", Dimension::REQUESTS), prop::option::of(limit("b", Dimension::TOKENS))),
            ops in prop::collection::vec((costs(), prop_oneof![Just(0), 0..100_u64, any::<u64>()], any::<bool>()), 1..60),
        ) {
            let limits = Limits::try_new(std::iter::once(limits.0).chain(limits.1)).expect("one or two");
            prop_assert!(limits.is_narrow());
            let mut few = Bucket::full(&limits, 0);
            let mut wide = few.widened(&limits);
            for (costs, now, settle) in ops {
                if settle {
                    [&mut few, &mut wide].into_iter().for_each(|bucket| bucket.settle(&limits, &Costs::ZERO, &costs, now));
                } else {
                    let [few, wide] = [&mut few, &mut wide].map(|bucket| bucket.reserve(&limits, &costs, now));
                    prop_assert_eq!(few.is_ok(), wide.is_ok());
                    prop_assert_eq!(few.err().map(|short| short.wait()), wide.err().map(|short| short.wait()));
                }
                prop_assert_eq!(few.widened(&limits), wide.clone());
            }
        }
    }
}
