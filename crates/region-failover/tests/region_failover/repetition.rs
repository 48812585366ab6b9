//! What may be given to a second target.

use buttress_core::{Class, HttpReplay, Outcome, Payload, TransportErrorKind, Verdict};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::{Reply, Script, ScriptedBody, send};
use http::{Method, Request};
use tower::Layer as _;

use super::{asked, failover, get, over, post, served_by, status, target, unreachable};

async fn asked_after(failure: Reply, request: Request<Payload>) -> String {
    let (mut service, handle) = over(&failover("east west"), [failure]);
    drop(send(&mut service, request).await);
    asked(&handle)
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_not_given_to_another_target() {
    for code in [500, 502, 503, 504] {
        let (mut service, handle) = over(&failover("east west"), [Reply::status(code).header("x-own", "1")]);
        let response = send(&mut service, post()).await.unwrap();
        assert_eq!((response.status().as_u16(), served_by(&response)), (code, Some("east")));
        assert_eq!((asked(&handle).as_str(), response.headers().contains_key("x-own")), ("east", true));
    }
    let (upstream, asked) = unreachable([TransportErrorKind::Reset]);
    assert_eq!(status(&send(&mut failover("east west").layer(upstream), post()).await), 503);
    assert_eq!(*asked.lock().unwrap(), ["east"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_begun_is_given_to_another_target() {
    for code in [401, 402, 403, 429] {
        assert_eq!(asked_after(Reply::status(code), post()).await, "east west", "{code}");
    }
    let not_begun = Class::new(Verdict::Transient, Outcome::Word("draining")).not_begun();
    assert_eq!(asked_after(Reply::status(503).extension(not_begun), post()).await, "east west");
    let (upstream, asked) = unreachable([TransportErrorKind::Connect]);
    assert_eq!(status(&send(&mut failover("east west").layer(upstream), post()).await), 200);
    assert_eq!(*asked.lock().unwrap(), ["east", "west"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_or_a_method_makes_a_request_repeatable() {
    let mut keyed = post();
    keyed.headers_mut().insert("idempotency-key", "f3b1".parse().unwrap());
    assert_eq!(asked_after(Reply::status(500), keyed).await, "east west");
    for (method, expected) in [(Method::PUT, "east west"), (Method::DELETE, "east west"), (Method::PATCH, "east")] {
        let mut request = get();
        *request.method_mut() = method;
        assert_eq!(asked_after(Reply::status(500), request).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_repeated_where_repeating_does_no_harm() {
    let layer = failover("east west north").repeat_all();
    let (mut service, handle) = over(&layer, [Reply::status(500), Reply::ok().hanging()]);
    assert_eq!(status(&send(&mut service, post()).await), 200);
    assert_eq!(asked(&handle), "east west north");
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_its_bound_is_sent_to_one_target() {
    for (max, expected) in [(9, "east"), (10, "east west")] {
        let (probe, handle) = buttress_testkit::Probe::<ScriptedBody>::new();
        handle.next(Reply::status(503).reading_all());
        let layer = RegionFailoverLayer::try_new(["east", "west"].map(target)).unwrap().replay(HttpReplay::new(max));
        let body = Script::new().data("01234").data("56789").body();
        let response = send(&mut layer.layer(probe), Request::new(body)).await.unwrap();
        assert_eq!((response.status() == 200, asked(&handle).as_str()), (max == 10, expected));
        assert_eq!(handle.seen()[0].data.concat(), b"0123456789", "the attempt under way is not cut off");
    }
}
