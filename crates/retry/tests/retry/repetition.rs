//! What may be sent twice.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use buttress_core::{Class, Outcome, Payload, TransportError, TransportErrorKind, Verdict};
use buttress_testkit::{Reply, send};
use http::{HeaderValue, Method, Request, Response};
use tower::{Layer as _, service_fn};

use super::{get, over, post, retry};

/// Counts the calls after a first one that failed with `failure`.
async fn calls_after(failure: Reply, request: Request<Payload>) -> usize {
    let (mut service, handle) = over(&retry(), [failure]);
    drop(send(&mut service, request).await);
    handle.calls()
}

/// Counts the calls after a first one that brought no answer, on a service whose errors are of the transport.
async fn calls_after_error(kind: TransportErrorKind, request: Request<Payload>) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let upstream = service_fn(move |_: Request<Payload>| -> Ready<Result<Response<()>, TransportError>> {
        let first = seen.fetch_add(1, Ordering::Relaxed) == 0;
        ready(if first { Err(TransportError::new(kind)) } else { Ok(Response::new(())) })
    });
    drop(send(&mut retry().layer(upstream), request).await);
    calls.load(Ordering::Relaxed)
}

fn with_key(mut request: Request<Payload>) -> Request<Payload> {
    request.headers_mut().insert("idempotency-key", HeaderValue::from_static("f3b1"));
    request
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_not_sent_twice() {
    for status in [500, 502, 503, 504] {
        assert_eq!(calls_after(Reply::status(status), post()).await, 1, "{status}");
    }
    for kind in [TransportErrorKind::Reset, TransportErrorKind::Timeout, TransportErrorKind::Other] {
        assert_eq!(calls_after_error(kind, post()).await, 1, "{kind:?}");
    }
    assert_eq!(calls_after(Reply::error("unknown"), post()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_begun_is_sent_again() {
    assert_eq!(calls_after(Reply::status(429), post()).await, 2);
    assert_eq!(calls_after_error(TransportErrorKind::Connect, post()).await, 2);
    let not_begun = Class::new(Verdict::Transient, Outcome::Word("draining")).not_begun();
    assert_eq!(calls_after(Reply::status(503).extension(not_begun), post()).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_to_tell_repetitions_by_makes_any_method_repeatable() {
    assert_eq!(calls_after(Reply::status(500), with_key(post())).await, 2);
    assert_eq!(calls_after_error(TransportErrorKind::Reset, with_key(post())).await, 2);
}

#[tokio::test(start_paused = true)]
async fn idempotent_methods_are_repeated_and_others_are_not() {
    for (method, calls) in [
        (Method::GET, 2),
        (Method::HEAD, 2),
        (Method::OPTIONS, 2),
        (Method::PUT, 2),
        (Method::DELETE, 2),
        (Method::POST, 1),
        (Method::PATCH, 1),
        (Method::CONNECT, 1),
    ] {
        let mut request = get();
        *request.method_mut() = method.clone();
        assert_eq!(calls_after(Reply::status(500), request).await, calls, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_repeated_where_repeating_does_no_harm() {
    let (mut service, handle) = over(&retry().repeat_all(), [Reply::status(500), Reply::error("broke")]);
    assert_eq!(send(&mut service, post()).await.unwrap().status(), 200);
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_yes_does_not_make_harm_harmless() {
    let willing = Reply::status(500).header("x-should-retry", "true");
    assert_eq!(calls_after(willing.clone(), post()).await, 1, "the server may have begun");
    assert_eq!(calls_after(willing, get()).await, 2);
    let refused = Reply::status(400).header("x-should-retry", "true");
    assert_eq!(calls_after(refused, post()).await, 2, "it turned the request away, so it has not");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_fail_is_retried_by_its_answers() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let upstream = service_fn(move |_: Request<Payload>| {
        let status = if seen.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 200 };
        ready(Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()))
    });
    let Ok(response) = send(&mut retry().layer(upstream), get()).await;
    assert_eq!((response.status().as_u16(), calls.load(Ordering::Relaxed)), (200, 2));
}
