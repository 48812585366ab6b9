//! A request and its answer.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Classify, Oneshot, Refusal, Refuse};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;
use tracing::debug;

use crate::{
    Admit, Ask, Bypass, CacheOutcome, Explanation, Miss, ResponseBody, Seek, SemanticCacheLayer, Sought, Tenant,
    freshness::is_outage, remote::Recalling, shared::Errand, store::Found, told::Room,
};

/// The future of [`SemanticCache`](crate::SemanticCache).
///
/// # Cancel safety
///
/// Dropping it drops the call. What is done in the background goes on.
#[pin_project]
pub struct ResponseFuture<S: Service<Request<Q>>, Q, B, T, A, M, C> {
    #[pin]
    call: Call<S, Q, B>,
    layer: Arc<SemanticCacheLayer<T, A, M, C>>,
}

/// What becomes of a request.
#[pin_project(project = CallProj)]
pub(crate) enum Call<S: Service<Request<Q>>, Q, B> {
    Ready(Option<Result<Response<ResponseBody<B>>, S::Error>>),
    Passed {
        #[pin]
        call: Oneshot<S, Request<Q>>,
        why: Bypass,
    },
    Fetched {
        #[pin]
        call: Oneshot<S, Request<Q>>,
        fetch: Option<Box<Fetch>>,
    },
    /// It is looked for elsewhere first.
    Recalled(Recalling, Option<Box<(S, Request<Q>)>>),
    /// Boxed, since there are two things to wait for.
    Sought(Pin<Box<Seeking<S, Q>>>),
    Done,
}

/// What is known of a question that is passed on.
pub(crate) struct Fetch {
    errand: Errand,
    miss: Miss,
    stale: Option<Found>,
    /// What was decided by its meaning.
    detail: Option<Box<str>>,
}

/// A question that is passed on, and looked for by its meaning.
#[pin_project]
pub(crate) struct Seeking<S: Service<Request<Q>>, Q> {
    seek: Option<Seek>,
    #[pin]
    patience: Sleep,
    /// Until the call is made.
    own: Option<(S, Request<Q>)>,
    #[pin]
    call: Option<Oneshot<S, Request<Q>>>,
    fetch: Option<Box<Fetch>>,
}

/// What came of it.
enum Came<S: Service<Request<Q>>, Q> {
    Answer(Result<S::Response, S::Error>, Box<Fetch>),
    Like(Found, f32, Option<Box<str>>),
    /// The same, and the call is made all the same, to learn whether it was right.
    Audit(Found, f32, Option<Box<str>>, Box<(S, Request<Q>, Errand)>),
}

// === impl Call ===

impl<S: Service<Request<Q>>, Q, B> Call<S, Q, B> {
    pub(crate) const fn pass(call: Oneshot<S, Request<Q>>, why: Bypass) -> Self {
        Self::Passed { call, why }
    }

    pub(crate) fn fetch<T, A, M, C>(
        inner: S,
        request: Request<Q>,
        errand: Errand,
        miss: Miss,
        stale: Option<Found>,
        layer: &SemanticCacheLayer<T, A, M, C>,
    ) -> Self {
        let seek = layer.keeper.meaning.as_ref().filter(|_| miss == Miss::Absent && errand.question.text.is_some());
        let seek = seek.map(|meaning| layer.keeper.seek(&**meaning, &errand.question));
        let fetch = Some(Box::new(Fetch { errand, miss, stale, detail: None }));
        if seek.is_none() {
            return Self::Fetched { call: Oneshot::new(inner, request), fetch };
        }
        let patience = sleep(layer.settings.patience);
        Self::Sought(Box::pin(Seeking { seek, patience, own: Some((inner, request)), call: None, fetch }))
    }
}

// === impl ResponseFuture ===

impl<S: Service<Request<Q>>, Q, B, T, A, M, C> ResponseFuture<S, Q, B, T, A, M, C> {
    pub(crate) const fn new(call: Call<S, Q, B>, layer: Arc<SemanticCacheLayer<T, A, M, C>>) -> Self {
        Self { call, layer }
    }
}

impl<S, Q, B, T, A, M, C> Future for ResponseFuture<S, Q, B, T, A, M, C>
where
    S: Service<Request<Q>, Response = Response<B>, Error: Send, Future: Send> + Clone + Send + 'static,
    Q: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    T: Tenant<Request<Q>>,
    A: Ask<Request<Q>> + Admit + Send + Sync + 'static,
    M: Refuse<Refusal, Response<B>, S::Error>,
    C: Classify<Response<B>, S::Error> + Clone + Send + 'static,
{
    type Output = Result<Response<ResponseBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let layer = &**this.layer;
        if let CallProj::Recalled(recall, own) = this.call.as_mut().project() {
            let Poll::Ready(_) = recall.as_mut().poll(cx) else { return Poll::Pending };
            // Whatever came of it, the question is asked again: of local memory.
            let (inner, request) = *own.take().expect("polled after completion");
            let call = layer.begin(inner, request, true);
            this.call.set(call);
        }
        let output = match this.call.as_mut().project() {
            CallProj::Recalled(..) => unreachable!("it is looked for elsewhere once"),
            CallProj::Ready(output) => output.take().expect("polled after completion"),
            CallProj::Passed { call, why } => {
                let Poll::Ready(result) = call.poll(cx) else { return Poll::Pending };
                let outcome = CacheOutcome::Bypassed(*why);
                result.map(|response| layer.told(response, outcome).map(ResponseBody::passing))
            }
            CallProj::Fetched { call, fetch } => {
                let Poll::Ready(result) = call.poll(cx) else { return Poll::Pending };
                layer.fetched(result, *fetch.take().expect("polled after completion"))
            }
            CallProj::Sought(seeking) => {
                let Poll::Ready(came) = seeking.as_mut().poll(cx, layer) else { return Poll::Pending };
                layer.came(came)
            }
            CallProj::Done => panic!("polled after completion"),
        };
        this.call.set(Call::Done);
        Poll::Ready(output)
    }
}

impl<S: Service<Request<Q>>, Q, B, T, A, M, C> fmt::Debug for ResponseFuture<S, Q, B, T, A, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl Seeking ===

impl<S: Service<Request<Q>> + Clone, Q> Seeking<S, Q> {
    fn poll<T, A: Admit, M, C>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        layer: &SemanticCacheLayer<T, A, M, C>,
    ) -> Poll<Came<S, Q>> {
        let mut this = self.project();
        if let Some(seek) = this.seek
            && let Poll::Ready(sought) = seek.as_mut().poll(cx)
        {
            *this.seek = None;
            let fetch = this.fetch.as_mut().expect("polled after completion");
            let Sought { like, detail, audit, memo } = sought;
            fetch.detail = detail;
            fetch.errand.memo = memo;
            let now = Instant::now();
            let found = like.and_then(|like| {
                let found = layer.find_like(&fetch.errand.question, &like.key, now)?;
                Some((found, like.similarity))
            });
            if found.is_none() && like.is_some() {
                // What was decided is not what came of it.
                fetch.errand.memo = None;
            }
            if let Some((found, similarity)) = found {
                let fetch = this.fetch.take().expect("it was there just now");
                return Poll::Ready(match this.own.take() {
                    Some((inner, request)) if audit => {
                        Came::Audit(found, similarity, fetch.detail, Box::new((inner, request, fetch.errand)))
                    }
                    // A call that was made already is dropped: there is an answer.
                    _ => Came::Like(found, similarity, fetch.detail),
                });
            }
        }
        if this.own.is_some() {
            if this.seek.is_some() {
                if this.patience.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                layer.keeper.shared.counters.late.one();
                debug!("late");
            }
            let (inner, request) = this.own.take().expect("it is there");
            this.call.set(Some(Oneshot::new(inner, request)));
        }
        let call = this.call.as_mut().as_pin_mut().expect("it was made above");
        call.poll(cx).map(|result| Came::Answer(result, this.fetch.take().expect("polled after completion")))
    }
}

// === impl SemanticCacheLayer ===

impl<T, A, M, C> SemanticCacheLayer<T, A, M, C> {
    fn told<B>(&self, mut response: Response<B>, outcome: CacheOutcome) -> Response<B> {
        outcome.tell(response.headers_mut(), None, self.settings.shows_similarity);
        response.extensions_mut().insert(outcome);
        response
    }

    fn fetched<B, E>(&self, result: Result<Response<B>, E>, fetch: Fetch) -> Result<Response<ResponseBody<B>>, E>
    where
        B: Body<Data = Bytes>,
        A: Admit + Send + Sync + 'static,
        C: Classify<Response<B>, E>,
    {
        let Fetch { errand, miss, stale, detail } = fetch;
        let class = self.classify.classify(result.as_ref());
        if let Some(found) = stale.filter(|_| is_outage(class)) {
            let status = result.ok().map(|response| response.status());
            self.keeper.shared.counters.stale_if_error.one();
            debug!(outcome = "stale-if-error", verdict = class.verdict.as_str(), "decided");
            return Ok(self.serve(&found, CacheOutcome::StaleIfError(status), Room::default(), Instant::now()));
        }
        self.keeper.shared.counters.missed(miss).one();
        let key = errand.question.key;
        let mut response = self.told(result?, CacheOutcome::Miss(miss));
        response.extensions_mut().insert(key);
        self.detail(&mut response, detail);
        Ok(self.keeper.recorded(response, class, self.settings.record, errand))
    }

    fn came<S, Q, B>(&self, came: Came<S, Q>) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Service<Request<Q>, Response = Response<B>, Error: Send, Future: Send> + Send + 'static,
        Q: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        A: Admit + Send + Sync + 'static,
        C: Classify<Response<B>, S::Error> + Clone + Send + 'static,
    {
        let (found, similarity, detail) = match came {
            Came::Answer(result, fetch) => return self.fetched(result, *fetch),
            Came::Like(found, similarity, detail) => (found, similarity, detail),
            Came::Audit(found, similarity, detail, own) => {
                let (inner, request, errand) = *own;
                self.renew(inner, request, errand);
                (found, similarity, detail)
            }
        };
        self.keeper.shared.counters.semantic_hits.one();
        debug!(outcome = "semantic-hit", similarity, age_s = found.age.as_secs(), "decided");
        let mut response = self.serve(&found, CacheOutcome::SemanticHit(similarity), Room::default(), Instant::now());
        self.detail(&mut response, detail);
        Ok(response)
    }

    /// Tells what was decided by its meaning: to callers that are trusted, and to layers further out.
    fn detail<B>(&self, response: &mut Response<B>, detail: Option<Box<str>>) {
        let Some(detail) = detail else { return };
        if self.settings.shows_similarity
            && let Ok(value) = HeaderValue::from_str(&detail)
        {
            response.headers_mut().insert("x-cache-decision", value);
        }
        response.extensions_mut().insert(Explanation(detail));
    }
}
