//! The odd ways in which answers end, and in which what is a caller's own fails.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use buttress_core::{AnswerReport, Payload, Usage};
use buttress_testkit::{Reply, Script};
use buttress_token_bucket::{ByFn, ByShare, Costs, Fingerprint, Queue, Settling, TokenBucketLayer};
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{ask, both, estimate, left, n, over_probe, requests, send, tokens};

fn layer() -> TokenBucketLayer {
    TokenBucketLayer::new(both(100, 1_000))
}

fn told(usage: Usage, reply: Reply) -> Reply {
    let report = AnswerReport::default();
    report.count(usage);
    reply.extension(report)
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_settled_when_it_comes() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    for status in [200, 204, 304, 101] {
        probe.next(told(Usage::new(40, 2), Reply::status(status).body(Script::new().sized())));
        let before = left(&layer.handle())[1];
        let answer = send(&service, ask(100, 400)).await;
        assert!(answer.body().is_end_stream());
        assert_eq!(left(&layer.handle())[1], before - 42, "{status}: nobody has to read it, or to drop it");
        drop(answer);
        assert_eq!(left(&layer.handle())[1], before - 42, "{status}: once");
    }
    probe.next(Reply::status(101).body(Script::new().sized()));
    let before = left(&layer.handle());
    let upgraded = send(&service, ask(100, 400)).await;
    assert_eq!(left(&layer.handle()), [before[0] - 1, before[1]], "what follows an upgrade is not read");
    drop(upgraded);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_never_read_costs_its_input() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(Reply::ok().body(Script::new().data("x".repeat(4_000))));
    let answer = send(&service, ask(100, 400)).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(left(&layer.handle()), [99, 500], "it may still be read");
    drop(answer);
    assert_eq!(left(&layer.handle()), [99, 900]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_settled_with_the_last_frame_and_does_not_wait_for_the_end_to_be_asked_for() {
    for script in [Script::new().data("x").sized(), Script::new().data("x").trailer("grpc-status", "0")] {
        let layer = layer().estimate(estimate);
        let (service, probe) = over_probe(&layer);
        let frames = 1 + usize::from(
            !script.clone().body().is_end_stream() && script.clone().body().size_hint().exact().is_none(),
        );
        probe.always(told(Usage::new(10, 10), Reply::ok().body(script)));
        let mut answer = send(&service, ask(100, 400)).await;
        for _ in 0..frames {
            assert_eq!(left(&layer.handle())[1], 500);
            answer.body_mut().frame().await.expect("there is more").expect("it is whole");
        }
        assert_eq!(left(&layer.handle())[1], 980, "{frames}");
        drop(answer);
        assert_eq!(left(&layer.handle())[1], 980, "once");
    }
}

#[tokio::test(start_paused = true)]
async fn usage_that_is_told_twice_counts_once_and_usage_beyond_all_sense_does_no_lasting_harm() {
    let mut cached = Usage::new(10, 10);
    cached.cached_input = u64::MAX;
    for (usage, level) in [(Usage::new(u64::MAX, u64::MAX), -1_000), (Usage::new(0, 0), 1_000), (cached, 990)] {
        let layer = layer().estimate(estimate);
        let (service, probe) = over_probe(&layer);
        let report = AnswerReport::default();
        probe.always(Reply::ok().extension(report.clone()).body(Script::new().data("x").data("y")));
        let mut answer = send(&service, ask(100, 400)).await;
        for so_far in [Usage::new(7, 7), usage] {
            report.count(so_far);
            answer.body_mut().frame().await.expect("there is more").expect("it is whole");
        }
        assert_eq!(
            left(&layer.handle()),
            [99, level],
            "{usage:?}: the last word, and no deeper debt than is remembered"
        );
        drop(answer);
        assert_eq!(left(&layer.handle())[1], level);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_of_its_failure_and_ends_well_is_charged_as_one_cut_short() {
    // Whether content had come, what it told of its usage, and what is left of 500 that were reserved.
    for (begun, usage, level) in [
        (true, None, 800),
        (true, Some(Usage::new(80, 1)), 820),
        (true, Some(Usage::new(80, 150)), 770),
        (false, None, 1_000),
        (false, Some(Usage::new(30, 0)), 970),
    ] {
        let layer = layer().estimate(estimate);
        let (service, probe) = over_probe(&layer);
        let report = AnswerReport::default();
        probe.always(Reply::ok().extension(report.clone()).body(Script::new().data("x".repeat(396)).data("fail")));
        let mut answer = send(&service, ask(100, 400)).await;
        if begun {
            report.begin(Instant::now());
        }
        usage.into_iter().for_each(|usage| report.count(usage));
        report.conclude(buttress_core::StreamFailure::idle().class());
        while let Some(frame) = answer.body_mut().frame().await {
            frame.expect("it ends well");
        }
        assert_eq!(left(&layer.handle()), [99, level], "{begun} {usage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_settles_its_call_once() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(Reply::ok().body(Script::new().data("x".repeat(40)).panics("within")));
    let mut answer = send(&service, ask(100, 400)).await;
    answer.body_mut().frame().await.expect("there is data").expect("it is whole");
    let task = tokio::task::LocalSet::new();
    let reads = task.run_until(async {
        let read = async move { answer.body_mut().frame().await.is_some() };
        tokio::task::spawn_local(read).await
    });
    assert!(reads.await.is_err_and(|error| error.is_panic()));
    assert_eq!(left(&layer.handle()), [99, 890], "its input, and a token for each 4 bytes");
}

/// Calls a service, and expects a panic in `call` itself.
fn panics<S: tower::Service<Request<Payload>> + Clone>(service: &S) {
    let mut service = service.clone();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(ask(100, 400))))).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_takes_nothing_and_leaves_the_buckets_usable() {
    let with_queue = || layer().queue(Queue::of(n(4)));
    let keyed = with_queue().keyed(ByFn(|_: &Request<Payload>| -> u8 { panic!("the key") }));
    panics(&over_probe(&keyed).0);
    assert_eq!((keyed.handle().keys(), keyed.handle().waiting()), (0, 0));

    let estimated = with_queue().estimate(|_: &Request<Payload>| -> Costs { panic!("the estimate") });
    panics(&over_probe(&estimated).0);
    assert_eq!(left(&estimated.handle()), [100, 1_000]);

    let share = ByShare(|_: &Request<Payload>| -> (u8, std::num::NonZeroU32) { panic!("the share") });
    let shared = with_queue().estimate(estimate).share(share);
    let (service, _probe) = over_probe(&shared);
    drop(send(&service, ask(1_000, 0)).await);
    panics(&service);
    assert_eq!((left(&shared.handle()), shared.handle().waiting()), (vec![99, 0], 0));
    shared.handle().reset(Fingerprint::SHARED, Instant::now());
    assert_eq!(send(&service, ask(1, 1)).await.status(), 200);

    let actual = Settling::default().actual(|_, _| panic!("the settlement"));
    let settled = with_queue().estimate(estimate).settling(actual);
    let (service, probe) = over_probe(&settled);
    probe.always(told(Usage::new(1, 1), Reply::ok().body(Script::new().data("x"))));
    let answer = send(&service, ask(100, 400)).await;
    assert!(catch_unwind(AssertUnwindSafe(|| drop(answer))).is_err());
    assert_eq!(left(&settled.handle()), [99, 500], "as a call that was given up");
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_panics_when_it_is_called_is_settled_as_a_call_given_up() {
    let layer = layer().estimate(estimate).queue(Queue::of(n(4)).max_wait(Duration::from_secs(600)));
    let service = layer.layer(service_fn(
        |_: Request<Payload>| -> std::future::Pending<Result<http::Response<buttress_core::Body>, ()>> {
            panic!("within")
        },
    ));
    panics(&service);
    assert_eq!(left(&layer.handle()), [99, 500]);
    // The same after it has waited.
    let mut waits = tokio_test::task::spawn(Box::pin(service.clone().oneshot(ask(600, 0))));
    tokio_test::assert_pending!(waits.poll());
    let mut next = tokio_test::task::spawn(Box::pin(service.clone().oneshot(ask(500, 0))));
    tokio_test::assert_pending!(next.poll());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(waits.is_woken());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waits.poll()))).is_err());
    drop(waits);
    assert!(next.is_woken(), "whoever is behind it is told");
    assert_eq!((left(&layer.handle())[1], layer.handle().waiting()), (0, 1));
    drop(next);
    assert_eq!(layer.handle().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_costs_nothing_passes_an_empty_bucket_and_waits_for_a_debt() {
    let layer = TokenBucketLayer::new(tokens(60)).estimate(estimate);
    let handle = layer.handle();
    let (service, _probe) = over_probe(&layer);
    let now = Instant::now();
    let taken = handle.reserve(Fingerprint::SHARED, Costs::tokens(60, 0), now).expect("it is full");
    assert_eq!(send(&service, ask(0, 0)).await.status(), 200);
    taken.settle(&Costs::tokens(65, 0), now);
    let refused = send(&service, ask(0, 0)).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().expect("text")), (429, "5"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_a_nanosecond_is_a_second_in_whole_seconds_and_a_millisecond_in_milliseconds() {
    let layer = TokenBucketLayer::new(requests(60));
    let (service, _probe) = over_probe(&layer);
    let now = Instant::now();
    for _ in 0..60 {
        layer.handle().reserve(Fingerprint::SHARED, Costs::request(), now).expect("there is enough").keep();
    }
    tokio::time::advance(Duration::from_millis(999)).await;
    let refused = send(&service, ask(0, 0)).await;
    let header = |name: &str| refused.headers()[name].to_str().expect("text").to_owned();
    assert_eq!((header("retry-after"), header("retry-after-ms")), ("1".to_owned(), "1".to_owned()));
    let short = layer.handle().reserve(Fingerprint::SHARED, Costs::request(), now + Duration::from_nanos(999_999_999));
    assert_eq!(short.expect_err("a nanosecond is missing").wait(), Some(Duration::from_nanos(1)));
}
