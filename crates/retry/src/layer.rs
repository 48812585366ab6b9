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
    Backoff, Policy, Retry,
    policy::{Failure, Stop},
};

/// Retries failed requests. See the [crate docs](crate).
///
/// `R` says how a request is sent again, `C` what a result means.
#[derive(Clone, Debug)]
pub struct RetryLayer<R = HttpReplay, C = HttpClassify> {
    pub(crate) settings: Settings,
    pub(crate) replay: R,
    pub(crate) classify: C,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    policy: Policy,
    pub(crate) allowance: NonZeroU32,
    pub(crate) deadline: Option<Duration>,
    rng: Arc<Mutex<StdRng>>,
}

// === impl RetryLayer ===

impl RetryLayer {
    /// Creates a layer for HTTP, of three attempts at most, with full jitter.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            policy: Policy::default(),
            allowance: NonZeroU32::new(5).expect("5 is not 0"),
            deadline: None,
            rng: Arc::new(Mutex::new(StdRng::from_rng(&mut rand::rng()))),
        };
        Self { settings, replay: HttpReplay::default(), classify: HttpClassify }
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, C> RetryLayer<R, C> {
    /// Sets how many attempts this layer makes at most, the first one included. 3 by default.
    #[must_use]
    pub const fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.settings.policy.attempts = attempts;
        self
    }

    /// Sets how many attempts all layers together may make, where no layer further out has set it. 5 by default.
    #[must_use]
    pub const fn allowance(mut self, attempts: NonZeroU32) -> Self {
        self.settings.allowance = attempts;
        self
    }

    /// Sets the waits between attempts.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.policy.backoff = backoff;
        self
    }

    /// Sets the longest wait that a server may ask for; beyond it, the failure is returned at once. 60 s by default.
    #[must_use]
    pub const fn max_hint(mut self, max: Duration) -> Self {
        self.settings.policy.max_hint = max;
        self
    }

    /// Lets no retry begin later than this after the call. None by default; a deadline in the request's context holds in
    /// any case.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Sends requests again even if they are not idempotent and may have been served.
    ///
    /// Right for services that compute and store nothing, such as language models, where the cost of doing the work twice
    /// is accepted. Wrong for orders and payments.
    #[must_use]
    pub const fn repeat_all(mut self) -> Self {
        self.settings.policy.repeat_all = true;
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
    pub fn replay<R2>(self, replay: R2) -> RetryLayer<R2, C> {
        RetryLayer { settings: self.settings, replay, classify: self.classify }
    }

    /// Sets what a result means: see [`Classify`](buttress_core::Classify).
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> RetryLayer<R, C2> {
        RetryLayer { settings: self.settings, replay: self.replay, classify }
    }
}

impl<S, R: Clone, C: Clone> Layer<S> for RetryLayer<R, C> {
    type Service = Retry<S, R, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, Arc::new(self.clone()))
    }
}

// === impl Settings ===

impl Settings {
    pub(crate) fn decide(&self, failure: Failure) -> Result<Duration, Stop> {
        self.policy.decide(failure, &mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
