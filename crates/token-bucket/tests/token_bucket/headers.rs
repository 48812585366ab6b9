//! What callers are told.

use std::time::Duration;

use buttress_core::Refusal;
use buttress_testkit::TraceGuard;
use buttress_token_bucket::{ByApiKey, Costs, Dimension, Limit, Limits, RateLimited, TokenBucketLayer};

use crate::support::{Answer, MINUTE, ask, both, estimate, from, over_probe, requests, send};

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().expect("it is text"))
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_which_limit_and_for_how_long() {
    let layer = TokenBucketLayer::new(both(60, 1_000)).estimate(estimate);
    let (service, _probe) = over_probe(&layer);
    drop(send(&service, ask(900, 0)).await);
    tokio::time::advance(Duration::from_millis(100)).await;
    let refused = send(&service, ask(200, 0)).await;
    let told = |name| header(&refused, name);
    assert_eq!(refused.status(), 429);
    // 100 + 1.667 are there, and 98.334 are missing: 5.9 s.
    assert_eq!((told("retry-after"), told("retry-after-ms")), (Some("6"), Some("5900")));
    assert_eq!(told("x-should-retry"), Some("true"));
    assert_eq!(told("ratelimit-policy"), Some(r#""requests";q=60;w=60, "tokens";q=1000;qu="llm-tokens";w=60"#));
    assert_eq!(
        told("ratelimit"),
        Some(r#""requests";r=59, "tokens";r=101;t=6"#),
        "no t that is later than Retry-After"
    );
    assert_eq!((told("x-ratelimit-limit-requests"), told("x-ratelimit-remaining-requests")), (Some("60"), Some("59")));
    assert_eq!((told("x-ratelimit-limit-tokens"), told("x-ratelimit-remaining-tokens")), (Some("1000"), Some("101")));
    assert_eq!((told("x-ratelimit-reset-requests"), told("x-ratelimit-reset-tokens")), (Some("900ms"), Some("53.9s")));
    let why = refused.extensions().get::<RateLimited>().expect("the reason");
    assert_eq!(why.limits().map(|limit| limit.name().as_str()).collect::<Vec<_>>(), ["tokens"]);
    assert_eq!(why.to_string(), "the rate limit is reached: tokens of 1000 llm-tokens in 60s");
    assert!(refused.extensions().get::<Refusal>().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_rounded_up_and_never_zero() {
    let layer = TokenBucketLayer::new(requests(60));
    let (service, _probe) = over_probe(&layer);
    for _ in 0..60 {
        drop(send(&service, ask(0, 0)).await);
    }
    tokio::time::advance(Duration::from_millis(100)).await;
    let refused = send(&service, ask(0, 0)).await;
    assert_eq!((header(&refused, "retry-after"), header(&refused, "retry-after-ms")), (Some("1"), Some("900")));
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_is_403_and_no_rate() {
    let quota = Limit::try_new("daily", Dimension::REQUESTS, 2, Duration::from_secs(86_400)).expect("it makes sense");
    let layer = TokenBucketLayer::new(Limits::try_new([requests(60), quota.quota()]).expect("two limits"));
    let (service, _probe) = over_probe(&layer);
    for status in [200, 200, 403] {
        let answer = send(&service, ask(0, 0)).await;
        assert_eq!(answer.status().as_u16(), status);
        if status == 403 {
            assert_eq!(
                (header(&answer, "x-should-retry"), header(&answer, "retry-after")),
                (Some("false"), Some("43200"))
            );
            assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), Some("0"), "of the limit that is tightest");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_only_where_that_was_asked_for() {
    let quiet = TokenBucketLayer::new(requests(60));
    let (service, _probe) = over_probe(&quiet);
    assert_eq!(header(&send(&service, ask(0, 0)).await, "ratelimit"), None);
    let (service, _probe) = over_probe(&quiet.announce());
    let answer = send(&service, ask(0, 0)).await;
    assert_eq!(header(&answer, "ratelimit"), Some(r#""requests";r=58;t=2"#), "the same bucket");
    assert_eq!(header(&answer, "x-ratelimit-reset-requests"), Some("2s"));
    assert_eq!(header(&answer, "retry-after"), None);
}

#[tokio::test(start_paused = true)]
async fn numbers_too_large_for_a_header_are_the_largest_that_fit() {
    let limits = Limit::try_new("a", Dimension::TOKENS, u64::MAX, MINUTE).expect("it makes sense").max_debt(u64::MAX);
    let layer = TokenBucketLayer::new(limits).announce().estimate(|_: &_| Costs::tokens(1, 0));
    let (service, _probe) = over_probe(&layer);
    let answer = send(&service, ask(0, 0)).await;
    assert_eq!(header(&answer, "ratelimit"), Some(r#""a";r=999999999999999;t=1"#), "RFC 9651 allows no more digits");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_never_in_an_event_an_error_or_a_header() {
    let guard = TraceGuard::new();
    let layer = TokenBucketLayer::new(requests(1)).keyed(ByApiKey);
    let (service, _probe) = over_probe(&layer);
    drop(send(&service, from("sk-secret", 0, 0)).await);
    let refused = send(&service, from("sk-secret", 0, 0)).await;
    let why = refused.extensions().get::<RateLimited>().expect("the reason");
    let all = format!(
        "{:?} {why} {why:?} {layer:?} {:?}",
        refused.headers(),
        layer.handle().list(9, tokio::time::Instant::now())
    );
    assert!(!all.contains("sk-secret"), "{all}");
    guard.assert_hides(&["sk-secret"]);
}
