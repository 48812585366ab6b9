//! The contract finds what it is there to find: each layer here breaks one promise.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use buttress_core::{Payload, RefusalKind};
use buttress_testkit::{Contract, Handle, HttpFlavour, ProbeError, Readiness, ScriptedBody, request, run};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{
    layer::layer_fn,
    limit::{ConcurrencyLimit, ConcurrencyLimitLayer},
};
use tower_layer::Layer;
use tower_service::Service;

type Http<F> = Contract<HttpFlavour<ScriptedBody, fn() -> Request<Payload>>, F>;

fn http<F>(make: F) -> Http<F> {
    Contract::http(make, request as fn() -> _, Readiness::Forwarded)
}

// === Readiness ===

/// Calls a clone that was never ready.
#[derive(Clone)]
struct CallsClone<S>(S);

impl<S, Req> Service<Req> for CallsClone<S>
where
    S: Service<Req, Future: Send> + Clone + Send + 'static,
    Req: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let mut clone = self.0.clone();
        Box::pin(async move { clone.call(request).await })
    }
}

#[test]
#[should_panic(expected = "the probe was called unready")]
fn a_clone_that_was_never_ready_is_found() {
    run(http(|| layer_fn(CallsClone)).drives_the_readied_instance_three_calls_in_a_row());
}

#[test]
#[should_panic(expected = "the probe was called unready")]
fn a_clone_that_was_never_ready_is_found_without_http() {
    let contract = Contract::plain(|| layer_fn(CallsClone), Readiness::Forwarded);
    run(contract.drives_the_readied_instance_three_calls_in_a_row());
}

/// All clones drive one instance, so that one takes the place that another reserved.
struct OneInstance<S>(Arc<Mutex<S>>);

impl<S> Clone for OneInstance<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Service<Req>, Req> Service<Req> for OneInstance<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.lock().unwrap().poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.0.lock().unwrap().call(request)
    }
}

#[test]
#[should_panic(expected = "the probe was called unready")]
fn clones_that_share_one_readiness_are_found() {
    run(http(|| layer_fn(|inner| OneInstance(Arc::new(Mutex::new(inner))))).two_clones_are_ready_each_for_itself());
}

/// Says ready and reserves only in the call, without a word to the inner service before.
#[derive(Clone)]
struct SaysReady<S>(S);

impl<S: Service<Req>, Req> Service<Req> for SaysReady<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.0.call(request)
    }
}

#[test]
#[should_panic(expected = "the probe was called unready")]
fn a_readiness_that_was_made_up_is_found() {
    run(http(|| layer_fn(SaysReady)).drives_the_readied_instance_three_calls_in_a_row());
}

/// Asks with a waker of its own, so that nobody hears of readiness.
#[derive(Clone)]
struct Deaf<S>(S);

impl<S: Service<Req>, Req> Service<Req> for Deaf<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(&mut Context::from_waker(std::task::Waker::noop()))
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.0.call(request)
    }
}

#[test]
#[should_panic(expected = "nobody was told")]
fn a_lost_wake_up_is_found() {
    run(http(|| layer_fn(Deaf)).inner_not_ready_is_waited_for());
}

#[test]
#[should_panic(expected = "nobody told the one who waits")]
fn a_lost_wake_up_is_found_when_a_place_is_freed() {
    run(http(|| layer_fn(Deaf)).service_drop_frees_capacity());
}

// === Places ===

/// Keeps a ready instance aside after each call.
struct Hoards<S> {
    inner: S,
    hoard: Arc<Mutex<Vec<S>>>,
}

impl<S: Clone> Clone for Hoards<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), hoard: Arc::clone(&self.hoard) }
    }
}

impl<S: Service<Req> + Clone, Req> Service<Req> for Hoards<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        let mut next = self.inner.clone();
        // With room for two this takes the second place, and keeps it.
        let _ = next.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
        self.hoard.lock().unwrap().push(next);
        self.inner.call(request)
    }
}

fn hoards() -> impl Layer<buttress_testkit::Probe, Service = Hoards<buttress_testkit::Probe>> + Clone + Send + Sync {
    layer_fn(|inner| Hoards { inner, hoard: Arc::default() })
}

#[test]
#[should_panic(expected = "asking twice must not reserve twice")]
fn a_place_that_is_kept_is_found() {
    run(http(hoards).drives_the_readied_instance_three_calls_in_a_row());
}

/// Sends to a worker of its own, so that dropping the future drops nothing.
#[derive(Clone)]
struct Detached<S>(S);

impl<S, Req> Service<Req> for Detached<S>
where
    S: Service<Req>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Undead<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Undead(Some(self.0.call(request)))
    }
}

/// Leaks its future when it is dropped before the end.
struct Undead<F>(Option<F>);

impl<F: Future + Unpin> Future for Undead<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let output = std::task::ready!(Pin::new(self.0.as_mut().unwrap()).poll(cx));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<F> Drop for Undead<F> {
    fn drop(&mut self) {
        std::mem::forget(self.0.take());
    }
}

#[test]
#[should_panic(expected = "a place in the inner service is still held")]
fn a_place_that_outlives_its_future_is_found() {
    run(http(|| layer_fn(Detached)).response_future_drop_releases_capacity());
}

#[test]
#[should_panic(expected = "a place in the inner service is still held")]
fn a_place_that_outlives_its_future_is_found_before_the_first_poll() {
    run(http(|| layer_fn(Detached)).response_future_drop_before_its_first_poll_releases_capacity());
}

// === State ===

#[test]
#[should_panic(expected = "through the other service")]
fn state_made_in_layer_is_found() {
    let contract = http(|| ConcurrencyLimitLayer::new(1));
    run(contract.layer_called_twice_shares_state(limit_of_one_is_shared));
}

#[test]
fn state_made_in_layer_is_shared_by_clones() {
    run(http(|| ConcurrencyLimitLayer::new(1)).two_clones_share_state(limit_of_one_is_shared));
}

async fn limit_of_one_is_shared(
    mut first: ConcurrencyLimit<buttress_testkit::Probe>,
    mut second: ConcurrencyLimit<buttress_testkit::Probe>,
    _: Handle,
) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let first = Service::<Request<Payload>>::poll_ready(&mut first, &mut cx);
    let second = Service::<Request<Payload>>::poll_ready(&mut second, &mut cx);
    assert!(first.is_ready());
    assert!(second.is_pending(), "the only place is taken through the other service");
}

// === Errors and refusals ===

/// Makes an answer of every failure.
#[derive(Clone)]
struct Swallows<S>(S);

impl<S, Req> Service<Req> for Swallows<S>
where
    S: Service<Req, Error = ProbeError, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = ProbeError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, ProbeError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        self.0.poll_ready(cx).map_err(|_| ProbeError::new("something is wrong"))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async { response.await.map_err(|_| ProbeError::new("something went wrong")) })
    }
}

#[test]
#[should_panic(expected = "the inner error must pass unchanged")]
fn an_error_that_was_replaced_is_found() {
    run(http(|| layer_fn(Swallows)).inner_error_passes_unchanged());
}

#[test]
#[should_panic(expected = "the error of readiness must pass unchanged")]
fn an_error_of_readiness_that_was_replaced_is_found() {
    run(http(|| layer_fn(Swallows)).inner_readiness_error_passes_unchanged());
}

#[test]
#[should_panic(expected = "the inner service was called")]
fn a_refusal_that_calls_the_inner_service_first_is_found() {
    let contract = http(tower::layer::util::Identity::new);
    run(contract.refuses_with_a_response(RefusalKind::Overloaded, true, async |_service, _handle| {}));
}

#[test]
#[should_panic(expected = "the status says why")]
fn a_refusal_that_does_not_come_is_found() {
    let contract = http(tower::layer::util::Identity::new);
    run(contract.refuses_with_a_response(RefusalKind::Overloaded, false, async |_service, _handle| {}));
}

#[test]
#[should_panic(expected = "a refusal is a response, not an error")]
fn a_refusal_by_an_error_is_found() {
    let contract = http(tower::layer::util::Identity::new);
    let prepare = async |_: &mut _, handle: &Handle| handle.always(buttress_testkit::Reply::error("no"));
    run(contract.refuses_with_a_response(RefusalKind::Overloaded, false, prepare));
}

// === Bodies ===

/// A flaw of a body wrapper.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    DropsTrailers,
    LosesSizeHint,
    LosesEndOfStream,
    LosesError,
    PollsAfterEnd,
    Leaks,
    Deaf,
}

#[derive(Clone)]
struct Wraps<S>(S, Flaw);

struct Wrapped<B>(Option<Pin<Box<B>>>, Flaw);

/// Wraps the body of the answer.
struct WrapsFuture<F>(Pin<Box<F>>, Flaw);

impl<S, Req, B> Service<Req> for Wraps<S>
where
    S: Service<Req, Response = Response<B>>,
{
    type Response = Response<Wrapped<B>>;
    type Error = S::Error;
    type Future = WrapsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        WrapsFuture(Box::pin(self.0.call(request)), self.1)
    }
}

impl<F, B, E> Future for WrapsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Wrapped<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let flaw = self.1;
        self.0.as_mut().poll(cx).map_ok(|response| response.map(|body| Wrapped(Some(Box::pin(body)), flaw)))
    }
}

impl<B: Body<Data = Bytes>> Body for Wrapped<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let flaw = self.1;
        let inner = self.0.as_mut().unwrap();
        let mut deaf = Context::from_waker(std::task::Waker::noop());
        let frame = std::task::ready!(inner.as_mut().poll_frame(if flaw == Flaw::Deaf { &mut deaf } else { cx }));
        Poll::Ready(match frame {
            Some(Ok(frame)) if frame.is_trailers() && flaw == Flaw::DropsTrailers => None,
            Some(Err(_)) if flaw == Flaw::LosesError => None,
            None if flaw == Flaw::PollsAfterEnd => {
                assert!(inner.as_mut().poll_frame(cx).is_ready());
                None
            }
            frame => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.1 != Flaw::LosesEndOfStream && self.0.as_ref().unwrap().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.1 == Flaw::LosesSizeHint { SizeHint::default() } else { self.0.as_ref().unwrap().size_hint() }
    }
}

impl<B> Drop for Wrapped<B> {
    fn drop(&mut self) {
        if self.1 == Flaw::Leaks {
            std::mem::forget(self.0.take());
        }
    }
}

macro_rules! a_flaw_is_found {
    ($($name:ident: $flaw:ident, $promise:ident, $expected:literal;)*) => {$(
        #[test]
        #[should_panic(expected = $expected)]
        fn $name() {
            run(http(|| layer_fn(|inner| Wraps(inner, Flaw::$flaw))).$promise());
        }
    )*};
}

a_flaw_is_found! {
    dropped_trailers_are_found: DropsTrailers, body_passes_with_trailers_and_both_hints, "frames must pass, trailers too";
    a_lost_size_hint_is_found: LosesSizeHint, body_passes_with_trailers_and_both_hints, "the size hint must be";
    a_lost_end_of_stream_is_found: LosesEndOfStream, body_passes_with_trailers_and_both_hints, "`is_end_stream` must be";
    a_poll_after_the_end_is_found: PollsAfterEnd, body_passes_with_trailers_and_both_hints, "must not be polled again";
    a_lost_error_is_found: LosesError, body_error_passes, "the body failed";
    a_body_left_alive_is_found: Leaks, body_dropped_midway_leaves_nothing, "a body of the inner service is still alive";
    a_lost_wake_up_of_a_body_is_found: Deaf, body_that_waits_wakes_its_reader, "its reader was not told";
}

#[test]
fn a_body_with_another_flaw_keeps_the_rest_of_the_contract() {
    let contract = http(|| layer_fn(|inner| Wraps(inner, Flaw::LosesSizeHint)));
    run(contract.body_error_passes());
    run(contract.body_dropped_midway_leaves_nothing());
    run(contract.response_head_passes());
    run(contract.request_passes());
}

/// Loses the request's extensions, as one that builds a new request would.
#[derive(Clone)]
struct NewRequest<S>(S);

impl<S, B> Service<Request<B>> for NewRequest<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let mut new = Request::new(());
        *new.method_mut() = request.method().clone();
        *new.headers_mut() = request.headers().clone();
        self.0.call(new.map(|()| request.into_body()))
    }
}

#[test]
#[should_panic(expected = "extensions must pass")]
fn lost_extensions_are_found() {
    run(http(|| layer_fn(NewRequest)).request_passes());
}
