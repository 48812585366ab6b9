//! What an answer says of its way, and that it comes through.

use buttress_core::{CallContext, Label, Payload, Refusal, RefusalKind, Rewritten, ServedBy, Target};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::{Reply, Script, ScriptedBody, read, send};
use http::Request;

use super::{asked, failover, get, ms, over, served_by, target, trail};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Marker(u8);

#[tokio::test(start_paused = true)]
async fn an_answer_names_its_target_and_all_attempts_with_their_times() {
    let replies = [Reply::status(503).after(ms(12)), Reply::status(429).after(ms(5)), Reply::ok().after(ms(61))];
    let (mut service, _handle) = over(&failover("eastus westeurope openai"), replies);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!(served_by(&response), Some("openai"));
    assert_eq!(trail(&response), "eastus;503;12ms, westeurope;429;5ms, openai;200;61ms");
}

#[tokio::test(start_paused = true)]
async fn an_answer_names_the_model_that_its_target_was_asked_for() {
    let rewrite = |request: Request<Payload>, target: &Target| -> Result<_, Refusal> {
        let model = Label::try_new(&format!("gpt-{}", target.name())).expect("a valid name");
        Ok(Rewritten::new(request).with_model(model))
    };
    let (mut service, _handle) = over(&failover("east west").rewrite(rewrite), [Reply::status(503)]);
    let response = send(&mut service, get()).await.unwrap();
    let expected = ServedBy { target: target("west"), model: Some(Label::try_new("gpt-west").unwrap()) };
    assert_eq!(response.extensions().get(), Some(&expected));
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_through_whole() {
    let body = Script::new().data("an ").data("answer").trailer("x-end", "1");
    let reply = Reply::status(206).header("x-kind", "part").extension(Marker(7)).body(body);
    let (mut service, _handle) = over(&failover("east west"), [Reply::status(503), reply]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-kind"]), (206, &"part".parse().unwrap()));
    assert_eq!(response.headers().len(), 1, "nothing is added");
    assert_eq!(response.extensions().get(), Some(&Marker(7)));
    let received = read(response.into_body()).await;
    assert_eq!((received.bytes().as_ref(), received.trailers.is_some()), (&b"an answer"[..], true));
}

#[tokio::test(start_paused = true)]
async fn a_request_reaches_each_target_as_it_came() {
    let (mut service, handle) =
        over(&failover("east west"), [Reply::status(503).reading_all(), Reply::ok().reading_all()]);
    let mut request = get();
    *request.method_mut() = http::Method::PUT;
    *request.uri_mut() = "/v1/deployments/a%20b?api-version=1&x=".parse().unwrap();
    request.headers_mut().append("x-many", "1".parse().unwrap());
    request.headers_mut().append("x-many", "2".parse().unwrap());
    request.extensions_mut().insert(Marker(1));
    drop(send(&mut service, request).await);

    assert_eq!(asked(&handle), "east west");
    for seen in handle.seen() {
        assert_eq!(
            (seen.method.as_str(), seen.uri.to_string().as_str()),
            ("PUT", "/v1/deployments/a%20b?api-version=1&x=")
        );
        assert_eq!(seen.headers.get_all("x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(seen.headers.len(), 2);
        assert_eq!(seen.extensions.get(), Some(&Marker(1)));
        assert_eq!(seen.data.concat(), b"question");
        assert!(seen.extensions.get::<CallContext>().is_some(), "layers further in find the context");
    }
}

#[tokio::test(start_paused = true)]
async fn each_target_finds_the_one_context_of_a_request_that_came_with_none() {
    let replies = [Reply::status(503), Reply::status(503), Reply::ok()];
    let (mut service, handle) = over(&failover("east west north"), replies);
    drop(send(&mut service, get()).await);
    let seen = handle.seen().into_iter();
    let made = seen.map(|seen| seen.extensions.get::<CallContext>().map(CallContext::attempts_made));
    assert_eq!(made.collect::<Vec<_>>(), [Some(3); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_streams_reaches_each_target_whole() {
    let (probe, handle) = buttress_testkit::Probe::<ScriptedBody>::new();
    handle.next(Reply::status(503).reading(1));
    handle.next(Reply::status(503).reading_all());
    handle.next(Reply::ok().reading_all());
    let layer = RegionFailoverLayer::try_new(["east", "west", "north"].map(target)).unwrap();
    let body = Script::new().data("a").yields().data("b").trailer("x-end", "1").body();
    let response = send(&mut tower::Layer::layer(&layer, probe), Request::new(body)).await.unwrap();
    assert_eq!((response.status().as_u16(), asked(&handle).as_str()), (200, "east west north"));
    for seen in &handle.seen()[1..] {
        assert_eq!((seen.data.concat(), seen.trailers.is_some()), (b"ab".to_vec(), true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_target_that_fails_is_quoted_word_for_word() {
    for code in [401, 429, 500, 503] {
        let reply = Reply::status(code).header("retry-after", "7").body(Script::new().data("its own words"));
        let (mut service, _handle) = over(&failover("east"), [reply]);
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!((response.status().as_u16(), served_by(&response)), (code, Some("east")));
        assert_eq!(response.headers()["retry-after"], "7");
        assert!(!response.headers().contains_key("x-should-retry"));
        assert_eq!(read(response.into_body()).await.bytes(), "its own words");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_names_a_target_is_aimed_anew() {
    let (mut service, handle) = over(&failover("east west"), []);
    let mut request = get();
    request.extensions_mut().insert(target("planted"));
    let response = send(&mut service, request).await.unwrap();
    assert_eq!((asked(&handle).as_str(), served_by(&response)), ("east", Some("east")));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_a_target_planted_in_its_answer_is_replaced() {
    let planted = ServedBy { target: target("planted"), model: None };
    let (mut service, _handle) = over(&failover("east west"), [Reply::ok().extension(planted)]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!(served_by(&response), Some("east"));
}

#[tokio::test(start_paused = true)]
async fn the_refusal_of_a_layer_further_in_is_no_targets_answer() {
    let refusal = |kind| Reply::status(503).extension(Refusal::new(kind, "no").class());
    // One that another target may not share, and one that none can help.
    for (names, kind) in [("east", RefusalKind::Overloaded), ("east west", RefusalKind::DeadlineExceeded)] {
        let (mut service, handle) = over(&failover(names), [refusal(kind)]);
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!((response.status().as_u16(), served_by(&response), asked(&handle).as_str()), (503, None, "east"));
    }
    let (mut service, _handle) = over(&failover("east west"), [refusal(RefusalKind::Overloaded)]);
    assert_eq!(served_by(&send(&mut service, get()).await.unwrap()), Some("west"));
}
