//! The service.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Classify, Refuse};
use tower_service::Service;

use crate::{CircuitOpen, Cover, KeyOf, Permit, ResponseFuture, keys::Registry, layer::Parts};

/// Stops calling what is failing. See the [crate docs](crate).
#[derive(Clone)]
pub struct CircuitBreaker<S, M, C, K, P> {
    inner: S,
    registry: Arc<Registry>,
    parts: Parts<M, C, K, P>,
}

// === impl CircuitBreaker ===

impl<S, M, C, K, P> CircuitBreaker<S, M, C, K, P> {
    pub(crate) const fn new(inner: S, registry: Arc<Registry>, parts: Parts<M, C, K, P>) -> Self {
        Self { inner, registry, parts }
    }
}

impl<S, M, C, K, P, Req> Service<Req> for CircuitBreaker<S, M, C, K, P>
where
    S: Service<Req>,
    M: Refuse<CircuitOpen, S::Response, S::Error>,
    C: Classify<S::Response, S::Error> + Clone,
    K: KeyOf<Req>,
    P: Cover<S::Response> + Clone,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Response, S::Error, C, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // An open circuit is no reason to be unready: then a call would wait where it should be refused.
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let Parts { refusal, classify, keys, protocol } = &self.parts;
        match Permit::acquire(self.registry.circuit(keys.key(&request))) {
            Ok(permit) => ResponseFuture::called(self.inner.call(request), permit, classify.clone(), protocol.clone()),
            Err(open) => ResponseFuture::refused(refusal.refuse(open), classify.clone(), protocol.clone()),
        }
    }
}

impl<S: fmt::Debug, M, C, K, P> fmt::Debug for CircuitBreaker<S, M, C, K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("inner", &self.inner).finish_non_exhaustive()
    }
}
