//! Gate and guard where they stand: within failover, around upstreams that answer 200 and fail in all ways.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buttress_commit_gate::CommitGateLayer;
use buttress_core::{
    AnswerReport, Body, Event, EventReader, Http, OpenStream, Payload, StreamFailure, Target, Verdict,
};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use buttress_served_by::ServedByLayer;
use buttress_stream_guard::StreamGuardLayer;
use buttress_testkit::{BodyWatch, LineStreams, Received, Script, read, run, send};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, response};
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, service_fn};

/// What one target sends. It is an error in a 200, if it is one.
type Plan = fn() -> Script;

const GOOD: &str = "role\ntext west\nstop\ndone\n";

struct Outcome {
    head: response::Parts,
    received: Received,
    took: Duration,
    calls: usize,
}

/// Sends one request through the stack, to `east` first and `west` second.
async fn outcome(east: Plan, west: Plan) -> Outcome {
    let (watch, calls) = (BodyWatch::default(), AtomicUsize::new(0));
    let upstream = service_fn(|request: Request<Payload>| {
        let at = request.extensions().get::<Target>().unwrap().name().as_str().to_owned();
        calls.fetch_add(1, Ordering::Relaxed);
        let script = if at == "east" { east() } else { west() };
        let answer = Response::builder().header("content-type", LineStreams::CONTENT_TYPE).header("x-request-id", at);
        std::future::ready(Ok::<_, Infallible>(answer.body(Body::from(script.watched_by(&watch))).unwrap()))
    });
    let targets = ["east", "west"].map(|name| Target::named(name).unwrap());
    let failover = RegionFailoverLayer::try_new(targets).unwrap().replay(Http).repeat_all();
    let mut stack = ServiceBuilder::new()
        .layer(ServedByLayer::new())
        .layer(RetryLayer::new().replay(Http).repeat_all())
        .layer(failover.attempt_timeout(Duration::from_secs(120)))
        .layer(CommitGateLayer::new(LineStreams::default()))
        .layer(StreamGuardLayer::new(LineStreams::default()))
        .service(upstream);
    let begun = Instant::now();
    let (head, body) = send(&mut stack, buttress_testkit::request()).await.unwrap().into_parts();
    let received = read(body).await;
    assert_eq!(watch.alive(), 0, "no stream is left open");
    let calls = calls.load(Ordering::Relaxed);
    Outcome { head, received, took: Instant::now() - begun, calls }
}

fn good() -> Script {
    Script::new().data("role\n").yields().data("text west\n").yields().data("stop\ndone\n")
}

/// Asserts that a target that sends what `east` says is followed by the next one, unseen.
async fn moves_on(east: Plan, trail: &str) {
    let outcome = outcome(east, good).await;
    assert_eq!(outcome.head.status, 200);
    assert_eq!(outcome.received.bytes(), GOOD, "exactly one stream");
    assert_eq!(outcome.head.headers["x-served-by"], "west");
    let told = outcome.head.headers["x-attempt-trail"].to_str().unwrap();
    assert!(told.starts_with(trail), "{told}");
    let report = outcome.head.extensions.get::<AnswerReport>().unwrap();
    assert_eq!(report.class().unwrap().verdict, Verdict::Success);
    assert_eq!(outcome.calls, 2);
}

#[test]
fn scenarios_22_to_28_what_fails_before_content_is_served_by_the_next_target() {
    run(async {
        moves_on(|| Script::new().data("error 529 overloaded\n"), "east;529;").await;
        moves_on(|| Script::new().data("role\n").data("error 500 x\n"), "east;500;").await;
        moves_on(|| Script::new().data("role\n: ping\nerror 529 overloaded\n"), "east;529;").await;
        moves_on(|| Script::new().data("role\n").yields().data("error 429 x\ndone\n"), "east;429;").await;
        moves_on(Script::new, "east;empty;").await;
        moves_on(|| Script::new().data("role\n").late(), "east;empty;").await;
        moves_on(|| Script::new().data("done\n"), "east;empty;").await;
        moves_on(|| Script::new().data("role\n").error("reset by peer"), "east;reset;").await;
        moves_on(|| Script::new().data("role\n{]\n"), "east;malformed;").await;
    });
}

#[test]
fn scenario_33_silence_before_content_is_cut_at_the_limit_and_told_in_the_trail() {
    run(async {
        moves_on(|| Script::new().data("role\n").hangs(), "east;ttft-timeout;30000ms").await;
        let outcome = outcome(|| Script::new().hangs(), good).await;
        assert_eq!((outcome.head.status.as_u16(), outcome.took), (200, Duration::from_secs(30)));
    });
}

#[test]
fn scenarios_29_and_31_after_content_nothing_is_sent_again_and_the_stream_says_so() {
    run(async {
        for (east, ending, seconds) in [
            ((|| Script::new().data("role\ntext a\n")) as Plan, "error 502 truncated\n", 0),
            (|| Script::new().data("role\ntext a\nte").error("reset"), "error 502 reset\n", 0),
            (|| Script::new().data("role\ntext a\n").hangs(), "error 504 idle-timeout\n", 60),
            (|| Script::new().data("role\ntext a\n{]\n"), "error 502 malformed\n", 0),
        ] {
            let outcome = outcome(east, good).await;
            assert_eq!((outcome.head.status.as_u16(), outcome.calls), (200, 1));
            assert_eq!(outcome.received.bytes(), format!("role\ntext a\n{ending}"));
            assert_eq!(outcome.head.headers["x-served-by"], "east");
            assert_eq!(outcome.took, Duration::from_secs(seconds));
            let report = outcome.head.extensions.get::<AnswerReport>().unwrap();
            assert_eq!(report.class().unwrap().verdict, Verdict::Truncated);
        }
    });
}

#[test]
fn when_every_target_fails_before_content_the_client_gets_an_error_and_no_200() {
    run(async {
        let down: Plan = || Script::new().data("role\nerror 529 overloaded\n");
        let outcome = outcome(down, down).await;
        assert_eq!(outcome.head.status, 503);
        assert_eq!(outcome.head.headers["x-should-retry"], "false");
        assert!(outcome.calls > 2, "retry walked again, within the allowance");
        assert!(NonZeroU32::new(u32::try_from(outcome.calls).unwrap()).unwrap().get() <= 5);
    });
}

#[test]
fn one_target_alone_that_fails_is_told_with_its_true_status_and_its_request_id() {
    run(async {
        let upstream = service_fn(|_: Request<Payload>| {
            let answer = Response::builder().header("content-type", "text/x-lines").header("x-request-id", "req_1");
            let body = Body::from(Script::new().data("role\nerror 400 no such thing\n").body());
            std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
        });
        let mut stack = ServiceBuilder::new()
            .layer(RetryLayer::new().replay(Http).repeat_all())
            .layer(CommitGateLayer::new(LineStreams::default()))
            .layer(StreamGuardLayer::new(LineStreams::default()))
            .service(upstream);
        let answer = send(&mut stack, buttress_testkit::request()).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-request-id"]), (400, &"req_1".parse().unwrap()));
        assert_eq!(read(answer.into_body()).await.bytes(), "400 no such thing");
    });
}

#[test]
fn what_the_guard_found_before_content_is_what_the_gate_tells() {
    run(async {
        let upstream = service_fn(|_: Request<Payload>| {
            let answer = Response::builder().header("content-type", "text/x-lines");
            let body = Body::from(Script::new().data("role\n").hangs().body());
            std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
        });
        let mut stack = ServiceBuilder::new()
            .layer(CommitGateLayer::new(LineStreams::default()))
            .layer(StreamGuardLayer::new(LineStreams::default()).first_content(Duration::from_secs(3)))
            .service(upstream);
        let answer = send(&mut stack, buttress_testkit::request()).await.unwrap();
        let class = answer.extensions().get::<buttress_core::Class>().copied().unwrap();
        assert_eq!((answer.status().as_u16(), class.outcome.to_string().as_str()), (504, "ttft-timeout"));
    });
}

/// Counts how often something is read.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicUsize>);

struct CountingReader(<LineStreams as OpenStream>::Reader, Arc<AtomicUsize>);

impl OpenStream for Counting {
    type Expected = bool;
    type Reader = CountingReader;

    fn expect<B>(&self, request: &Request<B>) -> bool {
        LineStreams::default().expect(request)
    }

    fn open(&self, whole: bool, head: &response::Parts) -> Option<CountingReader> {
        Some(CountingReader(LineStreams::default().open(whole, head)?, Arc::clone(&self.0)))
    }
}

impl EventReader for CountingReader {
    fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let length = rest.len();
        let event = self.0.read(rest);
        self.1.fetch_add(length - rest.len(), Ordering::Relaxed);
        event
    }

    fn finish(&mut self) -> Event {
        self.0.finish()
    }

    fn closing(&self, failure: &StreamFailure) -> Option<Bytes> {
        self.0.closing(failure)
    }

    fn envelope(&self, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        self.0.envelope(failure)
    }
}

fn answering(script: fn() -> Script) -> impl Service<Request<()>, Response = Response<Body>, Error = Infallible> {
    service_fn(move |_: Request<()>| {
        let answer = Response::builder().header("content-type", LineStreams::CONTENT_TYPE);
        std::future::ready(Ok(answer.body(Body::from(script().body())).unwrap()))
    })
}

#[test]
fn what_the_guard_has_read_the_gate_does_not_read_again() {
    run(async {
        let (outer, inner) = (Counting::default(), Counting::default());
        let mut stack = ServiceBuilder::new()
            .layer(CommitGateLayer::new(outer.clone()))
            .layer(StreamGuardLayer::new(inner.clone()))
            .service(answering(|| Script::new().data("role\n").data("text west\nstop\ndone\n")));
        let (head, body) = send(&mut stack, Request::new(())).await.unwrap().into_parts();
        let begun = head.extensions.get::<AnswerReport>().unwrap().first_content();
        assert_eq!(begun, Some(Instant::now()), "it was put down");
        assert_eq!(read(body).await.bytes(), GOOD);
        let read = [outer, inner].map(|streams| streams.0.load(Ordering::Relaxed));
        assert_eq!(read, ["role\n".len(), GOOD.len()], "all before the content, and all there is");
    });
}

#[test]
fn a_guard_that_knows_no_format_does_not_open_a_gate_that_knows_one() {
    run(async {
        let mut stack = ServiceBuilder::new()
            .layer(CommitGateLayer::new(LineStreams::default()))
            .layer(StreamGuardLayer::bytewise())
            .service(answering(|| Script::new().data("role\n").data("error 529 overloaded\n")));
        assert_eq!(send(&mut stack, Request::new(())).await.unwrap().status(), 529);
    });
}
