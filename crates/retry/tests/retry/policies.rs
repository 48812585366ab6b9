//! Which policy a request has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use buttress_core::{CallContext, Http, HttpClassify, Payload};
use buttress_retry::{Backoff, Policy, RetryLayer};
use buttress_testkit::{Probe, Reply, ScriptedBody, send};
use http::Request;
use tower::Layer as _;

use super::{get, ms, n, over, post, retry, timed};

/// A layer whose closure allows two attempts at `/two` and four elsewhere; and how often it was asked.
fn by_route() -> (RetryLayer<Http, HttpClassify, impl Fn(&Request<Payload>) -> Policy + Clone + use<>>, Arc<AtomicUsize>)
{
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let policy = move |request: &Request<Payload>| {
        seen.fetch_add(1, Ordering::Relaxed);
        Policy::default().attempts(n(if request.uri().path() == "/two" { 2 } else { 4 }))
    };
    (retry().policy(policy), asked)
}

async fn calls(path: &str, policy: Option<Policy>) -> (usize, usize) {
    let (layer, asked) = by_route();
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.always(Reply::status(503));
    let mut request = get();
    *request.uri_mut() = path.parse().expect("a valid path");
    policy.and_then(|policy| request.extensions_mut().insert(policy));
    drop(send(&mut layer.layer(probe), request).await);
    (handle.calls(), asked.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_closure_finds_the_context_of_the_request_that_failed() {
    let left = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&left);
    let policy = move |request: &Request<Payload>| {
        let context = CallContext::of(request).expect("it was begun with one");
        seen.store(context.attempts_left() as usize, Ordering::Relaxed);
        Policy::never()
    };
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.always(Reply::status(503));
    drop(send(&mut retry().allowance(n(4)).policy(policy).layer(probe), get()).await);
    assert_eq!((handle.calls(), left.load(Ordering::Relaxed)), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_closure_chooses_by_route_and_is_asked_once_a_failure() {
    assert_eq!(calls("/two", None).await, (2, 2));
    assert_eq!(calls("/four", None).await, (4, 4));
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_the_request_goes_first() {
    assert_eq!(calls("/two", Some(Policy::default().attempts(n(3)))).await, (3, 0));
    assert_eq!(calls("/two", Some(Policy::never())).await, (1, 0));
    for (attempts, made) in [(1, 1), (5, 5)] {
        let (mut service, handle) = over(&retry().attempts(n(2)), []);
        handle.always(Reply::status(503));
        let mut request = get();
        request.extensions_mut().insert(Policy::default().attempts(n(attempts)));
        drop(send(&mut service, request).await);
        assert_eq!(handle.calls(), made);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_asks_for_no_policy() {
    let (layer, asked) = by_route();
    let (probe, _handle) = Probe::<ScriptedBody>::new();
    assert_eq!(send(&mut layer.layer(probe), get()).await.unwrap().status(), 200);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn all_that_a_policy_says_holds_for_its_request_alone() {
    let (mut service, handle) = over(&retry(), [Reply::status(503), Reply::status(503)]);
    let mut request = post();
    let backoff = Backoff::exact().with_base(ms(700));
    request.extensions_mut().insert(Policy::default().repeat_all().backoff(backoff));
    let (response, took) = timed(send(&mut service, request)).await;
    assert_eq!((response.unwrap().status().as_u16(), took), (200, ms(700 + 1_400)));

    handle.next(Reply::status(503));
    assert_eq!(send(&mut service, post()).await.unwrap().status(), 503, "the next one is not repeated");

    handle.next(Reply::status(429).header("retry-after-ms", "501"));
    let mut request = get();
    request.extensions_mut().insert(Policy::default().max_hint(ms(500)));
    assert_eq!(send(&mut service, request).await.unwrap().status(), 429);
}
