//! The layer and its settings.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use buttress_core::{HttpClassify, HttpReplay};
use rand::{SeedableRng as _, rngs::StdRng};
use tower_layer::Layer;

use crate::{
    Backoff, Budget, Counts, Policy, Retry,
    budget::MAX_BUDGETS,
    counts::{Counters, Stop},
    policy::Failure,
};

/// Retries failed requests. See the [crate docs](crate).
///
/// `R` says how a request is sent again, `C` what a result means, and `P` which policy a request has.
#[derive(Clone, Debug)]
pub struct RetryLayer<R = HttpReplay, C = HttpClassify, P = Policy> {
    pub(crate) settings: Settings,
    pub(crate) replay: R,
    pub(crate) classify: C,
    pub(crate) policies: P,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) allowance: NonZeroU32,
    pub(crate) deadline: Option<Duration>,
    budgets: Option<Arc<[Budget]>>,
    pub(crate) counters: Arc<Counters>,
    rng: Arc<Mutex<StdRng>>,
}

// === impl RetryLayer ===

impl RetryLayer {
    /// Creates a layer for HTTP, of three attempts at most, with full jitter and without a budget.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            allowance: NonZeroU32::new(5).expect("5 is not 0"),
            deadline: None,
            budgets: None,
            counters: Arc::default(),
            rng: Arc::new(Mutex::new(StdRng::from_rng(&mut rand::rng()))),
        };
        Self { settings, replay: HttpReplay::default(), classify: HttpClassify, policies: Policy::default() }
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, C> RetryLayer<R, C> {
    /// Sets how many attempts this layer makes at most. See [`Policy::attempts`].
    #[must_use]
    pub const fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.policies = self.policies.attempts(attempts);
        self
    }

    /// Sets the waits between attempts. See [`Policy::backoff`].
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.policies = self.policies.backoff(backoff);
        self
    }

    /// Sets the longest wait that a server may ask for. See [`Policy::max_hint`].
    #[must_use]
    pub const fn max_hint(mut self, max: Duration) -> Self {
        self.policies = self.policies.max_hint(max);
        self
    }

    /// Sends requests again even if they are not idempotent and may have been served. See [`Policy::repeat_all`].
    #[must_use]
    pub const fn repeat_all(mut self) -> Self {
        self.policies = self.policies.repeat_all();
        self
    }
}

impl<R, C, P> RetryLayer<R, C, P> {
    /// Sets how many attempts all layers together may make, where no layer further out has set it. 5 by default.
    #[must_use]
    pub const fn allowance(mut self, attempts: NonZeroU32) -> Self {
        self.settings.allowance = attempts;
        self
    }

    /// Lets no retry begin later than this after the call. None by default; a deadline in the request's context holds in
    /// any case.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Asks `budget` before each retry. See [`budgets`](Self::budgets).
    #[must_use]
    pub fn budget(self, budget: Budget) -> Self {
        self.budgets([budget])
    }

    /// Asks all of `budgets` before each retry, which takes from all of them or from none. Four at most, which is checked
    /// when the program is built.
    #[must_use]
    pub fn budgets<const N: usize>(mut self, budgets: [Budget; N]) -> Self {
        const { assert!(N <= MAX_BUDGETS, "a layer asks four budgets at most") };
        self.settings.budgets = (N > 0).then(|| Arc::from(budgets));
        self
    }

    /// Makes the waits the same in each run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        self
    }

    /// Sets how a request is sent again: see [`Replay`](buttress_core::Replay).
    #[must_use]
    pub fn replay<R2>(self, replay: R2) -> RetryLayer<R2, C, P> {
        let Self { settings, classify, policies, .. } = self;
        RetryLayer { settings, replay, classify, policies }
    }

    /// Sets what a result means: see [`Classify`](buttress_core::Classify).
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> RetryLayer<R, C2, P> {
        let Self { settings, replay, policies, .. } = self;
        RetryLayer { settings, replay, classify, policies }
    }

    /// Sets which policy a request has: a [`Policy`], or a closure that looks at the request. It is asked only when an
    /// attempt has failed; a policy in the request's extensions goes first.
    #[must_use]
    pub fn policy<P2>(self, policies: P2) -> RetryLayer<R, C, P2> {
        let Self { settings, replay, classify, .. } = self;
        RetryLayer { settings, replay, classify, policies }
    }

    /// Returns what this layer, its clones and its services have done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.settings.counters.read()
    }
}

impl<S, R: Clone, C: Clone, P: Clone> Layer<S> for RetryLayer<R, C, P> {
    type Service = Retry<S, R, C, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, Arc::new(self.clone()))
    }
}

// === impl Settings ===

impl Settings {
    #[inline]
    pub(crate) fn budgets(&self) -> &[Budget] {
        self.budgets.as_deref().unwrap_or_default()
    }

    pub(crate) fn decide(&self, policy: &Policy, failure: Failure) -> Result<Duration, Stop> {
        policy.decide(failure, &mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
