//! What the layer does, seen from outside.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, poll_fn, ready},
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{
    CallContext, Http, HttpClassify, HttpRefusal, Payload, ServedBy, Target, Trail, TransportError, TransportErrorKind,
};
use buttress_region_failover::{RegionFailover, RegionFailoverLayer, Unchanged};
use buttress_testkit::{Handle, Probe, Reply};
use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::time::Instant;
use tokio_test::task::{self, Spawn};
use tower::{Layer, Service, service_fn};

mod allowance;
mod answers;
mod bodies;
mod credentials;
mod deadlines;
mod drops;
mod hedging;
mod levels;
mod memory;
mod moves;
mod plain;
mod probing;
mod repetition;
mod rewriting;
mod settings;
mod shedding;
mod stampede;
mod sums;
mod timeouts;

type Failover<W = Unchanged> = RegionFailoverLayer<Http, W>;
type Probed<W = Unchanged> = RegionFailover<Probe, Http, W, HttpClassify, HttpRefusal>;

const HOUR: Duration = Duration::from_secs(3_600);

const fn n(attempts: u32) -> NonZeroU32 {
    NonZeroU32::new(attempts).expect("not zero")
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn get() -> Request<Payload> {
    Request::new(Payload::new(Bytes::from_static(b"question")))
}

fn post() -> Request<Payload> {
    let mut request = get();
    *request.method_mut() = Method::POST;
    request
}

fn with_context(context: &CallContext) -> Request<Payload> {
    let mut request = get();
    request.extensions_mut().insert(context.clone());
    request
}

fn target(name: &str) -> Target {
    Target::named(name).expect("a valid name")
}

/// The layer for targets of these names, separated by spaces.
fn failover(names: &str) -> Failover {
    RegionFailoverLayer::try_new(names.split(' ').map(target)).expect("names that differ").replay(Http)
}

/// Puts `layer` around a probe that gives `replies` in turn, and 200 after them.
fn over<W: Clone>(layer: &Failover<W>, replies: impl IntoIterator<Item = Reply>) -> (Probed<W>, Handle) {
    let (probe, handle) = Probe::new();
    replies.into_iter().for_each(|reply| handle.next(reply));
    (layer.layer(probe), handle)
}

/// An upstream whose first calls fail without an answer, for these reasons. Notes the targets it is asked for.
fn unreachable(
    kinds: impl IntoIterator<Item = TransportErrorKind>,
) -> (
    impl Service<
        Request<Payload>,
        Response = Response<Payload>,
        Error = TransportError,
        Future = Ready<Result<Response<Payload>, TransportError>>,
    > + Clone,
    Arc<Mutex<Vec<String>>>,
) {
    let (kinds, asked): (Vec<_>, Arc<Mutex<Vec<String>>>) = (kinds.into_iter().collect(), Arc::default());
    let seen = Arc::clone(&asked);
    let upstream = service_fn(move |request: Request<Payload>| {
        let mut seen = seen.lock().expect("nothing panics in here");
        let kind = kinds.get(seen.len());
        seen.push(request.extensions().get::<Target>().expect("the layer aims").name().to_string());
        ready(kind.map_or_else(|| Ok(Response::default()), |kind| Err(TransportError::new(*kind))))
    });
    (upstream, asked)
}

/// The targets that were asked, in turn.
fn asked(handle: &Handle) -> String {
    let seen = handle.seen();
    let names = seen.iter().map(|seen| seen.extensions.get::<Target>().expect("the layer aims").name().as_str());
    names.collect::<Vec<_>>().join(" ")
}

fn served_by<B>(response: &Response<B>) -> Option<&str> {
    response.extensions().get::<ServedBy>().map(|served_by| served_by.target.name().as_str())
}

fn trail<B>(response: &Response<B>) -> String {
    response.extensions().get::<CallContext>().expect("every answer carries the context").with_trail(Trail::to_string)
}

fn status<B, E: fmt::Debug>(result: &Result<Response<B>, E>) -> u16 {
    result.as_ref().expect("an answer").status().as_u16()
}

/// Tells how long `work` took on the paused clock.
async fn timed<F: Future>(work: F) -> (F::Output, Duration) {
    let began = Instant::now();
    let output = work.await;
    (output, Instant::now() - began)
}

/// Calls `service`. The test polls the call by hand.
async fn begin<S, Q>(service: &mut S, request: Q) -> Spawn<S::Future>
where
    S: Service<Q, Error: fmt::Debug>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.expect("the layer is always ready");
    task::spawn(service.call(request))
}
