//! The arithmetic: a pure core that is told the time.

use std::time::Duration;

use crate::{
    Bucket, Costs, Dimension, Limit, Limits, Shortage,
    levels::{Levels, refilled, without},
    limit::Rule,
    shortage::Stand,
};

/// A [`Bucket`] wherever it lies, and the limits that it is under.
#[derive(Debug)]
pub(crate) struct BucketMut<'a> {
    pub(crate) limits: &'a Limits,
    last: &'a mut u64,
    levels: Levels<'a>,
}

// === impl BucketMut ===

impl<'a> BucketMut<'a> {
    /// The levels begin with `levels`, and there may be more of these than of those.
    #[inline(always)]
    pub(crate) fn new(last: &'a mut u64, levels: &'a mut [u64], limits: &'a Limits) -> Self {
        Self { limits, last, levels: Levels::of(levels, limits) }
    }

    pub(crate) fn fill(&mut self, now: u64) {
        *self.last = now;
        self.each(|_, rule| rule.capacity);
    }

    /// Takes `costs` from all buckets, or from none.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, costs: &Costs, now: u64) -> Result<(), Shortage> {
        // As it nearly always is: one or two limits, in one walk and in 64 bits.
        let passed = now.saturating_sub(*self.last);
        let enough = match (self.levels.narrow(), self.limits.rules()) {
            (Some([level]), [rule]) => {
                *self.last += passed;
                *level = refilled(*level, rule, passed);
                without(*level, rule, costs).map(|left| *level = left)
            }
            (Some([a, b]), [of_a, of_b]) => {
                *self.last += passed;
                (*a, *b) = (refilled(*a, of_a, passed), refilled(*b, of_b, passed));
                without(*a, of_a, costs).zip(without(*b, of_b, costs)).map(|left| (*a, *b) = left)
            }
            (Some(levels), rules) => {
                *self.last += passed;
                reserve_many(levels, rules, costs, passed)
            }
            (None, _) => self.reserve_wide(costs, now),
        };
        enough.ok_or_else(|| self.shortage(costs))
    }

    #[cold]
    #[inline(never)]
    fn shortage(&self, costs: &Costs) -> Shortage {
        Shortage::new(self.limits, self.levels.all(), |rule| rule.scaled(costs.amount(rule.dimension)))
    }

    #[cold]
    #[inline(never)]
    fn reserve_wide(&mut self, costs: &Costs, now: u64) -> Option<()> {
        let enough = self.has(costs, now);
        self.each(|level, rule| if enough { level - rule.scaled(costs.amount(rule.dimension)) } else { level });
        enough.then_some(())
    }

    /// Asks whether `costs` could be taken, and takes nothing.
    pub(crate) fn check(&mut self, costs: &Costs, now: u64) -> Result<(), Shortage> {
        if self.has(costs, now) { Ok(()) } else { Err(self.shortage(costs)) }
    }

    fn has(&mut self, costs: &Costs, now: u64) -> bool {
        self.refill(now);
        let need = |rule: &Rule| rule.scaled(costs.amount(rule.dimension));
        self.each_level().all(|(level, rule)| level >= need(rule))
    }

    /// Asks whether `costs` are within the share of one of `replicas` of those limits that `counts` holds of. What is larger than the
    /// share, and not than the limit, is the whole share. Takes nothing.
    #[cfg(feature = "redis")]
    pub(crate) fn check_share(
        &mut self,
        costs: &Costs,
        replicas: u32,
        now: u64,
        counts: impl Fn(&Limit) -> bool,
    ) -> Result<(), Shortage> {
        self.refill(now);
        let need = |rule: &Rule| match rule.scaled(costs.amount(rule.dimension)) {
            _ if !counts(&rule.limit) => i128::MIN, // Less than any debt.
            need if need > rule.capacity => need,
            need => need.saturating_mul(i128::from(replicas)).min(rule.capacity),
        };
        let enough = self.each_level().all(|(level, rule)| level >= need(rule));
        if enough { Ok(()) } else { Err(Shortage::new(self.limits, self.levels.all(), need)) }
    }

    /// Returns after how many nanoseconds `costs` can be taken, once all that is `before` them has been taken, or `None` if they
    /// never can.
    pub(crate) fn wait_behind<'c, I>(&mut self, before: &I, costs: &Costs, now: u64) -> Option<u64>
    where
        I: Iterator<Item = &'c Costs> + Clone,
    {
        self.refill(now);
        let wait = |(level, rule): (i128, &Rule)| {
            let amount = |costs: &Costs| rule.scaled(costs.amount(rule.dimension));
            let need = before.clone().map(amount).fold(amount(costs), i128::saturating_add);
            (amount(costs) <= rule.capacity).then(|| rule.time_for(need.saturating_sub(level)))
        };
        let mut waits = self.each_level().map(wait);
        waits.try_fold(0, |longest, wait| Some(wait?.max(longest)))
    }

    /// Replaces what was `reserved` by what a call has really cost. What was too much comes back, up to the capacity; what was
    /// too little is taken too, down to the [debt](Limit::max_debt) that is remembered.
    pub(crate) fn settle(&mut self, reserved: &Costs, actual: &Costs, now: u64) {
        self.settle_where(reserved, actual, now, |_| true);
    }

    /// [Settles](Self::settle) those limits that `counts` holds of.
    pub(crate) fn settle_where(&mut self, reserved: &Costs, actual: &Costs, now: u64, counts: impl Fn(&Limit) -> bool) {
        self.refill(now);
        self.each(|level, rule| {
            if !counts(&rule.limit) {
                return level;
            }
            let amount = |costs: &Costs| rule.scaled(costs.amount(rule.dimension));
            // A debt that is deeper than is remembered came from elsewhere, and is not forgiven here.
            let floor = rule.floor.min(level);
            (level + amount(reserved) - amount(actual)).clamp(floor, rule.capacity)
        });
    }

    /// Lowers the level of every limit on `dimension` to what was said at `then` to be left: what came since is there in addition.
    pub(crate) fn observe(&mut self, dimension: Dimension, left: u64, full_in: Duration, then: u64, now: u64) -> bool {
        self.refill(now);
        let since = u128::from(now.saturating_sub(then));
        let mut lowered = false;
        let time = u64::try_from(full_in.as_nanos()).unwrap_or(u64::MAX);
        self.each(|level, rule| {
            if rule.dimension != dimension {
                return level;
            }
            let missing = i128::try_from(u128::from(time) * u128::from(rule.rate)).unwrap_or(i128::MAX);
            let by_time = if left == 0 { rule.capacity.saturating_sub(missing).max(rule.floor) } else { rule.capacity };
            let came = i128::try_from(since * u128::from(rule.rate)).unwrap_or(i128::MAX);
            let told = rule.scaled(left).min(by_time);
            let new = level.min(told.saturating_add(came));
            lowered |= new < level;
            new
        });
        lowered
    }

    /// Returns what becomes of the buckets under `new` limits.
    pub(crate) fn refit(&mut self, new: &Limits, now: u64) -> Bucket {
        self.refill(now);
        let mut fitted = Bucket::full(new, *self.last);
        let known = |rule: &Rule| {
            let same = |(_, other): &(i128, &Rule)| {
                other.limit.name() == rule.limit.name() && other.dimension == rule.dimension
            };
            self.each_level().find(same)
        };
        fitted.view(new).each(|level, rule| {
            let Some((was, other)) = known(rule) else { return level };
            let used = other.capacity - was;
            // The product leaves 128 bits only for limits beyond all sense; whole units will do for those.
            let used = used.checked_mul(i128::from(rule.unit)).map_or_else(
                || other.units(used).saturating_mul(i128::from(rule.unit)),
                |used| used.div_euclid(i128::from(other.unit)),
            );
            rule.capacity.saturating_sub(used).clamp(rule.floor, rule.capacity)
        });
        fitted
    }

    /// Returns how much is missing of each limit, in the numbers of its [rule](Rule).
    #[cfg(feature = "redis")]
    pub(crate) fn missing(&mut self, now: u64) -> impl Iterator<Item = i128> {
        self.refill(now);
        self.each_level().map(|(level, rule)| rule.capacity - level)
    }

    /// Goes by what somebody else knows to be missing.
    #[cfg(feature = "redis")]
    pub(crate) fn learn(&mut self, missing: impl Iterator<Item = i128>, now: u64) {
        *self.last = now;
        let mut missing = missing;
        self.each(|_, rule| rule.capacity - missing.next().unwrap_or(0));
    }

    pub(crate) fn is_full(&mut self, now: u64) -> bool {
        self.refill(now);
        self.each_level().all(|(level, rule)| level >= rule.capacity)
    }

    pub(crate) fn stand(&mut self, now: u64) -> Stand {
        self.refill(now);
        Stand::new(self.limits, self.levels.all())
    }

    #[inline]
    fn refill(&mut self, now: u64) {
        let passed = now.saturating_sub(*self.last);
        if passed == 0 {
            return;
        }
        *self.last = now;
        self.each(|level, rule| {
            let missing = (rule.capacity - level).unsigned_abs();
            let came = u128::from(passed) * u128::from(rule.rate);
            // Told apart first, since what came may be more than a signed number holds.
            if came >= missing { rule.capacity } else { level + came.cast_signed() }
        });
    }

    fn each_level(&self) -> impl Iterator<Item = (i128, &Rule)> {
        self.levels.all().zip(self.limits.rules())
    }

    #[inline]
    fn each(&mut self, mut f: impl FnMut(i128, &Rule) -> i128) {
        self.limits.rules().iter().enumerate().for_each(|(at, rule)| self.levels.set(at, f(self.levels.at(at), rule)));
    }
}

/// Takes from any number of levels that are one word each, or from none.
#[inline(never)]
fn reserve_many(levels: &mut [u64], rules: &[Rule], costs: &Costs, passed: u64) -> Option<()> {
    let (mut taken, mut enough) = (0, true);
    for (level, rule) in levels.iter_mut().zip(rules) {
        *level = refilled(*level, rule, passed);
        match without(*level, rule, costs) {
            Some(left) if enough => (*level, taken) = (left, taken + 1),
            _ => enough = false,
        }
    }
    if enough {
        return Some(());
    }
    for (level, rule) in levels.iter_mut().zip(rules).take(taken) {
        *level += costs.amount(rule.dimension) * rule.unit;
    }
    None
}

#[cfg(test)]
impl BucketMut<'_> {
    pub(crate) fn levels(&self) -> impl Iterator<Item = i128> {
        self.levels.all()
    }
}
