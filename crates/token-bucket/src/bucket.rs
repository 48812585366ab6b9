//! The arithmetic: a pure core that is told the time.

use std::time::Duration;

use crate::{
    Costs, Limit, Limits, Shortage,
    levels::{Levels, refilled, without},
    limit::Rule,
    shortage::Stand,
};

/// The levels of all limits of one key.
///
/// A token bucket with a signed level for each limit ([Turner, *New directions in communications*, 1986]; the same as GCRA in
/// ITU-T I.371), in whole numbers: every nanosecond brings exactly what the rate says, and nothing is rounded. A level below
/// zero is a debt, and nobody passes before it is refilled.
///
/// Times are nanoseconds since any moment. A clock that goes back brings nothing and takes nothing.
///
/// This is the whole state of a key, and these are all operations on it: whoever keeps levels elsewhere is right if the
/// answers are the same.
///
/// [Turner, *New directions in communications*, 1986]: https://doi.org/10.1109/MCOM.1986.1092946
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    levels: Levels,
    last: u64,
}

/// How one limit of a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The limit.
    pub limit: Limit,
    /// How much can be taken now, in whole units. Less than zero is a debt.
    pub level: i128,
    /// After which time the bucket is full, if nobody takes any more. Rounded up to nanoseconds.
    pub full_in: Duration,
}

// === impl Bucket ===

impl Bucket {
    /// Creates full buckets.
    #[must_use]
    pub fn full(limits: &Limits, now: u64) -> Self {
        let mut bucket = Self { levels: Levels::new(limits), last: now };
        bucket.each(limits, |_, rule| rule.capacity);
        bucket
    }

    /// Takes `costs` from all buckets, or from none.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    #[inline]
    pub fn reserve(&mut self, limits: &Limits, costs: &Costs, now: u64) -> Result<(), Shortage> {
        // As it nearly always is: one or two limits, in one walk and in 64 bits.
        let passed = now.saturating_sub(self.last);
        let enough = match (&mut self.levels, limits.rules()) {
            (Levels::Few([level, _]), [rule]) => {
                self.last += passed;
                *level = refilled(*level, rule, passed);
                without(*level, rule, costs).map(|left| *level = left)
            }
            (Levels::Few([a, b]), [of_a, of_b]) => {
                self.last += passed;
                (*a, *b) = (refilled(*a, of_a, passed), refilled(*b, of_b, passed));
                without(*a, of_a, costs).zip(without(*b, of_b, costs)).map(|left| (*a, *b) = left)
            }
            _ => self.reserve_many(limits, costs, now),
        };
        enough.ok_or_else(|| self.shortage(limits, costs))
    }

    #[cold]
    #[inline(never)]
    fn shortage(&self, limits: &Limits, costs: &Costs) -> Shortage {
        Shortage::new(limits, self.levels.all(limits), |rule| rule.scaled(costs.amount(rule.dimension)))
    }

    #[inline(never)]
    fn reserve_many(&mut self, limits: &Limits, costs: &Costs, now: u64) -> Option<()> {
        self.refill(limits, now);
        let rules = limits.rules();
        let need = |rule: &Rule| rule.scaled(costs.amount(rule.dimension));
        let enough = rules.iter().enumerate().all(|(at, rule)| self.levels.at(at) >= need(rule));
        if enough {
            rules.iter().enumerate().for_each(|(at, rule)| self.levels.set(at, self.levels.at(at) - need(rule)));
        }
        enough.then_some(())
    }

    /// Asks whether `costs` are within the share of one of `replicas` of those limits that `counts` holds of. What is larger than the
    /// share, and not than the limit, is the whole share. Takes nothing.
    #[cfg(feature = "redis")]
    pub(crate) fn check_share(
        &mut self,
        limits: &Limits,
        costs: &Costs,
        replicas: u32,
        now: u64,
        counts: impl Fn(&Limit) -> bool,
    ) -> Result<(), Shortage> {
        self.refill(limits, now);
        let need = |rule: &Rule| match rule.scaled(costs.amount(rule.dimension)) {
            _ if !counts(&rule.limit) => i128::MIN, // Less than any debt.
            need if need > rule.capacity => need,
            need => need.saturating_mul(i128::from(replicas)).min(rule.capacity),
        };
        let enough = self.levels.all(limits).zip(limits.rules()).all(|(level, rule)| level >= need(rule));
        if enough { Ok(()) } else { Err(Shortage::new(limits, self.levels.all(limits), need)) }
    }

    /// Returns after how many nanoseconds `costs` can be taken, once all that is `before` them has been taken, or `None` if they
    /// never can.
    pub(crate) fn wait_behind<'a, I>(&mut self, limits: &Limits, before: &I, costs: &Costs, now: u64) -> Option<u64>
    where
        I: Iterator<Item = &'a Costs> + Clone,
    {
        self.refill(limits, now);
        let wait = |(level, rule): (i128, &Rule)| {
            let amount = |costs: &Costs| rule.scaled(costs.amount(rule.dimension));
            let need = before.clone().map(amount).fold(amount(costs), i128::saturating_add);
            (amount(costs) <= rule.capacity).then(|| rule.time_for(need.saturating_sub(level)))
        };
        let mut waits = self.levels.all(limits).zip(limits.rules()).map(wait);
        waits.try_fold(0, |longest, wait| Some(wait?.max(longest)))
    }

    /// Asks whether `costs` could be taken, and takes nothing.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    pub fn check(&self, limits: &Limits, costs: &Costs, now: u64) -> Result<(), Shortage> {
        self.clone().reserve(limits, costs, now)
    }

    /// Replaces what was `reserved` by what a call has really cost. What was too much comes back, up to the capacity; what was
    /// too little is taken too, down to the [debt](Limit::max_debt) that is remembered.
    pub fn settle(&mut self, limits: &Limits, reserved: &Costs, actual: &Costs, now: u64) {
        self.settle_where(limits, reserved, actual, now, |_| true);
    }

    /// [Settles](Self::settle) those limits that `counts` holds of.
    pub(crate) fn settle_where(
        &mut self,
        limits: &Limits,
        reserved: &Costs,
        actual: &Costs,
        now: u64,
        counts: impl Fn(&Limit) -> bool,
    ) {
        self.refill(limits, now);
        self.each(limits, |level, rule| {
            if !counts(&rule.limit) {
                return level;
            }
            let amount = |costs: &Costs| rule.scaled(costs.amount(rule.dimension));
            // A debt that is deeper than is remembered came from elsewhere, and is not forgiven here.
            let floor = rule.floor.min(level);
            (level + amount(reserved) - amount(actual)).clamp(floor, rule.capacity)
        });
    }

    /// Lowers the level of every limit on `dimension` to what somebody else says is left, where it is higher. Where nothing is
    /// left, the level is such that the bucket will not be full before `full_in` is over. Returns whether a level was lowered.
    pub fn observe(
        &mut self,
        limits: &Limits,
        dimension: crate::Dimension,
        left: u64,
        full_in: Duration,
        now: u64,
    ) -> bool {
        self.observe_later(limits, dimension, left, full_in, now, now)
    }

    /// Goes at `now` by what was said at `then`: what came since is there in addition.
    pub(crate) fn observe_later(
        &mut self,
        limits: &Limits,
        dimension: crate::Dimension,
        left: u64,
        full_in: Duration,
        then: u64,
        now: u64,
    ) -> bool {
        self.refill(limits, now);
        let since = u128::from(now.saturating_sub(then));
        let mut lowered = false;
        let time = u64::try_from(full_in.as_nanos()).unwrap_or(u64::MAX);
        self.each(limits, |level, rule| {
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

    /// Fits buckets under `old` limits to `new` ones. What was used of a limit stays used under the limit of the same name
    /// and dimension; other limits begin full.
    #[must_use]
    pub fn refit(&mut self, old: &Limits, new: &Limits, now: u64) -> Self {
        self.refill(old, now);
        let mut fitted = Self::full(new, self.last);
        let known = |rule: &Rule| {
            let same = |(_, other): &(i128, &Rule)| {
                other.limit.name() == rule.limit.name() && other.dimension == rule.dimension
            };
            self.levels.all(old).zip(old.rules()).find(same)
        };
        fitted.each(new, |level, rule| {
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
    pub(crate) fn missing(&mut self, limits: &Limits, now: u64) -> impl Iterator<Item = i128> {
        self.refill(limits, now);
        self.levels.all(limits).zip(limits.rules()).map(|(level, rule)| rule.capacity - level)
    }

    /// Goes by what somebody else knows to be missing.
    #[cfg(feature = "redis")]
    pub(crate) fn learn(&mut self, limits: &Limits, missing: impl Iterator<Item = i128>, now: u64) {
        self.last = now;
        let mut missing = missing;
        self.each(limits, |_, rule| rule.capacity - missing.next().unwrap_or(0));
    }

    /// Returns whether all buckets are full: a key of which that is true can be forgotten, and nothing is lost.
    #[must_use]
    pub fn is_full(&mut self, limits: &Limits, now: u64) -> bool {
        self.refill(limits, now);
        self.levels.all(limits).zip(limits.rules()).all(|(level, rule)| level >= rule.capacity)
    }

    /// Returns how each limit stands.
    pub fn standings(&mut self, limits: &Limits, now: u64) -> impl Iterator<Item = Standing> {
        self.stand(limits, now).standings().collect::<Vec<_>>().into_iter()
    }

    pub(crate) fn stand(&mut self, limits: &Limits, now: u64) -> Stand {
        self.refill(limits, now);
        Stand::new(limits, self.levels.all(limits))
    }

    #[inline]
    fn refill(&mut self, limits: &Limits, now: u64) {
        let passed = now.saturating_sub(self.last);
        if passed == 0 {
            return;
        }
        self.last = now;
        self.each(limits, |level, rule| {
            let missing = (rule.capacity - level).unsigned_abs();
            let came = u128::from(passed) * u128::from(rule.rate);
            // Told apart first, since what came may be more than a signed number holds.
            if came >= missing { rule.capacity } else { level + came.cast_signed() }
        });
    }

    #[inline]
    fn each(&mut self, limits: &Limits, mut f: impl FnMut(i128, &Rule) -> i128) {
        limits.rules().iter().enumerate().for_each(|(at, rule)| self.levels.set(at, f(self.levels.at(at), rule)));
    }
}

#[cfg(test)]
impl Bucket {
    /// Returns the same as it would be under limits beyond all sense.
    pub(crate) fn widened(&self, limits: &Limits) -> Self {
        Self { levels: Levels::Wide(self.levels.all(limits).collect()), last: self.last }
    }
}
