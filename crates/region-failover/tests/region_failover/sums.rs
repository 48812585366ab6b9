//! What the caller hears when every target has failed.

use buttress_core::{Class, Outcome, Refusal, RefusalKind, RetryHint, TransportErrorKind, Verdict};
use buttress_testkit::{Reply, ScriptedBody, read, send};
use http::Response;
use tower::Layer as _;

use super::{asked, failover, get, ms, n, over, post, served_by, trail, unreachable};

async fn answer(replies: impl IntoIterator<Item = Reply>) -> Response<ScriptedBody> {
    let (mut service, handle) = over(&failover("east west north"), replies);
    let response = send(&mut service, get()).await;
    assert_eq!(handle.calls(), 3);
    response.expect("the layer answers")
}

fn class(verdict: Verdict) -> Class {
    Class::new(verdict, Outcome::Word("read"))
}

fn throttled(seconds: &'static str) -> Reply {
    Reply::status(429).header("retry-after", seconds)
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_answer_is_the_layers_own() {
    let response = answer([500, 503, 502].map(|code| Reply::status(code).header("x-own", "1"))).await;
    assert_eq!((response.status().as_u16(), served_by(&response)), (503, None));
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!([header("x-should-retry"), header("retry-after"), header("x-own")], [Some("false"), Some("1"), None]);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(trail(&response), "east;500;0ms, west;503;0ms, north;502;0ms");
    assert_eq!(response.extensions().get::<Refusal>().map(Refusal::kind), Some(RefusalKind::Unavailable));
    let class = response.extensions().get::<Class>().unwrap();
    assert_eq!((class.verdict, class.begun, class.hint), (Verdict::Transient, true, RetryHint::NONE));
    let expected = r#"{"error":{"message":"no target could serve the request","type":"server_error","param":null,"code":"upstream_unavailable"}}"#;
    assert_eq!(read(response.into_body()).await.bytes(), expected);
}

#[tokio::test(start_paused = true)]
async fn when_none_can_be_reached_the_answer_is_the_layers_own() {
    let (upstream, _asked) = unreachable([TransportErrorKind::Connect; 2]);
    let response = send(&mut failover("east west").layer(upstream), get()).await.unwrap();
    assert_eq!((response.status().as_u16(), trail(&response).as_str()), (503, "east;connect;0ms, west;connect;0ms"));
}

#[tokio::test(start_paused = true)]
async fn a_lone_target_that_cannot_be_reached_gave_no_answer_to_quote() {
    let (upstream, _asked) = unreachable([TransportErrorKind::Connect]);
    let response = send(&mut failover("east").layer(upstream), get()).await.unwrap();
    assert_eq!((response.status().as_u16(), served_by(&response)), (503, None));
}

#[tokio::test(start_paused = true)]
async fn throttling_everywhere_is_told_with_the_soonest_hint_rounded_up() {
    let response =
        answer([throttled("30"), Reply::status(429).header("retry-after-ms", "7200"), throttled("12")]).await;
    assert_eq!((response.status().as_u16(), served_by(&response)), (429, None));
    assert_eq!(response.headers()["retry-after"], "8");
    assert_eq!(response.headers()["retry-after-ms"], "7200");
    let class = response.extensions().get::<Class>().unwrap();
    assert_eq!((class.verdict, class.hint.after, class.begun), (Verdict::RateLimited, Some(ms(7_200)), false));
    let body = read(response.into_body()).await.bytes();
    assert!(std::str::from_utf8(&body).unwrap().contains(r#""code":"rate_limit_exceeded""#), "{body:?}");
}

#[tokio::test(start_paused = true)]
async fn throttling_without_a_hint_leaves_the_wait_to_the_layers_further_out() {
    let response = answer([throttled("30"), Reply::status(429), throttled("12")]).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(
        response.extensions().get::<Class>().unwrap().hint.after,
        None,
        "one second is a guess, for clients only"
    );
}

#[tokio::test(start_paused = true)]
async fn one_failure_of_another_kind_makes_it_more_than_throttling() {
    assert_eq!(answer([throttled("30"), Reply::status(503), throttled("12")]).await.status(), 503);
    let full = Reply::status(429).extension(class(Verdict::CapacityByDesign));
    assert_eq!(answer([throttled("30"), full, throttled("12")]).await.status(), 429, "full by design is throttling");
}

#[tokio::test(start_paused = true)]
async fn what_is_dead_for_long_leaves_the_hint_to_the_others() {
    let response = answer([Reply::status(401), throttled("9"), Reply::status(402)]).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"9".parse().unwrap()));
    assert_eq!(response.extensions().get::<Class>().unwrap().hint.after, Some(ms(9_000)));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_has_is_told_in_the_words_of_the_last() {
    let gone = |nth| Reply::status(404).header("x-nth", nth).extension(class(Verdict::ModelGone));
    let response = answer([gone("1"), gone("2"), gone("3")]).await;
    assert_eq!((response.status().as_u16(), served_by(&response)), (404, Some("north")));
    assert_eq!(response.headers()["x-nth"], "3");

    let response = answer([gone("1"), Reply::status(503), gone("3")]).await;
    assert_eq!((response.status().as_u16(), served_by(&response)), (503, None), "one may have it yet");
}

#[tokio::test(start_paused = true)]
async fn a_lone_answer_is_quoted_also_where_others_could_not_be_asked() {
    let (mut service, handle) = over(&failover("east west").allowance(n(1)), [throttled("5")]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), served_by(&response)), (429, Some("east")));
    assert_eq!((asked(&handle).as_str(), &response.headers()["retry-after"]), ("east", &"5".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn several_failures_are_summed_up_also_where_others_could_not_be_asked() {
    let (mut service, handle) = over(&failover("east west north"), [Reply::status(429), Reply::status(500)]);
    let response = send(&mut service, post()).await.unwrap();
    assert_eq!((response.status().as_u16(), asked(&handle).as_str()), (503, "east west"));
    assert!(response.extensions().get::<Class>().unwrap().begun, "the second may have done the work");
}
