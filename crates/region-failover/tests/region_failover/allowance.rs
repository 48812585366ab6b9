//! The one allowance of attempts, and the body of a request that stays with its last attempt.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use buttress_core::{Attempt, CallContext, Outcome, Payload, RefusalKind, ReplayBody, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::{Reply, Script, ScriptedBody, read, send};
use http::{Request, Response};
use tower::{Layer as _, service_fn};

use super::{asked, failover, get, ms, n, over, target, with_context};

#[tokio::test(start_paused = true)]
async fn attempts_stay_within_the_allowance() {
    for (allowance, expected) in [(1, "a"), (2, "a b"), (3, "a b c"), (9, "a b c d e f")] {
        let (mut service, handle) = over(&failover("a b c d e f").allowance(n(allowance)), []);
        handle.always(Reply::status(503));
        drop(send(&mut service, get()).await);
        assert_eq!(asked(&handle), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn five_attempts_are_allowed_by_default() {
    let (mut service, handle) = over(&failover("a b c d e f"), []);
    handle.always(Reply::status(503));
    drop(send(&mut service, get()).await);
    assert_eq!(asked(&handle), "a b c d e");
}

#[tokio::test(start_paused = true)]
async fn the_allowance_of_a_layer_further_out_holds() {
    let context = CallContext::new(n(2));
    let (mut service, handle) = over(&failover("a b c").allowance(n(9)), []);
    handle.always(Reply::status(503));
    drop(send(&mut service, with_context(&context)).await);
    assert_eq!((asked(&handle).as_str(), context.attempts_left(), context.attempts_made()), ("a b", 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_success_draws_nothing_from_the_allowance() {
    let context = CallContext::new(n(3));
    let (mut service, _handle) = over(&failover("a b"), []);
    drop(send(&mut service, with_context(&context)).await);
    assert_eq!(context.attempts_left(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_has_retried_already_is_taken_off() {
    for (count, expected) in [("0", "a b c"), ("2", "a"), ("9", "a")] {
        let (mut service, handle) = over(&failover("a b c").allowance(n(3)), []);
        handle.always(Reply::status(503));
        let mut request = get();
        request.headers_mut().insert("x-stainless-retry-count", count.parse().unwrap());
        drop(send(&mut service, request).await);
        assert_eq!(asked(&handle), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn domains_that_were_tried_in_this_walk_are_left_out_and_a_new_walk_asks_them_again() {
    let context = CallContext::new(n(9));
    let outcome = Outcome::Word("test");
    context.record(Attempt::new(Some(target("a")), Verdict::Transient, outcome, ms(0)));
    let (mut service, handle) = over(&failover("a b"), [Reply::status(503)]);
    drop(send(&mut service, with_context(&context)).await);
    assert_eq!(asked(&handle), "b");

    let response = send(&mut service, with_context(&context)).await.unwrap();
    let refusal = response.extensions().get::<buttress_core::Refusal>().unwrap();
    assert_eq!((refusal.kind(), refusal.message()), (RefusalKind::Unavailable, "no target is left to try"));
    assert_eq!(handle.calls(), 1);

    context.begin_walk();
    drop(send(&mut service, with_context(&context)).await);
    assert_eq!(asked(&handle), "b a");
}

#[tokio::test(start_paused = true)]
async fn requests_share_nothing_with_each_other() {
    let (mut service, handle) = over(&failover("a b"), []);
    handle.always(Reply::status(503));
    for _ in 0..3 {
        drop(send(&mut service.clone(), get()).await);
        drop(send(&mut service, get()).await);
    }
    assert_eq!(asked(&handle), "a b ".repeat(6).trim_end());
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_is_dropped_before_the_next_target_is_asked() {
    let watch = buttress_testkit::BodyWatch::default();
    let (bodies, alive) = (watch.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&alive);
    let upstream = service_fn(move |_: Request<Payload>| {
        seen.lock().unwrap().push(bodies.alive());
        let body = Script::new().data("why").watched_by(&bodies);
        ready(Ok::<_, Infallible>(Response::builder().status(503).body(body).unwrap()))
    });
    let Ok(_) = send(&mut failover("a b c").layer(upstream), get()).await;
    assert_eq!(*alive.lock().unwrap(), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_sent_goes_on_when_no_other_target_follows() {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let upstream = service_fn(move |request: Request<ReplayBody<ScriptedBody>>| {
        *keep.lock().unwrap() = Some(request.into_body());
        ready(Ok::<_, Infallible>(Response::builder().status(503).body(Payload::default()).unwrap()))
    });
    let layer = RegionFailoverLayer::try_new([target("east"), target("west")]).unwrap().allowance(n(1));
    let body = Script::new().data("a").data("b").body();
    let Ok(_) = send(&mut layer.layer(upstream), Request::new(body)).await;

    let body = kept.lock().unwrap().take().expect("one attempt");
    let received = read(body).await;
    assert!(received.error.is_none(), "no other attempt took the body over: {:?}", received.error);
    assert_eq!(received.bytes(), "ab");
}
