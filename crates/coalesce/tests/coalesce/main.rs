//! What callers see of shared calls.

mod bounds;
mod failures;
mod leaving;
mod sharing;
mod threads;
mod walks;

use buttress_coalesce::{ByHeader, Coalesce, CoalesceHandle, CoalesceLayer, ResponseBody};
use buttress_core::Payload;
use buttress_testkit::{Handle, Probe, ProbeError, Script, ScriptedBody};
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use tokio_test::task::{self, Spawn};
use tower::Service as _;

type Service = Coalesce<Probe, ByHeader>;
type Answer = Result<Response<ResponseBody<ScriptedBody>>, ProbeError>;

/// A caller: its request is under way, polled by hand.
type Caller = Spawn<<Service as tower::Service<Request<Payload>>>::Future>;

struct Bench {
    service: Service,
    probe: Handle,
    handle: CoalesceHandle,
}

impl Bench {
    fn new() -> Self {
        Self::with(|layer| layer)
    }

    fn with(set: impl FnOnce(CoalesceLayer<ByHeader>) -> CoalesceLayer<ByHeader>) -> Self {
        let layer = set(CoalesceLayer::new(ByHeader::new(HeaderName::from_static("x-tenant"))));
        let (probe, handle) = Probe::new();
        let service = tower::Layer::layer(&layer, probe);
        Self { service, probe: handle, handle: layer.handle() }
    }

    fn ask(&self, tenant: &str, body: &'static str) -> Caller {
        let request =
            Request::post("/").header("x-tenant", tenant).body(Payload::new(Bytes::from_static(body.as_bytes())));
        task::spawn(self.service.clone().call(request.expect("a request")))
    }

    fn asks(&self, callers: usize) -> Vec<Caller> {
        (0..callers).map(|_| self.ask("t", "q")).collect()
    }
}

/// Returns the answer of a caller who need not wait.
#[track_caller]
fn answer(caller: &mut Caller) -> Answer {
    tokio_test::assert_ready!(caller.poll())
}

#[track_caller]
fn body(caller: &mut Caller) -> Spawn<ResponseBody<ScriptedBody>> {
    task::spawn(answer(caller).expect("it is answered").into_body())
}

/// Returns the next data of a body, `None` at its end, an error in words.
#[track_caller]
fn next(body: &mut Spawn<ResponseBody<ScriptedBody>>) -> Option<Result<Bytes, String>> {
    let frame = tokio_test::assert_ready!(poll(body))?;
    Some(match frame {
        Ok(frame) => Ok(frame.into_data().expect("there are no trailers")),
        Err(error) => Err(error.to_string()),
    })
}

type Polled = std::task::Poll<Option<Result<http_body::Frame<Bytes>, buttress_core::BoxError>>>;

fn poll(body: &mut Spawn<ResponseBody<ScriptedBody>>) -> Polled {
    body.enter(|cx, body| http_body::Body::poll_frame(body, cx))
}

fn script(parts: &[&'static str]) -> Script {
    parts.iter().fold(Script::new(), |script, part| script.data(*part))
}

/// Returns data as the body gives it.
fn data(text: &'static str) -> Option<Result<Bytes, String>> {
    Some(Ok(Bytes::from_static(text.as_bytes())))
}
