//! Whether a target still takes too long, where nobody waits for it any more.

use std::time::Duration;

use tokio::time::Instant;

use crate::latency::faded;

/// Whether a target takes too long, by how its requests fared of late: were they answered in time, or overtaken?
///
/// Of an attempt that was overtaken by a second one it is only known that it takes longer than it was waited for. What is
/// measured of such a target is too little, and fades besides, so that it is asked again and again. Each further attempt that
/// lags therefore counts for twice as long as the one before, for as long as none is in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// How many attempts lagged in a row, each of which began when the one before it was known to lag.
    run: u32,
    /// How many of those in a row befall a target that is well.
    by_chance: u32,
    /// What it takes at least, in seconds, as it was known when the last of them lagged.
    at_least: f64,
    at: Option<Instant>,
}

// === impl Doubt ===

impl Doubt {
    /// How often what is known is doubled, at most. It is forgotten within a minute or so.
    const DOUBLINGS: u32 = 8;

    pub(crate) const NONE: Self = Self { run: 0, by_chance: 0, at_least: 0.0, at: None };

    /// Notes that an attempt that began at `begun` was slow, and took at least `time`, in seconds. `by_chance` in a row befall
    /// a target that is well.
    pub(crate) fn lagged(&mut self, begun: Instant, time: f64, by_chance: u32, now: Instant) {
        // All that were under way together met with one and the same trouble.
        if self.at.is_some_and(|at| begun < at) {
            return;
        }
        self.run = self.run.saturating_add(1).min(by_chance.saturating_add(Self::DOUBLINGS));
        (self.by_chance, self.at_least, self.at) = (by_chance, time, Some(now));
    }

    /// Notes that an attempt that began at `begun` was answered in time.
    pub(crate) fn kept_up(&mut self, begun: Instant) {
        if self.at.is_none_or(|at| at <= begun) {
            // One answer in time says more than one that lags: a target that is well again must be back soon.
            self.run /= 4;
        }
    }

    /// Returns whether attempts have lagged at all.
    pub(crate) const fn is_any(&self) -> bool {
        self.run > 0
    }

    /// Returns whether so many have lagged that it is no chance.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.run > self.by_chance
    }

    /// Returns what the target takes at least at `now`, in seconds; `None` if there is no doubt.
    pub(crate) fn at_least(&self, now: Instant) -> Option<f64> {
        if !self.is_in_doubt() {
            return None;
        }
        let doublings = self.run - self.by_chance;
        let elapsed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        Some(self.at_least * f64::from(1_u32 << doublings.min(Self::DOUBLINGS)) * faded(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_CHANCE: u32 = 3;

    const fn s(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// So many attempts that lagged, a second each, one after the other. Returns when the last of them did.
    fn lagged(doubt: &mut Doubt, times: u32, mut now: Instant) -> Instant {
        for _ in 0..times {
            doubt.lagged(now, 1.0, BY_CHANCE, now + s(1));
            now += s(1);
        }
        now
    }

    #[test]
    fn what_befalls_a_target_that_is_well_raises_no_doubt_and_each_one_more_counts_double() {
        let (mut now, mut doubt) = (Instant::now(), Doubt::NONE);
        assert!(!doubt.is_any());
        now = lagged(&mut doubt, BY_CHANCE, now);
        assert!(doubt.is_any() && doubt.at_least(now).is_none());
        for at_least in [2.0, 4.0, 8.0] {
            now = lagged(&mut doubt, 1, now);
            assert_eq!(doubt.at_least(now), Some(at_least));
        }
        lagged(&mut doubt, 1_000, now);
        let most = doubt.at_least(now).unwrap();
        assert!(most <= 256.0, "{most}");
    }

    #[test]
    fn attempts_that_were_under_way_together_lag_once() {
        let (now, mut doubt) = (Instant::now(), Doubt::NONE);
        (0..100).for_each(|_| doubt.lagged(now, 1.0, 0, now + s(1)));
        assert_eq!(doubt.at_least(now + s(1)), Some(2.0));
        doubt.kept_up(now);
        assert_eq!(doubt.at_least(now + s(1)), Some(2.0), "one that was faster than those with it is no news either");
    }

    #[test]
    fn an_answer_in_time_ends_a_short_doubt_at_once_and_two_end_a_long_one() {
        let (now, mut doubt) = (Instant::now(), Doubt::NONE);
        let then = lagged(&mut doubt, BY_CHANCE + 2, now);
        doubt.kept_up(then);
        assert_eq!(doubt.at_least(then), None);
        let then = lagged(&mut doubt, 1_000, then);
        (0..2).for_each(|_| doubt.kept_up(then));
        assert!(!doubt.is_any());
    }

    #[test]
    fn it_fades_so_that_the_target_is_looked_at_again() {
        let (now, mut doubt) = (Instant::now(), Doubt::NONE);
        let now = lagged(&mut doubt, 1_000, now);
        let at_least = |secs| doubt.at_least(now + s(secs)).unwrap();
        assert!(at_least(10) < 256.0 / 2.0 && at_least(60) < 1.0 && at_least(u32::MAX.into()) >= 0.0);
        assert!(doubt.at_least(now - s(1)).is_some_and(f64::is_finite), "a clock that goes back");
    }
}
