//! Limits in numbers that a script computes exactly.

use buttress_redis::{lua_exact, lua_exact_product};

use super::error::{Fault, ShareError};
use crate::{Costs, Limits, levels::gcd, limit::Rule};

/// Limits in numbers that a script computes exactly.
#[derive(Clone, Debug)]
pub(crate) struct Exact {
    pub(crate) rules: Box<[ExactRule]>,
    /// Their names, parts and rates, as they are kept beside levels.
    pub(crate) layout: String,
    /// Of each what it holds, the most that can be missing, its rate, and the longest time that counts, as a script is told them.
    pub(crate) numbers: Vec<u8>,
}

/// One of them. A microsecond brings `rate` parts, and `unit` parts are one of what is counted: both are whole and have no common
/// factor, so that no smaller numbers would do.
#[derive(Clone, Debug)]
pub(crate) struct ExactRule {
    /// Under which name its level is kept.
    field: String,
    pub(crate) unit: i64,
    pub(crate) rate: i64,
    pub(crate) capacity: i64,
    /// All that can be missing: what the bucket holds, and what may be owed.
    pub(crate) most: i64,
    /// In how many microseconds that comes.
    longest: i64,
    /// How much of a [`Rule`]'s numbers a part is.
    part: i128,
}

/// One number for each limit.
pub(crate) type Parts = [i64; Limits::MOST];

/// How many bytes a number takes that is packed.
pub(crate) const NUMBER: usize = 8;

// === impl Exact ===

impl Exact {
    pub(crate) fn try_new(rules: &[Rule]) -> Result<Self, ShareError> {
        let rules = rules.iter().map(ExactRule::try_new).collect::<Result<Box<[_]>, _>>()?;
        let names = rules.iter().map(|rule| format!("{}/{}/{}", rule.field, rule.unit, rule.rate));
        let layout = names.collect::<Vec<_>>().join(" ") + "\n";
        let mut numbers = Vec::with_capacity(4 * NUMBER * rules.len());
        rules.iter().for_each(|rule| pack(&mut numbers, [rule.capacity, rule.most, rule.rate, rule.longest]));
        Ok(Self { rules, layout, numbers })
    }

    /// Returns what `costs` are; of what is more than can be missing, no more than that.
    pub(crate) fn needs(&self, limits: &Limits, costs: &Costs) -> Parts {
        self.change(limits, &Costs::ZERO, costs)
    }

    /// Returns how much more `actual` is than `reserved`, or less than zero.
    pub(crate) fn change(&self, limits: &Limits, reserved: &Costs, actual: &Costs) -> Parts {
        let mut parts = Parts::default();
        for ((part, exact), rule) in parts.iter_mut().zip(&self.rules).zip(limits.rules()) {
            let amount = |costs: &Costs| i128::from(costs.amount(rule.dimension));
            let change = (amount(actual) - amount(reserved)) * i128::from(exact.unit);
            let most = i128::from(exact.most);
            *part = i64::try_from(change.clamp(-most, most)).expect("within 2^53");
        }
        parts
    }

    /// Returns `missing` of [`Rule`]s in parts, rounded up: a share of one in `replicas`.
    pub(crate) fn share(&self, missing: impl Iterator<Item = i128>, replicas: u32) -> Parts {
        let mut parts = Parts::default();
        for ((part, exact), missing) in parts.iter_mut().zip(&self.rules).zip(missing) {
            let divisor = (exact.part * i128::from(replicas)).unsigned_abs();
            let share = missing.max(0).unsigned_abs().div_ceil(divisor);
            *part = i64::try_from(share).unwrap_or(exact.most).min(exact.most);
        }
        parts
    }

    /// Returns what a script says is missing in the numbers of [`Rule`]s.
    pub(crate) fn told(&self, parts: &Parts) -> impl Iterator<Item = i128> {
        self.rules.iter().zip(*parts).map(|(exact, part)| i128::from(part) * exact.part)
    }
}

// === impl ExactRule ===

impl ExactRule {
    fn try_new(rule: &Rule) -> Result<Self, ShareError> {
        let limit = &rule.limit;
        let fault = |field, fault| ShareError::new(limit.name().clone(), field, fault);
        let nanos = limit.period().as_nanos();
        let micros = u64::try_from(nanos / 1_000).expect("no longer than 366 days");
        if !nanos.is_multiple_of(1_000) {
            return Err(fault("period", Fault::Period));
        }
        let common = gcd(limit.refill(), micros);
        let unit = micros / common;
        let too_large = |field| fault(field, Fault::TooLarge(unit));
        let rate = lua_exact(limit.refill() / common).map_err(|_| too_large("amount"))?;
        let capacity = lua_exact_product(limit.capacity(), unit).map_err(|_| too_large("burst"))?;
        let debt = lua_exact_product(limit.debt(), unit).map_err(|_| too_large("max_debt"))?;
        // The script adds at most one microsecond's refill to what can be missing.
        let most = lua_exact(capacity + debt + rate).map_err(|_| too_large("max_debt"))? - rate;
        Ok(Self {
            field: format!("{}:{}", rule.dimension.unit(), limit.name()),
            unit: i64::try_from(unit).expect("no longer than 366 days"),
            rate,
            capacity,
            most,
            longest: most / rate + i64::from(most % rate != 0),
            // Whole, since what divides amount and nanoseconds divides a thousand times what divides amount and microseconds.
            part: i128::from(rule.unit / unit),
        })
    }
}

/// Writes numbers as a script reads them: it knows doubles only, and these are exact.
pub(crate) fn pack(bytes: &mut Vec<u8>, numbers: impl IntoIterator<Item = i64>) {
    numbers.into_iter().for_each(|number| bytes.extend_from_slice(&(number as f64).to_le_bytes()));
}

/// Reads numbers that a script wrote. What is none counts as nothing.
pub(crate) fn unpack(bytes: &[u8]) -> impl Iterator<Item = i64> {
    bytes.as_chunks::<NUMBER>().0.iter().map(|number| f64::from_le_bytes(*number) as i64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Dimension, Limit};

    fn exact(amount: u64, period: Duration) -> Result<Exact, ShareError> {
        let limit = Limit::try_new("tokens", Dimension::TOKENS, amount, period).expect("it makes sense");
        Limits::from(limit).exact().cloned()
    }

    #[test]
    fn usual_limits_take_small_numbers() {
        let exact = exact(90_000, Duration::from_secs(60)).expect("it is usual");
        let rule = &exact.rules[0];
        assert_eq!((rule.unit, rule.rate, rule.capacity), (2_000, 3, 180_000_000));
        assert_eq!(exact.layout, "llm-tokens:tokens/2000/3\n");
        let day = Duration::from_secs(86_400);
        assert!(self::exact(1_000_000_000_000, day).is_ok(), "a thousand dollars a day in nano-dollars");
    }

    #[test]
    fn packed_numbers_are_exact_up_to_the_bound() {
        let (mut bytes, numbers) = (Vec::new(), [0, 1, -1, 1 << 53, -(1 << 53), (1 << 53) - 1]);
        pack(&mut bytes, numbers);
        assert!(unpack(&bytes).eq(numbers));
        assert!(unpack(&f64::NAN.to_le_bytes()).eq([0]) && unpack(&[7; 7]).next().is_none());
    }

    #[test]
    fn what_a_script_cannot_compute_is_refused_with_its_limit_and_field() {
        let minute = Duration::from_secs(60);
        let error = |limit: Limit| Limits::from(limit).exact().expect_err("it is too large");
        let limit =
            |amount, period| Limit::try_new("tokens", Dimension::TOKENS, amount, period).expect("it makes sense");
        for (field, limit) in [
            ("period", limit(1, Duration::from_nanos(1_500))),
            ("burst", limit(150_000_001, minute * 60)),
            ("amount", limit(u64::MAX, minute)),
            ("burst", limit(1, minute).burst(u64::MAX).expect("not zero")),
            ("max_debt", limit(1, minute).max_debt(u64::MAX)),
            ("max_debt", limit(100_000_001, minute)),
        ] {
            let error = error(limit);
            assert_eq!((error.field(), error.limit().as_str()), (field, "tokens"));
            assert!(error.to_string().contains(&format!("limit `tokens` cannot be shared: `{field}` ")), "{error}");
        }
    }

    #[test]
    fn no_number_that_a_script_meets_is_beyond_what_it_holds() {
        // The largest that is allowed with this rate, and one more.
        let limit = |burst| {
            let limit = Limit::try_new("a", Dimension::REQUESTS, 7, Duration::from_secs(1)).expect("it makes sense");
            Limits::from(limit.burst(burst).expect("not zero").max_debt(0))
        };
        let burst = ((1_u64 << 53) - 7) / 1_000_000;
        let limits = limit(burst);
        let exact = limits.exact().expect("it is the largest");
        let rule = &exact.rules[0];
        assert!(rule.longest * rule.rate <= 1 << 53 && rule.most < 1 << 53);
        assert_eq!(exact.needs(&limits, &Costs::ZERO.with(Dimension::REQUESTS, u64::MAX))[0], rule.most);
        assert_eq!(limit(burst + 1).exact().expect_err("one more").field(), "burst");
    }
}
