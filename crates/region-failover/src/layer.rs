//! The layer and its settings.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use buttress_core::{HttpClassify, HttpRefusal, HttpReplay, Refusal, Rewrite, Rewritten, Target};
use tower_layer::Layer;

use crate::{
    Admit, ConfigError, Handle, HealthPolicy, Hedge, Policy, RegionFailover, line::Line, shared::Shared, vitals::Rests,
};

/// Tries another target at once when one fails. See the [crate docs](crate).
///
/// `R` says how a request is sent again, `W` how it is fitted to a target, `C` what a result means, and `M` what a refusal
/// becomes.
#[derive(Clone, Debug)]
pub struct RegionFailoverLayer<R = HttpReplay, W = Unchanged, C = HttpClassify, M = HttpRefusal> {
    pub(crate) settings: Settings,
    pub(crate) replay: R,
    pub(crate) rewrite: W,
    pub(crate) classify: C,
    pub(crate) refusal: M,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) shared: Arc<Shared>,
    pub(crate) policy: Policy,
    pub(crate) rests: Rests,
    pub(crate) admit: Option<Arc<dyn Admit>>,
    pub(crate) allowance: NonZeroU32,
    pub(crate) attempt_timeout: Duration,
    pub(crate) repeat_all: bool,
}

/// Sends a request to every target as it is; the client tells targets apart by the [`Target`] in the extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unchanged;

// === impl RegionFailoverLayer ===

impl RegionFailoverLayer {
    /// Creates a layer for HTTP that tries `targets` in their order. See [`policy`](Self::policy) for other ways.
    ///
    /// # Errors
    ///
    /// Fails if there is no target, or if two have one name.
    pub fn try_new(targets: impl IntoIterator<Item = Target>) -> Result<Self, ConfigError> {
        let settings = Settings {
            shared: Arc::new(Shared::try_new(targets)?),
            policy: Policy::Ordered,
            rests: Rests::DEFAULT,
            admit: None,
            allowance: NonZeroU32::new(5).expect("5 is not 0"),
            attempt_timeout: Duration::from_secs(30),
            repeat_all: false,
        };
        Ok(Self {
            settings,
            replay: HttpReplay::default(),
            rewrite: Unchanged,
            classify: HttpClassify,
            refusal: HttpRefusal,
        })
    }
}

impl<R, W, C, M> RegionFailoverLayer<R, W, C, M> {
    /// Sets by what rule a target is chosen. [`Policy::Ordered`] by default.
    #[must_use]
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// Sets the seed of all that is random. With one seed and one order of requests the choices are the same.
    ///
    /// To be set before the layer is used: the services it made before keep their own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.shared = Arc::new(self.settings.shared.with_seed(seed));
        self
    }

    /// Sets when a target is out, and how it comes back.
    ///
    /// To be set before the layer is used: the services it made before keep their own.
    #[must_use]
    pub fn health(mut self, policy: HealthPolicy) -> Self {
        self.settings.shared = Arc::new(self.settings.shared.with_health(policy));
        self
    }

    /// Sets who is asked before a target is chosen, such as a circuit breaker's handle: see [`Admit`].
    #[must_use]
    pub fn admit(mut self, admit: impl Admit + 'static) -> Self {
        self.settings.admit = Some(Arc::new(admit));
        self
    }

    /// Sends a request that takes long to a second target, of another failure domain, within the bounds of `hedge`: the first
    /// success wins, and the other attempt is dropped. Off by default.
    ///
    /// It waits for the head of an answer. Where a layer further in holds back the head until the first content has come, it
    /// waits for that. To be set before the layer is used and its handle taken: what was made before keeps its own.
    #[must_use]
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.settings.shared = Arc::new(self.settings.shared.with_hedge(hedge));
        self
    }

    /// Lets a request that matters ([`Criticality`](buttress_core::Criticality)) wait for the first target to return, where all
    /// have asked for time: for no longer than `longest`, nor beyond its deadline, and no more than `most` at a time. Off by
    /// default.
    ///
    /// Those that wait are let go one after the other, 10 ms apart. To be set before the layer is used and its handle taken:
    /// what was made before keeps its own.
    #[must_use]
    pub fn wait_for_return(mut self, longest: Duration, most: NonZeroU32) -> Self {
        self.settings.shared = Arc::new(self.settings.shared.with_line(Line::new(longest, most)));
        self
    }

    /// Returns a handle that lists and operates the targets, also after the stack is boxed.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.settings.shared))
    }

    /// Sets how many attempts all layers together may make, where no layer further out has set it. 5 by default.
    #[must_use]
    pub const fn allowance(mut self, attempts: NonZeroU32) -> Self {
        self.settings.allowance = attempts;
        self
    }

    /// Sets how long an attempt may take to the head of its answer, where the request's context does not say. 30 s by
    /// default.
    #[must_use]
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = timeout;
        self
    }

    /// Sends requests to another target even if they are not idempotent and may have been served.
    ///
    /// Right for services that compute and store nothing, such as language models, where the cost of doing the work twice
    /// is accepted. Wrong for orders and payments.
    #[must_use]
    pub const fn repeat_all(mut self) -> Self {
        self.settings.repeat_all = true;
        self
    }

    /// Sets how a request is sent again: see [`Replay`](buttress_core::Replay).
    #[must_use]
    pub fn replay<R2>(self, replay: R2) -> RegionFailoverLayer<R2, W, C, M> {
        let Self { settings, rewrite, classify, refusal, .. } = self;
        RegionFailoverLayer { settings, replay, rewrite, classify, refusal }
    }

    /// Sets how a request is fitted to a target: see [`Rewrite`].
    #[must_use]
    pub fn rewrite<W2>(self, rewrite: W2) -> RegionFailoverLayer<R, W2, C, M> {
        let Self { settings, replay, classify, refusal, .. } = self;
        RegionFailoverLayer { settings, replay, rewrite, classify, refusal }
    }

    /// Sets what a result means: see [`Classify`](buttress_core::Classify).
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> RegionFailoverLayer<R, W, C2, M> {
        let Self { settings, replay, rewrite, refusal, .. } = self;
        RegionFailoverLayer { settings, replay, rewrite, classify, refusal }
    }

    /// Sets what a refusal becomes: see [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> RegionFailoverLayer<R, W, C, M2> {
        let Self { settings, replay, rewrite, classify, .. } = self;
        RegionFailoverLayer { settings, replay, rewrite, classify, refusal }
    }
}

impl<S, R: Clone, W: Clone, C: Clone, M: Clone> Layer<S> for RegionFailoverLayer<R, W, C, M> {
    type Service = RegionFailover<S, R, W, C, M>;

    fn layer(&self, inner: S) -> Self::Service {
        RegionFailover::new(inner, Arc::new(self.clone()))
    }
}

// === impl Unchanged ===

impl<Req> Rewrite<Req> for Unchanged {
    fn rewrite(&self, request: Req, _: &Target) -> Result<Rewritten<Req>, Refusal> {
        Ok(Rewritten::new(request))
    }
}
