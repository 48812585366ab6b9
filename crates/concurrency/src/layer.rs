//! The layer and its settings.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use buttress_core::HttpRefusal;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tower_layer::Layer;

use crate::{
    Algorithm, Concurrency, HttpProtocol, Keyed, LimitHandle, PlainProtocol, Queue, Shared, Shares, Signal,
    error::{NotAdmitted, Reason},
    limiter::{Limit, Limiter, Settings},
};

/// Bounds how many calls are under way. See the [crate docs](crate).
///
/// `M` says what a refusal becomes, `P` what a call is, and `K` which limit it comes under.
///
/// The methods that set how the limit works ([`queue`](Self::queue), [`shares`](Self::shares), [`keyed`](Self::keyed)) make it
/// anew: set it up first, then clone the layer or take a [`handle`](Self::handle).
#[derive(Clone, Debug)]
pub struct ConcurrencyLayer<M = HttpRefusal, P = HttpProtocol, K = Shared> {
    settings: Settings,
    select: K,
    desk: Desk<M, P>,
}

/// What deals with callers.
#[derive(Clone, Debug)]
pub(crate) struct Desk<M, P> {
    pub(crate) refusal: M,
    pub(crate) protocol: P,
    pub(crate) max_wait: Duration,
    retry_after: Duration,
    rng: Arc<Mutex<StdRng>>,
}

// === impl ConcurrencyLayer ===

impl ConcurrencyLayer {
    /// Creates a layer for HTTP that lets `limit` calls be under way, to the ends of their bodies, and nobody wait.
    #[must_use]
    pub fn fixed(limit: NonZeroU32) -> Self {
        Self::new(Limit::Fixed(limit.get()))
    }

    /// Creates a layer for HTTP that lets so many calls be under way as `algorithm` finds out, and nobody wait.
    ///
    /// The algorithm is cloned for each key, where there are [keys](Self::keyed), and to begin anew.
    #[must_use]
    pub fn adaptive(algorithm: impl Algorithm + Clone + Sync) -> Self {
        Self::new(Limit::Adaptive(Arc::new(move || Box::new(algorithm.clone()))))
    }

    fn new(limit: Limit) -> Self {
        let settings = Settings { limit, queue: Queue::NONE, shares: Shares::default() };
        let desk = Desk {
            refusal: HttpRefusal,
            protocol: HttpProtocol::default(),
            max_wait: Duration::ZERO,
            retry_after: Duration::from_secs(1),
            rng: Arc::new(Mutex::new(StdRng::from_rng(&mut rand::rng()))),
        };
        Self { select: Shared(Limiter::new(&settings)), settings, desk }
    }
}

impl<M, P> ConcurrencyLayer<M, P> {
    /// Lets calls wait for a place. Nobody does by default.
    #[must_use]
    pub fn queue(mut self, queue: Queue) -> Self {
        self.settings.queue = queue;
        self.desk.max_wait = queue.max_wait;
        self.select = Shared(Limiter::new(&self.settings));
        self
    }

    /// Guarantees classes of calls a part of the limit each. None by default.
    #[must_use]
    pub fn shares(mut self, shares: Shares) -> Self {
        self.settings.shares = shares;
        self.select = Shared(Limiter::new(&self.settings));
        self
    }

    /// Gives each key, which `key` finds in a request, a limit of its own: see [`Keyed`]. At most `max` keys are kept. To be
    /// called after [`queue`](Self::queue) and [`shares`](Self::shares).
    #[must_use]
    pub fn keyed<F, Key>(self, max: NonZeroUsize, key: F) -> ConcurrencyLayer<M, P, Keyed<F, Key>> {
        let Self { settings, desk, .. } = self;
        ConcurrencyLayer { select: Keyed::new(key, max, settings.clone()), settings, desk }
    }

    /// Returns a handle of the limit.
    #[must_use]
    pub fn handle(&self) -> LimitHandle {
        LimitHandle(Arc::clone(&self.select.0))
    }
}

impl<M, P, F, Key: std::hash::Hash + Eq> ConcurrencyLayer<M, P, Keyed<F, Key>> {
    /// Returns a handle of the limit of `key`, if it is known. A key is kept as long as there is a handle of it.
    #[must_use]
    pub fn handle(&self, key: &Key) -> Option<LimitHandle> {
        self.select.find(key).map(LimitHandle)
    }

    /// Returns how many keys are kept.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.select.limiters()
    }
}

impl<M, P, K> ConcurrencyLayer<M, P, K> {
    /// Sets after how long a caller that is refused should come back: a second by default. What is said lies between this and
    /// twice as much, so that callers do not all come back in one moment. More than a day counts as a day.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.desk.retry_after = after.min(Duration::from_secs(86_400));
        self
    }

    /// Makes what callers are told the same in each run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.desk.rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        self
    }

    /// Sets what a refusal becomes: see [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> ConcurrencyLayer<M2, P, K> {
        let Self { settings, select, desk } = self;
        ConcurrencyLayer { settings, select, desk: desk.with(|_, protocol| (refusal, protocol)) }
    }

    /// Sets what a call is, where it is neither HTTP nor plain: see [`Protocol`](crate::Protocol) and
    /// [`Cover`](crate::Cover).
    #[must_use]
    pub fn protocol<P2>(self, protocol: P2) -> ConcurrencyLayer<M, P2, K> {
        let Self { settings, select, desk } = self;
        ConcurrencyLayer { settings, select, desk: desk.with(|refusal, _| (refusal, protocol)) }
    }

    /// Makes this a layer for a service without HTTP, where `refusal` says how to refuse: see
    /// [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn plain<M2>(self, refusal: M2) -> ConcurrencyLayer<M2, PlainProtocol, K> {
        self.protocol(PlainProtocol::default()).on_refusal(refusal)
    }
}

impl<M, C, R, K> ConcurrencyLayer<M, HttpProtocol<C, R>, K> {
    /// Sets what an adaptive limit goes by.
    #[must_use]
    pub const fn signal(mut self, signal: Signal) -> Self {
        self.desk.protocol.signal = signal;
        self
    }

    /// Sets what an answer means to an adaptive limit: see [`Classify`](buttress_core::Classify).
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> ConcurrencyLayer<M, HttpProtocol<C2, R>, K> {
        let Self { settings, select, desk } = self;
        let with = |refusal, HttpProtocol { rank, signal, .. }| (refusal, HttpProtocol { classify, rank, signal });
        ConcurrencyLayer { settings, select, desk: desk.with(with) }
    }

    /// Sets how much a request matters: see [`Rank`](crate::Rank). [`ByExtension`](crate::ByExtension) by default.
    #[must_use]
    pub fn criticality<R2>(self, rank: R2) -> ConcurrencyLayer<M, HttpProtocol<C, R2>, K> {
        let Self { settings, select, desk } = self;
        let with = |refusal, HttpProtocol { classify, signal, .. }| (refusal, HttpProtocol { classify, rank, signal });
        ConcurrencyLayer { settings, select, desk: desk.with(with) }
    }
}

impl<M, C, R, K> ConcurrencyLayer<M, PlainProtocol<C, R>, K> {
    /// Sets what an answer means to an adaptive limit: see [`Classify`](buttress_core::Classify). By default an error is an
    /// overload.
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> ConcurrencyLayer<M, PlainProtocol<C2, R>, K> {
        let Self { settings, select, desk } = self;
        let with = |refusal, PlainProtocol { rank, .. }| (refusal, PlainProtocol { classify, rank });
        ConcurrencyLayer { settings, select, desk: desk.with(with) }
    }

    /// Sets how much a request matters: see [`Rank`](crate::Rank). By default all matter alike.
    #[must_use]
    pub fn criticality<R2>(self, rank: R2) -> ConcurrencyLayer<M, PlainProtocol<C, R2>, K> {
        let Self { settings, select, desk } = self;
        let with = |refusal, PlainProtocol { classify, .. }| (refusal, PlainProtocol { classify, rank });
        ConcurrencyLayer { settings, select, desk: desk.with(with) }
    }
}

impl<S, M: Clone, P: Clone, K: Clone> Layer<S> for ConcurrencyLayer<M, P, K> {
    type Service = Concurrency<S, M, P, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency::new(inner, self.select.clone(), Arc::new(self.desk.clone()))
    }
}

// === impl Desk ===

impl<M, P> Desk<M, P> {
    /// Makes the refusal of a call, with a time that is drawn for it alone.
    pub(crate) fn refusal_for(&self, reason: Reason) -> NotAdmitted {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let jitter = rng.random_range(1.0..=2.0);
        NotAdmitted::new(reason, self.retry_after.mul_f64(jitter))
    }

    fn with<M2, P2>(self, f: impl FnOnce(M, P) -> (M2, P2)) -> Desk<M2, P2> {
        let Self { refusal, protocol, max_wait, retry_after, rng } = self;
        let (refusal, protocol) = f(refusal, protocol);
        Desk { refusal, protocol, max_wait, retry_after, rng }
    }
}
