//! What callers are told.

use std::time::Duration;

use buttress_core::{Refusal, Usage};
use buttress_testkit::TraceGuard;
use buttress_token_bucket::{ByApiKey, Costs, Dimension, Limit, Limits, RateLimited, TokenBucketLayer};

use crate::support::{Answer, MINUTE, ask, both, ends, estimate, from, over_probe, read, requests, send, tokens};

/// Every header that may tell of rates, with its text, in the order of their names.
fn told(answer: &Answer) -> Vec<(&str, &str)> {
    let all = answer.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().expect("it is text")));
    let mut rates: Vec<_> = all.filter(|(name, _)| name.contains("rate") || name.starts_with("retry")).collect();
    rates.sort_unstable();
    rates
}

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
async fn every_header_of_an_answer_has_exactly_this_text() {
    let (service, _probe) = over_probe(&TokenBucketLayer::new(both(60, 1_000)).estimate(estimate).announce());
    let answer = send(&service, ask(90, 11)).await;
    let all = [
        ("ratelimit", r#""requests";r=59;t=1, "tokens";r=899;t=7"#),
        ("ratelimit-policy", r#""requests";q=60;w=60, "tokens";q=1000;qu="llm-tokens";w=60"#),
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-remaining-tokens", "899"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-reset-tokens", "6.06s"),
    ];
    assert_eq!(told(&answer), all);
}

#[tokio::test(start_paused = true)]
async fn a_full_bucket_is_told_as_full_and_of_no_other_dimension_anything_is_told() {
    let (service, _probe) = over_probe(&TokenBucketLayer::new(tokens(1_000)).estimate(estimate).announce());
    let all = [
        ("ratelimit", r#""tokens";r=1000;t=0"#),
        ("ratelimit-policy", r#""tokens";q=1000;qu="llm-tokens";w=60"#),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "1000"),
        ("x-ratelimit-reset-tokens", "0s"),
    ];
    assert_eq!(told(&send(&service, ask(0, 0)).await), all);
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_told_as_nothing_left_and_by_when_it_is_refilled() {
    let layer = TokenBucketLayer::new(both(60, 1_000)).estimate(estimate).announce();
    let (service, probe) = over_probe(&layer);
    probe.always(ends(Some(Usage::new(1_500, 0))));
    read(send(&service, ask(10, 0)).await).await;
    let all = [
        ("ratelimit", r#""requests";r=59, "tokens";r=0;t=42"#),
        ("ratelimit-policy", r#""requests";q=60;w=60, "tokens";q=1000;qu="llm-tokens";w=60"#),
        ("retry-after", "42"),
        ("retry-after-ms", "42000"),
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-reset-tokens", "1m30s"),
    ];
    assert_eq!(told(&send(&service, ask(200, 0)).await), all);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_can_never_pass_is_told_no_time() {
    let limits = Limits::try_new([requests(60), tokens(1_000).quota()]).expect("two limits");
    let (service, _probe) = over_probe(&TokenBucketLayer::new(limits).estimate(estimate));
    let answer = send(&service, ask(2_000, 0)).await;
    let all = [
        ("ratelimit", r#""requests";r=60, "tokens";r=1000"#),
        ("ratelimit-policy", r#""requests";q=60;w=60, "tokens";q=1000;qu="llm-tokens";w=60"#),
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-requests", "60"),
        ("x-ratelimit-remaining-tokens", "1000"),
        ("x-ratelimit-reset-requests", "0s"),
        ("x-ratelimit-reset-tokens", "0s"),
    ];
    assert_eq!((answer.status().as_u16(), told(&answer)), (413, all.to_vec()));
    let why = answer.extensions().get::<RateLimited>().expect("the reason").to_string();
    let text = "the request is larger than can ever be let in: tokens of 1000 llm-tokens in 60s, 1000 at once";
    assert_eq!(why, text);
    let body = format!(
        r#"{{"error":{{"message":"{text}","type":"invalid_request_error","param":null,"code":"request_too_large"}}}}"#
    );
    assert_eq!(read(answer).await, body);
}

#[tokio::test(start_paused = true)]
async fn of_several_limits_on_one_dimension_the_tightest_is_told() {
    let of = |name, dimension, amount, time| {
        Limit::try_new(name, dimension, amount, Duration::from_secs(time)).expect("it makes sense")
    };
    let limits = Limits::try_new([
        of("rps", Dimension::REQUESTS, 2, 1),
        of("in", Dimension::INPUT_TOKENS, 1_000, 60),
        of("out", Dimension::OUTPUT_TOKENS, 500, 60),
        of("rpd", Dimension::REQUESTS, 86_400, 86_400),
        of("money", Dimension::NANO_DOLLARS, 7, 3_600),
    ]);
    let layer = TokenBucketLayer::new(limits.expect("five limits")).estimate(estimate).announce();
    let (service, _probe) = over_probe(&layer);
    let all = [
        ("ratelimit", r#""rps";r=1;t=1, "in";r=800;t=12, "out";r=200;t=36, "rpd";r=86399;t=1, "money";r=7;t=0"#),
        (
            "ratelimit-policy",
            concat!(
                r#""rps";q=2;w=1, "in";q=1000;qu="input-tokens";w=60, "out";q=500;qu="output-tokens";w=60, "#,
                r#""rpd";q=86400;w=86400, "money";q=7;qu="nano-dollars";w=3600"#
            ),
        ),
        ("x-ratelimit-limit-requests", "2"),
        ("x-ratelimit-limit-tokens", "500"),
        ("x-ratelimit-remaining-requests", "1"),
        ("x-ratelimit-remaining-tokens", "200"),
        ("x-ratelimit-reset-requests", "500ms"),
        ("x-ratelimit-reset-tokens", "36s"),
    ];
    assert_eq!(told(&send(&service, ask(200, 300)).await), all);
}

#[tokio::test(start_paused = true)]
async fn numbers_too_large_for_a_header_are_the_largest_that_fit() {
    let limits = Limit::try_new("a", Dimension::TOKENS, u64::MAX, MINUTE).expect("it makes sense").max_debt(u64::MAX);
    let layer = TokenBucketLayer::new(limits).announce().estimate(|_: &_| Costs::tokens(1, 0));
    let (service, _probe) = over_probe(&layer);
    let all = [
        // RFC 9651 allows no more digits.
        ("ratelimit", r#""a";r=999999999999999;t=1"#),
        ("ratelimit-policy", r#""a";q=999999999999999;qu="llm-tokens";w=60"#),
        ("x-ratelimit-limit-tokens", "18446744073709551615"),
        ("x-ratelimit-remaining-tokens", "18446744073709551614"),
        ("x-ratelimit-reset-tokens", "1ms"),
    ];
    assert_eq!(told(&send(&service, ask(0, 0)).await), all);
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
