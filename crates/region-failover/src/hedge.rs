//! When a request that takes long is sent to a second target.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    num::NonZeroU64,
    time::Duration,
};

use crate::sketch::Sketch;

/// When a request that takes long is sent to a second target: after [*The Tail at
/// Scale*](https://doi.org/10.1145/2408776.2408794), with the bounds that keep it from making a bad hour worse.
///
/// 95th percentile of the time to the head of an answer, over 100 samples at least; 2 % more load at most; none while more
/// than a fifth of the requests of late took longer than the percentile.
///
/// What is hedged also tells which target is slow, if it is slower than the times of a single target differ by themselves: the
/// [crate docs](crate) say what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    pub(crate) percentile: u8,
    pub(crate) samples: u32,
    /// In thousandths of the requests.
    pub(crate) extra: u16,
    /// In percent.
    pub(crate) slow: u8,
    pub(crate) no_sooner: Duration,
}

/// Which requests take alike long, in a request's extensions: a route, a model, a class of sizes. See [`Hedge`].
///
/// Requests without one, and those of the 257th and further routes, share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HedgeRoute(pub(crate) NonZeroU64);

/// What has become of hedging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeCounts {
    /// How often a second attempt was sent.
    pub sent: u64,
    /// How often its answer was the one that counted.
    pub won: u64,
    /// How often it failed, or the first answer came sooner.
    pub lost: u64,
    /// How often a request took long enough, and no second attempt was sent: too many were slow, the share of extra load
    /// was used up, or there was no other target or no attempt left.
    pub suppressed: u64,
}

// === impl Hedge ===

impl Hedge {
    /// The 95th percentile, 100 samples, 2 % more load, none while more than 20 % are slow, no sooner than after 1 ms.
    pub const DEFAULT: Self =
        Self { percentile: 95, samples: 100, extra: 20, slow: 20, no_sooner: Duration::from_millis(1) };

    /// Sets how many of a hundred requests must be faster, before one is slow. From 50 to 99.
    #[must_use]
    pub const fn percentile(mut self, percent: u8) -> Self {
        self.percentile = if percent < 50 {
            50
        } else if percent > 99 {
            99
        } else {
            percent
        };
        self
    }

    /// Sets how many requests of a route must have been seen. One at least, a thousand at most.
    #[must_use]
    pub const fn samples(mut self, samples: u32) -> Self {
        self.samples = if samples == 0 {
            1
        } else if samples > Sketch::FULL / 2 {
            Sketch::FULL / 2
        } else {
            samples
        };
        self
    }

    /// Sets how much more load there may be, in thousandths of the requests. With 0 nothing is ever hedged.
    #[must_use]
    pub const fn extra_load(mut self, permille: u16) -> Self {
        self.extra = permille;
        self
    }

    /// Sets how many of a hundred requests of late may be slow, before nothing is hedged until they are fewer.
    #[must_use]
    pub const fn slow_share(mut self, percent: u8) -> Self {
        self.slow = percent;
        self
    }

    /// Returns how many slow requests in a row are no more than chance: a target that is well meets with one more of them once
    /// in ten thousand times.
    pub(crate) const fn by_chance(self) -> u32 {
        let (slow, mut part, mut whole, mut by_chance) = (100 - self.percentile as u128, 1_u128, 1_u128, 0);
        // Within 14 rounds, since a percentile is 50 at least.
        loop {
            (part, whole) = (part * slow, whole * 100);
            if part * 10_000 <= whole {
                return by_chance;
            }
            by_chance += 1;
        }
    }

    /// Sets how long to wait at least, however fast the others are.
    #[must_use]
    pub const fn no_sooner_than(mut self, time: Duration) -> Self {
        self.no_sooner = time;
        self
    }
}

impl Default for Hedge {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl HedgeRoute ===

impl HedgeRoute {
    /// Creates the route of all requests with an equal `key`. Only a hash of it is kept.
    pub fn new(key: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        // Two keys of 2 to the 64th share a route.
        Self(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_slow_requests_are_the_fewer_in_a_row_are_chance() {
        let by_chance = |percentile| Hedge::DEFAULT.percentile(percentile).by_chance();
        assert_eq!([50, 90, 95, 99].map(by_chance), [13, 3, 3, 1]);
        assert_eq!([0, 255].map(by_chance), [13, 1], "whatever was asked for");
    }
}
