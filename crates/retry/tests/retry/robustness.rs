//! Extreme settings, panics, sizes, and a promise for any script.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buttress_core::{CallContext, Class, Classify as _, HttpClassify, Payload};
use buttress_retry::Backoff;
use buttress_testkit::{Reply, run, send};
use http::{Request, Response};
use proptest::prelude::*;
use tokio::time::Instant;
use tokio_test::{assert_pending, task};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::{begin, get, ms, n, over, retry, timed};

#[tokio::test(start_paused = true)]
async fn the_longest_deadline_is_none() {
    let (mut service, handle) = over(&retry().deadline(Duration::MAX), [Reply::status(503)]);
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 200);
    assert_eq!(handle.calls(), 2);
    let context = handle.seen()[0].extensions.get::<CallContext>().cloned().unwrap();
    assert_eq!(context.deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_zero_lets_only_the_first_attempt_be_made() {
    let (mut service, handle) = over(&retry().deadline(Duration::ZERO), [Reply::status(503)]);
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 503);
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_back_off_of_zero_retries_at_once() {
    for backoff in [
        Backoff::default().with_cap(Duration::ZERO),
        Backoff::default().with_base(Duration::ZERO).with_throttled_base(Duration::ZERO),
    ] {
        let layer = retry().attempts(n(5)).backoff(backoff);
        let (mut service, handle) = over(&layer, [503, 429, 503, 429].map(Reply::status));
        let (response, took) = timed(send(&mut service, get())).await;
        assert_eq!((response.unwrap().status().as_u16(), handle.calls(), took), (200, 5, ms(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_back_off_overflows_nothing() {
    let longest =
        Backoff::default().with_base(Duration::MAX).with_throttled_base(Duration::MAX).with_cap(Duration::MAX);
    for status in [503, 429] {
        let (mut service, handle) = over(&retry().backoff(longest), [Reply::status(status)]);
        let mut call = begin(&mut service, get()).await;
        assert_pending!(call.poll());
        tokio::time::advance(super::HOUR).await;
        assert_pending!(call.poll());
        assert_eq!(handle.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_hint_overflows_nothing() {
    use buttress_core::{Outcome, RetryHint, Verdict};
    for verdict in [Verdict::RateLimited, Verdict::CapacityByDesign] {
        let class = Class::new(verdict, Outcome::Word("full")).with_hint(RetryHint::after(Duration::MAX));
        let (mut service, handle) = over(&retry().max_hint(Duration::MAX), [Reply::status(429).extension(class)]);
        let mut call = begin(&mut service, get()).await;
        assert_pending!(call.poll());
        assert_eq!(handle.calls(), 1);
    }
    let (mut service, handle) =
        over(&retry().max_hint(Duration::ZERO), [Reply::status(429).header("retry-after", "1")]);
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 429);
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_attempts_keep_their_waits_below_the_cap() {
    let layer = retry().attempts(n(u32::MAX)).allowance(n(200)).backoff(Backoff::default().with_cap(ms(10)));
    let (mut service, handle) = over(&layer, []);
    handle.always(Reply::status(503));
    let (_, took) = timed(send(&mut service, get())).await;
    assert_eq!(handle.calls(), 200);
    assert!(took <= ms(199 * 11), "{took:?}");
}

#[test]
fn a_panic_while_a_result_is_classified_leaves_the_layer_whole() {
    run(async {
        let classified = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&classified);
        let layer = retry().classify(move |result: Result<&Response<()>, &Infallible>| {
            assert!(seen.fetch_add(1, Ordering::Relaxed) != 1, "the second result is too much");
            HttpClassify.classify(result)
        });
        let upstream = service_fn(|_: Request<Payload>| ready(Ok(Response::builder().status(503).body(()).unwrap())));
        let service = layer.layer(upstream);
        let mut call = task::spawn(service.clone().oneshot(get()));
        assert_pending!(call.poll());
        tokio::time::advance(ms(51)).await;
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
        drop(call);

        for mut service in [service, layer.layer(upstream)] {
            let Ok(response) = send(&mut service, get()).await;
            assert_eq!(response.status(), 503, "the layer still answers, and still draws its waits");
        }
        assert_eq!(classified.load(Ordering::Relaxed), 8);
    });
}

#[test]
fn a_panic_in_the_inner_service_leaves_the_layer_whole() {
    run(async {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let upstream = service_fn(move |_: Request<Payload>| {
            let call = seen.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(call != 0, "the first call is too much");
                let status = if call == 1 { 503 } else { 200 };
                Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
            }
        });
        let service = retry().layer(upstream);
        let mut call = task::spawn(service.clone().oneshot(get()));
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
        drop(call);
        let Ok(response) = service.oneshot(get()).await;
        assert_eq!((response.status().as_u16(), calls.load(Ordering::Relaxed)), (200, 3));
    });
}

#[tokio::test]
async fn the_future_is_small() {
    let upstream =
        service_fn(|_: Request<Payload>| -> Ready<Result<Response<()>, Infallible>> { ready(Ok(Response::new(()))) });
    let call = retry().layer(upstream).call(get());
    let bare = size_of::<Ready<Result<Response<()>, Infallible>>>() + size_of::<Request<Payload>>();
    let own = size_of_val(&call) - bare;
    assert!(own <= 208, "beside the inner future and the request that is kept: {own} bytes");
}

/// What an upstream says to one call: a status, and a hint in milliseconds.
type Line = (u16, Option<u32>);

fn script() -> impl Strategy<Value = Vec<Line>> {
    let status = prop_oneof![Just(200_u16), Just(400), Just(429), Just(500), Just(503), Just(529)];
    prop::collection::vec((status, prop::option::of(0..3_000_u32)), 0..12)
}

/// Plays `script` to one request. Returns when each call began, and the deadline.
async fn play(script: Vec<Line>, attempts: u32, allowance: u32, deadline: Option<u64>, seed: u64) -> Vec<Instant> {
    let began = Arc::new(Mutex::new(Vec::new()));
    let calls = Arc::clone(&began);
    let upstream = service_fn(move |_: Request<Payload>| {
        let mut calls = calls.lock().expect("nothing panics in here");
        let (status, hint) = script.get(calls.len()).copied().unwrap_or((503, None));
        calls.push(Instant::now());
        let response = Response::builder().status(status);
        let response = hint.into_iter().fold(response, |response, ms| response.header("retry-after-ms", ms));
        ready(Ok::<_, Infallible>(response.body(()).expect("a valid response")))
    });
    let layer = retry().seed(seed).attempts(n(attempts)).allowance(n(allowance));
    let layer = deadline.into_iter().fold(layer, |layer, deadline| layer.deadline(ms(deadline)));
    let Ok(_) = send(&mut layer.layer(upstream), get()).await;
    began.lock().map(|calls| calls.clone()).expect("nothing panics in here")
}

proptest! {
    #[test]
    fn no_script_makes_more_calls_or_later_or_sooner_ones_than_was_promised(
        script in script(),
        attempts in 1..7_u32,
        allowance in 1..7_u32,
        deadline in prop::option::of(0..6_000_u64),
        seed: u64,
    ) {
        let (start, calls) = run(async {
            (Instant::now(), play(script.clone(), attempts, allowance, deadline, seed).await)
        });
        prop_assert!(!calls.is_empty() && calls.len() <= attempts.min(allowance) as usize);
        let latest = calls[calls.len() - 1] - start;
        prop_assert!(deadline.is_none_or(|deadline| latest <= ms(deadline)), "{latest:?} of {deadline:?}");
        for (i, pair) in calls.windows(2).enumerate() {
            let (status, hint) = script.get(i).copied().unwrap_or((503, None));
            prop_assert!(![200, 400].contains(&status), "{status} is not retried");
            let hint = ms(hint.unwrap_or(0).into());
            prop_assert!(pair[1] - pair[0] >= hint, "came back too soon");
        }
    }
}
