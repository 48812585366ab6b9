//! What the layer does, seen from outside.

use std::{
    fmt,
    future::{Future, poll_fn},
    num::NonZeroU32,
    time::Duration,
};

use buttress_core::{Http, Payload};
use buttress_retry::{Retry, RetryLayer};
use buttress_testkit::{Handle, Probe, Reply};
use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::time::Instant;
use tokio_test::task::{self, Spawn};
use tower::{Layer, Service};

mod attempts;
mod bodies;
mod budgets;
mod counts;
mod giving_up;
mod hints;
mod marks;
mod plain;
mod policies;
mod repetition;
mod robustness;
mod shared;
mod simulations;
mod vectors;
mod waits;

type Probed<R = Http> = Retry<Probe, R, buttress_core::HttpClassify>;

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

fn retry() -> RetryLayer<Http> {
    RetryLayer::new().seed(7).replay(Http)
}

/// Puts `layer` around a probe that gives `replies` in turn, and 200 after them.
fn over<R: Clone>(layer: &RetryLayer<R>, replies: impl IntoIterator<Item = Reply>) -> (Probed<R>, Handle) {
    let (probe, handle) = Probe::new();
    replies.into_iter().for_each(|reply| handle.next(reply));
    (layer.layer(probe), handle)
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

/// Calls `service` when it is ready. The test polls the call by hand.
async fn begin<S, Q>(service: &mut S, request: Q) -> Spawn<S::Future>
where
    S: Service<Q, Error: fmt::Debug>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.expect("the inner service is ready");
    task::spawn(service.call(request))
}
