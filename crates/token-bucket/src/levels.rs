//! How much is left of each limit of one key.

use crate::{Costs, Limits, limit::Rule};

/// The levels of one key, where they lie: a word each, or two each of limits beyond all sense.
#[derive(Debug)]
pub(crate) struct Levels<'a> {
    words: &'a mut [u64],
    narrow: bool,
}

// === impl Levels ===

impl<'a> Levels<'a> {
    /// The levels begin with `words`, and there may be more of these than of those.
    #[inline(always)]
    pub(crate) fn of(words: &'a mut [u64], limits: &Limits) -> Self {
        Self { words: &mut words[..limits.width()], narrow: limits.is_narrow() }
    }

    /// Returns the levels if each is one word, as it nearly always is.
    #[inline]
    pub(crate) fn narrow(&mut self) -> Option<&mut [u64]> {
        self.narrow.then_some(&mut *self.words)
    }

    #[inline]
    pub(crate) fn at(&self, at: usize) -> i128 {
        if self.narrow {
            i128::from(self.words[at].cast_signed())
        } else {
            (u128::from(self.words[2 * at + 1]) << 64 | u128::from(self.words[2 * at])).cast_signed()
        }
    }

    #[inline]
    pub(crate) fn set(&mut self, at: usize, level: i128) {
        // A level is between what may be owed and what the bucket holds, and that is known to fit.
        if self.narrow {
            self.words[at] = level as u64;
        } else {
            (self.words[2 * at], self.words[2 * at + 1]) = (level as u64, (level >> 64) as u64);
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = i128> {
        let number = if self.narrow { self.words.len() } else { self.words.len() / 2 };
        (0..number).map(|at| self.at(at))
    }
}

/// Returns a level after so many nanoseconds, in 64 bits, as limits that are [narrow](Limits::is_narrow) allow: what came and leaves
/// them is more than was missing.
#[inline]
pub(crate) fn refilled(level: u64, rule: &Rule, passed: u64) -> u64 {
    let (level, capacity) = (level.cast_signed(), rule.capacity as i64);
    let missing = capacity.wrapping_sub(level).cast_unsigned();
    let level = match passed.checked_mul(rule.rate) {
        Some(came) if came < missing => level.wrapping_add_unsigned(came),
        _ => capacity,
    };
    level.cast_unsigned()
}

/// Returns what is left of a level without `costs`, if it is enough, in 64 bits: what leaves them is more than any level.
#[inline]
pub(crate) fn without(level: u64, rule: &Rule, costs: &Costs) -> Option<u64> {
    let need = costs.amount(rule.dimension).checked_mul(rule.unit)?;
    u64::try_from(level.cast_signed()).ok()?.checked_sub(need)
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
            limits in (
                limit("a", Dimension::REQUESTS),
                prop::option::of(limit("b", Dimension::TOKENS)),
                prop::option::of(limit("c", Dimension::INPUT_TOKENS)),
            ),
            ops in prop::collection::vec((costs(), prop_oneof![Just(0), 0..100_u64, any::<u64>()], any::<bool>()), 1..60),
        ) {
            let limits = Limits::try_new(std::iter::once(limits.0).chain(limits.1).chain(limits.2)).expect("one to three");
            prop_assert!(limits.is_narrow());
            let mut both = [limits.clone(), limits.widened()].map(|limits| (Bucket::full(&limits, 0), limits));
            for (costs, now, settle) in ops {
                let came_to = both.each_mut().map(|(bucket, limits)| {
                    let mut waited = None;
                    if settle {
                        bucket.settle(limits, &Costs::ZERO, &costs, now);
                    } else {
                        waited = bucket.reserve(limits, &costs, now).err().map(|short| short.wait());
                    }
                    (waited, bucket.view(limits).levels().collect::<Vec<_>>())
                });
                prop_assert_eq!(&came_to[0], &came_to[1]);
            }
        }
    }
}
