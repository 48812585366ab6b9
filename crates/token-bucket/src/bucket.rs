//! The arithmetic: a pure core that is told the time.

use std::time::Duration;

use crate::{Costs, Limit, Limits, limit::Rule};

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

/// Two levels lie where their key is; more are elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Levels {
    Few([i128; 2]),
    Many(Box<[i128]>),
}

/// Why costs cannot be taken from a [`Bucket`].
#[derive(Clone, Debug)]
pub struct Shortage {
    limits: Limits,
    /// One bit for each limit that was short.
    short: u8,
    /// The wait in nanoseconds, or `None` for ever.
    wait: Option<u64>,
    waits: [u64; Limits::MOST],
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
        let mut levels = Levels::new(limits.rules().len());
        levels.all_mut().iter_mut().zip(limits.rules()).for_each(|(level, rule)| *level = rule.capacity);
        Self { levels, last: now }
    }

    /// Takes `costs` from all buckets, or from none.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    #[inline]
    pub fn reserve(&mut self, limits: &Limits, costs: &Costs, now: u64) -> Result<(), Shortage> {
        self.refill(limits, now);
        let rules = limits.rules();
        let levels = self.levels.all_mut();
        let enough = |(level, rule): (&i128, &Rule)| *level >= rule.scaled(costs.amount(rule.dimension));
        if levels.iter().zip(rules).all(enough) {
            let take = |(level, rule): (&mut i128, &Rule)| *level -= rule.scaled(costs.amount(rule.dimension));
            levels.iter_mut().zip(rules).for_each(take);
            return Ok(());
        }
        Err(Shortage::new(limits, levels, costs))
    }

    /// Returns after how many nanoseconds `costs` can be taken, once all that is `before` them has been taken, or `None` if they
    /// never can.
    pub(crate) fn wait_behind<'a, I>(&mut self, limits: &Limits, before: &I, costs: &Costs, now: u64) -> Option<u64>
    where
        I: Iterator<Item = &'a Costs> + Clone,
    {
        self.refill(limits, now);
        let wait = |(level, rule): (&i128, &Rule)| {
            let amount = |costs: &Costs| rule.scaled(costs.amount(rule.dimension));
            let need = before.clone().map(amount).fold(amount(costs), i128::saturating_add);
            (amount(costs) <= rule.capacity).then(|| rule.time_for(need.saturating_sub(*level)))
        };
        let mut waits = self.levels.all().iter().zip(limits.rules()).map(wait);
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
        self.refill(limits, now);
        self.each(limits, |level, rule| {
            let amount = |costs: &Costs| rule.scaled(costs.amount(rule.dimension));
            // A debt that is deeper than is remembered came from elsewhere, and is not forgiven here.
            let floor = rule.floor.min(*level);
            (*level + amount(reserved) - amount(actual)).clamp(floor, rule.capacity)
        });
    }

    /// Lowers the level of every limit on `dimension` to what somebody else says is left, where it is higher. Where nothing is
    /// left, the level is such that the bucket will not be full before `full_in` is over.
    pub fn observe(&mut self, limits: &Limits, dimension: crate::Dimension, left: u64, full_in: Duration, now: u64) {
        self.refill(limits, now);
        let time = u64::try_from(full_in.as_nanos()).unwrap_or(u64::MAX);
        self.each(limits, |level, rule| {
            if rule.dimension != dimension {
                return *level;
            }
            let missing = i128::try_from(u128::from(time) * u128::from(rule.refill)).unwrap_or(i128::MAX);
            let by_time = if left == 0 { rule.capacity.saturating_sub(missing).max(rule.floor) } else { rule.capacity };
            (*level).min(rule.scaled(left)).min(by_time)
        });
    }

    /// Fits buckets under `old` limits to `new` ones. What was used of a limit stays used under the limit of the same name
    /// and dimension; other limits begin full.
    #[must_use]
    pub fn refit(&mut self, old: &Limits, new: &Limits, now: u64) -> Self {
        self.refill(old, now);
        let mut fitted = Self::full(new, self.last);
        let known = |rule: &Rule| {
            let same = |(_, other): &(&i128, &Rule)| {
                other.limit.name() == rule.limit.name() && other.dimension == rule.dimension
            };
            self.levels.all().iter().zip(old.rules()).find(same)
        };
        fitted.each(new, |level, rule| {
            let Some((was, other)) = known(rule) else { return *level };
            let used = other.capacity - was;
            // The product leaves 128 bits only for limits beyond all sense; whole units will do for those.
            let used = used.checked_mul(i128::from(rule.period)).map_or_else(
                || other.units(used).saturating_mul(i128::from(rule.period)),
                |used| used.div_euclid(i128::from(other.period)),
            );
            rule.capacity.saturating_sub(used).clamp(rule.floor, rule.capacity)
        });
        fitted
    }

    /// Returns whether all buckets are full: a key of which that is true can be forgotten, and nothing is lost.
    #[must_use]
    pub fn is_full(&mut self, limits: &Limits, now: u64) -> bool {
        self.refill(limits, now);
        self.levels.all().iter().zip(limits.rules()).all(|(level, rule)| *level >= rule.capacity)
    }

    /// Returns how each limit stands.
    pub fn standings(&mut self, limits: &Limits, now: u64) -> impl Iterator<Item = Standing> {
        self.refill(limits, now);
        self.levels.all().iter().zip(limits.rules()).map(|(&level, rule)| Standing {
            limit: rule.limit.clone(),
            level: rule.units(level),
            full_in: Duration::from_nanos(rule.time_for(rule.capacity - level)),
        })
    }

    #[inline]
    fn refill(&mut self, limits: &Limits, now: u64) {
        let passed = now.saturating_sub(self.last);
        if passed == 0 {
            return;
        }
        self.last = now;
        self.each(limits, |level, rule| {
            let missing = (rule.capacity - *level).unsigned_abs();
            let came = u128::from(passed) * u128::from(rule.refill);
            // Told apart first, since what came may be more than a signed number holds.
            if came >= missing { rule.capacity } else { *level + came.cast_signed() }
        });
    }

    #[inline]
    fn each(&mut self, limits: &Limits, f: impl Fn(&i128, &Rule) -> i128) {
        self.levels.all_mut().iter_mut().zip(limits.rules()).for_each(|(level, rule)| *level = f(level, rule));
    }
}

// === impl Levels ===

impl Levels {
    fn new(limits: usize) -> Self {
        if limits <= 2 { Self::Few([0; 2]) } else { Self::Many(vec![0; limits].into_boxed_slice()) }
    }

    #[inline]
    fn all(&self) -> &[i128] {
        match self {
            Self::Few(levels) => levels,
            Self::Many(levels) => levels,
        }
    }

    #[inline]
    fn all_mut(&mut self) -> &mut [i128] {
        match self {
            Self::Few(levels) => levels,
            Self::Many(levels) => levels,
        }
    }
}

// === impl Shortage ===

impl Shortage {
    #[cold]
    fn new(limits: &Limits, levels: &[i128], costs: &Costs) -> Self {
        let mut shortage = Self { limits: limits.clone(), short: 0, wait: Some(0), waits: [0; Limits::MOST] };
        for (at, (level, rule)) in levels.iter().zip(limits.rules()).enumerate() {
            let need = rule.scaled(costs.amount(rule.dimension));
            if need > rule.capacity {
                // Told at once, and told of this limit alone: no other one is worth waiting for.
                let never = shortage.wait.is_none();
                shortage.short = if never { shortage.short } else { 0 } | 1 << at;
                shortage.wait = None;
            } else if need > *level {
                shortage.waits[at] = rule.time_for(need - level);
                if let Some(wait) = &mut shortage.wait {
                    *wait = shortage.waits[at].max(*wait);
                    shortage.short |= 1 << at;
                }
            }
        }
        shortage
    }

    /// Returns the limits that were short. If the costs can [never](Self::is_never) be taken: those that are too small.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().enumerate().filter(|(at, _)| self.short & 1 << at != 0).map(|(_, limit)| limit)
    }

    /// Returns after how long the costs can be taken if nobody else takes anything, or `None` if they never can. Exact, and
    /// rounded up to nanoseconds.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        match self.wait {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => None,
        }
    }

    /// Returns whether the costs are more than a bucket holds.
    #[must_use]
    pub const fn is_never(&self) -> bool {
        self.wait.is_none()
    }

    /// Returns whether one of the limits that were short is a [quota](Limit::quota).
    #[must_use]
    pub fn is_quota(&self) -> bool {
        self.limits().any(Limit::is_quota)
    }

    /// Returns how long the wait for one limit alone would be, if it was short.
    pub(crate) fn wait_for(&self, name: &buttress_core::Label) -> Option<Duration> {
        let at = self.limits.iter().position(|limit| limit.name() == name)?;
        (self.short & 1 << at != 0 && self.wait.is_some()).then(|| Duration::from_nanos(self.waits[at]))
    }
}
