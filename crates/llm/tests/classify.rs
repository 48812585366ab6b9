//! What an answer means.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::{Duration, SystemTime};

use buttress_core::{Class, Outcome, RetryHint, Verdict};
use buttress_llm::{Dialect, classify};
use http::{HeaderMap, HeaderName, StatusCode};
use proptest::prelude::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

type Pairs<'a> = &'a [(&'static str, &'a str)];

fn headers(pairs: Pairs<'_>) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn class(dialect: Dialect, status: u16, pairs: Pairs<'_>, body: &str, now: SystemTime) -> Class {
    classify(dialect, StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes(), now)
}

fn verdict(status: u16, body: &str) -> Verdict {
    class(Dialect::OpenAi, status, &[], body, NOW).verdict
}

fn azure(status: u16, pairs: Pairs<'_>, body: &str) -> Verdict {
    class(Dialect::Azure, status, pairs, body, NOW).verdict
}

fn after(pairs: Pairs<'_>, body: &str) -> Option<Duration> {
    class(Dialect::OpenAi, 429, pairs, body, NOW).hint.after
}

fn error(kind: &str, code: &str) -> String {
    format!(r#"{{"error":{{"message":"Something.","type":"{kind}","param":null,"code":"{code}"}}}}"#)
}

fn message(text: &str) -> String {
    format!(r#"{{"error":{{"message":"{text}","type":null,"param":null,"code":null}}}}"#)
}

const fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

#[test]
fn one_status_has_many_meanings() {
    use Verdict::*;
    for (status, body, expected) in [
        (429, error("requests", "rate_limit_exceeded"), RateLimited),
        (429, error("tokens", "rate_limit_exceeded"), RateLimited),
        (429, error("insufficient_quota", "insufficient_quota"), QuotaExhausted),
        (429, error("insufficient_quota", "unknown"), QuotaExhausted),
        (429, error("x", "credit_balance_exhausted"), QuotaExhausted),
        (429, error("x", "organization_spend_limit_exceeded"), QuotaExhausted),
        (429, error("x", "project_spend_limit_exceeded"), QuotaExhausted),
        (429, error("x", "organization_usage_limit_exceeded"), QuotaExhausted),
        (429, message("Your credit balance is too low"), QuotaExhausted),
        (429, message("Your account is not active, please check your billing details"), CredentialDead),
        (429, error("requests", "slow_down"), CapacityByDesign),
        (503, error("slow_down", "slow_down"), CapacityByDesign),
        (429, message("Resource Unavailable"), CapacityByDesign),
        (498, error("x", "capacity_exceeded"), CapacityByDesign),
        (402, message("Insufficient Balance"), QuotaExhausted),
        (401, error("invalid_request_error", "invalid_api_key"), CredentialDead),
        (403, error("x", "unsupported_country_region_territory"), CredentialDead),
        (403, error("invalid_request_error", "model_not_found"), ModelGone),
        (404, error("invalid_request_error", "model_not_found"), ModelGone),
        (404, message("The model `x` does not exist"), ModelGone),
        (400, error("invalid_request_error", "model_decommissioned"), ModelGone),
        (410, String::new(), ModelGone),
        (404, message("Unknown request URL: POST /v2/chat."), CallerFault),
        (400, error("invalid_request_error", "context_length_exceeded"), ContextTooLong),
        (400, message("This model's maximum context length is 8192 tokens."), ContextTooLong),
        (400, message("prompt is too long: 9 tokens > 8 maximum"), ContextTooLong),
        (413, error("request_too_large", ""), ContextTooLong),
        (413, error("tokens", "rate_limit_exceeded"), RateLimited),
        (413, "<html>".to_owned(), CallerFault),
        (400, error("x", "content_policy_violation"), ContentFiltered),
        (400, error("invalid_request_error", "invalid_value"), CallerFault),
        (405, String::new(), CallerFault),
        (409, String::new(), Transient),
        (415, String::new(), CallerFault),
        (422, String::new(), CallerFault),
        (408, String::new(), Transient),
        (500, error("server_error", "insufficient_quota"), QuotaExhausted),
        (503, error("server_error", "overloaded"), Transient),
        (529, String::new(), Transient),
        (501, String::new(), CallerFault),
        (200, error("insufficient_quota", "insufficient_quota"), Success),
    ] {
        assert_eq!(verdict(status, &body), expected, "{status} {body}");
    }
}

#[test]
fn azure_has_words_of_its_own() {
    use Verdict::*;
    let front_door = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"Something."}}}}"#);
    let filtered = |key: &str, outer: &str| {
        format!(
            r#"{{"error":{{"message":"Filtered.","type":null,"param":"prompt","code":"{outer}","status":400,
                "{key}":{{"code":"ResponsibleAIPolicyViolation","content_filter_result":{{"hate":{{"filtered":true}}}}}}}}}}"#
        )
    };
    for (status, body, expected) in [
        (400, filtered("innererror", "content_filter"), ContentFiltered),
        (400, filtered("innererror", "invalid_request_error"), ContentFiltered),
        (400, filtered("inner_error", "invalid_request_error"), ContentFiltered),
        (401, front_door("401"), CredentialDead),
        (403, front_door("AuthenticationTypeDisabled"), CredentialDead),
        (404, front_door("DeploymentNotFound"), ModelGone),
        (404, front_door("404"), CallerFault),
        (408, front_door("Timeout"), Transient),
        (410, front_door("ModelDeprecated"), ModelGone),
        (429, front_door("429"), RateLimited),
        (500, front_door("InternalServerError"), Transient),
        (503, front_door("ServiceUnavailable"), Transient),
    ] {
        assert_eq!(azure(status, &[], &body), expected, "{status} {body}");
    }
}

#[test]
fn provisioned_throughput_in_full_use_is_no_fault_and_no_rate() {
    let full = message("Requests have exceeded the provisioned throughput utilization. Please retry after 1 second.");
    assert_eq!(azure(429, &[], &full), Verdict::CapacityByDesign);
    assert_eq!(azure(429, &[("azure-openai-deployment-utilization", "100.0%")], ""), Verdict::CapacityByDesign);
    assert_eq!(azure(429, &[("x-ms-spillover-error", "429")], ""), Verdict::CapacityByDesign);
    let rate = message("You have exceeded the token rate limit of your pricing tier. Please retry after 6 seconds.");
    assert_eq!(azure(429, &[("retry-after-ms", "10")], &rate), Verdict::RateLimited);
    assert_eq!(verdict(429, &full), Verdict::RateLimited, "these are Azure's words");
}

#[test]
fn every_shape_of_an_error_is_read() {
    for body in [
        r#"{"error":{"code":"insufficient_quota"}}"#,
        r#"{"error":{"code":null,"type":"insufficient_quota"}}"#,
        r#"{"error":{"code":429,"type":"insufficient_quota"}}"#,
        r#"{"object":"error","message":"x","type":"insufficient_quota","code":429}"#,
        r#"[{"error":{"code":"insufficient_quota"}}]"#,
        r#"{"error":"Your credit balance is too low"}"#,
        r#"{"detail":"Your credit balance is too low"}"#,
        "Your credit balance is too low",
        "<html>Your CREDIT balance",
        "{\"error\":{\"message\":\"Your credit balance is cut o",
    ] {
        assert_eq!(verdict(429, body), Verdict::QuotaExhausted, "{body}");
    }
    for body in
        ["", "null", "[]", "{}", "\"x\"", "{\"error\":null}", "{\"error\":[1]}", "{\"error\":{\"code\":{}}}", "\u{0}"]
    {
        assert_eq!(verdict(429, body), Verdict::RateLimited, "{body}");
    }
    let late = format!("{}credit balance", "x".repeat(512));
    assert_eq!(verdict(429, &late), Verdict::RateLimited, "only the beginning of what is not JSON counts");
}

#[test]
fn a_caller_cannot_spoil_the_credential_by_what_it_asks() {
    let echoed = message("Invalid value: 'credit balance, spend limit, account is not active, model not found'");
    assert_eq!(verdict(400, &echoed), Verdict::CallerFault);
    assert_eq!(verdict(422, &echoed), Verdict::CallerFault);
    let flagged = r#"{"error":{"code":403,"message":"Flagged","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#;
    assert_eq!(verdict(403, flagged), Verdict::ContentFiltered, "one prompt, not the key");
    let hint = class(Dialect::OpenAi, 400, &[], &message("'try again in 9h' is no number"), NOW).hint;
    assert_eq!(hint, RetryHint::NONE);
}

#[test]
fn a_brokers_402_may_be_a_rate() {
    let by =
        |source: &str| format!(r#"{{"error":{{"code":402,"message":"x","metadata":{{"limit_source":"{source}"}}}}}}"#);
    assert_eq!(verdict(402, &by("openrouter_in_flight_budget")), Verdict::RateLimited);
    assert_eq!(verdict(402, &by("openrouter_credits")), Verdict::QuotaExhausted);
    assert_eq!(verdict(402, &by("openrouter_key_limit")), Verdict::QuotaExhausted);
}

#[test]
fn what_was_turned_away_at_the_door_was_not_begun() {
    let begun = |status, body: &str| class(Dialect::OpenAi, status, &[], body, NOW).begun;
    for status in [400, 401, 402, 403, 404, 410, 413, 429] {
        assert!(!begun(status, ""), "{status}");
    }
    assert!(!begun(429, &error("requests", "slow_down")));
    for status in [408, 409, 500, 502, 503, 504] {
        assert!(begun(status, ""), "{status}");
    }
    assert_eq!(class(Dialect::OpenAi, 503, &[], "", NOW).outcome, Outcome::Status(StatusCode::SERVICE_UNAVAILABLE));
}

#[test]
fn headers_come_before_the_body_and_the_body_before_the_limits() {
    let spent: Pairs<'_> = &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")];
    let body = message("Rate limit reached. Please try again in 20s.");
    assert_eq!(after(&[spent, &[("retry-after", "2")]].concat(), &body), ms(2_000));
    assert_eq!(after(spent, &body), ms(20_000));
    assert_eq!(after(spent, ""), ms(360_000));
    assert_eq!(after(&[spent, &[("retry-after", "soon")]].concat(), ""), ms(360_000), "what does not parse is absent");
    assert_eq!(after(&[], ""), None);
    let word = class(Dialect::OpenAi, 400, &[("x-should-retry", "true")], "", NOW);
    assert_eq!((word.verdict, word.hint.should_retry), (Verdict::CallerFault, Some(true)));
}

#[test]
fn a_wait_is_found_in_the_words_of_a_message() {
    for (text, expected) in [
        ("Rate limit reached. Please try again in 20s. Visit the site.", ms(20_000)),
        ("Please try again in 6ms.", ms(6)),
        ("Please try again in 1m12s. Visit", ms(72_000)),
        ("Please try again in 1.5s", ms(1_500)),
        ("Please retry in 10h17m5.72s.", ms(37_025_720)),
        ("Please retry after 6 seconds.", ms(6_000)),
        ("Please retry after 1 second", ms(1_000)),
        ("Please retry after 250 milliseconds, or", ms(250)),
        ("Try Again In 2 minutes", ms(120_000)),
        ("try again in 7", ms(7_000)),
        ("try again in 7, please", ms(7_000)),
        ("please try again later", None),
        ("try again in a moment", None),
        ("try again in 5 parsecs", None),
        ("try again in -5s", None),
        ("try again in 5x", None),
        ("try again in ", None),
        ("try again in soon; retry after 3 seconds", ms(3_000)),
    ] {
        assert_eq!(after(&[], &message(text)), expected, "{text}");
    }
}

#[test]
fn a_wait_is_found_in_the_fields_of_a_body() {
    for (fields, expected) in [
        (r#""retry_after":3"#, ms(3_000)),
        (r#""retry_after":"1.5""#, ms(1_500)),
        (r#""retry_after":0"#, ms(0)),
        (r#""metadata":{"retry_after_seconds":4}"#, ms(4_000)),
        (r#""retry_after":-1"#, None),
        (r#""retry_after":null"#, None),
        (r#""retry_after":[1]"#, None),
        (r#""retry_after":1e300"#, Some(RetryHint::MAX)),
    ] {
        assert_eq!(after(&[], &format!(r#"{{"error":{{"message":"x",{fields}}}}}"#)), expected, "{fields}");
    }
}

#[test]
fn the_reset_of_what_is_used_up_counts() {
    let reset = |requests: (&str, &str), tokens: (&str, &str)| {
        after(
            &[
                ("x-ratelimit-remaining-requests", requests.0),
                ("x-ratelimit-reset-requests", requests.1),
                ("x-ratelimit-remaining-tokens", tokens.0),
                ("x-ratelimit-reset-tokens", tokens.1),
            ],
            "",
        )
    };
    assert_eq!(reset(("50", "12ms"), ("0", "6m0s")), ms(360_000));
    assert_eq!(reset(("0", "12ms"), ("50", "6m0s")), ms(12));
    assert_eq!(reset(("0", "12ms"), ("0", "6m0s")), ms(360_000), "both are used up: the longer");
    assert_eq!(reset(("50", "12ms"), ("50", "6m0s")), ms(360_000), "one request larger than the tokens left");
    assert_eq!(reset(("-1", "12ms"), ("-1", "-1")), None, "unknown");
    let project = [("x-ratelimit-remaining-project-tokens", "0"), ("x-ratelimit-reset-project-tokens", "2s")];
    assert_eq!(after(&project, ""), ms(2_000));
    let spent: Pairs<'_> = &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "5s")];
    assert_eq!(class(Dialect::OpenAi, 500, spent, "", NOW).hint.after, None, "no limit was hit");
}

#[test]
fn a_reset_is_read_in_every_form() {
    let reset = |value: &str| after(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", value)], "");
    for (value, expected) in [
        ("1s", ms(1_000)),
        ("12ms", ms(12)),
        ("6m0s", ms(360_000)),
        ("1h2m3.5s", ms(3_723_500)),
        ("2m59.56s", ms(179_560)),
        ("7.66s", ms(7_660)),
        ("1500us", Some(Duration::from_micros(1_500))),
        ("500ns", Some(Duration::from_micros(1))),
        ("10", ms(10_000)),
        ("0", ms(0)),
        ("0s", ms(0)),
        (" 3 ", ms(3_000)),
        ("2.5", ms(2_500)),
        ("-1", None),
        ("-1s", None),
        ("", None),
        ("s", None),
        ("1", ms(1_000)),
        ("1s2", None),
        ("1 s", None),
        ("1.2.3s", None),
        (".s", None),
        ("inf", None),
        ("NaN", None),
        ("1e5s", None),
        ("99999999999999999999h", Some(RetryHint::MAX)),
        (&"9".repeat(400), Some(RetryHint::MAX)),
    ] {
        assert_eq!(reset(value), expected, "{value:?}");
    }
}

#[test]
fn a_reset_may_be_a_time_of_day() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let reset = |value: &str| {
        let pairs = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", value)];
        class(Dialect::OpenAi, 429, &pairs, "", now).hint.after
    };
    assert_eq!(reset("1700000007"), ms(7_000));
    assert_eq!(reset("1600000000"), ms(0), "it is past");
    assert_eq!(reset("1000000000"), Some(RetryHint::MAX), "a billion seconds are still a wait");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic_or_wait_beyond_the_bound(
        status in 100..1000_u16,
        azure in any::<bool>(),
        body in prop_oneof![
            "\\PC{0,80}",
            "\\{\"error\":\\{\"message\":\"(try again in |retry after )?[0-9.hmsun µ-]{0,24}\",\"retry_after\":[0-9]{1,30}\\}\\}",
        ],
        reset in "[ -~]{0,30}|[0-9.]{0,40}(h|m|s|ms)?",
        remaining in "0|-?[0-9]{0,30}",
    ) {
        let pairs = [
            ("x-ratelimit-remaining-tokens", remaining.as_str()),
            ("x-ratelimit-reset-tokens", reset.as_str()),
        ];
        let dialect = if azure { Dialect::Azure } else { Dialect::OpenAi };
        let class = class(dialect, status, &pairs, &body, NOW);
        prop_assert!(class.hint.after.is_none_or(|wait| wait <= RetryHint::MAX));
        prop_assert_eq!(class.verdict == Verdict::Success, status < 400);
    }

    #[test]
    fn any_bytes_are_classified(status in 400..600_u16, body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = classify(Dialect::OpenAi, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &body, NOW);
    }

    #[test]
    fn a_wait_in_words_is_never_shorter_than_it_says(ms in 0..100_000_000_u64) {
        let go = format!("{}h{}m{}s", ms / 3_600_000, ms / 60_000 % 60, (ms % 60_000) as f64 / 1_000.0);
        let wait = after(&[], &message(&format!("Please try again in {go}."))).unwrap();
        prop_assert!(wait >= Duration::from_millis(ms) && wait <= Duration::from_millis(ms) + Duration::from_micros(1));
    }
}
