//! How long an answer asks to be left alone: published vectors, and every form in which providers write it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::{Duration, SystemTime};

use buttress_core::{RetryHint, Verdict};
use buttress_llm::{Dialect, classify};
use http::{HeaderMap, HeaderName, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

/// 2025-06-15T15:06:40Z, which is 8:06:40 in the morning in California.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000)
}

fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    pairs.into_iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn ask(dialect: Dialect, status: u16, pairs: &[(&str, &str)], body: &str) -> RetryHint {
    let status = StatusCode::from_u16(status).unwrap();
    classify(dialect, status, &headers(pairs.iter().copied()), body.as_bytes(), now()).hint
}

fn after(pairs: &[(&str, &str)], body: &str) -> Option<Duration> {
    ask(Dialect::OpenAi, 429, pairs, body).after
}

const fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

#[test]
fn headers_are_read_as_the_published_vectors_say() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/headers.json"));
    let all: Value = serde_json::from_str(text).unwrap();
    let cases = all["retry_after"]["cases"].as_array().unwrap();
    assert!(!cases.is_empty(), "a table without rows proves nothing");
    for case in cases {
        let pairs =
            case["headers"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let now = match case["now"].as_str() {
            Some("2025-10-21T07:27:00Z") => SystemTime::UNIX_EPOCH + Duration::from_secs(1_761_031_620),
            Some(other) => panic!("a time that the test does not know: {other}"),
            None => now(),
        };
        let hint = classify(Dialect::OpenAi, StatusCode::TOO_MANY_REQUESTS, &headers(pairs), b"", now).hint;
        let expected = case["seconds"].as_f64().map(Duration::from_secs_f64);
        // The one row whose source decides otherwise: it takes the smallest reset. Here it is that of the tokens, since
        // neither is known to be used up, and the two happen to agree.
        assert_eq!(hint.after, expected, "{case}");
    }
}

/// Headers of a 429, and the milliseconds to wait.
const ANTHROPIC: &[(&[(&str, &str)], Option<Duration>)] = &[
    (
        &[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2025-06-15T15:07:40Z"),
        ],
        ms(60_000),
    ),
    (
        &[
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2025-06-15T15:06:40.5Z"),
        ],
        ms(500),
    ),
    (
        &[
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-06-15T17:06:50+02:00"),
        ],
        ms(10_000),
    ),
    (
        &[
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2025-06-15T15:06:41Z"),
        ],
        ms(1_000),
    ),
    (
        &[
            ("anthropic-priority-input-tokens-remaining", "0"),
            ("anthropic-priority-input-tokens-reset", "2025-06-15T15:06:42Z"),
        ],
        ms(2_000),
    ),
    (
        &[
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2025-06-15T15:07:40Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-06-15T15:06:43Z"),
        ],
        ms(3_000),
    ),
    (
        &[
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2025-06-15T15:06:00Z"),
        ],
        ms(0),
    ),
    (&[("anthropic-ratelimit-requests-remaining", "0"), ("anthropic-ratelimit-requests-reset", "soon")], None),
    (
        &[
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2025-06-15T15:07:40Z"),
        ],
        None,
    ),
    (
        &[("anthropic-ratelimit-unified-status", "rejected"), ("anthropic-ratelimit-unified-reset", "1750000060")],
        ms(60_000),
    ),
    (&[("anthropic-ratelimit-unified-status", "allowed"), ("anthropic-ratelimit-unified-reset", "1750000060")], None),
];

#[test]
fn anthropics_resets_are_moments() {
    for (pairs, expected) in ANTHROPIC {
        assert_eq!(after(pairs, ""), *expected, "{pairs:?}");
    }
}

#[test]
fn a_reset_without_what_remains_counts_where_it_stands_alone() {
    assert_eq!(after(&[("x-ratelimit-reset", "12")], ""), ms(12_000), "Together");
    assert_eq!(after(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1750000007")], ""), ms(7_000));
    assert_eq!(
        after(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1750000007500")], ""),
        ms(7_500),
        "of milliseconds"
    );
    assert_eq!(
        after(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "999999999999")], ""),
        Some(RetryHint::MAX)
    );
    assert_eq!(after(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "12")], ""), None, "it is not used up");
    assert_eq!(after(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "12")], ""), ms(12_000));
}

#[test]
fn a_moment_is_taken_relative_to_the_answers_own_time() {
    let date = ("date", "Sun, 15 Jun 2025 14:00:00 GMT");
    let reset = [date, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1749996005")];
    assert_eq!(after(&reset, ""), ms(5_000), "its clock is an hour late, and says so");
    assert_eq!(after(&[date, ("retry-after", "Sun, 15 Jun 2025 14:00:05 GMT")], ""), ms(5_000));
    let broken = [("date", "today"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1750000007")];
    assert_eq!(after(&broken, ""), ms(7_000));
}

#[test]
fn geminis_delay_comes_before_its_words() {
    let body = |delay: &str| {
        format!(
            r#"{{"error":{{"code":429,"message":"Please retry in 9s.","status":"RESOURCE_EXHAUSTED","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{delay}}}]}}}}"#
        )
    };
    for (delay, expected) in [
        (r#""46s""#, ms(46_000)),
        (r#""46.302s""#, ms(46_302)),
        (r#""0s""#, ms(0)),
        (r#""-1s""#, ms(9_000)),
        (r#""soon""#, ms(9_000)),
        (r#""""#, ms(9_000)),
        ("null", ms(9_000)),
        (r#"{"seconds":4}"#, ms(9_000)),
        (r#""315576000000s""#, Some(RetryHint::MAX)),
    ] {
        assert_eq!(ask(Dialect::Gemini, 429, &[], &body(delay)).after, expected, "{delay}");
        let listed = format!("[{}]", body(delay));
        assert_eq!(ask(Dialect::Gemini, 429, &[], &listed).after, expected, "{delay} in a list");
    }
}

#[test]
fn a_quota_of_a_day_lasts_until_midnight_in_california() {
    let body = |quota: &str| {
        format!(
            r#"{{"error":{{"code":429,"message":"Please retry in 36s.","status":"RESOURCE_EXHAUSTED","details":[{{"violations":[{quota}]}},{{"retryDelay":"36s"}}]}}}}"#
        )
    };
    let day = body(r#"{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"50"}"#);
    let class = classify(Dialect::Gemini, StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), day.as_bytes(), now());
    assert_eq!((class.verdict, class.hint.after), (Verdict::QuotaExhausted, ms(57_200_000)), "15 h 53 min 20 s");
    assert_eq!(ask(Dialect::Gemini, 429, &[("retry-after", "5")], &day).after, ms(5_000), "a header comes first");
    let none = body(r#"{"quotaId":"GenerateRequestsPerDay","quotaValue":"0"}"#);
    assert_eq!(ask(Dialect::Gemini, 429, &[], &none).after, None, "no wait changes a limit of zero");
}

#[test]
fn the_first_wait_in_a_message_counts() {
    let message = |text: &str| serde_json::json!({"error": {"message": text}}).to_string();
    for (text, expected) in [
        ("Retry after 5 seconds, or try again in 1s", ms(5_000)),
        ("TRY AGAIN IN 1M12S", ms(72_000)),
        ("Please retry in 10h17m5.72s", ms(37_025_720)),
        ("try again in 1 hour, 2 minutes and 3.5 seconds.", ms(3_723_500)),
        ("try again in 1m 12s", ms(72_000)),
        ("try again in 20s. 5 minutes later all is well", ms(20_000)),
        ("try again in 20 seconds (5 requests left)", ms(20_000)),
        ("\"try again in 20s\"", ms(20_000)),
        ("try again in 99999999999999999999999 days", Some(RetryHint::MAX)),
        ("try again in 1e3 seconds", None),
        ("try again in inf seconds", None),
        ("try again in NaN", None),
        ("try again in ∞ s", None),
    ] {
        assert_eq!(after(&[], &message(text)), expected, "{text}");
    }
    let late = format!("{}try again in 5s", "x".repeat(4 * 1024));
    assert_eq!(after(&[], &message(&late)), None, "the search is bounded");
    let many = format!("{}try again in 5s", "try again in vain ".repeat(100));
    assert_eq!(after(&[], &message(&many)), None, "in places, too");
}

#[test]
fn what_one_form_does_not_tell_the_next_one_may() {
    let spent = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")];
    for (value, expected) in
        [("soon", ms(4_000)), ("NaN", ms(4_000)), ("inf", ms(4_000)), ("", ms(4_000)), ("-5", ms(0)), ("0", ms(0))]
    {
        let pairs = [&spent[..], &[("retry-after", value)]].concat();
        assert_eq!(after(&pairs, r#"{"error":{"retry_after":4}}"#), expected, "{value:?}");
    }
    assert_eq!(after(&spent, r#"{"error":{"retry_after":-4,"metadata":{"retry_after_seconds":"x"}}}"#), ms(360_000));
    assert_eq!(after(&spent, r#"{"retry_after":3,"error":{"message":"m"}}"#), ms(3_000), "beside the error");
}

#[test]
fn one_request_over_the_tokens_of_a_minute_is_not_for_the_same_target_again() {
    let body = r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#;
    let hint = ask(Dialect::OpenAi, 413, &[], body);
    assert_eq!(hint.should_retry, Some(false));
    let told = ask(Dialect::OpenAi, 413, &[("x-should-retry", "true")], body);
    assert_eq!(told.should_retry, Some(true), "but the provider's own word counts");
    assert_eq!(ask(Dialect::OpenAi, 429, &[], body).should_retry, None);
}

proptest! {
    #[test]
    fn no_header_makes_the_wait_negative_or_endless(
        name in prop::sample::select(vec![
            "retry-after", "retry-after-ms", "x-ms-retry-after-ms", "x-ratelimit-reset-tokens", "x-ratelimit-reset",
            "anthropic-ratelimit-requests-reset", "anthropic-ratelimit-unified-reset",
        ]),
        value in "[ -~]{0,40}|-?[0-9]{1,40}([.][0-9]{1,40})?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z",
    ) {
        let spent = [("anthropic-ratelimit-requests-remaining", "0"), (name, value.as_str())];
        for pairs in [&spent[..], &spent[1..]] {
            prop_assert!(after(pairs, "").is_none_or(|wait| wait <= RetryHint::MAX));
        }
    }

    #[test]
    fn a_delay_is_never_shortened(ms in 0..1_000_000_000_u64) {
        let body = format!(r#"{{"error":{{"details":[{{"retryDelay":"{}.{:03}s"}}]}}}}"#, ms / 1_000, ms % 1_000);
        let wait = after(&[], &body).unwrap();
        prop_assert!(wait >= Duration::from_millis(ms) && wait <= Duration::from_millis(ms) + Duration::from_micros(1));
    }
}
