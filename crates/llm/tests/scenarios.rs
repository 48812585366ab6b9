//! What a caller sees when a provider turns a request away: a retry around [`Inspect`], on a paused clock.
//!
//! Upper bounds of waits are the tenth that the retry adds to a hint by chance.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    num::NonZeroU32,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::{Body, Class, Http, Payload, Verdict};
use buttress_llm::{Dialect, Inspect};
use buttress_retry::RetryLayer;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

type Pairs = &'static [(&'static str, &'static str)];

/// An upstream that gives its answers in turn, and 200 after them.
#[derive(Clone, Default)]
struct Upstream(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: VecDeque<Response<Body>>,
    calls: Vec<Instant>,
}

/// What came of one request.
struct Outcome {
    answer: Response<Body>,
    /// How often the upstream was asked.
    calls: usize,
    /// How long lay between the first two times.
    waited: Duration,
}

impl Upstream {
    fn then(self, status: u16, headers: Pairs, body: &'static str) -> Self {
        let mut answer =
            Response::builder().status(status).body(Body::from(Bytes::from_static(body.as_bytes()))).unwrap();
        *answer.headers_mut() = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect::<HeaderMap>();
        self.0.lock().unwrap().answers.push_back(answer);
        self
    }

    /// Asks through a retry of three attempts and a cap of 60 s.
    async fn ask(self, dialect: Dialect) -> Outcome {
        let retry = RetryLayer::new().seed(7).replay(Http).attempts(NonZeroU32::new(3).unwrap()).repeat_all();
        let service = retry.layer(Inspect::new(self.clone()).dialect(dialect));
        let mut request = Request::new(Payload::new(Bytes::from_static(b"{}")));
        *request.method_mut() = Method::POST;
        let answer = service.oneshot(request).await.unwrap();
        let calls = self.0.lock().unwrap().calls.clone();
        let waited = calls.get(1).map_or(Duration::ZERO, |second| *second - calls[0]);
        Outcome { answer, calls: calls.len(), waited }
    }
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Payload>) -> Self::Future {
        let mut state = self.0.lock().unwrap();
        state.calls.push(Instant::now());
        ready(Ok(state.answers.pop_front().unwrap_or_default()))
    }
}

impl Outcome {
    #[track_caller]
    fn succeeded_after(&self, least: u64, most: u64) {
        let waited = self.waited.as_millis() as u64;
        assert_eq!((self.answer.status().as_u16(), self.calls), (200, 2));
        assert!((least..=most).contains(&waited), "waited {waited} ms instead of {least} to {most} ms");
    }

    #[track_caller]
    fn returned_at_once(&self, status: u16) {
        assert_eq!((self.answer.status().as_u16(), self.calls), (status, 1));
    }

    fn verdict(&self) -> Verdict {
        self.answer.extensions().get::<Class>().unwrap().verdict
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

fn limited(headers: Pairs) -> Upstream {
    Upstream::default().then(429, headers, "")
}

const OPENAI: Dialect = Dialect::OpenAi;

#[tokio::test(start_paused = true)]
async fn scenario_1_a_wait_in_seconds_is_kept() {
    limited(&[("retry-after", "2")]).ask(OPENAI).await.succeeded_after(2_000, 2_200);
    assert!(!Verdict::RateLimited.breaker_counts());
}

#[tokio::test(start_paused = true)]
async fn scenario_2_a_part_of_a_second_is_not_cut_off() {
    limited(&[("retry-after", "1.5")]).ask(OPENAI).await.succeeded_after(1_500, 1_650);
}

#[tokio::test(start_paused = true)]
async fn scenario_3_a_date_in_any_form_is_waited_for_and_one_in_the_past_is_not() {
    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:35 GMT");
    const FORMS: [Pairs; 3] = [
        &[DATE, ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")],
        &[DATE, ("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")],
        &[DATE, ("retry-after", "Sun Nov  6 08:49:37 1994")],
    ];
    for headers in FORMS {
        limited(headers).ask(OPENAI).await.succeeded_after(2_000, 2_200);
    }
    limited(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]).ask(OPENAI).await.succeeded_after(0, 0);
}

#[tokio::test(start_paused = true)]
async fn scenario_4_zero_is_a_wait_and_attempts_still_bound_it() {
    limited(&[("retry-after", "0")]).ask(OPENAI).await.succeeded_after(0, 0);
    let always = (0..9).fold(Upstream::default(), |upstream, _| upstream.then(429, &[("retry-after", "0")], ""));
    assert_eq!(always.ask(OPENAI).await.calls, 3);
}

#[tokio::test(start_paused = true)]
async fn scenario_5_a_wait_in_milliseconds_is_kept() {
    limited(&[("retry-after-ms", "350")]).ask(OPENAI).await.succeeded_after(350, 386);
}

#[tokio::test(start_paused = true)]
async fn scenario_6_milliseconds_are_the_finer_word() {
    limited(&[("retry-after-ms", "300"), ("retry-after", "5")]).ask(OPENAI).await.succeeded_after(300, 331);
}

#[tokio::test(start_paused = true)]
async fn scenario_7_beyond_the_cap_the_failure_is_returned_with_its_wait() {
    let outcome = limited(&[("retry-after", "70")]).ask(OPENAI).await;
    outcome.returned_at_once(429);
    assert_eq!(outcome.header("retry-after"), Some("70"));
    assert!(outcome.verdict().try_elsewhere(), "another target may answer at once");
}

#[tokio::test(start_paused = true)]
async fn scenario_8_no_value_of_a_header_breaks_anything() {
    limited(&[("retry-after", "-5")]).ask(OPENAI).await.succeeded_after(0, 0);
    limited(&[("retry-after", "999999999999")]).ask(OPENAI).await.returned_at_once(429);
    for headers in [&[("retry-after", "soon")] as Pairs, &[("retry-after", "NaN")], &[("retry-after", "1e9")]] {
        limited(headers).ask(OPENAI).await.succeeded_after(0, 8_000);
    }
    let next = Upstream::default().then(429, &[("retry-after", "soon")], "Please try again in 3s.");
    next.ask(OPENAI).await.succeeded_after(3_000, 3_300);
}

#[tokio::test(start_paused = true)]
async fn scenario_9_the_providers_no_is_final() {
    let down = Upstream::default().then(503, &[("x-should-retry", "false")], "");
    down.ask(OPENAI).await.returned_at_once(503);
}

#[tokio::test(start_paused = true)]
async fn scenario_10_the_providers_yes_counts_for_any_status() {
    let wrong = Upstream::default().then(400, &[("x-should-retry", "true")], "");
    wrong.ask(OPENAI).await.succeeded_after(0, 8_000);
    let always = (0..9).fold(Upstream::default(), |upstream, _| upstream.then(400, &[("x-should-retry", "true")], ""));
    assert_eq!(always.ask(OPENAI).await.calls, 3, "attempts still bound it");
}

#[tokio::test(start_paused = true)]
async fn scenario_11_the_reset_of_what_is_used_up_counts() {
    let outcome = limited(&[
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("x-ratelimit-remaining-requests", "50"),
        ("x-ratelimit-reset-requests", "12ms"),
    ])
    .ask(OPENAI)
    .await;
    outcome.returned_at_once(429);
    assert_eq!(outcome.header("retry-after"), Some("360"));
}

#[tokio::test(start_paused = true)]
async fn scenario_12_azures_resets_are_seconds_and_less_than_none_is_unknown() {
    limited(&[("x-ratelimit-reset-tokens", "10")]).ask(Dialect::Azure).await.succeeded_after(10_000, 11_000);
    let unknown = limited(&[("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "-1")]);
    let outcome = unknown.ask(Dialect::Azure).await;
    outcome.succeeded_after(0, 8_000);
}

#[tokio::test(start_paused = true)]
async fn scenario_13_a_reset_in_the_past_is_no_wait() {
    let past = limited(&[
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2020-01-01T00:00:00Z"),
    ]);
    past.ask(Dialect::Anthropic).await.succeeded_after(0, 0);
}

const GEMINI: &str = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"46s"}]}}"#;

#[tokio::test(start_paused = true)]
async fn scenario_14_a_wait_in_the_body_is_kept_and_told_in_a_header() {
    Upstream::default().then(429, &[], GEMINI).ask(Dialect::Gemini).await.succeeded_after(46_000, 50_600);
    let always = (0..3).fold(Upstream::default(), |upstream, _| upstream.then(429, &[], GEMINI));
    let outcome = always.ask(Dialect::Gemini).await;
    assert_eq!((outcome.answer.status().as_u16(), outcome.calls), (429, 3));
    assert_eq!((outcome.header("retry-after"), outcome.header("retry-after-ms")), (Some("46"), Some("46000")));
}

#[tokio::test(start_paused = true)]
async fn scenario_15_spent_quota_is_not_asked_again() {
    for body in [
        r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
        r#"{"error":{"code":"credit_balance_exhausted"}}"#,
        r#"{"error":{"code":"organization_spend_limit_exceeded"}}"#,
        r#"{"error":{"code":"project_spend_limit_exceeded"}}"#,
        r#"{"error":{"code":"organization_usage_limit_exceeded"}}"#,
    ] {
        let outcome = Upstream::default().then(429, &[], body).ask(OPENAI).await;
        outcome.returned_at_once(429);
        let verdict = outcome.verdict();
        assert_eq!(verdict, Verdict::QuotaExhausted);
        assert!(verdict.try_elsewhere() && verdict.cools_target() && !verdict.breaker_counts());
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_16_one_request_over_a_minutes_tokens_is_for_another_target() {
    let body = r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#;
    let outcome = Upstream::default().then(413, &[], body).ask(OPENAI).await;
    outcome.returned_at_once(413);
    assert!(outcome.verdict().try_elsewhere());
}

#[tokio::test(start_paused = true)]
async fn scenario_17_of_a_brokers_402_only_what_is_in_flight_passes() {
    let in_flight = r#"{"error":{"code":402,"metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#;
    let upstream = Upstream::default().then(402, &[("retry-after", "1")], in_flight);
    upstream.ask(OPENAI).await.succeeded_after(1_000, 1_100);
    for body in [
        r#"{"error":{"code":402,"metadata":{"limit_source":"openrouter_credits"}}}"#,
        r#"{"error":{"code":402,"metadata":{"limit_source":"openrouter_key_limit"}}}"#,
    ] {
        let outcome = Upstream::default().then(402, &[("retry-after", "1")], body).ask(OPENAI).await;
        outcome.returned_at_once(402);
        assert_eq!(outcome.verdict(), Verdict::QuotaExhausted);
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_18_an_overloaded_provider_is_asked_again_and_its_status_is_kept() {
    const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    Upstream::default().then(529, &[], OVERLOADED).ask(Dialect::Anthropic).await.succeeded_after(0, 8_000);
    let always = (0..3).fold(Upstream::default(), |upstream, _| upstream.then(529, &[], OVERLOADED));
    let outcome = always.ask(Dialect::Anthropic).await;
    assert_eq!((outcome.answer.status().as_u16(), outcome.calls), (529, 3));
}

#[tokio::test(start_paused = true)]
async fn scenario_19_a_request_timeout_is_asked_again() {
    Upstream::default().then(408, &[], "").ask(OPENAI).await.succeeded_after(0, 8_000);
}
