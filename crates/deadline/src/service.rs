//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Refusal, Refuse};
use tokio::time::Instant;
use tower_service::Service;

use crate::{Cover, DeadlineLayer, Protocol, ResponseFuture};

/// Gives each call one deadline. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct Deadline<S, M, P> {
    inner: S,
    layer: Arc<DeadlineLayer<M, P>>,
}

// === impl Deadline ===

impl<S, M, P> Deadline<S, M, P> {
    pub(crate) const fn new(inner: S, layer: Arc<DeadlineLayer<M, P>>) -> Self {
        Self { inner, layer }
    }
}

impl<S, M, P, Req> Service<Req> for Deadline<S, M, P>
where
    S: Service<Req>,
    M: Refuse<Refusal, S::Response, S::Error>,
    P: Protocol<Req> + Cover<S::Response>,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, M, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let now = Instant::now();
        let layer = Arc::clone(&self.layer);
        let deadline = layer.protocol.deadline(&mut request, layer.timeout, now);
        if deadline.is_some_and(|at| at <= now) {
            return ResponseFuture::late(layer);
        }
        ResponseFuture::new(self.inner.call(request), deadline, layer)
    }
}
