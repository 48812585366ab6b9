//! The layer and its settings.

use std::{num::NonZeroUsize, sync::Arc};

use buttress_core::HttpClassify;
use tower_layer::Layer;

use crate::{
    Coalesce, Counts, HttpShare, PlainShare, WholeRequest,
    key::secret,
    registry::{Bounds, Registry},
};

/// Lets identical requests made at the same time share one call. See the [crate docs](crate).
///
/// `T` says whose a request is, `Q` what it asks, and `P` what of an answer can be shared.
#[derive(Clone, Debug)]
pub struct CoalesceLayer<T, Q = WholeRequest, P = HttpShare> {
    pub(crate) tenant: T,
    pub(crate) question: Q,
    pub(crate) share: P,
    pub(crate) bounds: Bounds,
    pub(crate) secret: [u8; 32],
    pub(crate) registry: Arc<Registry>,
}

/// Reads what the layer has counted.
#[derive(Clone, Debug)]
pub struct CoalesceHandle(Arc<Registry>);

// === impl CoalesceLayer ===

impl<T> CoalesceLayer<T> {
    /// Creates a layer for HTTP requests whose body is in memory. Only requests of one tenant ever share a call; a request
    /// without one makes its own.
    #[must_use]
    pub fn new(tenant: T) -> Self {
        let bounds = Bounds { flights: 1_024, followers: 1_024, bytes: 256 * 1_024 };
        Self {
            tenant,
            question: WholeRequest::default(),
            share: HttpShare { classify: HttpClassify, max_bytes: bounds.bytes },
            bounds,
            secret: secret(),
            registry: Arc::new(Registry::default()),
        }
    }
}

impl<T, Q, C> CoalesceLayer<T, Q, HttpShare<C>> {
    /// Sets how many bytes of an answer are kept, 256 KiB by default. An answer can be joined until it is longer; from there on,
    /// this is how far a reader may be behind before it is cut off.
    #[must_use]
    pub const fn max_bytes(mut self, most: NonZeroUsize) -> Self {
        self.share.max_bytes = most.get();
        self
    }

    /// Sets what tells a failure, which is not shared. By default [`HttpClassify`].
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> CoalesceLayer<T, Q, HttpShare<C2>> {
        let max_bytes = self.share.max_bytes;
        self.with(|question, _| (question, HttpShare { classify, max_bytes }))
    }
}

impl<T, Q, P> CoalesceLayer<T, Q, P> {
    /// Sets what tells whether two requests ask the same: see [`Question`](crate::Question).
    #[must_use]
    pub fn question<Q2>(self, question: Q2) -> CoalesceLayer<T, Q2, P> {
        self.with(|_, share| (question, share))
    }

    /// Makes this a layer for a service without HTTP, whose answers are `Clone`.
    #[must_use]
    pub fn plain(self) -> CoalesceLayer<T, Q, PlainShare> {
        self.with(|question, _| (question, PlainShare))
    }

    /// Sets how many calls can be joined at a time, 1,024 by default. Further ones are made and shared by nobody.
    #[must_use]
    pub const fn max_calls(mut self, most: NonZeroUsize) -> Self {
        self.bounds.flights = most.get();
        self
    }

    /// Sets how many may wait for one call beside the one whose call it is, 1,024 by default. Further ones make their own.
    #[must_use]
    pub const fn max_followers(mut self, most: NonZeroUsize) -> Self {
        self.bounds.followers = most.get();
        self
    }

    /// Returns a handle of the counters.
    #[must_use]
    pub fn handle(&self) -> CoalesceHandle {
        CoalesceHandle(Arc::clone(&self.registry))
    }

    fn with<Q2, P2>(self, f: impl FnOnce(Q, P) -> (Q2, P2)) -> CoalesceLayer<T, Q2, P2> {
        let Self { tenant, question, share, bounds, secret, registry } = self;
        let (question, share) = f(question, share);
        CoalesceLayer { tenant, question, share, bounds, secret, registry }
    }
}

impl<S, T: Clone, Q: Clone, P: Clone> Layer<S> for CoalesceLayer<T, Q, P> {
    type Service = Coalesce<S, T, Q, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Coalesce::new(inner, Arc::new(self.clone()))
    }
}

// === impl CoalesceHandle ===

impl CoalesceHandle {
    /// Returns how many calls were shared so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.read(self.0.under_way())
    }
}
