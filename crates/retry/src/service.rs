//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Classify, Mark, Replay};
use tokio::time::Instant;
use tower_service::Service;

use crate::{Policies, Policy, ResponseFuture, RetryLayer, call::Call};

/// Retries failed requests. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct Retry<S, R, C, P = Policy> {
    inner: S,
    layer: Arc<RetryLayer<R, C, P>>,
}

// === impl Retry ===

impl<S, R, C, P> Retry<S, R, C, P> {
    pub(crate) const fn new(inner: S, layer: Arc<RetryLayer<R, C, P>>) -> Self {
        Self { inner, layer }
    }
}

impl<S, R, C, P, Req> Service<Req> for Retry<S, R, C, P>
where
    R: Replay<Req, Mark: Mark<S::Response>>,
    S: Service<R::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Policies<R::Saved>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, C, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let settings = &self.layer.settings;
        let (first, saved, context) = self.layer.replay.begin(request, settings.allowance);
        // A deadline beyond what a clock can hold is no deadline.
        let deadline = settings.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        if let (Some(context), Some(deadline)) = (&context, deadline) {
            context.limit_deadline(deadline);
        }
        let call = Call::new(self.inner.clone(), Arc::clone(&self.layer), saved, context, deadline);
        ResponseFuture::new(self.inner.call(first), call)
    }
}
