//! Going on elsewhere with a stream that broke.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_commit_gate::CommitGateLayer;
use buttress_core::{AnswerReport, Body, CallContext, Http, Payload, Target, Trail, Usage, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_stream_guard::{Continue, ContinueLayer, StreamGuardLayer, Thread};
use buttress_testkit::{BodyWatch, LineStreams, Received, Script, TraceGuard, read, run, send};
use bytes::Bytes;
use http::{Request, Response, response};
use http_body::Body as _;
use tokio::time::Instant;
use tower::{ServiceBuilder, service_fn};

/// Goes on with streams of lines: the request for the rest has the words so far in a header.
#[derive(Clone, Copy, Debug)]
struct Words;

#[derive(Debug, Default)]
struct Said(String);

impl<B: Clone> Continue<B> for Words {
    type Thread = Said;

    fn begin(&self, request: &Request<B>, _: &response::Parts) -> Option<Said> {
        (!request.headers().contains_key("x-tools")).then(Said::default)
    }
}

impl<B: Clone> Thread<B> for Said {
    fn keep(&mut self, data: &[u8]) {
        assert!(data.ends_with(b"\n"), "only whole lines are kept");
        let lines = std::str::from_utf8(data).unwrap().lines();
        lines.filter_map(|line| line.strip_prefix("text ")).for_each(|word| self.0 += word);
    }

    fn kept(&self) -> usize {
        self.0.len()
    }

    fn follow_up(&self, request: &Request<B>) -> Option<Request<B>> {
        let mut request = request.clone();
        request.headers_mut().insert("x-said", self.0.parse().ok()?);
        Some(request)
    }

    fn mark(&self, target: Option<&Target>) -> Bytes {
        let name = target.map_or("another target", |target| target.name().as_str());
        format!(": continued on {name}\n").into()
    }

    fn splice(&mut self, data: Bytes) -> Bytes {
        let text = std::str::from_utf8(&data).unwrap();
        text.split_inclusive('\n').filter(|line| *line != "role\n").collect::<String>().into()
    }
}

/// What a target sends, by whether it is to go on.
type Plan = fn(bool) -> Script;

struct Outcome {
    head: response::Parts,
    received: Received,
    /// The targets that were asked, and what they were told was said.
    asked: Vec<(String, String)>,
    context: CallContext,
}

impl Outcome {
    fn verdict(&self) -> Verdict {
        self.head.extensions.get::<AnswerReport>().unwrap().class().unwrap().verdict
    }

    fn trail(&self) -> String {
        self.context.with_trail(Trail::to_string)
    }
}

async fn outcome(layer: ContinueLayer<LineStreams, Words>, east: Plan, west: Plan) -> Outcome {
    with(layer, buttress_testkit::request(), east, west).await
}

async fn with(
    layer: ContinueLayer<LineStreams, Words>,
    mut request: Request<Payload>,
    east: Plan,
    west: Plan,
) -> Outcome {
    let (watch, asked) = (BodyWatch::default(), Arc::new(Mutex::new(Vec::new())));
    let upstream = service_fn(|request: Request<Payload>| {
        let at = request.extensions().get::<Target>().unwrap().name().as_str().to_owned();
        let said = request.headers().get("x-said").map(|value| value.to_str().unwrap().to_owned());
        let script = if at == "east" { east(said.is_some()) } else { west(said.is_some()) };
        asked.lock().unwrap().push((at, said.unwrap_or_default()));
        let answer = Response::builder().header("content-type", LineStreams::CONTENT_TYPE);
        std::future::ready(Ok::<_, Infallible>(answer.body(Body::from(script.watched_by(&watch))).unwrap()))
    });
    let context = CallContext::of_or_insert(&mut request, NonZeroU32::new(5).unwrap());
    let targets = ["east", "west"].map(|name| Target::named(name).unwrap());
    let mut stack = ServiceBuilder::new()
        .layer(layer)
        .layer(RegionFailoverLayer::try_new(targets).unwrap().replay(Http).repeat_all())
        .layer(CommitGateLayer::new(LineStreams::default()))
        .layer(StreamGuardLayer::new(LineStreams::default()))
        .service(upstream);
    let (head, body) = send(&mut stack, request).await.unwrap().into_parts();
    let received = read(body).await;
    assert_eq!(watch.alive(), 0, "no stream is left open");
    let asked = asked.lock().unwrap().clone();
    Outcome { head, received, asked, context }
}

fn layer() -> ContinueLayer<LineStreams, Words> {
    ContinueLayer::new(LineStreams::default(), Words)
}

fn rest(_: bool) -> Script {
    Script::new().data("role\n").yields().data("text c\nusage 5 1\n").data("stop\nusage 5 7\n")
}

fn broken(_: bool) -> Script {
    Script::new().data("role\nusage 3 1\ntext a\n").yields().data("text b\n")
}

#[test]
fn a_stream_that_breaks_after_content_is_gone_on_with_by_another_target() {
    run(async {
        let trace = TraceGuard::new();
        for east in [
            broken as Plan,
            |_| Script::new().data("role\nusage 3 1\ntext a\ntext b\n").error("reset"),
            |_| Script::new().data("role\nusage 3 1\ntext a\ntext b\n").hangs(),
            |_| Script::new().data("role\nusage 3 1\ntext a\ntext b\nerror 529 x\ndone\n"),
            |_| Script::new().data("role\nusage 3 1\ntext a\ntext b\n{]\nstop\n"),
            |_| Script::new().data("role\nusage 3 1\ntext a\nte").data("xt").data(" b\ntext c"),
        ] {
            let outcome = outcome(layer(), east, rest).await;
            let expected = "role\nusage 3 1\ntext a\ntext b\n: continued on west\ntext c\nusage 5 1\nstop\nusage 5 7\n";
            assert_eq!(outcome.received.bytes(), expected);
            assert_eq!(outcome.asked, [("east".into(), String::new()), ("west".into(), "ab".into())]);
            assert_eq!(outcome.verdict(), Verdict::Success);
            let report = outcome.head.extensions.get::<AnswerReport>().unwrap();
            assert_eq!(report.usage(), Some(Usage::new(8, 8)), "both are paid for");
            let trail = outcome.trail();
            assert!(trail.starts_with("east;200;") && trail.contains("west;200;"), "{trail}");
            assert_eq!(outcome.context.attempts_made(), 3, "the failure of the first is one of them: {trail}");
        }
        trace.assert_hides(&["text a"]);
    });
}

#[test]
fn before_content_nothing_is_gone_on_with() {
    run(async {
        let silent: Plan = |_| Script::new().data("role\n").data("usage 1 1\n");
        let outcome = outcome(layer(), silent, silent).await;
        assert_eq!(outcome.head.status, 503);
        assert_eq!(outcome.asked.len(), 2, "failover asked both, once");
    });
}

#[test]
fn it_is_done_once_and_a_second_break_is_told() {
    run(async {
        let west: Plan = |_| Script::new().data("role\ntext c\n").error("reset");
        let outcome = outcome(layer(), broken, west).await;
        let expected = "role\nusage 3 1\ntext a\ntext b\n: continued on west\ntext c\nerror 502 reset\n";
        assert_eq!(outcome.received.bytes(), expected);
        assert_eq!((outcome.asked.len(), outcome.verdict()), (2, Verdict::Truncated));
    });
}

#[test]
fn where_nobody_goes_on_the_stream_ends_as_it_broke() {
    run(async {
        let ended = "role\nusage 3 1\ntext a\ntext b\nerror 502 truncated\n";
        let nobody: Plan = |_| Script::new().data("role\nerror 529 x\n");
        let refused = outcome(layer(), broken, nobody).await;
        assert_eq!((refused.received.bytes().as_ref(), refused.asked.len()), (ended.as_bytes(), 2));
        assert_eq!(refused.verdict(), Verdict::Truncated);

        let too_long = outcome(layer().max_kept(1), broken, rest).await;
        assert_eq!((too_long.received.bytes().as_ref(), too_long.asked.len()), (ended.as_bytes(), 1));

        let mut request = buttress_testkit::request();
        request.headers_mut().insert("x-tools", "1".parse().unwrap());
        let with_tools = with(layer(), request, broken, rest).await;
        assert_eq!((with_tools.received.bytes().as_ref(), with_tools.asked.len()), (ended.as_bytes(), 1));

        let mut request = buttress_testkit::request();
        let context = CallContext::of_or_insert(&mut request, NonZeroU32::MIN);
        context.limit_deadline(Instant::now() + Duration::from_secs(30));
        let stalls: Plan = |_| Script::new().data("text a\n").hangs();
        let too_late = with(layer(), request, stalls, rest).await;
        assert_eq!(too_late.received.bytes(), "text a\nerror 504 idle-timeout\n");
        assert_eq!(too_late.asked.len(), 1);
    });
}

#[test]
fn a_stream_that_ends_well_is_left_as_it_is() {
    run(async {
        let outcome = outcome(layer(), rest, broken).await;
        assert_eq!(outcome.received.bytes(), "role\ntext c\nusage 5 1\nstop\nusage 5 7\n");
        assert_eq!((outcome.asked.len(), outcome.verdict()), (1, Verdict::Success));
        let report = outcome.head.extensions.get::<AnswerReport>().unwrap();
        assert_eq!(report.usage(), Some(Usage::new(5, 7)));
        assert!(report.first_content().is_some());
    });
}

#[test]
fn an_answer_of_announced_length_is_left_as_it_is() {
    run(async {
        let sized: Plan = |_| Script::new().data("text a\nstop\n").sized();
        let whole = outcome(layer(), sized, rest).await;
        assert_eq!((whole.received.bytes().as_ref(), whole.asked.len()), (&b"text a\nstop\n"[..], 1));
        let short: Plan = |_| Script::new().data("text a\n").announcing(30);
        let broken = outcome(layer(), short, rest).await;
        assert!(broken.received.error.is_some());
        assert_eq!(broken.asked.len(), 1);
    });
}

#[test]
fn a_client_that_leaves_while_the_second_target_is_asked_cancels_it() {
    run(async {
        let (watch, calls) = (BodyWatch::default(), Arc::new(Mutex::new(0)));
        let upstream = service_fn(|_: Request<Payload>| {
            let (body, call) = (Script::new().data("text a\n").watched_by(&watch), Arc::clone(&calls));
            async move {
                *call.lock().unwrap() += 1;
                if *call.lock().unwrap() > 1 {
                    std::future::pending::<()>().await;
                }
                let answer = Response::builder().header("content-type", LineStreams::CONTENT_TYPE);
                Ok::<_, Infallible>(answer.body(Body::from(body)).unwrap())
            }
        });
        let mut stack = ServiceBuilder::new().layer(layer()).service(upstream);
        let answer = send(&mut stack, buttress_testkit::request()).await.unwrap();
        let mut body = tokio_test::task::spawn(answer.into_body());
        assert!(body.enter(|cx, body| body.poll_frame(cx)).is_ready());
        assert!(body.enter(|cx, body| body.poll_frame(cx)).is_pending());
        assert_eq!(*calls.lock().unwrap(), 2);
        assert!(!body.is_end_stream());
        drop(body);
        assert_eq!(watch.alive(), 0);
    });
}
