//! How long to wait where nobody said how long.

use std::time::Duration;

use buttress_core::Verdict;
use rand::{Rng, RngExt as _};

/// How long to wait before another attempt, where the server did not say.
///
/// With `expo(n) = min(cap, base · 2ⁿ⁻¹)` after the `n`-th failure in a row, the wait is drawn evenly from:
///
/// | | from | to |
/// |---|---|---|
/// | [`full`](Self::full), the default | 0 | `expo(n)` |
/// | [`equal`](Self::equal) | `expo(n) / 2` | `expo(n)` |
/// | [`decorrelated`](Self::decorrelated) | `base` | three times the wait before, up to `cap` |
/// | [`exact`](Self::exact) | `expo(n)` | `expo(n)` |
///
/// The three jitters are those of *Exponential Backoff And Jitter* (AWS Architecture Blog, 2015). The two bases, 50 ms after
/// a transient failure and 1 s after throttling, and the cap of 20 s are those of the AWS SDKs' standard retry mode of 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    throttled_base: Duration,
    cap: Duration,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    Full,
    Equal,
    Decorrelated,
    None,
}

/// The failures so far, as far as the next wait depends on them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streak {
    /// Failures since the beginning, or since the server last said how long to wait.
    pub(crate) failures: u32,
    /// The wait before the last attempt.
    pub(crate) last_wait: Duration,
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        Self::full()
    }
}

impl Backoff {
    /// Draws from nothing to the whole: callers spread as far as they can.
    #[must_use]
    pub const fn full() -> Self {
        Self::with_jitter(Jitter::Full)
    }

    /// Draws from a half to the whole: no caller comes back at once.
    #[must_use]
    pub const fn equal() -> Self {
        Self::with_jitter(Jitter::Equal)
    }

    /// Draws from the base to three times the wait before.
    #[must_use]
    pub const fn decorrelated() -> Self {
        Self::with_jitter(Jitter::Decorrelated)
    }

    /// Draws nothing. For tests, and for a caller that is the only one.
    #[must_use]
    pub const fn exact() -> Self {
        Self::with_jitter(Jitter::None)
    }

    /// Sets the base after a transient failure.
    #[must_use]
    pub const fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the base after throttling.
    #[must_use]
    pub const fn with_throttled_base(mut self, base: Duration) -> Self {
        self.throttled_base = base;
        self
    }

    /// Sets the longest wait.
    #[must_use]
    pub const fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    const fn with_jitter(jitter: Jitter) -> Self {
        let (base, throttled_base) = (Duration::from_millis(50), Duration::from_secs(1));
        Self { base, throttled_base, cap: Duration::from_secs(20), jitter }
    }

    /// Draws the wait after a failure with this verdict.
    pub(crate) fn draw(&self, verdict: Verdict, streak: Streak, rng: &mut impl Rng) -> Duration {
        let base = if verdict == Verdict::Transient { self.base } else { self.throttled_base }.min(self.cap);
        let whole = self.ceiling(base, streak.failures);
        match self.jitter {
            Jitter::Full => rng.random_range(Duration::ZERO..=whole),
            Jitter::Equal => rng.random_range(whole / 2..=whole),
            Jitter::Decorrelated => {
                let most = streak.last_wait.max(base).saturating_mul(3).min(self.cap);
                rng.random_range(base..=most)
            }
            Jitter::None => whole,
        }
    }

    fn ceiling(&self, base: Duration, failures: u32) -> Duration {
        // 2³¹ times any base is past any cap that is worth waiting for.
        base.saturating_mul(1 << failures.saturating_sub(1).min(31)).min(self.cap)
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use crate::vectors::{list, number, section};
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};
    use serde_json::Value;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn streak(failures: u32) -> Streak {
        Streak { failures, last_wait: Duration::ZERO }
    }

    fn draws(backoff: Backoff, failures: u32) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(42);
        let mut draw = || backoff.draw(Verdict::Transient, streak(failures), &mut rng).as_secs_f64();
        (0..10_000).map(|_| draw()).collect()
    }

    fn assert_even(draws: &[f64], from: f64, to: f64) {
        assert!(draws.iter().all(|draw| (from..=to).contains(draw)));
        let tenth = (to - from) / 10.0;
        for i in 0..10 {
            let low = from + f64::from(i) * tenth;
            let share = draws.iter().filter(|draw| (low..low + tenth).contains(*draw)).count();
            assert!((900..1_100).contains(&share), "a tenth of the draws in each tenth: {share} from {low}");
        }
    }

    #[test]
    fn full_jitter_draws_evenly_from_nothing_to_the_whole() {
        assert_even(&draws(Backoff::full(), 3), 0.0, 0.2);
    }

    #[test]
    fn equal_jitter_draws_evenly_from_a_half_to_the_whole() {
        assert_even(&draws(Backoff::equal(), 3), 0.1, 0.2);
    }

    #[test]
    fn decorrelated_jitter_draws_evenly_from_the_base_to_three_times_the_wait_before() {
        let mut rng = StdRng::seed_from_u64(42);
        let before = Streak { failures: 9, last_wait: ms(100) };
        let mut draw = || Backoff::decorrelated().draw(Verdict::Transient, before, &mut rng).as_secs_f64();
        assert_even(&(0..10_000).map(|_| draw()).collect::<Vec<_>>(), 0.05, 0.3);
    }

    /// The waits after the first failures in a row, without jitter.
    fn exact(case: &Value, base: &str) -> impl Iterator<Item = u32> {
        let length = |name: &str| ms(u64::from(number(&case[name])));
        let backoff = Backoff::exact().with_base(length(base)).with_cap(length("max_ms"));
        let wait = move |n| backoff.draw(Verdict::Transient, streak(n), &mut rand::rng());
        (1..).map(move |n| u32::try_from(wait(n).as_millis()).expect("waits of seconds"))
    }

    #[test]
    fn the_ceilings_are_those_of_the_aws_sdks() {
        let case = &section("backoff")["ceilings"];
        let expected = list(&case["delays_ms"]).iter().map(number);
        assert!(exact(case, "base_ms").zip(expected).all(|(wait, expected)| wait == expected));
    }

    #[test]
    fn the_ceilings_are_those_of_envoy() {
        for case in list(&section("backoff")["full_jitter"]["cases"]) {
            for ((ceiling, random), wait) in
                exact(case, "base_ms").zip(list(&case["random"])).zip(list(&case["delays_ms"]))
            {
                assert_eq!(number(random) % ceiling, number(wait), "{case}");
            }
        }
    }

    #[test]
    fn grpcs_bounds_hold_for_its_ceilings() {
        // A jitter of a fifth about the ceiling; ours lies below it, and the ceiling within those bounds.
        let case = &section("backoff")["bounds"];
        for (wait, bounds) in exact(case, "initial_ms").zip(list(&case["bounds_ms"])) {
            assert!((number(&bounds[0])..=number(&bounds[1])).contains(&wait), "{wait} {bounds}");
        }
    }

    proptest! {
        #[test]
        fn any_backoff_keeps_to_its_cap(base: u64, throttled: u64, cap: u64, failures: u32, last: u64, seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let streak = Streak { failures, last_wait: Duration::from_nanos(last) };
            for backoff in [Backoff::full(), Backoff::equal(), Backoff::decorrelated(), Backoff::exact()] {
                let backoff = backoff
                    .with_base(Duration::from_nanos(base))
                    .with_throttled_base(Duration::from_secs(throttled))
                    .with_cap(Duration::from_millis(cap));
                for verdict in [Verdict::Transient, Verdict::RateLimited] {
                    prop_assert!(backoff.draw(verdict, streak, &mut rng) <= backoff.cap);
                }
            }
        }
    }
}
