//! Going on elsewhere with an answer that broke.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{BoxError, CallContext, OpenStream};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Continue, ContinuedBody, continue_body::More, story::Story};

/// Goes on with an answer that broke after content, once, on another target.
///
/// Nothing does so unless it is asked to: text by two models is not the text of one, and is paid for twice. It stands outside
/// of retry and failover:
///
/// 1. What goes out is kept, up to [`max_kept`](Self::max_kept), as [`Continue`] says.
/// 2. When the stream breaks after content, the event that says so waits. A request for the rest is made and sent through
///    the service within: one, outside of the allowance of attempts that all layers share, and within their deadline.
/// 3. The failure of the first target goes into the trail of the [`CallContext`], which bars it for this request, so that
///    failover asks another one.
/// 4. The client sees a comment that says who goes on, and the rest with the id and the model of the first answer.
/// 5. If no answer comes, or that one breaks too, the stream ends as it broke.
/// 6. Those further out find an [`AnswerReport`](buttress_core::AnswerReport) of the whole, with the usage of both answers.
///    The breakers of the two targets each hear of their own.
#[derive(Clone, Debug)]
pub struct ContinueLayer<O, C> {
    pub(crate) streams: O,
    continues: C,
    max_kept: usize,
    allowance: NonZeroU32,
}

/// The service of [`ContinueLayer`].
#[derive(Clone, Debug)]
pub struct Continuing<S, O, C> {
    inner: S,
    layer: Arc<ContinueLayer<O, C>>,
}

/// The future of [`Continuing`].
///
/// # Cancel safety
///
/// Dropping it drops the call.
#[pin_project]
pub struct ContinueFuture<S, ReqBody, O, C>
where
    S: Service<Request<ReqBody>>,
    O: OpenStream,
{
    #[pin]
    inner: S::Future,
    call: Option<Call<S, ReqBody, O::Expected>>,
    layer: Arc<ContinueLayer<O, C>>,
}

struct Call<S, ReqBody, E> {
    service: S,
    request: Request<ReqBody>,
    context: CallContext,
    expected: E,
    begun: Instant,
}

// === impl ContinueLayer ===

impl<O, C> ContinueLayer<O, C> {
    /// How much of an answer is kept at most: 256 KiB.
    pub const MAX_KEPT: usize = 256 * 1024;

    /// Creates a layer that reads answers as `streams` knows them, and goes on with them as `continues` says.
    #[must_use]
    pub const fn new(streams: O, continues: C) -> Self {
        let allowance = NonZeroU32::new(5).expect("five is not zero");
        Self { streams, continues, max_kept: Self::MAX_KEPT, allowance }
    }

    /// Sets how many bytes of an answer are kept at most. With a longer one, nobody goes on.
    #[must_use]
    pub const fn max_kept(mut self, bytes: usize) -> Self {
        self.max_kept = bytes;
        self
    }

    /// Sets how many attempts all layers together may make, where no layer further out has set it. 5 by default.
    #[must_use]
    pub const fn allowance(mut self, attempts: NonZeroU32) -> Self {
        self.allowance = attempts;
        self
    }
}

impl<S, O: Clone, C: Clone> Layer<S> for ContinueLayer<O, C> {
    type Service = Continuing<S, O, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Continuing { inner, layer: Arc::new(self.clone()) }
    }
}

// === impl Continuing ===

impl<S, O, C, ReqBody, ResBody> Service<Request<ReqBody>> for Continuing<S, O, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    O: OpenStream,
    C: Continue<ReqBody>,
    ReqBody: Clone,
    ResBody: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<ContinuedBody<S, ResBody, ReqBody, O, C, C::Thread>>;
    type Error = S::Error;
    type Future = ContinueFuture<S, ReqBody, O, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let context = CallContext::of_or_insert(&mut request, self.layer.allowance);
        let expected = self.layer.streams.expect(&request);
        let saved = request.clone();
        let call = Call { service: self.inner.clone(), request: saved, context, expected, begun: Instant::now() };
        ContinueFuture { inner: self.inner.call(request), call: Some(call), layer: Arc::clone(&self.layer) }
    }
}

// === impl ContinueFuture ===

impl<S, ReqBody, ResBody, O, C> Future for ContinueFuture<S, ReqBody, O, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    O: OpenStream,
    C: Continue<ReqBody>,
    ResBody: Body,
{
    type Output = Result<Response<ContinuedBody<S, ResBody, ReqBody, O, C, C::Thread>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let Call { service, request, context, expected, begun } = this.call.take().expect("polled after completion");
        let (mut head, body) = response.into_parts();
        // Where the length was announced, it would be another one.
        let open = head.status.is_success() && body.size_hint().exact().is_none();
        let thread = open.then(|| this.layer.continues.begin(&request, &head)).flatten();
        let opened = thread.and_then(|thread| Some((this.layer.streams.open(expected, &head)?, thread)));
        let more = opened.map(|parts| More {
            service,
            layer: Arc::clone(this.layer),
            story: Story::new((request, context), &mut head.extensions, parts, this.layer.max_kept, begun),
            expected: None,
            call: None,
            out: VecDeque::new(),
            error: None,
        });
        Poll::Ready(Ok(Response::from_parts(head, ContinuedBody::new(body, more))))
    }
}

impl<S, ReqBody, O, C> fmt::Debug for ContinueFuture<S, ReqBody, O, C>
where
    S: Service<Request<ReqBody>>,
    O: OpenStream,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContinueFuture").finish_non_exhaustive()
    }
}
