//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Classify, Mark, Replay};
use tokio::time::Instant;
use tower_service::Service;

use crate::{ResponseFuture, RetryLayer, future::Call};

/// Retries failed requests. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct Retry<S, R, C> {
    inner: S,
    layer: Arc<RetryLayer<R, C>>,
}

// === impl Retry ===

impl<S, R, C> Retry<S, R, C> {
    pub(crate) const fn new(inner: S, layer: Arc<RetryLayer<R, C>>) -> Self {
        Self { inner, layer }
    }
}

impl<S, R, C, Req> Service<Req> for Retry<S, R, C>
where
    R: Replay<Req> + Mark<S::Response>,
    S: Service<R::Request> + Clone,
    C: Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, C, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let settings = &self.layer.settings;
        let context = self.layer.replay.context(&mut request, settings.allowance);
        // A deadline beyond what a clock can hold is no deadline.
        let deadline = settings.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        if let (Some(context), Some(deadline)) = (&context, deadline) {
            context.limit_deadline(deadline);
        }
        let (first, saved) = self.layer.replay.split(request);
        let call = Call::new(self.inner.clone(), Arc::clone(&self.layer), saved, context, deadline);
        ResponseFuture::new(self.inner.call(first), call)
    }
}
