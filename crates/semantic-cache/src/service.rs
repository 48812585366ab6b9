//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{CallContext, Classify, HttpClassify, HttpRefusal, Oneshot, Refusal, RefusalKind, Refuse};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use crate::{
    Admit, Ask, CacheOutcome, ResponseBody, ResponseFuture, SemanticCacheLayer, Tenant,
    future::Call,
    plan::Plan,
    replay::Replay,
    shared::{Errand, Renewal},
    store::Found,
    told::{self, Room},
};

/// Answers questions again. See the [crate docs](crate).
///
/// It is always ready: what is in the cache is answered whatever the inner service does.
#[derive(Debug)]
pub struct SemanticCache<S, T, A, M = HttpRefusal, C = HttpClassify> {
    inner: S,
    layer: Arc<SemanticCacheLayer<T, A, M, C>>,
}

// === impl SemanticCache ===

impl<S, T, A, M, C> SemanticCache<S, T, A, M, C> {
    pub(crate) const fn new(inner: S, layer: Arc<SemanticCacheLayer<T, A, M, C>>) -> Self {
        Self { inner, layer }
    }
}

impl<S: Clone, T, A, M, C> Clone for SemanticCache<S, T, A, M, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: Arc::clone(&self.layer) }
    }
}

impl<S, T, A, M, C, ReqBody, ResBody> Service<Request<ReqBody>> for SemanticCache<S, T, A, M, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Send, Future: Send> + Clone + Send + 'static,
    ReqBody: Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    T: Tenant<Request<ReqBody>>,
    A: Ask<Request<ReqBody>> + Admit + Send + Sync + 'static,
    M: Refuse<Refusal, Response<ResBody>, S::Error>,
    C: Classify<Response<ResBody>, S::Error> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody, ResBody, T, A, M, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let call = self.layer.begin(self.inner.clone(), request, false);
        ResponseFuture::new(call, Arc::clone(&self.layer))
    }
}

// === impl SemanticCacheLayer ===

impl<T, A, M, C> SemanticCacheLayer<T, A, M, C> {
    /// Does what is decided of a request. What was `recalled` already is not looked for elsewhere again.
    pub(crate) fn begin<S, ReqBody, ResBody>(
        &self,
        inner: S,
        request: Request<ReqBody>,
        recalled: bool,
    ) -> Call<S, ReqBody, ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Send, Future: Send> + Clone + Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body<Data = Bytes> + Send + 'static,
        T: Tenant<Request<ReqBody>>,
        A: Ask<Request<ReqBody>> + Admit + Send + Sync + 'static,
        M: Refuse<Refusal, Response<ResBody>, S::Error>,
        C: Classify<Response<ResBody>, S::Error> + Clone + Send + 'static,
    {
        let layer = self;
        let now = Instant::now();
        let counters = &layer.keeper.shared.counters;
        match layer.plan(&request, recalled, now) {
            Plan::Recall(recall) => Call::Recalled(recall, Some(Box::new((inner, request)))),
            Plan::Serve { found, outcome, renew } => {
                let room = match renew {
                    Some((question, born)) => {
                        layer.renew(inner, request, Errand { question, born, memo: None });
                        Room::default()
                    }
                    None => Room::of(request),
                };
                counters.hits.add(u64::from(outcome == CacheOutcome::Hit));
                counters.stale.add(u64::from(outcome == CacheOutcome::Stale));
                debug!(outcome = outcome.as_str(), age_s = found.age.as_secs(), "decided");
                Call::Ready(Some(Ok(layer.serve(&found, outcome, room, now))))
            }
            Plan::Pass(why) => {
                counters.bypassed(why).one();
                debug!(outcome = "bypass", reason = why.as_str(), "decided");
                Call::pass(Oneshot::new(inner, request), why)
            }
            Plan::Fetch { question, born, miss, stale } => {
                debug!(outcome = "miss", reason = ?miss, "decided");
                let errand = Errand { question, born, memo: None };
                Call::fetch(inner, request, errand, miss, stale, layer)
            }
            Plan::Refuse => {
                counters.refused.one();
                debug!(outcome = "refused", "decided");
                let refusal = Refusal::new(RefusalKind::NotCached, "the answer is not in the cache").hopeless();
                let refused = layer.refusal.refuse(refusal);
                Call::Ready(Some(refused.map(|response| response.map(ResponseBody::passing))))
            }
        }
    }

    /// Makes the response of an answer that was kept.
    pub(crate) fn serve<B>(
        &self,
        found: &Found,
        outcome: CacheOutcome,
        room: Room,
        now: Instant,
    ) -> Response<ResponseBody<B>> {
        let replay = Replay::new(Arc::clone(&found.answer), self.settings.pace, now);
        told::response(found, replay, outcome, room, self.settings.shows_similarity)
    }

    /// Makes a call in the background, so that its answer is kept.
    pub(crate) fn renew<S, ReqBody, ResBody>(&self, inner: S, mut request: Request<ReqBody>, errand: Errand)
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Send, Future: Send> + Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body<Data = Bytes> + Send + 'static,
        A: Admit + Send + Sync + 'static,
        C: Classify<Response<ResBody>, S::Error> + Clone + Send + 'static,
    {
        // Its caller has an answer, whose deadline is not that of this one.
        request.extensions_mut().remove::<CallContext>();
        let (keeper, classify, record) = (self.keeper.clone(), self.classify.clone(), self.settings.record);
        let renewal = Renewal { shared: Arc::clone(&keeper.shared), key: errand.question.key };
        let work = async move {
            let _renewal = renewal;
            let result = Oneshot::new(inner, request).await;
            let body = keeper.record(result, &classify, record, errand);
            if let Some(body) = body {
                drain(body).await;
            }
        };
        let counters = &self.keeper.shared.counters;
        let begun = self.keeper.shared.spawn(self.keeper.background, work);
        if begun { counters.renewed.one() } else { counters.not_renewed.one() }
    }
}

async fn drain<B: Body>(body: B) {
    let mut body = std::pin::pin!(body);
    while let Some(Ok(_)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
}
