//! What the tests share.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use buttress_concurrency::{Bounds, Concurrency, ConcurrencyLayer, Queue, ResponseBody};
use buttress_core::{CallContext, Payload, Refusal};
use buttress_testkit::{Handle, Probe, Reply, Script, ScriptedBody};
use http::{Request, Response};
use tokio_test::task;
use tower::{Layer as _, Service as _};

pub(crate) type Svc = Concurrency<Probe>;
pub(crate) type Call = task::Spawn<<Svc as tower::Service<Request<Payload>>>::Future>;

pub(crate) const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

pub(crate) const fn size(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn bounds(min: u32, max: u32) -> Bounds {
    Bounds::try_new(n(min), n(max)).expect("in order")
}

/// Room for eight calls of a class, for ten seconds; the newest first after one.
pub(crate) fn queue() -> Queue {
    Queue::of(n(8)).max_wait(ms(10_000)).newest_first_after(ms(1_000))
}

pub(crate) fn fixed(limit: u32) -> ConcurrencyLayer {
    ConcurrencyLayer::fixed(n(limit)).seed(7)
}

/// Puts `layer` around a probe whose answers stream until they are dropped.
pub(crate) fn streaming(layer: &ConcurrencyLayer) -> (Svc, Handle) {
    let (probe, handle) = Probe::new();
    handle.always(Reply::ok().body(Script::new().data("token").hangs()));
    (layer.layer(probe), handle)
}

/// Begins a call, and polls it once.
pub(crate) fn begin(service: &mut Svc) -> Call {
    begin_with(service, buttress_testkit::request())
}

pub(crate) fn begin_with(service: &mut Svc, request: Request<Payload>) -> Call {
    ready(service);
    task::spawn(service.call(request))
}

/// Makes the service ready, which it is.
pub(crate) fn ready(service: &mut Svc) {
    let ready = task::spawn(()).enter(|cx, _| tower::Service::<Request<Payload>>::poll_ready(service, cx));
    assert!(ready.is_ready(), "the probe is ready");
}

/// Calls, and expects the answer at once.
pub(crate) fn answer(service: &mut Svc) -> Response<ResponseBody<ScriptedBody>> {
    done(&mut begin(service))
}

pub(crate) fn done(call: &mut Call) -> Response<ResponseBody<ScriptedBody>> {
    tokio_test::assert_ready!(call.poll()).expect("an answer")
}

pub(crate) fn refusal(response: &Response<ResponseBody<ScriptedBody>>) -> Refusal {
    response.extensions().get::<Refusal>().expect("a refusal").clone()
}

/// A request with a deadline.
pub(crate) fn due_in(time: Duration) -> Request<Payload> {
    let mut request = buttress_testkit::request();
    let context = CallContext::new(n(1));
    context.limit_deadline(tokio::time::Instant::now() + time);
    request.extensions_mut().insert(context);
    request
}
