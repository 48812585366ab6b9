//! Where other breakers were seen to fail.

mod common;

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use buttress_circuit_breaker::{CircuitBreakerLayer, Settings, State};
use buttress_core::{Body, Verdict};
use common::{One, SECOND, class, exact, n};
use http::{Request, Response, StatusCode};
use tokio::time::advance;
use tower::{ServiceBuilder, ServiceExt as _, service_fn, timeout::TimeoutLayer};

#[tokio::test(start_paused = true)]
async fn after_a_million_successes_failures_open_within_the_window() {
    let strict = || exact().no_consecutive().no_slow();
    for (settings, successes, most) in [
        (strict().count_window(n(100)).minimum_calls(n(100)), 1_000_000, 50),
        (strict().count_window(n(10)).minimum_calls(n(10)), 100_000, 5),
        (exact().count_window(n(100)), 100_000, 5),
        (strict().minimum_calls(n(10)), 1_000_000, 10),
    ] {
        let one = One::new(settings.clone());
        one.succeed(successes);
        advance(31 * SECOND).await;
        let failures = (0..1_000).take_while(|_| one.call(Verdict::Transient)).count();
        assert_eq!(failures, most, "{settings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_that_began_before_the_outage_never_closes() {
    let one = One::new(exact());
    let stale: Vec<_> = (0..20).map(|_| one.acquire().expect("closed")).collect();
    one.fail(5);
    advance(5 * SECOND).await;
    let probe = one.acquire().expect("the open time is over");

    stale.into_iter().for_each(|permit| permit.conclude(&class(Verdict::Success)));

    assert_eq!(one.state(), State::HalfOpen);
    assert!(one.acquire().is_err(), "the one probe is out");
    assert_eq!(one.snapshot().stale, 20);
    probe.conclude(&class(Verdict::Success));
    assert_eq!(one.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_began_before_the_outage_opens_nothing() {
    let one = One::new(exact());
    let stale: Vec<_> = (0..20).map(|_| one.acquire().expect("closed")).collect();
    one.handle.reset(&one.key);
    stale.into_iter().for_each(|permit| permit.conclude(&class(Verdict::Transient)));
    assert_eq!((one.state(), one.snapshot().calls), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn good_probes_that_are_far_apart_close_the_circuit() {
    let one = One::new(exact().time_window(SECOND).probes(n(3)));
    one.fail(5);
    advance(5 * SECOND).await;
    for _ in 0..2 {
        assert_eq!(one.state(), if one.snapshot().calls == 2 { State::Closed } else { one.state() });
        one.succeed(1);
        advance(2 * SECOND).await;
    }
    assert!((0..50).all(|_| one.call(Verdict::Success)), "the circuit is not stuck");
    assert_eq!(one.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_is_not_wedged_by_probes_that_are_cancelled() {
    let one = One::new(exact().probes(n(3)));
    one.fail(5);
    advance(5 * SECOND).await;
    for _ in 0..100 {
        let probes: Vec<_> = (0..3).map(|_| one.acquire().expect("a place is free")).collect();
        assert!(one.acquire().is_err());
        drop(probes);
    }
    advance(3600 * SECOND).await;
    assert_eq!(one.state(), State::HalfOpen, "nothing was learnt");
    one.succeed(2);
    assert_eq!(one.state(), State::Closed, "two of three are more than half");
}

#[tokio::test(start_paused = true)]
async fn half_open_is_not_wedged_by_probes_that_say_nothing() {
    let one = One::new(exact());
    one.fail(5);
    advance(5 * SECOND).await;
    for verdict in [Verdict::CallerFault, Verdict::ContentFiltered, Verdict::ContextTooLong, Verdict::RateLimited] {
        assert!(one.call(verdict));
        assert_eq!(one.state(), State::HalfOpen);
    }
    one.succeed(1);
    assert_eq!(one.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_is_not_wedged_by_a_probe_that_hangs() {
    let one = One::new(exact());
    one.fail(5);
    advance(5 * SECOND).await;
    let hung = one.acquire().expect("a probe");
    advance(60 * SECOND).await;
    assert_eq!(one.state(), State::Open, "the probe is taken to have failed");
    advance(10 * SECOND).await;
    let next = one.acquire().expect("the next probe");
    hung.conclude(&class(Verdict::Success));
    assert_eq!(one.state(), State::HalfOpen, "what hung says nothing any more");
    next.conclude(&class(Verdict::Success));
    assert_eq!(one.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_answer_flows_for_long_is_not_taken_to_hang() {
    let one = One::new(exact());
    one.fail(5);
    advance(5 * SECOND).await;
    let long = one.acquire().expect("a probe").answered();
    for _ in 0..10 {
        advance(60 * SECOND).await;
        assert_eq!(one.state(), State::HalfOpen);
        drop(one.acquire().expect("another may be tried beside it"));
    }
    long.conclude(&class(Verdict::Success));
    assert_eq!(one.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_at_half_open_admit_exactly_the_permitted_probes() {
    for probes in [1, 2, 7] {
        let layer = CircuitBreakerLayer::try_new(exact().probes(n(probes))).expect("in range");
        let reached = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&reached);
        let service = ServiceBuilder::new().layer(layer.clone()).service(service_fn(move |_: Request<()>| {
            seen.fetch_add(1, Ordering::Relaxed);
            pending::<Result<Response<Body>, Infallible>>()
        }));
        layer.handle().open_for(&common::key("default"), SECOND);
        advance(SECOND).await;
        let calls: Vec<_> = (0..1_000).map(|_| service.clone().oneshot(Request::new(()))).collect();
        let mut calls: Vec<_> = calls.into_iter().map(tokio_test::task::spawn).collect();
        let refused = calls.iter_mut().map(|call| usize::from(call.poll().is_ready())).sum::<usize>();
        assert_eq!((reached.load(Ordering::Relaxed), refused), (probes as usize, 1_000 - probes as usize));
    }
}

#[test]
fn many_threads_at_half_open_admit_exactly_the_permitted_probes() {
    let one = One::new(
        exact()
            .probes(n(3))
            .open_time(buttress_circuit_breaker::OpenTime::fixed(Duration::from_nanos(1)).with_jitter(0)),
    );
    one.handle.open_for(&one.key, Duration::ZERO);
    let permits: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..125).filter_map(|_| one.acquire().ok()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(permits.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_of_a_hundred_calls_cancelled_on_a_hung_upstream_open_the_circuit() {
    let settings = Settings::new().slow_to_first_byte(2 * SECOND, 50);
    let layer = CircuitBreakerLayer::try_new(settings).expect("in range");
    let handle = layer.handle();
    let reached = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&reached);
    let service = ServiceBuilder::new().layer(TimeoutLayer::new(Duration::from_millis(2_500))).layer(layer).service(
        service_fn(move |_: Request<()>| {
            seen.fetch_add(1, Ordering::Relaxed);
            pending::<Result<Response<Body>, Infallible>>()
        }),
    );
    for _ in 0..100 {
        drop(service.clone().oneshot(Request::new(())).await);
    }
    let reached = reached.load(Ordering::Relaxed);
    assert!((10..=20).contains(&reached), "ten calls, and the probes that hang as well: {reached}");
    assert!(handle.list()[0].openings >= 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_soon_counts_for_nothing() {
    let one = One::new(Settings::new().slow_to_first_byte(2 * SECOND, 50));
    for _ in 0..1_000 {
        let permit = one.acquire().expect("closed");
        advance(Duration::from_millis(10)).await;
        drop(permit);
    }
    assert_eq!((one.state(), one.snapshot().calls), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn state_survives_axum_calling_layer_per_route_and_per_connection() {
    let layer = CircuitBreakerLayer::new();
    let reached = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&reached);
    let fails = move || {
        seen.fetch_add(1, Ordering::Relaxed);
        ready(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let router: Router = Router::new()
        .route("/a", get(fails.clone()).post(fails.clone()))
        .route("/b", get(fails.clone()).put(fails))
        .layer(layer);
    for i in 0..200 {
        let request = Request::get(if i % 2 == 0 { "/a" } else { "/b" }).body(axum::body::Body::empty());
        let response = router.clone().oneshot(request.expect("a request")).await.expect("axum does not fail");
        assert_eq!(response.status(), if i < 5 { 500 } else { 503 });
    }
    assert_eq!(reached.load(Ordering::Relaxed), 5);
}
