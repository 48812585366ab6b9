//! Why costs cannot be taken.

use std::{sync::Arc, time::Duration};

use crate::{Limit, Limits, Standing, limit::Rule};

/// Why costs cannot be taken from a [`Bucket`](crate::Bucket).
///
/// It lies elsewhere, so that who finds enough does not carry the room for it, and a clone costs nothing: a refusal is told in several places.
#[derive(Clone, Debug)]
pub struct Shortage(Arc<Short>);

#[derive(Debug)]
struct Short {
    stand: Stand,
    /// One bit for each limit that was short.
    short: u8,
    /// The wait in nanoseconds, or `None` for ever.
    wait: Option<u64>,
    waits: [u64; Limits::MOST],
}

/// How all limits of a key stood at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    limits: Limits,
    levels: [i128; Limits::MOST],
}

/// How one limit of a key stood.
pub(crate) struct Stands<'a> {
    pub(crate) limit: &'a Limit,
    /// In whole units.
    pub(crate) level: i128,
    /// After how many nanoseconds the bucket is full.
    pub(crate) full_in: u64,
}

// === impl Shortage ===

impl Shortage {
    #[cold]
    pub(crate) fn new(limits: &Limits, levels: impl Iterator<Item = i128>, need: impl Fn(&Rule) -> i128) -> Self {
        let stand = Stand::new(limits, levels);
        let mut shortage = Short { stand, short: 0, wait: Some(0), waits: [0; Limits::MOST] };
        for (at, rule) in limits.rules().iter().enumerate() {
            let (level, need) = (shortage.stand.levels[at], need(rule));
            if need > rule.capacity {
                // Told at once, and told of this limit alone: no other one is worth waiting for.
                let never = shortage.wait.is_none();
                shortage.short = if never { shortage.short } else { 0 } | 1 << at;
                shortage.wait = None;
            } else if need > level {
                shortage.waits[at] = rule.time_for(need - level);
                if let Some(wait) = &mut shortage.wait {
                    *wait = shortage.waits[at].max(*wait);
                    shortage.short |= 1 << at;
                }
            }
        }
        Self(Arc::new(shortage))
    }

    /// Returns the limits that were short. If the costs can [never](Self::is_never) be taken: those that are too small.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.places().map(|at| &self.0.stand.limits.rules()[at].limit)
    }

    /// Returns the places of the limits that were short.
    fn places(&self) -> impl Iterator<Item = usize> {
        (0..self.0.stand.limits.rules().len()).filter(|at| self.0.short & 1 << at != 0)
    }

    /// Returns the limits that were short, and what is said of each.
    pub(crate) fn phrases(&self) -> impl Iterator<Item = (&Limit, &str)> {
        let limits = &self.0.stand.limits;
        self.places().map(|at| (&limits.rules()[at].limit, limits.phrase(at)))
    }

    /// Returns after how long the costs can be taken if nobody else takes anything, or `None` if they never can. Exact, and
    /// rounded up to nanoseconds.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.0.wait.map(Duration::from_nanos)
    }

    /// Returns whether the costs are more than a bucket holds.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.0.wait.is_none()
    }

    /// Returns whether one of the limits that were short is a [quota](Limit::quota).
    #[must_use]
    pub fn is_quota(&self) -> bool {
        self.limits().any(Limit::is_quota)
    }

    /// Returns how all limits stood.
    pub(crate) fn stand(&self) -> &Stand {
        &self.0.stand
    }

    /// Returns for how many nanoseconds one would have to wait for one limit alone, by its place, if it was short.
    pub(crate) fn wait_at(&self, at: usize) -> Option<u64> {
        (self.0.short & 1 << at != 0 && self.0.wait.is_some()).then_some(self.0.waits[at])
    }
}

// === impl Stand ===

impl Stand {
    pub(crate) fn new(limits: &Limits, from: impl Iterator<Item = i128>) -> Self {
        let mut levels = [0; Limits::MOST];
        levels.iter_mut().zip(from).for_each(|(level, from)| *level = from);
        Self { limits: limits.clone(), levels }
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns how each limit stood, in their order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Stands<'_>> {
        self.levels.iter().zip(self.limits.rules()).map(|(level, rule)| Stands {
            limit: &rule.limit,
            level: rule.units(*level),
            full_in: rule.time_for(rule.capacity - level),
        })
    }

    pub(crate) fn standings(&self) -> impl Iterator<Item = Standing> {
        self.each().map(|Stands { limit, level, full_in }| Standing {
            limit: limit.clone(),
            level,
            full_in: Duration::from_nanos(full_in),
        })
    }
}

// === impl Stands ===

impl Stands<'_> {
    /// Returns how many whole units can be taken.
    pub(crate) fn left(&self) -> u64 {
        u64::try_from(self.level.max(0)).unwrap_or(u64::MAX)
    }
}
