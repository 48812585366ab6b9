//! Errors, as each format tells them.

use buttress_core::StreamFailure;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::{Format, events::Opened, scan};

/// What is to be told of an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    pub(crate) status: StatusCode,
    /// What the target calls this kind of error. Formats whose words follow from the status choose their own.
    pub(crate) kind: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) param: Option<&'a str>,
    pub(crate) message: &'a str,
}

/// How events are set apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Sse,
    Line,
    /// An element of an array, which may be the first.
    Element {
        first: bool,
    },
}

// === impl Format ===

impl Format {
    /// Phrases an error as a whole answer in this format: its content type and its body.
    ///
    /// `code` is a short word for the kind of error (`rate_limited`, `no_target`), and `message` is for people. Chat, completions
    /// and responses carry both, next to a type that follows from the status. Anthropic's and Gemini's envelopes have room for
    /// the message and their own word for the status, and Ollama's for the message only.
    ///
    /// ```
    /// use buttress_llm::Format;
    /// use http::StatusCode;
    ///
    /// let (content_type, body) = Format::Messages.envelope(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests");
    /// assert_eq!(content_type, "application/json");
    /// assert_eq!(body, r#"{"type":"error","error":{"type":"rate_limit_error","message":"too many requests"}}"#);
    /// ```
    #[must_use]
    pub fn envelope(self, status: StatusCode, code: &str, message: &str) -> (HeaderValue, Bytes) {
        (content_type(), body(self, &Words { status, kind: None, code: Some(code), param: None, message }))
    }
}

/// Phrases `failure` as a whole answer. What the target reported stays as it was.
pub(crate) fn envelope(format: Format, failure: &StreamFailure) -> (HeaderValue, Bytes) {
    (content_type(), body_of(format, failure))
}

/// Phrases `failure` as the last event of an answer.
pub(crate) fn closing(format: Format, frame: Frame, failure: &StreamFailure, opened: &Opened) -> Bytes {
    let body = match format {
        Format::Responses => response(failure, opened),
        _ => body_of(format, failure),
    };
    let (before, after): (&[u8], &[u8]) = match (frame, format) {
        (Frame::Sse, Format::Messages) => (b"event: error\ndata: ", b"\n\n"),
        (Frame::Sse, Format::Responses) if opened.id.is_some() => (b"event: response.failed\ndata: ", b"\n\n"),
        (Frame::Sse, Format::Responses) => (b"event: error\ndata: ", b"\n\n"),
        (Frame::Sse, _) => (b"data: ", b"\n\n"),
        (Frame::Line, _) => (b"", b"\n"),
        (Frame::Element { first: true }, _) => (b"", b"]"),
        (Frame::Element { first: false }, _) => (b",\n", b"]"),
    };
    [before, &body, after].concat().into()
}

/// Phrases an error in the envelope of its format.
pub(crate) fn body(format: Format, words: &Words<'_>) -> Bytes {
    let Words { status, kind, code, param, message } = *words;
    let text = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), quoted);
    let message = quoted(message);
    let body = match format {
        Format::Chat | Format::Completions | Format::Responses | Format::Json => {
            let (kind, param, code) = (quoted(kind.unwrap_or_else(|| openai_type(status))), text(param), text(code));
            format!(r#"{{"error":{{"message":{message},"type":{kind},"param":{param},"code":{code}}}}}"#)
        }
        Format::Messages => {
            let kind = quoted(kind.unwrap_or_else(|| anthropic_type(status)));
            format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#)
        }
        Format::Gemini => {
            let (number, name) = (status.as_u16(), quoted(google_status(status)));
            format!(r#"{{"error":{{"code":{number},"message":{message},"status":{name}}}}}"#)
        }
        Format::Ollama => format!(r#"{{"error":{message}}}"#),
    };
    body.into()
}

/// Wraps an error that is an object, in the format's own words, in the envelope of the format: in one line, as events must be.
/// `None` if the format has no objects for errors.
pub(crate) fn wrap(format: Format, error: &[u8]) -> Option<Bytes> {
    let before: &[u8] = match format {
        Format::Ollama => return None,
        Format::Messages => br#"{"type":"error","error":"#,
        _ => br#"{"error":"#,
    };
    let mut body = [before, error, b"}"].concat();
    // Within texts there are no line breaks that are not escaped.
    body.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    Some(body.into())
}

fn body_of(format: Format, failure: &StreamFailure) -> Bytes {
    failure.report().cloned().unwrap_or_else(|| {
        let (status, message) = (failure.status(), failure.to_string());
        body(format, &Words { status, kind: None, code: Some(failure.word()), param: None, message: &message })
    })
}

/// Phrases the event that ends a stream of responses: the response that failed, or a bare error if none was seen.
///
/// Either has an `error` at its top too. OpenAI's clients raise on that and on nothing else: to them the response that failed
/// is one more event, and whoever only joins the deltas would take a part for the whole.
fn response(failure: &StreamFailure, opened: &Opened) -> Bytes {
    let report = failure.report().and_then(|report| serde_json::from_slice::<Value>(report).ok());
    let error = report.as_ref().and_then(|report| report.get("error"));
    let text = |name: &str| error.and_then(|error| error.get(name)).and_then(Value::as_str);
    let kind = quoted(text("type").unwrap_or_else(|| openai_type(failure.status())));
    let code = text("code").or_else(|| text("type")).unwrap_or_else(|| responses_code(failure.status()));
    let own = failure.to_string();
    let (code, message) = (quoted(code), quoted(text("message").unwrap_or(&own)));
    let param = quoted_or_null(text("param"));
    let sequence = opened.sequence.map_or(0, |last| last + 1);
    let raised = format!(r#"{{"message":{message},"type":{kind},"param":{param},"code":{code}}}"#);
    let Some(id) = opened.id.as_deref().and_then(literal) else {
        return format!(
            "{{\"type\":\"error\",\"code\":{code},\"message\":{message},\"param\":{param},\
             \"sequence_number\":{sequence},\"error\":{raised}}}"
        )
        .into();
    };
    let model = opened.model.as_deref().and_then(literal).unwrap_or("null");
    let created = opened.created_at.unwrap_or(0);
    format!(
        "{{\"type\":\"response.failed\",\"sequence_number\":{sequence},\"response\":{{\"id\":{id},\"object\":\"response\",\
         \"created_at\":{created},\"status\":\"failed\",\"error\":{{\"code\":{code},\"message\":{message}}},\
         \"incomplete_details\":null,\"model\":{model},\"output\":[]}},\"error\":{raised}}}"
    )
    .into()
}

fn literal(raw: &[u8]) -> Option<&str> {
    debug_assert!(scan::Scan::new(raw).is_ok());
    std::str::from_utf8(raw).ok()
}

const fn content_type() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn quoted_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quoted)
}

fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

/// The codes that OpenAI's specification allows.
fn responses_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        429 => "rate_limit_exceeded",
        400 => "invalid_prompt",
        _ => "server_error",
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 | 410 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The names of [Google's APIs](https://cloud.google.com/apis/design/errors).
fn google_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 | 410 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        400..=499 => "INVALID_ARGUMENT",
        501 => "UNIMPLEMENTED",
        502 | 503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
