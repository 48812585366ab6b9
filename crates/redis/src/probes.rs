//! When Redis is asked again.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

/// The intervals at which Redis is looked for while it is away.
///
/// The first look is soon, between at once and `min`: most outages are short, and clients that lost it in one moment must
/// not all return in one moment. Each further interval is drawn from the upper half of one that doubles, up to `max`. It
/// starts small again only after Redis has been there for `max`: one that comes and goes is asked ever more rarely.
#[derive(Debug)]
pub(crate) struct Probes {
    min: Duration,
    max: Duration,
    /// How many intervals have been drawn since Redis was last there for good.
    drawn: u32,
    up_since: Option<Instant>,
}

// === impl Probes ===

impl Probes {
    pub(crate) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, drawn: 0, up_since: None }
    }

    /// Redis is there.
    pub(crate) fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// Redis went away.
    pub(crate) fn down(&mut self, now: Instant) {
        let stayed = self.up_since.take().is_some_and(|since| now.saturating_duration_since(since) >= self.max);
        if stayed {
            self.drawn = 0;
        }
    }

    /// Returns how long to wait before the next look.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let drawn = self.drawn;
        self.drawn = drawn.saturating_add(1);
        let Some(doublings) = drawn.checked_sub(1) else {
            return rng.random_range(Duration::ZERO..=self.min);
        };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let full = self.min.saturating_mul(factor).min(self.max);
        rng.random_range(full / 2..=full)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(1);

    fn drawn(probes: &mut Probes, rng: &mut StdRng, count: usize) -> Vec<Duration> {
        (0..count).map(|_| probes.next(rng)).collect()
    }

    #[test]
    fn intervals_grow_to_the_longest_and_stay_there() {
        let (mut probes, mut rng) = (Probes::new(MIN, MAX), StdRng::seed_from_u64(1));
        let intervals = drawn(&mut probes, &mut rng, 100);
        assert!(intervals[0] <= MIN);
        assert!(intervals[1..].iter().all(|&interval| (MIN / 2..=MAX).contains(&interval)), "{intervals:?}");
        assert!(intervals[10..].iter().all(|&interval| interval >= MAX / 2), "{intervals:?}");
    }

    #[test]
    fn a_short_return_does_not_make_the_intervals_short_again() {
        let (mut probes, mut rng) = (Probes::new(MIN, MAX), StdRng::seed_from_u64(2));
        let now = Instant::now();
        drawn(&mut probes, &mut rng, 10);
        probes.up(now);
        probes.down(now + MAX - Duration::from_millis(1));
        assert!(probes.next(&mut rng) >= MAX / 2, "flapping");
        probes.up(now);
        probes.down(now + MAX);
        assert!(probes.next(&mut rng) <= MIN, "it had been there for good");
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_is_a_short_return() {
        let (mut probes, mut rng) = (Probes::new(MIN, MAX), StdRng::seed_from_u64(3));
        let now = Instant::now() + MAX;
        drawn(&mut probes, &mut rng, 10);
        probes.up(now);
        probes.down(now - MAX);
        assert!(probes.next(&mut rng) >= MAX / 2);
    }

    proptest! {
        #[test]
        fn no_interval_is_beyond_the_longest(min in 0u64..=u64::MAX, more in 0u64..=u64::MAX, seed: u64, count in 1usize..100) {
            let (min, max) = (Duration::from_nanos(min), Duration::from_nanos(min.saturating_add(more)));
            let mut probes = Probes::new(min, max);
            for interval in drawn(&mut probes, &mut StdRng::seed_from_u64(seed), count) {
                prop_assert!(interval <= max);
            }
        }
    }
}
