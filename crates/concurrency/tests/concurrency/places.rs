//! How long a call keeps its place.

use std::convert::Infallible;

use crate::support::{answer, begin, done, fixed, refusal, streaming};
use axum::{Router, routing::get};
use buttress_core::RefusalKind;
use buttress_testkit::{Reply, Script, read};
use http::Request;
use http_body_util::BodyExt as _;
use tower::Service as _;

#[tokio::test(start_paused = true)]
async fn two_places_mean_two_streaming_bodies() {
    let layer = fixed(2);
    let (mut service, probe) = streaming(&layer);
    let streams = [(); 2].map(|()| answer(&mut service));
    for _ in 0..50 {
        assert_eq!(refusal(&answer(&mut service)).kind(), RefusalKind::Overloaded);
    }
    assert_eq!((probe.calls(), probe.bodies().alive(), layer.handle().in_flight()), (2, 2, 2));

    drop(streams);
    assert_eq!(answer(&mut service).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_body_gives_the_place_back() {
    let layer = fixed(1);
    let scripts = [
        ("empty", Script::new().sized()),
        ("whole", Script::new().data("ab").data("c")),
        ("whole, end seen late", Script::new().data("ab").late()),
        ("with trailers", Script::new().data("ab").trailer("x-check", "1")),
        ("failed", Script::new().data("ab").error("cut off")),
    ];
    let (mut service, probe) = streaming(&layer);
    for (name, script) in scripts {
        probe.next(Reply::ok().body(script));
        drop(read(answer(&mut service).into_body()).await);
        assert_eq!(layer.handle().in_flight(), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_known_length_gives_the_place_back_with_its_last_byte() {
    let layer = fixed(1);
    let (mut service, probe) = streaming(&layer);
    probe.next(Reply::ok().body(Script::new().data("hello").sized()));
    let mut body = Box::pin(answer(&mut service).into_body());
    assert_eq!(layer.handle().in_flight(), 1);
    let frame = body.frame().await;
    assert!(frame.is_some_and(|frame| frame.is_ok()));
    assert_eq!(layer.handle().in_flight(), 0, "nobody asks for what comes after the end");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_first_poll_and_one_under_way_give_their_places_back() {
    let layer = fixed(1);
    let (mut service, probe) = streaming(&layer);
    probe.always(Reply::ok().hanging());
    drop(begin(&mut service));
    assert_eq!(layer.handle().in_flight(), 0);
    let mut call = begin(&mut service);
    assert!(call.poll().is_pending());
    drop(call);
    assert_eq!(layer.handle().in_flight(), 0);
    probe.always(Reply::error("broken"));
    tokio_test::assert_ready!(begin(&mut service).poll()).expect_err("the probe fails");
    assert_eq!(layer.handle().in_flight(), 0);
    probe.always(Reply::ok());
    assert_eq!(done(&mut begin(&mut service)).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn one_limit_holds_for_all_routes_methods_and_connections_of_a_router() {
    let layer = fixed(2);
    // A stream that never ends.
    let stream = async || axum::body::Body::new(Script::new().data("a").hangs().body());
    let router = || Router::new().route("/a", get(stream).post(stream)).route("/b", get(stream)).layer(layer.clone());
    // axum makes a service for each connection, and calls `layer()` anew for each route and method.
    let call = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
        let response: Result<_, Infallible> = router().call(request).await;
        response.unwrap()
    };
    let streams = [call("GET", "/a").await, call("POST", "/a").await];
    assert!(streams.iter().all(|response| response.status() == 200));
    assert_eq!(call("GET", "/b").await.status(), 503);
    drop(streams);
    assert_eq!(call("GET", "/b").await.status(), 200);
}
