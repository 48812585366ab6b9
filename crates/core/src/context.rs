//! What one request carries through all layers.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Request};
use tokio::time::Instant;

use crate::{Attempt, Head, Label, Target, Trail, Verdict, trail::Bars};

/// What one request carries through all layers: a deadline, one allowance of attempts, and the trail of those made.
///
/// It travels in the request's extensions. Clones share one state: an attempt that failover spends is gone for retry too.
///
/// # The allowance
///
/// The first attempt of a request needs no permission. Whoever wants to send *again*, to the same target or another one,
/// asks [`take_attempt`](Self::take_attempt) first. So attempts never multiply, however many layers send again.
#[derive(Clone)]
pub struct CallContext(Arc<Mutex<State>>);

struct State {
    deadline: Option<Instant>,
    attempt_timeout: Option<Duration>,
    attempts_left: u32,
    /// How often the client has tried before, by its own word.
    client_retries: u32,
    /// What failed in this walk. The trail cannot tell: it keeps only its first attempts.
    failed: Vec<Failed>,
    /// What must not be asked again by this request, for ever or until a time.
    barred: Vec<(Failed, Option<Instant>)>,
    trail: Trail,
}

/// What bounds the next attempt of a request, all of one moment. See [`CallContext::bounds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// When the answer must have come.
    pub deadline: Option<Instant>,
    /// How long one attempt may take, where it was set for this request.
    pub attempt_timeout: Option<Duration>,
    /// How many attempts were made.
    pub attempts_made: u32,
    /// How many further attempts are allowed.
    pub attempts_left: u32,
}

/// A target that failed, or one of its credentials.
#[derive(Clone)]
struct Failed {
    target: Target,
    /// The failure says nothing of the target, nor of its other credentials.
    credential_only: bool,
}

// === impl CallContext ===

impl CallContext {
    /// Creates a context that allows `attempts` in all, the first one included, and has no deadline.
    #[must_use]
    pub fn new(attempts: NonZeroU32) -> Self {
        Self::after(0, attempts)
    }

    /// Creates a context for the request of a client that has retried so often before.
    fn after(client_retries: u32, attempts: NonZeroU32) -> Self {
        Self(Arc::new(Mutex::new(State {
            deadline: None,
            attempt_timeout: None,
            // The first attempt is free, whatever the client has used up.
            attempts_left: (attempts.get() - 1).saturating_sub(client_retries),
            client_retries,
            // Without an allocation, as long as nothing fails.
            failed: Vec::new(),
            barred: Vec::new(),
            trail: Trail::default(),
        })))
    }

    /// Finds the context of `request`.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        request.extensions().get()
    }

    /// Finds the context of `request`, or creates one that allows `attempts` in all.
    ///
    /// A client that retries on its own and says so (`x-stainless-retry-count`, as the official SDKs of OpenAI and
    /// Anthropic do) has used up part of the allowance: each retry it made takes one attempt off, down to a single one.
    #[must_use]
    pub fn of_or_insert<B>(request: &mut Request<B>, attempts: NonZeroU32) -> Self {
        Self::in_head(request, attempts)
    }

    pub(crate) fn in_head(head: &mut dyn Head, attempts: NonZeroU32) -> Self {
        if let Some(context) = head.extensions().get::<Self>() {
            return context.clone();
        }
        let context = Self::of_client(head.headers(), attempts);
        head.extensions_mut().insert(context.clone());
        context
    }

    /// Creates a context for a request that came with `headers`.
    pub(crate) fn of_client(headers: &HeaderMap, attempts: NonZeroU32) -> Self {
        Self::after(client_retries(headers), attempts)
    }

    /// Takes one further attempt from the allowance, or returns `false` if none is left.
    #[must_use = "an attempt that was not granted must not be made"]
    pub fn take_attempt(&self) -> bool {
        let mut state = self.state();
        let left = state.attempts_left.checked_sub(1);
        state.attempts_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Returns how many further attempts are allowed.
    #[must_use]
    pub fn attempts_left(&self) -> u32 {
        self.state().attempts_left
    }

    /// Returns how often the client has retried before, by its own word.
    #[must_use]
    pub fn client_retries(&self) -> u32 {
        self.state().client_retries
    }

    /// Moves the deadline to `at`, if it is not earlier already.
    pub fn limit_deadline(&self, at: Instant) {
        let mut state = self.state();
        state.deadline = Some(state.deadline.map_or(at, |deadline| deadline.min(at)));
    }

    /// Returns the time by which the answer must have come.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.state().deadline
    }

    /// Returns how much time is left, zero if the deadline has passed, or `None` without a deadline.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(now))
    }

    /// Sets how long one attempt may take to the head of its answer, for this request alone: a streamed answer begins soon,
    /// a whole one comes late.
    pub fn set_attempt_timeout(&self, timeout: Duration) {
        self.state().attempt_timeout = Some(timeout);
    }

    /// Returns how long one attempt may take, where it was set for this request.
    #[must_use]
    pub fn attempt_timeout(&self) -> Option<Duration> {
        self.state().attempt_timeout
    }

    /// Returns what bounds the next attempt, in one look.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let state = self.state();
        Bounds {
            deadline: state.deadline,
            attempt_timeout: state.attempt_timeout,
            attempts_made: state.trail.made(),
            attempts_left: state.attempts_left,
        }
    }

    /// Begins a new walk over the targets: each failure domain may be tried once more.
    pub fn begin_walk(&self) {
        self.state().failed.clear();
    }

    /// Returns whether a target of `domain` has failed in this walk. That one of several credentials failed is no failure of
    /// the domain's.
    #[must_use]
    pub fn tried(&self, domain: &Label) -> bool {
        let is_of = |failed: &Failed| !failed.credential_only && failed.target.failure_domain() == domain;
        self.state().failed.iter().any(is_of)
    }

    /// Returns whether `target` itself has failed in this walk, with the credential that [it is to be
    /// shown](Target::credential).
    #[must_use]
    pub fn tried_target(&self, target: &Target) -> bool {
        self.state().failed.iter().any(|failed| failed.covers(target))
    }

    /// Returns whether this request must not go to `target` again at `now`: an earlier attempt showed that it cannot be
    /// served there, or the target asked to be left alone for longer.
    #[must_use]
    pub fn barred(&self, target: &Target, now: Instant) -> bool {
        let bars =
            |(failed, until): &(Failed, Option<Instant>)| failed.covers(target) && until.is_none_or(|at| now < at);
        self.state().barred.iter().any(bars)
    }

    /// Adds an attempt to the trail.
    pub fn record(&self, attempt: Attempt) {
        let mut state = self.state();
        if let (Some(target), false) = (&attempt.target, attempt.verdict == Verdict::Success) {
            let failed = Failed { target: target.clone(), credential_only: attempt.blames_credential() };
            match attempt.bars {
                Bars::Not => {}
                Bars::Until(at) => state.barred.push((failed.clone(), Some(at))),
                Bars::ForGood => state.barred.push((failed.clone(), None)),
            }
            state.failed.push(failed);
        }
        state.trail.push(attempt);
    }

    /// Returns how many attempts were made.
    #[must_use]
    pub fn attempts_made(&self) -> u32 {
        self.state().trail.made()
    }

    /// Calls `f` with the trail. Do not call the context again inside.
    pub fn with_trail<T>(&self, f: impl FnOnce(&Trail) -> T) -> T {
        f(&self.state().trail)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in `with_trail` leaves the state as whole as it was: nothing is changed there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("CallContext")
            .field("deadline", &state.deadline)
            .field("attempts_left", &state.attempts_left)
            .field("trail", &state.trail)
            .finish()
    }
}

// === impl Failed ===

impl Failed {
    /// Whether the failure is one of `target` with its credential.
    fn covers(&self, target: &Target) -> bool {
        let same = !self.credential_only || self.target.credential() == target.credential();
        self.target.name() == target.name() && same
    }
}

fn client_retries(headers: &HeaderMap) -> u32 {
    // A name that is known need not be read and checked for each request.
    static COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
    let count = headers.get(&COUNT).and_then(|value| value.to_str().ok());
    count.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Outcome, RetryHint};
    use http::StatusCode;
    use proptest::prelude::*;

    const fn n(attempts: u32) -> NonZeroU32 {
        NonZeroU32::new(attempts).expect("not zero")
    }

    fn attempt(target: &str, status: u16, ms: u64) -> Attempt {
        let status = StatusCode::from_u16(status).unwrap();
        let target = Target::named(target).unwrap();
        Attempt::new(Some(target), Verdict::Transient, Outcome::Status(status), Duration::from_millis(ms))
    }

    #[test]
    fn the_first_attempt_is_free_and_the_rest_are_counted_across_clones() {
        let context = CallContext::new(n(3));
        let other_layer = context.clone();
        assert!(context.take_attempt());
        assert!(other_layer.take_attempt());
        assert!(!context.take_attempt() && !other_layer.take_attempt());
        assert_eq!(context.attempts_left(), 0);
    }

    #[test]
    fn the_earliest_deadline_wins() {
        let now = Instant::now();
        let context = CallContext::new(n(1));
        assert_eq!(context.remaining(now), None);
        context.limit_deadline(now + Duration::from_secs(5));
        context.limit_deadline(now + Duration::from_secs(9));
        assert_eq!(context.remaining(now), Some(Duration::from_secs(5)));
        assert_eq!(context.remaining(now + Duration::from_secs(7)), Some(Duration::ZERO));
    }

    #[test]
    fn a_domain_is_tried_once_a_walk() {
        let context = CallContext::new(n(5));
        let east = Label::try_new("east").unwrap();
        assert!(!context.tried(&east));
        context.record(attempt("east", 503, 1));
        assert!(context.tried(&east) && !context.tried(&Label::try_new("west").unwrap()));
        context.begin_walk();
        assert!(!context.tried(&east));
    }

    #[test]
    fn a_domain_is_tried_once_a_walk_beyond_what_the_trail_keeps() {
        let context = CallContext::new(n(20));
        for _ in 0..Trail::CAPACITY {
            context.record(attempt("east", 503, 0));
        }
        context.begin_walk();
        context.record(attempt("west", 503, 0));
        assert!(context.tried(&Label::try_new("west").unwrap()));
    }

    #[test]
    fn a_target_that_cannot_serve_the_request_or_asked_for_time_is_not_asked_again() {
        let now = Instant::now();
        let context = CallContext::new(n(5));
        let [east, west, north] = ["east", "west", "north"].map(|name| Target::named(name).unwrap());
        let later = now + Duration::from_secs(30);
        let hinted = Class::status(StatusCode::TOO_MANY_REQUESTS).with_hint(RetryHint::after(Duration::from_secs(30)));
        for (target, class) in [
            (&east, Class::status(StatusCode::UNAUTHORIZED)),
            (&west, hinted),
            (&north, Class::status(StatusCode::SERVICE_UNAVAILABLE)),
        ] {
            context.record(Attempt::ended(target.clone(), class, Duration::ZERO, now));
        }
        context.begin_walk();
        assert_eq!([&east, &west, &north].map(|t| context.barred(t, now)), [true, true, false]);
        assert_eq!([&east, &west, &north].map(|t| context.barred(t, later)), [true, false, false]);

        let word = RetryHint { after: None, should_retry: Some(true) };
        let asked = Class::status(StatusCode::BAD_REQUEST).with_hint(word);
        let context = CallContext::new(n(5));
        context.record(Attempt::ended(east.clone(), asked, Duration::ZERO, now));
        assert!(!context.barred(&east, now), "a target that asks for another try gets it");
    }

    #[test]
    fn a_credential_that_fails_is_no_failure_of_its_target_nor_of_the_other_credentials() {
        let now = Instant::now();
        let [a, b] = ["a", "b"].map(|name| Label::try_new(name).unwrap());
        let all = Target::named("east").unwrap().with_credentials([a.clone(), b.clone()]);
        let [with_a, with_b] = [a.clone(), b.clone()].map(|name| all.clone().using(name));
        let fail = |status: u16, target: &Target| {
            let context = CallContext::new(n(5));
            let class = Class::status(StatusCode::from_u16(status).unwrap());
            context.record(Attempt::ended(target.clone(), class, Duration::ZERO, now));
            let one = |target: Target| (context.tried_target(&target), context.barred(&target, now));
            let [a, b] = [&a, &b].map(|name| one(all.clone().using(name.clone())));
            (a, b, context.tried(all.failure_domain()))
        };
        assert_eq!(fail(401, &with_a), ((true, true), (false, false), false), "another one may well do");
        assert_eq!(fail(402, &with_b), ((false, false), (true, true), false));
        assert_eq!(fail(503, &with_a), ((true, false), (true, false), true), "no other one helps");
        assert_eq!(fail(429, &with_a), ((true, false), (true, false), true), "the limit is the target's");
        let class = Class::status(StatusCode::TOO_MANY_REQUESTS);
        let own = with_a.with_limits_by_credential();
        assert!(own.blames_credential(class.verdict) && !own.blames_credential(Verdict::Transient));
        assert_eq!(fail(401, &all), ((true, true), (true, true), true), "where there is no choice, it is the target");
    }

    #[test]
    fn a_trail_reads_as_it_went_and_says_what_it_left_out() {
        let context = CallContext::new(n(5));
        context.record(attempt("east", 503, 12));
        context.record(attempt("west", 200, 61));
        assert_eq!(context.with_trail(Trail::to_string), "east;503;12ms, west;200;61ms");
        for _ in 0..8 {
            context.record(attempt("east", 500, 0));
        }
        assert!(context.with_trail(Trail::to_string).ends_with("east;500;0ms, and 2 more"));
        assert_eq!(context.attempts_made(), 10);
    }

    #[test]
    fn what_the_client_retried_already_is_taken_off() {
        let left = |count: &str| {
            let mut request = Request::builder().header("x-stainless-retry-count", count).body(()).unwrap();
            CallContext::of_or_insert(&mut request, n(5)).attempts_left()
        };
        assert_eq!([left("0"), left("2"), left("5"), left("4294967295"), left("many")], [4, 2, 0, 0, 4]);
    }

    #[test]
    fn a_context_is_created_once_and_then_found() {
        let mut request = Request::new(());
        let first = CallContext::of_or_insert(&mut request, n(2));
        assert!(first.take_attempt());
        assert!(!CallContext::of_or_insert(&mut request, n(9)).take_attempt());
    }

    proptest! {
        #[test]
        fn grants_never_exceed_the_allowance(attempts in 1..50_u32, asks in 0..200_u32) {
            let context = CallContext::new(n(attempts));
            let granted = (0..asks).filter(|_| context.take_attempt()).count();
            prop_assert_eq!(granted as u32, asks.min(attempts - 1));
        }
    }
}
