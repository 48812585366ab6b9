//! A token bucket beneath a target: the provider's own headers shape what is sent to it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    convert::Infallible,
    future::ready,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use buttress_core::{Body, Payload};
use buttress_llm::Inspect;
use buttress_token_bucket::{Costs, Dimension, Limit, Limits, Queue, TokenBucketLayer};
use http::{Request, Response};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

/// What this client thinks that the provider allows: sixty requests and 6,000 input tokens in a minute.
fn layer() -> TokenBucketLayer {
    let limits = [
        Limit::try_new("requests", Dimension::REQUESTS, 60, MINUTE).unwrap(),
        Limit::try_new("input", Dimension::INPUT_TOKENS, 6_000, MINUTE).unwrap(),
    ];
    TokenBucketLayer::new(Limits::try_new(limits).unwrap()).heed_headroom()
}

/// Sends so many requests of 100 input tokens to a provider that answers with `headers`. Returns the status of each answer, how many
/// of them the provider has seen, and how long it took.
async fn send(
    number: usize,
    queue: Queue,
    headers: &'static [(&'static str, &'static str)],
) -> (Vec<u16>, usize, Duration) {
    let seen = Arc::new(AtomicUsize::new(0));
    let provider = {
        let seen = Arc::clone(&seen);
        service_fn(move |_: Request<Payload>| {
            seen.fetch_add(1, Ordering::Relaxed);
            let mut response = Response::builder();
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            ready(Ok::<_, Infallible>(response.body(Body::default()).unwrap()))
        })
    };
    let costs = |_: &Request<Payload>| Costs::tokens(100, 0);
    let service = ServiceBuilder::new().layer(layer().estimate(costs).queue(queue)).service(Inspect::new(provider));
    let begun = tokio::time::Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..number {
        let response = service.clone().oneshot(Request::new(Payload::default())).await.unwrap();
        statuses.push(response.status().as_u16());
    }
    (statuses, seen.load(Ordering::Relaxed), tokio::time::Instant::now() - begun)
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_sent_than_openai_says_are_left() {
    let headers: &[_] = &[
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "2"),
        ("x-ratelimit-reset-requests", "58s"),
    ];
    let (statuses, seen, _) = send(6, Queue::NONE, headers).await;
    assert_eq!((statuses, seen), (vec![200, 200, 200, 429, 429, 429], 3), "others have used the rest");
}

#[tokio::test(start_paused = true)]
async fn what_anthropic_says_of_input_tokens_bounds_input_tokens() {
    let headers: &[_] = &[
        ("date", "Thu, 21 Aug 2025 12:40:00 GMT"),
        ("anthropic-ratelimit-input-tokens-limit", "6000"),
        ("anthropic-ratelimit-input-tokens-remaining", "250"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:57Z"),
    ];
    let (statuses, seen, _) = send(5, Queue::NONE, headers).await;
    assert_eq!((statuses, seen), (vec![200, 200, 200, 429, 429], 3), "250 are two requests more");
}

#[tokio::test(start_paused = true)]
async fn with_a_queue_requests_wait_for_the_provider_instead_of_being_refused_by_it() {
    let headers: &[_] = &[("x-ratelimit-remaining-requests", "2"), ("x-ratelimit-reset-requests", "58s")];
    let queue = Queue::of(NonZeroU32::new(10).unwrap());
    let (statuses, seen, took) = send(6, queue, headers).await;
    assert_eq!((statuses, seen), (vec![200; 6], 6));
    assert_eq!(took, Duration::from_secs(3), "one comes each second");
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_does_not_say_bounds_nothing() {
    let (statuses, seen, _) = send(61, Queue::NONE, &[]).await;
    assert_eq!((seen, statuses[59], statuses[60]), (60, 200, 429), "but what this client thinks itself");
}
