//! Whether to send again, and when.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{Class, Verdict};
use rand::{Rng, RngExt as _};

/// How long to wait before another attempt: full jitter on an exponential.
///
/// After the `n`-th failure the wait is uniform in `[0, min(cap, base · 2ⁿ⁻¹)]` ("full jitter", *Exponential Backoff And
/// Jitter*, AWS Architecture Blog, 2015). The two bases are those of the AWS SDKs' standard retry mode of 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The base after a transient failure. 50 ms by default.
    pub base: Duration,
    /// The base after throttling. 1 s by default.
    pub throttled_base: Duration,
    /// The longest wait. 20 s by default.
    pub cap: Duration,
}

/// Whether to send again, and when. See the [crate docs](crate) for the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) attempts: NonZeroU32,
    pub(crate) backoff: Backoff,
    pub(crate) max_hint: Duration,
    pub(crate) repeat_all: bool,
}

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// Attempts made by this layer, the failed one included.
    pub(crate) made: u32,
    pub(crate) idempotent: bool,
    /// Time left until the deadline.
    pub(crate) remaining: Option<Duration>,
}

/// Why there is no further attempt. Its name is what the event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Verdict,
    ServerSaysNo,
    NotIdempotent,
    Attempts,
    HintTooLong,
    Deadline,
    Allowance,
    NotReplayable,
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        let (base, throttled_base) = (Duration::from_millis(50), Duration::from_secs(1));
        Self { base, throttled_base, cap: Duration::from_secs(20) }
    }
}

impl Backoff {
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

    /// Draws the wait after the `made`-th failure.
    fn draw(&self, verdict: Verdict, made: u32, rng: &mut impl Rng) -> Duration {
        let base = if verdict == Verdict::Transient { self.base } else { self.throttled_base };
        let doublings = made.saturating_sub(1).min(31);
        let ceiling = base.saturating_mul(1 << doublings).min(self.cap);
        rng.random_range(Duration::ZERO..=ceiling)
    }
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(3).expect("3 is not 0"),
            backoff: Backoff::default(),
            max_hint: Duration::from_secs(60),
            repeat_all: false,
        }
    }
}

impl Policy {
    /// Returns how long to wait before the next attempt, or why there is none.
    pub(crate) fn decide(&self, failure: Failure, rng: &mut impl Rng) -> Result<Duration, Stop> {
        let Failure { class, made, idempotent, remaining } = failure;
        match class.hint.should_retry {
            Some(false) => return Err(Stop::ServerSaysNo),
            Some(true) => {}
            None if class.verdict.retry_here() => {}
            None => return Err(Stop::Verdict),
        }
        if class.begun && !idempotent && !self.repeat_all {
            return Err(Stop::NotIdempotent);
        }
        if made >= self.attempts.get() {
            return Err(Stop::Attempts);
        }
        let wait = self.wait(class, made, rng)?;
        if remaining.is_some_and(|remaining| remaining <= wait) {
            return Err(Stop::Deadline);
        }
        Ok(wait)
    }

    fn wait(&self, class: Class, made: u32, rng: &mut impl Rng) -> Result<Duration, Stop> {
        match class.hint.after {
            Some(hint) if hint > self.max_hint => Err(Stop::HintTooLong),
            // A server that is full by design computes the very moment: coming later wastes what was bought.
            Some(hint) if class.verdict == Verdict::CapacityByDesign => Ok(hint),
            Some(hint) => Ok(hint.saturating_add(rng.random_range(Duration::ZERO..=hint / 10))),
            None => Ok(self.backoff.draw(class.verdict, made, rng)),
        }
    }
}

// === impl Stop ===

impl Stop {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::ServerSaysNo => "server-says-no",
            Self::NotIdempotent => "not-idempotent",
            Self::Attempts => "attempts",
            Self::HintTooLong => "hint-too-long",
            Self::Deadline => "deadline",
            Self::Allowance => "allowance",
            Self::NotReplayable => "not-replayable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::{Outcome, RetryHint};
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    const WORD: Outcome = Outcome::Word("test");

    const fn failure(class: Class) -> Failure {
        Failure { class, made: 1, idempotent: true, remaining: None }
    }

    fn decide(failure: Failure) -> Result<Duration, Stop> {
        Policy::default().decide(failure, &mut StdRng::seed_from_u64(1))
    }

    const fn hinted(verdict: Verdict, ms: u64) -> Class {
        Class::new(verdict, WORD).with_hint(RetryHint::after(Duration::from_millis(ms)))
    }

    #[test]
    fn the_verdict_decides_unless_the_server_says_otherwise() {
        let says = |verdict, word| {
            let hint = RetryHint { after: None, should_retry: word };
            decide(failure(Class::new(verdict, WORD).with_hint(hint))).map(drop)
        };
        assert_eq!(says(Verdict::Transient, None), Ok(()));
        assert_eq!(says(Verdict::CallerFault, None), Err(Stop::Verdict));
        assert_eq!(says(Verdict::Transient, Some(false)), Err(Stop::ServerSaysNo));
        assert_eq!(says(Verdict::CallerFault, Some(true)), Ok(()));
    }

    #[test]
    fn what_may_have_been_done_is_not_done_twice() {
        let class = Class::new(Verdict::Transient, WORD);
        let post = |class| Failure { idempotent: false, ..failure(class) };
        assert_eq!(decide(post(class)), Err(Stop::NotIdempotent));
        assert!(decide(post(class.not_begun())).is_ok());
        let policy = Policy { repeat_all: true, ..Policy::default() };
        assert!(policy.decide(post(class), &mut StdRng::seed_from_u64(1)).is_ok());
    }

    #[test]
    fn a_hint_beyond_the_cap_is_not_waited_out() {
        assert_eq!(decide(failure(hinted(Verdict::RateLimited, 60_001))), Err(Stop::HintTooLong));
        assert!(decide(failure(hinted(Verdict::RateLimited, 60_000))).is_ok());
        let forever = Class::new(Verdict::RateLimited, WORD).with_hint(RetryHint::after(Duration::MAX));
        assert_eq!(decide(failure(forever)), Err(Stop::HintTooLong));
    }

    #[test]
    fn a_hint_of_a_target_that_is_full_by_design_is_kept_to_the_millisecond() {
        assert_eq!(decide(failure(hinted(Verdict::CapacityByDesign, 777))), Ok(Duration::from_millis(777)));
    }

    #[test]
    fn a_hint_of_zero_means_at_once() {
        assert_eq!(decide(failure(hinted(Verdict::RateLimited, 0))), Ok(Duration::ZERO));
    }

    #[test]
    fn no_retry_is_begun_that_would_wake_after_the_deadline() {
        let left = |ms| Failure {
            remaining: Some(Duration::from_millis(ms)),
            ..failure(hinted(Verdict::CapacityByDesign, 500))
        };
        assert_eq!(decide(left(500)), Err(Stop::Deadline));
        assert!(decide(left(501)).is_ok());
    }

    #[test]
    fn attempts_are_bounded() {
        let class = Class::new(Verdict::Transient, WORD);
        assert!(decide(Failure { made: 2, ..failure(class) }).is_ok());
        assert_eq!(decide(Failure { made: 3, ..failure(class) }), Err(Stop::Attempts));
        assert_eq!(decide(Failure { made: u32::MAX, ..failure(class) }), Err(Stop::Attempts));
    }

    #[test]
    fn full_jitter_is_uniform_below_its_ceiling() {
        let mut rng = StdRng::seed_from_u64(42);
        let backoff = Backoff::default();
        let draws: Vec<_> =
            (0..10_000).map(|_| backoff.draw(Verdict::Transient, 3, &mut rng).as_secs_f64() / 0.2).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)));
        assert!((mean - 0.5).abs() < 0.01, "the mean of a uniform law is its middle: {mean}");
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            let share = draws.iter().filter(|x| (low..low + 0.1).contains(*x)).count();
            assert!((900..1_100).contains(&share), "a tenth of the draws in each tenth: {share} from {low}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_its_hint_nor_longer_than_its_bound(
            seed: u64, made in 1..3_u32, hint_ms in proptest::option::of(0..100_000_u64),
        ) {
            let hint = RetryHint { after: hint_ms.map(Duration::from_millis), should_retry: None };
            let class = Class::new(Verdict::RateLimited, WORD).with_hint(hint);
            let policy = Policy::default();
            let wait = policy.decide(Failure { made, ..failure(class) }, &mut StdRng::seed_from_u64(seed));
            match hint.after {
                Some(hint) if hint > policy.max_hint => prop_assert_eq!(wait, Err(Stop::HintTooLong)),
                Some(hint) => {
                    let wait = wait.unwrap();
                    prop_assert!(wait >= hint && wait <= hint + hint / 10);
                }
                None => prop_assert!(wait.unwrap() <= policy.backoff.cap),
            }
        }

        #[test]
        fn any_backoff_is_bounded_by_its_cap(base: u64, throttled: u64, cap: u64, made: u32, seed: u64) {
            let backoff = Backoff::default()
                .with_base(Duration::from_nanos(base))
                .with_throttled_base(Duration::from_secs(throttled))
                .with_cap(Duration::from_millis(cap));
            let mut rng = StdRng::seed_from_u64(seed);
            for verdict in [Verdict::Transient, Verdict::RateLimited] {
                prop_assert!(backoff.draw(verdict, made, &mut rng) <= backoff.cap);
            }
        }
    }
}
