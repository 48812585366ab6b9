//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Classify, Mark, Refusal, Refuse, Replay, Rewrite};
use tower_service::Service;

use crate::{
    RegionFailoverLayer, ResponseFuture,
    call::{Call, Keys},
    story::Story,
};

/// Tries another target at once when one fails. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct RegionFailover<S, R, W, C, M> {
    inner: S,
    layer: Arc<RegionFailoverLayer<R, W, C, M>>,
}

// === impl RegionFailover ===

impl<S, R, W, C, M> RegionFailover<S, R, W, C, M> {
    pub(crate) const fn new(inner: S, layer: Arc<RegionFailoverLayer<R, W, C, M>>) -> Self {
        Self { inner, layer }
    }
}

impl<S, R, W, C, M, Req> Service<Req> for RegionFailover<S, R, W, C, M>
where
    R: Replay<Req, Mark: Mark<S::Response>>,
    S: Service<R::Request> + Clone,
    W: Rewrite<R::Request>,
    C: Classify<S::Response, S::Error>,
    M: Refuse<Refusal, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, W, C, M, Req>;

    /// Always ready: which target must be ready is known only with the request.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let layer = Arc::clone(&self.layer);
        let class = layer.replay.criticality(&mut request);
        let keys = layer.replay.inbound(&mut request).map_or_else(Keys::default, |head| {
            let extensions = head.extensions();
            Keys { affinity: extensions.get().copied(), route: extensions.get().copied() }
        });
        let (first, saved, context) = layer.replay.begin(request, layer.settings.allowance);
        let story = Story::new(context, layer.settings.allowance, class);
        ResponseFuture::new(Call::new(self.inner.clone(), layer, saved, story, keys), first)
    }
}
