//! What an answer tells of the limits of its target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{convert::Infallible, future::ready, time::Duration};

use buttress_core::{Body, Headroom, Measure, Room};
use buttress_llm::Inspect;
use http::{Request, Response};
use tower::{ServiceExt as _, service_fn};

async fn headroom(status: u16, headers: &'static [(&'static str, &'static str)]) -> Option<Headroom> {
    let client = service_fn(move |_: Request<()>| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        ready(Ok::<_, Infallible>(response.body(Body::default()).unwrap()))
    });
    let response = Inspect::new(client).oneshot(Request::new(())).await.unwrap();
    response.extensions().get().copied()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn an_answer_tells_what_is_left_in_the_form_of_its_provider() {
    let openai: &[_] = &[
        ("x-ratelimit-limit-requests", "1000"),
        ("x-ratelimit-remaining-requests", "999"),
        ("x-ratelimit-reset-requests", "60ms"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "300"),
        ("x-ratelimit-reset-tokens", "6m0.5s"),
    ];
    let expected = Room::new(300, Some(30_000), ms(360_500));
    let told = headroom(200, openai).await.unwrap();
    assert_eq!(told.scarcest(), Some(expected));
    assert_eq!(told.measured(Measure::Tokens), Some(expected));
    assert_eq!(told.measured(Measure::Requests), Some(Room::new(999, Some(1000), ms(60))));
    let azure: &[_] = &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "10")];
    assert_eq!(headroom(200, azure).await.unwrap().used_up(), Some(ms(10_000)));
    let anthropic: &[_] = &[
        ("date", "Thu, 21 Aug 2025 12:40:00 GMT"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2025-08-21T12:40:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "80000"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:59Z"),
    ];
    let told = headroom(200, anthropic).await.unwrap();
    assert_eq!(told.used_up(), Some(ms(59_000)));
    assert_eq!(told.measured(Measure::InputTokens).map(|room| room.left), Some(0));
    assert_eq!([Measure::Tokens, Measure::OutputTokens].map(|measure| told.measured(measure)), [None; 2]);
}

#[tokio::test]
async fn what_says_nothing_certain_leaves_nothing() {
    for headers in [
        &[][..],
        &[("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "1s")],
        &[("x-ratelimit-remaining-tokens", "0")],
        &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "soon")],
        &[("anthropic-ratelimit-unified-status", "allowed"), ("anthropic-ratelimit-unified-reset", "1755780059")],
        &[("anthropic-priority-input-tokens-remaining", "0"), ("anthropic-priority-input-tokens-reset", "10")],
    ] {
        assert_eq!(headroom(200, headers).await, None, "{headers:?}");
    }
    let failed: &[_] = &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1s")];
    assert_eq!(headroom(429, failed).await, None, "a failure says how long by its class");
}
