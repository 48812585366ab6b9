//! What the layer does, seen from outside.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{Attempt, CallContext, Label, Outcome, Payload, ServedBy, Target, TransportErrorKind, Verdict};
use buttress_served_by::{Headers, ServedByLayer};
use buttress_testkit::{Probe, ProbeError, Reply, ScriptedBody, send};
use http::{HeaderName, Request, Response, StatusCode};
use tokio_test::{assert_pending, task};
use tower::{Layer as _, Service};

const DEFAULTS: [&str; 5] = ["x-served-by", "x-served-region", "x-served-model", "x-attempts", "x-attempt-trail"];

fn label(text: &str) -> Label {
    Label::try_new(text).expect("a valid name")
}

fn target(name: &str) -> Target {
    Target::named(name).expect("a valid name")
}

fn context() -> CallContext {
    CallContext::new(NonZeroU32::MIN)
}

fn attempt(name: Option<&str>, outcome: Outcome, ms: u64) -> Attempt {
    Attempt::new(name.map(target), Verdict::Transient, outcome, Duration::from_millis(ms))
}

/// A context after `attempts` at one target.
fn after(attempts: u32) -> CallContext {
    let context = context();
    (0..attempts).for_each(|i| context.record(attempt(Some("east"), Outcome::Word("reset"), i.into())));
    context
}

async fn answer_of(layer: &ServedByLayer, reply: Reply) -> Response<ScriptedBody> {
    let (probe, handle) = Probe::new();
    handle.next(reply);
    send(&mut layer.layer(probe), Request::new(Payload::default())).await.expect("the probe answers")
}

async fn answer(reply: Reply) -> Response<ScriptedBody> {
    answer_of(&ServedByLayer::new(), reply).await
}

/// What the answer says under each of the default names.
fn said(response: &Response<ScriptedBody>) -> [Option<&str>; 5] {
    DEFAULTS.map(|name| response.headers().get(name).map(|value| value.to_str().expect("visible ASCII")))
}

fn served_by(target: Target, model: Option<&str>) -> ServedBy {
    ServedBy { target, model: model.map(label) }
}

#[tokio::test]
async fn a_name_that_only_looks_like_one_of_ours_is_left_alone() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.next(Reply::status(200));
    // As long as one of ours, with the same last letter.
    let request = Request::get("/").header("x-saved-by1y", "a").header("x-stored-by", "b").header("X-Served-By", "c");
    drop(send(&mut ServedByLayer::new().layer(probe), request.body(Payload::default()).unwrap()).await);
    let seen = handle.seen();
    let names = seen[0].headers.keys().map(HeaderName::as_str).collect::<Vec<_>>();
    assert_eq!(names, ["x-saved-by1y", "x-stored-by"]);
}

#[tokio::test]
async fn all_that_is_known_is_said() {
    let context = context();
    context.record(attempt(Some("azure-east"), Outcome::Status(StatusCode::SERVICE_UNAVAILABLE), 12));
    context.record(attempt(None, Outcome::Word(TransportErrorKind::Connect.as_str()), 3));
    context.record(attempt(Some("azure-west"), Outcome::Status(StatusCode::OK), 61));
    let azure = target("azure-west").with_region(label("westeurope"));
    let reply = Reply::ok().extension(served_by(azure, Some("gpt-4o"))).extension(context);
    let trail = "azure-east;503;12ms, -;connect;3ms, azure-west;200;61ms";
    assert_eq!(
        said(&answer(reply).await),
        [Some("azure-west"), Some("westeurope"), Some("gpt-4o"), Some("3"), Some(trail)]
    );
}

#[tokio::test]
async fn what_is_not_known_is_not_said() {
    assert_eq!(said(&answer(Reply::ok()).await), [None; 5]);
    let reply = Reply::ok().extension(served_by(target("east"), None));
    assert_eq!(said(&answer(reply).await), [Some("east"), None, None, None, None]);
    let reply = Reply::ok().extension(served_by(target("east"), Some("m")));
    assert_eq!(said(&answer(reply).await), [Some("east"), None, Some("m"), None, None]);
    let reply = Reply::ok().extension(served_by(target("east").with_region(label("r")), None));
    assert_eq!(said(&answer(reply).await), [Some("east"), Some("r"), None, None, None]);
}

#[tokio::test]
async fn an_answer_that_no_target_gave_names_none() {
    let reply = Reply::status(503).extension(after(2));
    assert_eq!(said(&answer(reply).await), [None, None, None, Some("2"), Some("east;reset;0ms, east;reset;1ms")]);
}

#[tokio::test]
async fn a_request_that_was_never_tried_has_no_trail() {
    assert_eq!(said(&answer(Reply::status(504).extension(context())).await), [None, None, None, Some("0"), None]);
}

#[tokio::test]
async fn any_count_is_written() {
    for made in [1, 9, 10, 11, 250] {
        let response = answer(Reply::ok().extension(after(made))).await;
        assert_eq!(said(&response)[3], Some(made.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_trail_beyond_its_capacity_says_how_much_it_leaves_out() {
    let eight = (0..8).map(|i| format!("east;reset;{i}ms")).collect::<Vec<_>>().join(", ");
    let response = answer(Reply::ok().extension(after(8))).await;
    assert_eq!(said(&response)[4], Some(eight.as_str()));
    let response = answer(Reply::ok().extension(after(11))).await;
    assert_eq!(said(&response)[4], Some(format!("{eight}, and 3 more").as_str()));
}

#[tokio::test]
async fn copies_in_the_request_are_removed_before_the_inner_service_sees_them() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    let mut request = Request::new(Payload::default());
    for name in DEFAULTS {
        request.headers_mut().append(name, "planted".parse().unwrap());
        request.headers_mut().append(name, "planted twice".parse().unwrap());
    }
    request.headers_mut().insert("x-other", "kept".parse().unwrap());
    let response = send(&mut ServedByLayer::new().layer(probe), request).await.unwrap();
    let [seen] = &handle.seen()[..] else { panic!("one call") };
    assert_eq!((seen.headers.len(), &seen.headers["x-other"]), (1, &"kept".parse().unwrap()));
    assert_eq!(said(&response), [None; 5]);
}

#[tokio::test]
async fn copies_that_a_target_sends_are_removed_whether_there_is_a_fact_or_not() {
    let planted = || DEFAULTS.iter().fold(Reply::ok(), |reply, name| reply.header(name, "a").header(name, "b"));
    assert_eq!(said(&answer(planted().header("x-other", "kept")).await), [None; 5]);

    let response = answer(planted().header("x-other", "kept").extension(served_by(target("east"), None))).await;
    assert_eq!(said(&response), [Some("east"), None, None, None, None]);
    assert_eq!(response.headers().get_all("x-served-by").iter().count(), 1);
    assert_eq!((response.headers().len(), &response.headers()["x-other"]), (2, &"kept".parse().unwrap()));
}

#[tokio::test]
async fn headers_have_the_names_they_are_given() {
    let name = |text| Some(HeaderName::from_static(text));
    let layer = ServedByLayer::named(Headers {
        served_by: name("x-a"),
        region: name("x-b"),
        model: name("x-c"),
        attempts: name("x-d"),
        trail: name("x-e"),
    });
    let east = served_by(target("east").with_region(label("r")), Some("m"));
    let planted =
        Reply::ok().header("x-a", "planted").header("x-served-by", "not ours").extension(east).extension(after(1));
    let response = answer_of(&layer, planted).await;
    let said =
        ["x-a", "x-b", "x-c", "x-d", "x-e", "x-served-by"].map(|name| response.headers()[name].to_str().unwrap());
    assert_eq!(said, ["east", "r", "m", "1", "east;reset;0ms", "not ours"]);
    assert_eq!(response.headers().len(), 6);
}

#[tokio::test]
async fn a_header_that_is_left_out_is_neither_written_nor_removed() {
    let layer = ServedByLayer::named(Headers { region: None, trail: None, ..Headers::default() });
    let (probe, handle) = Probe::<ScriptedBody>::new();
    let east = served_by(target("east").with_region(label("r")), Some("m"));
    handle.next(Reply::ok().header("x-served-region", "theirs").extension(east).extension(after(1)));
    let mut request = Request::new(Payload::default());
    request.headers_mut().insert("x-served-region", "theirs".parse().unwrap());
    let response = send(&mut layer.layer(probe), request).await.unwrap();
    assert_eq!(said(&response), [Some("east"), Some("theirs"), Some("m"), Some("1"), None]);
    assert_eq!(handle.seen()[0].headers["x-served-region"], "theirs");
}

#[tokio::test]
async fn with_every_header_left_out_nothing_is_touched() {
    let none = Headers { served_by: None, region: None, model: None, attempts: None, trail: None };
    let reply = Reply::ok().header("x-attempts", "theirs").extension(served_by(target("east"), None));
    let response = answer_of(&ServedByLayer::named(none), reply.extension(after(1))).await;
    assert_eq!(said(&response), [None, None, None, Some("theirs"), None]);
}

#[tokio::test]
async fn extensions_stay_where_they_are() {
    let east = served_by(target("east"), None);
    let reply = Reply::ok().extension(east.clone()).extension(after(2)).extension("another's");
    let response = answer(reply).await;
    assert_eq!(response.extensions().get(), Some(&east));
    assert_eq!(response.extensions().get::<CallContext>().map(CallContext::attempts_made), Some(2));
    assert_eq!(response.extensions().get(), Some(&"another's"));
    assert_eq!(response.extensions().len(), 3);
}

#[tokio::test]
async fn a_word_that_cannot_stand_in_a_header_leaves_the_trail_out() {
    let context = context();
    context.record(attempt(Some("east"), Outcome::Word("two\nlines"), 1));
    let response = answer(Reply::ok().extension(context)).await;
    assert_eq!(said(&response), [None, None, None, Some("1"), None]);
}

#[tokio::test]
async fn each_answer_has_its_own_facts() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    let layer = ServedByLayer::new();
    let (mut one, mut other) = (layer.layer(probe.clone()), layer.clone().layer(probe));
    handle.next(Reply::ok().extension(served_by(target("east"), Some("m"))).extension(after(3)));
    handle.next(Reply::ok().extension(served_by(target("west"), None)));
    let first = send(&mut one, Request::new(Payload::default())).await.unwrap();
    let second = send(&mut other, Request::new(Payload::default())).await.unwrap();
    assert_eq!([said(&first)[0], said(&second)[0]], [Some("east"), Some("west")]);
    assert_eq!(said(&second)[1..], [None; 4]);
}

#[tokio::test]
async fn an_error_has_no_headers_and_passes() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.next(Reply::error("broke"));
    let error = send(&mut ServedByLayer::new().layer(probe), Request::new(Payload::default())).await.err();
    assert_eq!(error, Some(ProbeError::new("broke")));
}

#[tokio::test]
async fn a_dropped_call_drops_the_inner_one() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.next(Reply::ok().hanging());
    let mut service = ServedByLayer::new().layer(probe);
    let mut call = task::spawn(send(&mut service, Request::new(Payload::default())));
    assert_pending!(call.poll());
    assert_eq!(handle.futures(), 1);
    drop(call);
    drop(service);
    handle.assert_idle();
}

#[test]
fn the_future_adds_one_pointer() {
    let (probe, _handle) = Probe::<ScriptedBody>::new();
    let service = ServedByLayer::new().layer(probe.clone());
    assert_eq!(size_of_future(&service) - size_of_future(&probe), size_of::<usize>());
}

fn size_of_future<S: Service<Request<Payload>>>(_: &S) -> usize {
    size_of::<S::Future>()
}
