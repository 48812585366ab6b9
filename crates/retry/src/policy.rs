//! Whether to send again, and when.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{Class, Verdict};
use rand::{Rng, RngExt as _};

use crate::{Backoff, backoff::Streak, counts::Stop};

/// Whether to send again, and when. See the [crate docs](crate) for the rules.
///
/// Put into the extensions of a request, it takes the place of the layer's own policy for that request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    attempts: NonZeroU32,
    backoff: Backoff,
    max_hint: Duration,
    repeat_all: bool,
}

/// Chooses the policy of a request when an attempt of it has failed.
///
/// A [`Policy`] chooses itself. Any `Fn(&Saved) -> Policy` does, where `Saved` is the request as it is kept: a
/// `Request<B>` over HTTP, the request itself otherwise.
pub trait Policies<Saved> {
    /// Returns the policy of `saved`.
    fn policy(&self, saved: &Saved) -> Policy;
}

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// Attempts made by this layer, the failed one included.
    pub(crate) made: u32,
    pub(crate) streak: Streak,
    pub(crate) idempotent: bool,
    /// The request came here as a retry.
    pub(crate) marked: bool,
    /// Time left until the deadline.
    pub(crate) remaining: Option<Duration>,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(3).expect("3 is not 0"),
            backoff: Backoff::full(),
            max_hint: Duration::from_secs(60),
            repeat_all: false,
        }
    }
}

impl Policy {
    /// Creates the policy that sends nothing twice.
    #[must_use]
    pub fn never() -> Self {
        Self::default().attempts(NonZeroU32::MIN)
    }

    /// Sets how many attempts are made at most, the first one included. 3 by default.
    #[must_use]
    pub const fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the waits between attempts.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the longest wait that a server may ask for; beyond it, the failure is returned at once. 60 s by default.
    #[must_use]
    pub const fn max_hint(mut self, max: Duration) -> Self {
        self.max_hint = max;
        self
    }

    /// Sends requests again even if they are not idempotent and may have been served.
    ///
    /// Right for services that compute and store nothing, such as language models, where the cost of doing the work twice
    /// is accepted. Wrong for orders and payments.
    #[must_use]
    pub const fn repeat_all(mut self) -> Self {
        self.repeat_all = true;
        self
    }

    /// Returns how long to wait before the next attempt, or why there is none.
    pub(crate) fn decide(&self, failure: Failure, rng: &mut impl Rng) -> Result<Duration, Stop> {
        let Failure { class, made, idempotent, remaining, .. } = failure;
        match class.hint.should_retry {
            Some(false) => return Err(Stop::ServerSaysNo),
            Some(true) => {}
            None if class.verdict.retry_here() => {}
            None => return Err(Stop::Verdict),
        }
        if class.begun && !idempotent && !self.repeat_all {
            return Err(Stop::NotIdempotent);
        }
        if failure.marked {
            return Err(Stop::MarkedAsRetry);
        }
        if made >= self.attempts.get() {
            return Err(if self.attempts == NonZeroU32::MIN { Stop::Never } else { Stop::Attempts });
        }
        let wait = self.wait(class, failure.streak, rng)?;
        if remaining.is_some_and(|remaining| remaining <= wakes_after(wait)) {
            return Err(Stop::Deadline);
        }
        Ok(wait)
    }

    fn wait(&self, class: Class, streak: Streak, rng: &mut impl Rng) -> Result<Duration, Stop> {
        match class.hint.after {
            Some(hint) if hint > self.max_hint => Err(Stop::HintTooLong),
            // A server that is full by design computes the very moment: coming later wastes what was bought.
            Some(hint) if class.verdict == Verdict::CapacityByDesign => Ok(hint),
            Some(hint) => Ok(hint.saturating_add(rng.random_range(Duration::ZERO..=hint / 10))),
            None => Ok(self.backoff.draw(class.verdict, streak, rng)),
        }
    }
}

/// Returns when a timer that is set for `wait` wakes: it counts whole milliseconds.
fn wakes_after(wait: Duration) -> Duration {
    let nanos = u64::from(wait.subsec_nanos()).next_multiple_of(1_000_000);
    Duration::from_secs(wait.as_secs()).saturating_add(Duration::from_nanos(nanos))
}

// === impl Policies ===

impl<Saved> Policies<Saved> for Policy {
    fn policy(&self, _: &Saved) -> Policy {
        *self
    }
}

impl<Saved, F: Fn(&Saved) -> Policy> Policies<Saved> for F {
    fn policy(&self, saved: &Saved) -> Policy {
        self(saved)
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use buttress_core::{Outcome, RetryHint};
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    const WORD: Outcome = Outcome::Word("test");

    const fn failure(class: Class) -> Failure {
        let streak = Streak { failures: 1, last_wait: Duration::ZERO };
        Failure { class, made: 1, streak, idempotent: true, marked: false, remaining: None }
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
        assert!(Policy::default().repeat_all().decide(post(class), &mut StdRng::seed_from_u64(1)).is_ok());
    }

    #[test]
    fn a_retry_of_somebody_elses_is_not_retried_again() {
        let class = Class::new(Verdict::Transient, WORD);
        assert_eq!(decide(Failure { marked: true, ..failure(class) }), Err(Stop::MarkedAsRetry));
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
        let never = Policy::never().decide(failure(class), &mut StdRng::seed_from_u64(1));
        assert_eq!(never, Err(Stop::Never));
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
                None => prop_assert!(wait.unwrap() <= Duration::from_secs(20)),
            }
        }
    }
}
