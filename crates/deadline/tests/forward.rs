//! The deadline, passed on.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{CallContext, Payload, Refusal, RefusalKind};
use buttress_deadline::{DeadlineLayer, ForwardDeadlineLayer};
use buttress_testkit::{Handle, Probe, ProbeError, Reply, ScriptedBody, TraceGuard, send};
use http::{HeaderMap, Request, Response};
use tokio::time::{Instant, advance};
use tower_layer::Layer;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn due_in(time: Duration) -> Request<Payload> {
    let context = CallContext::new(NonZeroU32::MIN);
    context.limit_deadline(Instant::now() + time);
    let mut request = Request::new(Payload::default());
    request.extensions_mut().insert(context);
    request
}

async fn forward(layer: &ForwardDeadlineLayer, request: Request<Payload>) -> (Response<ScriptedBody>, Handle) {
    let (probe, handle) = Probe::new();
    let response = send(&mut layer.layer(probe), request).await.expect("an answer");
    (response, handle)
}

async fn headers(layer: &ForwardDeadlineLayer, request: Request<Payload>) -> HeaderMap {
    let (response, handle) = forward(layer, request).await;
    assert_eq!(response.status(), 200);
    handle.seen()[0].headers.clone()
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_passed_on_less_a_margin() {
    let layer = ForwardDeadlineLayer::new();
    for (left, written) in [(60_000, "57000"), (1_000, "950"), (100, "80"), (30, "10")] {
        let headers = headers(&layer, due_in(ms(left))).await;
        assert_eq!(headers["x-request-timeout-ms"], written, "{left} ms are left");
        assert!(!headers.contains_key("grpc-timeout"));
    }
}

#[tokio::test(start_paused = true)]
async fn time_that_has_passed_is_not_passed_on() {
    let request = due_in(ms(10_000));
    advance(ms(6_000)).await;
    assert_eq!(headers(&ForwardDeadlineLayer::new(), request).await["x-request-timeout-ms"], "3800");
}

#[tokio::test(start_paused = true)]
async fn the_margin_can_be_set() {
    let layer = ForwardDeadlineLayer::new().margin(10, ms(300));
    assert_eq!(headers(&layer, due_in(ms(10_000))).await["x-request-timeout-ms"], "9000");
    assert_eq!(headers(&layer, due_in(ms(1_000))).await["x-request-timeout-ms"], "700");
    let none = layer.margin(0, ms(0)).floor(ms(0));
    assert_eq!(headers(&none, due_in(ms(1))).await["x-request-timeout-ms"], "1");
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_asked_for_is_written_over() {
    let mut request = due_in(ms(1_000));
    for name in ["x-request-timeout-ms", "grpc-timeout"] {
        request.headers_mut().append(name, "99999999".parse().unwrap());
        request.headers_mut().append(name, "4S".parse().unwrap());
    }
    let headers = headers(&ForwardDeadlineLayer::new(), request).await;
    let all = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((all("x-request-timeout-ms"), all("grpc-timeout")), (vec!["950"], vec!["950m"]));
}

#[tokio::test(start_paused = true)]
async fn grpc_servers_are_told_if_asked() {
    let headers = headers(&ForwardDeadlineLayer::new().grpc(), due_in(ms(1_000))).await;
    assert_eq!(
        (&headers["x-request-timeout-ms"], &headers["grpc-timeout"]),
        (&"950".parse().unwrap(), &"950m".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_deadline_passes_as_it_came() {
    let mut bare = Request::new(Payload::default());
    bare.headers_mut().insert("grpc-timeout", "4S".parse().unwrap());
    let mut unlimited = bare.clone();
    unlimited.extensions_mut().insert(CallContext::new(NonZeroU32::MIN));
    for request in [bare, unlimited] {
        let expected = request.headers().clone();
        assert_eq!(headers(&ForwardDeadlineLayer::new().grpc(), request).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_answer_in_time_is_not_asked() {
    let usual = ForwardDeadlineLayer::new();
    let high = ForwardDeadlineLayer::new().floor(ms(500));
    let none = ForwardDeadlineLayer::new().margin(0, ms(0)).floor(ms(0));
    let cases = [
        (&usual, 30, true),
        (&usual, 29, false),
        (&usual, 0, false),
        (&high, 527, true),
        (&high, 526, false),
        (&none, 1, true),
        (&none, 0, false),
    ];
    for (layer, left, asked) in cases {
        let (response, handle) = forward(layer, due_in(ms(left))).await;
        assert_eq!((response.status() == 200, handle.calls() == 1), (asked, asked), "{left} ms are left");
        if !asked {
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-should-retry"]),
                (504, &"false".parse().unwrap())
            );
            let refusal = response.extensions().get::<Refusal>().unwrap();
            assert_eq!(refusal.kind(), RefusalKind::DeadlineExceeded);
            assert_eq!(refusal.message(), "too little time is left before the deadline");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_deadline_goes_through_two_servers() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.always(Reply::ok().hanging());
    // The second server: no context comes over the wire.
    let second = DeadlineLayer::new(ms(60_000)).layer(probe);
    let wire = tower::service_fn(move |mut request: Request<Payload>| {
        request.extensions_mut().clear();
        let mut second = second.clone();
        async move { send(&mut second, request).await }
    });
    let first = ForwardDeadlineLayer::new().on_refusal(|_: Refusal| Err(ProbeError::new("refused"))).layer(wire);
    let begun = Instant::now();
    let response = send(&mut first.clone(), due_in(ms(2_000))).await.unwrap();
    assert_eq!((response.status().as_u16(), Instant::now() - begun), (504, ms(1_900)), "the second gives up first");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_traced() {
    let trace = TraceGuard::new();
    let _ = forward(&ForwardDeadlineLayer::new(), due_in(ms(1))).await;
    assert!(trace.lines().iter().any(|line| line.contains("too little time is left")), "{trace:?}");
}
