//! What calls are charged, and when.

use std::{pin::pin, task::Poll, time::Duration};

use buttress_core::{BoxError, Payload, Refusal, Usage};
use buttress_testkit::{Reply, Script};
use buttress_token_bucket::{Charge, Costs, Dimension, Limit, Limits, Prices, Settling, TokenBucketLayer};
use http::Request;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::support::{
    MINUTE, ask, both, ends, estimate, left, left_of, n, over_probe, read, requests, send, streams, tokens,
};

fn layer() -> TokenBucketLayer {
    TokenBucketLayer::new(both(100, 1_000))
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_charged_what_it_told() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(ends(Some(Usage::new(90, 30))));
    let answer = send(&service, ask(100, 500)).await;
    assert_eq!(left(&layer.handle()), [99, 400], "reserved");
    read(answer).await;
    assert_eq!(left(&layer.handle()), [99, 880], "settled");
}

#[tokio::test(start_paused = true)]
async fn more_than_was_reserved_is_owed_and_nobody_passes_before_it_is_refilled() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(ends(Some(Usage::new(500, 700))));
    read(send(&service, ask(10, 10)).await).await;
    assert_eq!(left(&layer.handle()), [99, -200]);
    let refused = send(&service, ask(0, 0)).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().expect("text")), (429, "12"));
    tokio::time::advance(Duration::from_secs(12)).await;
    assert_eq!(send(&service, ask(0, 0)).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_nothing_is_charged_what_was_reserved() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(ends(None));
    read(send(&service, ask(100, 500)).await).await;
    assert_eq!(left(&layer.handle()), [99, 400]);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_stream_gives_back_what_it_had_not_used() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    for (usage, charged) in [(None, 200), (Some(Usage::new(80, 1)), 180), (Some(Usage::new(80, 150)), 230)] {
        probe.next(streams(usage));
        let before = left(&layer.handle())[1];
        let mut answer = send(&service, ask(100, 400)).await;
        answer.body_mut().frame().await.expect("there is data").expect("it is whole");
        assert_eq!(left(&layer.handle())[1], before - 500);
        drop(answer);
        assert_eq!(left(&layer.handle())[1], before - charged, "{usage:?}: 400 bytes are 100 tokens at most");
        layer.handle().reset(buttress_token_bucket::Fingerprint::SHARED, Instant::now());
    }
    probe.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn what_is_charged_for_a_stream_cut_short_can_be_set() {
    for (charge, level) in
        [(Charge::InFull, 500), (Charge::Request, 1_000), (Charge::ByBytes(n(400)), 899), (Charge::Nothing, 1_000)]
    {
        let layer = layer().estimate(estimate).settling(Settling::default().aborted(charge));
        let (service, probe) = over_probe(&layer);
        probe.always(Reply::ok().body(Script::new().data("x".repeat(400)).error("broken")));
        let mut answer = send(&service, ask(100, 400)).await;
        while answer.body_mut().frame().await.is_some_and(|frame| frame.is_ok()) {}
        let requests = if charge == Charge::Nothing { 100 } else { 99 };
        assert_eq!(left(&layer.handle()), [requests, level], "{charge:?}, before the body is dropped");
        drop(answer);
        assert_eq!(left(&layer.handle()), [requests, level], "{charge:?}: once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_costs_its_request_and_no_tokens() {
    let layer = layer().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.next(Reply::status(503));
    drop(send(&service, ask(100, 400)).await);
    assert_eq!(left(&layer.handle()), [99, 1_000]);
    probe.next(Reply::error("no connection"));
    service.clone().oneshot(ask(100, 400)).await.expect_err("it passes the error on");
    assert_eq!(left(&layer.handle()), [98, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_before_its_answer_is_charged_as_was_set() {
    for (charge, level) in [(Charge::InFull, 500), (Charge::Request, 1_000), (Charge::ByBytes(n(4)), 500)] {
        let layer = layer().estimate(estimate).settling(Settling::default().dropped(charge));
        let (mut service, probe) = over_probe(&layer);
        probe.always(Reply::ok().hanging());
        let call =
            tower::ServiceExt::<Request<Payload>>::ready(&mut service).await.expect("it is ready").call(ask(100, 400));
        assert_eq!(left(&layer.handle()), [99, 500]);
        drop(call);
        assert_eq!(left(&layer.handle()), [99, level], "{charge:?}, before its first poll");
        let mut call = Box::pin(
            tower::ServiceExt::<Request<Payload>>::ready(&mut service).await.expect("it is ready").call(ask(0, 0)),
        );
        assert!(futures_are_pending(call.as_mut()).await);
        drop(call);
        assert_eq!(left(&layer.handle())[0], 98, "{charge:?}, after it");
        probe.assert_idle();
    }
}

async fn futures_are_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    let mut future = future;
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_is_settled_as_a_call_given_up() {
    let layer = layer().estimate(estimate);
    let service = layer.layer(service_fn(|_| async {
        if true {
            panic!("within");
        }
        Ok::<_, BoxError>(http::Response::new(buttress_core::Body::empty()))
    }));
    let call = std::panic::AssertUnwindSafe(async { service.oneshot(ask(100, 400)).await });
    let task = tokio::task::LocalSet::new();
    let result = task.run_until(async { tokio::task::spawn_local(call.0).await }).await;
    assert!(result.is_err_and(|error| error.is_panic()));
    assert_eq!(left(&layer.handle()), [99, 500]);
}

/// LiteLLM's issue 18730: with checks before and counts after, 663 tokens passed a limit of 100.
#[tokio::test(start_paused = true)]
async fn a_hundred_calls_at_once_do_not_overshoot_a_hundred_tokens_by_more_than_one_reservation() {
    let layer = TokenBucketLayer::new(tokens(100)).estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(streams(Some(Usage::new(5, 10))));
    let calls: Vec<_> = (0..100).map(|_| service.clone().oneshot(ask(5, 10))).collect();
    let mut open = Vec::new();
    for call in calls {
        let answer = call.await.expect("a refusal is a response");
        if answer.status() == 200 {
            open.push(answer);
        }
    }
    assert_eq!((open.len(), probe.calls()), (6, 6), "6 times 15 are 90, and 7 times would be 105");
    drop(open);
    assert_eq!(left(&layer.handle()), [10]);
}

#[test]
fn threads_that_reserve_and_settle_lose_nothing_and_gain_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _within = runtime.enter();
    let handle = TokenBucketLayer::new(tokens(1_000)).handle();
    let now = Instant::now();
    let key = handle.fingerprint("a");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let handle = handle.clone();
            scope.spawn(move || {
                for turn in 0..2_000_u64 {
                    let reserved = Costs::tokens(50 + turn % 100, thread);
                    let Ok(reservation) = handle.reserve(key, reserved, now) else { continue };
                    let level = handle.standings(key, now)[0].level;
                    assert!((0..1_000).contains(&level), "{level}");
                    match turn % 3 {
                        0 => reservation.cancel(now),
                        1 => reservation.settle(&Costs::ZERO, now),
                        _ => reservation.settle_usage(&Usage::new(0, 0), now),
                    }
                }
            });
        }
    });
    assert_eq!(handle.standings(key, now)[0].level, 1_000);
}

#[tokio::test(start_paused = true)]
async fn one_dimension_that_refuses_leaves_the_others_untouched() {
    let layer = TokenBucketLayer::new(both(2, 100)).estimate(estimate);
    let (service, _probe) = over_probe(&layer);
    drop(send(&service, ask(90, 0)).await);
    assert_eq!(send(&service, ask(90, 0)).await.status(), 429);
    assert_eq!(left(&layer.handle())[0], 1);
}

#[tokio::test(start_paused = true)]
async fn of_however_many_dimensions_each_refuses_alone_and_all_others_stay_untouched() {
    let dimensions = [Dimension::REQUESTS, Dimension::INPUT_TOKENS, Dimension::OUTPUT_TOKENS, Dimension::NANO_DOLLARS];
    let custom = (0..4).map(|number| Dimension::custom(number).expect("one of four"));
    let dimensions: Vec<_> = dimensions.into_iter().chain(custom).collect();
    for most in 1..=dimensions.len() {
        let limit =
            |dimension: &Dimension| Limit::try_new(dimension.unit(), *dimension, 10, MINUTE).expect("it makes sense");
        let limits = Limits::try_new(dimensions[..most].iter().map(limit)).expect("no more than eight");
        let handle = TokenBucketLayer::new(limits).handle();
        let (key, now) = (handle.fingerprint("a"), Instant::now());
        let all = |amount| dimensions.iter().fold(Costs::ZERO, |costs, dimension| costs.with(*dimension, amount));
        handle.take(key, &all(4), now).expect("it is full");
        for dimension in &dimensions[..most] {
            let short = handle.take(key, &all(5).with(*dimension, 7), now).expect_err("6 are left");
            assert!(short.limits().map(|limit| limit.dimension()).eq([*dimension]), "{dimension:?}");
            assert_eq!(short.wait(), Some(MINUTE / 10), "{dimension:?}");
            let never = handle.take(key, &all(7).with(*dimension, 11), now).expect_err("10 is all there can be");
            assert!(
                never.is_never() && never.limits().map(|limit| limit.dimension()).eq([*dimension]),
                "{dimension:?}"
            );
        }
        assert_eq!(left_of(&handle, key), vec![6; most]);
        handle.take(key, &all(6), now).expect("just enough of each");
    }
}

#[tokio::test(start_paused = true)]
async fn money_is_settled_by_what_was_used() {
    let dollar = 1_000_000_000;
    let limit = Limit::try_new("spend", Dimension::NANO_DOLLARS, dollar, MINUTE);
    let layer = TokenBucketLayer::new(limit.expect("it makes sense"))
        .estimate(|_: &_| Costs::tokens(1_000, 1_000).priced(Prices::new(2_500, 10_000)));
    let (service, probe) = over_probe(&layer);
    probe.always(ends(Some(Usage::new(1_000, 100))));
    let answer = send(&service, ask(0, 0)).await;
    assert_eq!(left(&layer.handle()), [i128::from(dollar - 12_500_000)]);
    read(answer).await;
    assert_eq!(left(&layer.handle()), [i128::from(dollar - 3_500_000)]);
}

#[tokio::test(start_paused = true)]
async fn without_http_an_answer_tells_its_usage_by_a_closure() {
    let layer = TokenBucketLayer::new(both(10, 1_000))
        .estimate(|_: &u64| Costs::tokens(100, 100))
        .plain(|refusal: Refusal| -> Result<u64, Refusal> { Err(refusal) })
        .usage(|answer: &u64| Some(Usage::new(*answer, 0)));
    let service = layer.layer(service_fn(|request: u64| async move { Ok::<_, Refusal>(request) }));
    assert_eq!(service.oneshot(30).await, Ok(30));
    assert_eq!(left(&layer.handle()), [9, 970]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_takes_nothing_and_is_dropped_without_trace() {
    let layer = TokenBucketLayer::new(requests(1));
    let (service, probe) = over_probe(&layer);
    drop(send(&service, ask(0, 0)).await);
    let refused = pin!(send(&service, ask(0, 0))).await;
    assert_eq!((refused.status().as_u16(), probe.calls()), (429, 1));
    assert_eq!(left(&layer.handle()), [0]);
}
