//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::Oneshot;
use tower_service::Service;

use crate::{CoalesceLayer, HttpShare, Key, Question, ResponseFuture, Share, Tenant, WholeRequest, registry::Entered};

/// Lets identical requests share one call. See the [crate docs](crate).
///
/// It is always ready: a request that joins a call needs nothing of the inner service.
#[derive(Debug)]
pub struct Coalesce<S, T, Q = WholeRequest, P = HttpShare> {
    inner: S,
    layer: Arc<CoalesceLayer<T, Q, P>>,
}

// === impl Coalesce ===

impl<S, T, Q, P> Coalesce<S, T, Q, P> {
    pub(crate) const fn new(inner: S, layer: Arc<CoalesceLayer<T, Q, P>>) -> Self {
        Self { inner, layer }
    }
}

impl<S: Clone, T, Q, P> Clone for Coalesce<S, T, Q, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: Arc::clone(&self.layer) }
    }
}

impl<S, T, Q, P, Req> Service<Req> for Coalesce<S, T, Q, P>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
    Req: Send + 'static,
    T: Tenant<Req>,
    Q: Question<Req>,
    P: Share<S::Response, S::Error, Answer: Send + 'static> + Clone,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, P, P::Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let layer = &self.layer;
        let (share, inner) = (layer.share.clone(), self.inner.clone());
        let counters = &layer.registry.counters;
        let Some(key) = Key::of(&layer.secret, &layer.tenant, &layer.question, &request) else {
            counters.alone.add();
            return ResponseFuture::alone(inner, request, share);
        };
        match layer.registry.enter::<Oneshot<S, Req>, P::Answer>(key, layer.bounds) {
            Entered::Flight(flight, seat) => ResponseFuture::member(flight, seat, inner, request, share),
            Entered::Full => {
                counters.full.add();
                ResponseFuture::alone(inner, request, share)
            }
        }
    }
}
