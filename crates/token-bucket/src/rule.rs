//! A limit in the numbers of the arithmetic.

use crate::{Dimension, Limit, levels::gcd};

/// A limit as the arithmetic wants it: levels are counted in parts of a unit such that every nanosecond brings a whole number of
/// them, and nothing is ever rounded. Rate and unit have no common factor, so that no smaller numbers would do.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) limit: Limit,
    pub(crate) dimension: Dimension,
    /// So many parts come in a nanosecond.
    pub(crate) rate: u64,
    /// So many are one of what is counted.
    pub(crate) unit: u64,
    pub(crate) capacity: i128,
    pub(crate) floor: i128,
}

// === impl Rule ===

impl Rule {
    pub(crate) fn new(limit: Limit) -> Self {
        let period = u64::try_from(limit.period().as_nanos()).expect("no longer than 366 days");
        let common = gcd(limit.refill(), period);
        let (rate, unit) = (limit.refill() / common, period / common);
        let scaled = |amount: u64| i128::from(amount) * i128::from(unit);
        Self {
            dimension: limit.dimension(),
            rate,
            unit,
            capacity: scaled(limit.capacity()),
            floor: -scaled(limit.debt()),
            limit,
        }
    }

    #[inline]
    pub(crate) fn scaled(&self, amount: u64) -> i128 {
        i128::from(amount) * i128::from(self.unit)
    }

    /// Returns how many whole units a level is.
    pub(crate) fn units(&self, level: i128) -> i128 {
        // As it nearly always is: a division of 128 bits takes several times as long.
        match (i64::try_from(level), i64::try_from(self.unit)) {
            (Ok(level), Ok(unit)) => i128::from(level.div_euclid(unit)),
            _ => level.div_euclid(i128::from(self.unit)),
        }
    }

    /// Returns in how many nanoseconds `amount` comes, which is scaled; rounded up.
    pub(crate) fn time_for(&self, amount: i128) -> u64 {
        let amount = u128::try_from(amount).unwrap_or(0);
        // As above.
        match u64::try_from(amount) {
            Ok(amount) => amount.div_ceil(self.rate),
            Err(_) => u64::try_from(amount.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In 64 bits as in 128, at the ends of both too.
        #[test]
        fn units_and_times_are_the_same_the_short_way_and_the_long_way(
            refill in prop_oneof![1..100_u64, 1..=u64::MAX],
            period in prop_oneof![1..100_u64, 1..31_622_400_000_000_000_u64],
            level in prop_oneof![
                -100..100_i128,
                i128::from(i64::MIN) - 2..i128::from(i64::MIN) + 2,
                i128::from(i64::MAX) - 2..i128::from(u64::MAX) + 2,
                any::<i128>(),
            ],
        ) {
            let limit = Limit::try_new("a", Dimension::REQUESTS, refill, Duration::from_nanos(period));
            let rule = Rule::new(limit.expect("it makes sense"));
            prop_assert_eq!(rule.units(level), level.div_euclid(i128::from(rule.unit)));
            let time = level.max(0).unsigned_abs().div_ceil(u128::from(rule.rate));
            prop_assert_eq!(u128::from(rule.time_for(level)), time.min(u128::from(u64::MAX)));
        }
    }
}
