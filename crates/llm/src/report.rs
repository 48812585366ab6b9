//! From an error within an answer to what it would have been as an answer of its own.

use std::time::SystemTime;

use buttress_core::StreamFailure;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    Dialect, Format, classify,
    error_body::ErrorBody,
    events::Fault,
    phrase::{self, Words},
    status,
};

/// A longer error is not kept word for word.
const MAX_REPORT: usize = 64 * 1024;

/// The longest text of a message that is kept where it has to be put into other words.
const MAX_MESSAGE: usize = 4 * 1024;

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
                let status = status::of(&ErrorBody::named(word));
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
        let status = status::of(&ErrorBody::of_error(error));
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
        let status = status::of(&ErrorBody::named(text));
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
