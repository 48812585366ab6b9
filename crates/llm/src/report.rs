//! From an error within an answer to what it would have been as an answer of its own.

use std::time::SystemTime;

use buttress_core::StreamFailure;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    Dialect, Format, classify,
    events::Fault,
    phrase::{self, Words},
};

/// A longer error is not kept word for word.
const MAX_REPORT: usize = 64 * 1024;

/// The longest text of a message that is kept where it has to be put into other words.
const MAX_MESSAGE: usize = 4 * 1024;

/// What errors are called, and the status that they have when they come in time. The first that fits counts.
const STATUSES: [(u16, &[&str]); 14] = [
    (
        429,
        &[
            "rate_limit_error",
            "rate_limit_exceeded",
            "too_many_requests",
            "resource_exhausted",
            "throttlingexception",
            "slow_down",
            "requests",
            "tokens",
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "enforced_spend_limit_reached",
        ],
    ),
    (529, &["overloaded_error"]),
    (503, &["overloaded", "unavailable", "service_unavailable", "serviceunavailable", "insufficient_system_resource"]),
    (504, &["timeout_error", "timeout", "deadline_exceeded", "vector_store_timeout"]),
    (402, &["billing_error", "insufficient_balance", "payment_required"]),
    (401, &["authentication_error", "invalid_api_key", "unauthenticated", "unauthorized", "api_key_invalid"]),
    (403, &["permission_error", "permission_denied", "unsupported_country_region_territory", "forbidden"]),
    (404, &["not_found_error", "model_not_found", "not_found", "notfounderror", "deploymentnotfound", "not found"]),
    (409, &["conflict_error"]),
    (410, &["model_decommissioned"]),
    (413, &["request_too_large"]),
    (499, &["cancelled"]),
    (502, &["provider_error", "upstream_error", "bad_gateway"]),
    (
        400,
        &[
            "invalid_request_error",
            "badrequesterror",
            "bad_request",
            "invalid_argument",
            "failed_precondition",
            "context_length_exceeded",
            "content_filter",
            "content_policy_violation",
            "invalid_prompt",
            "invalid_value",
            "unsupported_parameter",
            "bio_policy",
            "data_residency_mismatch",
            "validationexception",
        ],
    ),
];

/// An error that was told within an answer: its true status, and how its format tells it as an answer of its own.
#[derive(Debug)]
pub(crate) struct Report {
    status: StatusCode,
    body: Bytes,
}

// === impl Report ===

impl Report {
    /// Reads `fault`.
    pub(crate) fn of(format: Format, fault: Fault<'_>) -> Self {
        match fault {
            Fault::Field(raw) => Self::of_value(format, raw, true),
            Fault::Whole(raw) => Self::of_value(format, raw, false),
            Fault::Text(text) => Self::of_text(format, &String::from_utf8_lossy(&text[..text.len().min(MAX_MESSAGE)])),
            Fault::Word(word) => {
                let status = by_word(word).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let message = format!("the answer ended with {word}");
                let words = Words { status, kind: None, code: Some(word), param: None, message: &message };
                Self { status, body: phrase::body(format, &words) }
            }
        }
    }

    /// Classifies the error as if it had come with its true status.
    pub(crate) fn failure(self, dialect: Dialect) -> StreamFailure {
        let class = classify(dialect, self.status, &HeaderMap::new(), &self.body, SystemTime::now());
        StreamFailure::reported(class, self.body)
    }

    fn of_value(format: Format, raw: &[u8], field: bool) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(raw) else {
            return Self::of_text(format, "");
        };
        let error = if field { &value } else { value.get("error").filter(|error| error.is_object()).unwrap_or(&value) };
        if let Value::String(text) = error {
            return Self::of_text(format, text);
        }
        let status = status(error);
        if field
            && error.is_object()
            && raw.len() <= MAX_REPORT
            // A response that failed names no type, and as an answer of its own it would.
            && (format != Format::Responses || error.get("type").is_some())
            && let Some(body) = phrase::wrap(format, raw)
        {
            return Self { status, body };
        }
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let code = error.get("code").filter(|code| code.is_number()).map(ToString::to_string);
        let message = text("message").or_else(|| text("detail")).unwrap_or("the answer ended with an error");
        let words = Words {
            status,
            kind: text("type").filter(|kind| *kind != "error"),
            code: text("code").or(code.as_deref()),
            param: text("param"),
            message: beginning(message),
        };
        Self { status, body: phrase::body(format, &words) }
    }

    fn of_text(format: Format, text: &str) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let message = if text.is_empty() { "the answer ended with an error" } else { beginning(text) };
        Self { status, body: phrase::body(format, &Words { status, kind: None, code: None, param: None, message }) }
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns the status that `error` would have come with: the one it names itself, or that of what it is called. Nothing said
/// is a fault of the server.
fn status(error: &Value) -> StatusCode {
    let metadata = error.get("metadata").and_then(|metadata| metadata.get("error_type"));
    let names = [error.get("code"), error.get("type"), error.get("status"), metadata];
    let names = || names.iter().flatten();
    names()
        .find_map(|name| by_number(name))
        .or_else(|| names().filter_map(|name| name.as_str()).find_map(by_word))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn by_number(value: &Value) -> Option<StatusCode> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    let code = u16::try_from(number).ok().filter(|code| (400..600).contains(code))?;
    StatusCode::from_u16(code).ok()
}

fn by_word(word: &str) -> Option<StatusCode> {
    let fits = |(_, words): &&(u16, &[&str])| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    StatusCode::from_u16(STATUSES.iter().find(fits)?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::Verdict;

    fn report(format: Format, error: &str) -> (u16, Verdict, String) {
        let report = Report::of(format, Fault::Field(error.as_bytes()));
        let (status, body) = (report.status.as_u16(), String::from_utf8(report.body.to_vec()).unwrap());
        (status, report.failure(Dialect::OpenAi).class().verdict, body)
    }

    #[test]
    fn an_error_has_the_status_that_it_names_or_is_known_by() {
        for (error, status, verdict) in [
            (r#"{"type":"overloaded_error","message":"Overloaded"}"#, 529, Verdict::Transient),
            (r#"{"type":"rate_limit_error"}"#, 429, Verdict::RateLimited),
            (r#"{"type":"api_error"}"#, 500, Verdict::Transient),
            (r#"{"type":"insufficient_quota","code":"insufficient_quota"}"#, 429, Verdict::QuotaExhausted),
            (r#"{"type":"tokens","code":"rate_limit_exceeded"}"#, 429, Verdict::RateLimited),
            (r#"{"code":"server_error","message":"x"}"#, 500, Verdict::Transient),
            (r#"{"code":"invalid_prompt"}"#, 400, Verdict::ContentFiltered),
            (r#"{"code":400,"type":"BadRequestError"}"#, 400, Verdict::CallerFault),
            (r#"{"code":502,"message":"Provider returned error"}"#, 502, Verdict::Transient),
            (r#"{"code":"503"}"#, 503, Verdict::Transient),
            (r#"{"code":429,"status":"RESOURCE_EXHAUSTED"}"#, 429, Verdict::RateLimited),
            (r#"{"status":"UNAVAILABLE"}"#, 503, Verdict::Transient),
            (r#"{"code":"context_length_exceeded","type":"invalid_request_error"}"#, 400, Verdict::ContextTooLong),
            (r#"{"type":"authentication_error"}"#, 401, Verdict::CredentialDead),
            (r#"{"code":200}"#, 500, Verdict::Transient),
            (r#"{"code":3505}"#, 500, Verdict::Transient),
            (r#"{"code":-1,"type":null,"status":[]}"#, 500, Verdict::Transient),
            (r#""unexpected""#, 500, Verdict::Transient),
            ("[]", 500, Verdict::Transient),
        ] {
            let found = report(Format::Chat, error);
            assert_eq!((found.0, found.1), (status, verdict), "{error}");
        }
    }

    #[test]
    fn an_error_in_its_own_format_is_kept_word_for_word() {
        let error = "{\"code\":429,\n \"metadata\":{\"error_type\":\"x\"}}";
        assert_eq!(report(Format::Chat, error).2, "{\"error\":{\"code\":429,  \"metadata\":{\"error_type\":\"x\"}}}");
        let error = r#"{"code":"overloaded","message":"busy"}"#;
        let expected = r#"{"error":{"message":"busy","type":"server_error","param":null,"code":"overloaded"}}"#;
        assert_eq!(report(Format::Responses, error).2, expected, "save the type, which a failed response has not");
        let error = r#"{"type":"overloaded_error"}"#;
        assert_eq!(report(Format::Messages, error).2, r#"{"type":"error","error":{"type":"overloaded_error"}}"#);
    }

    #[test]
    fn a_report_is_bounded() {
        let error = serde_json::json!({"message": "ß".repeat(100_000), "code": "server_error"}).to_string();
        let (status, _, body) = report(Format::Chat, &error);
        assert_eq!(status, 500);
        assert!(body.len() < 2 * MAX_MESSAGE && body.contains("server_error"));
    }
}
