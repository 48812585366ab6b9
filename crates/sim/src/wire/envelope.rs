//! Error envelopes: the same facts, written as each provider writes them.

use http::StatusCode;
use serde_json::{Value, json};

use super::Envelope;
use super::error::ApiError;

// === impl Envelope ===

impl Envelope {
    /// The body; a string stands for text that is not JSON.
    pub(super) fn write(self, error: &ApiError) -> Value {
        let ApiError { status, kind, code, param, message, inner, .. } = error;
        let number = status.as_u16();
        match self {
            Self::OpenAi => openai(error),
            Self::Groq => {
                let mut body = json!({"error": {"message": message, "type": kind}});
                if let Some(code) = code {
                    body["error"]["code"] = (*code).into();
                }
                body
            }
            Self::IntCode => json!({"error": {
                "message": message, "type": phrase(*status), "param": param, "code": number,
            }}),
            Self::OpenRouter => {
                let metadata = inner.clone().unwrap_or_else(|| json!({}));
                json!({"error": {"code": number, "message": message, "metadata": metadata}})
            }
            Self::Swapped => json!({"error": {
                "message": message, "type": code.unwrap_or("unknown_error"), "param": param, "code": kind,
            }}),
            Self::NullCode => json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
            Self::FrontDoor => json!({"error": {"code": code, "message": message}}),
            Self::Anthropic => {
                let mut body = json!({
                    "type": "error",
                    "error": {"type": anthropic_type(*status), "message": message},
                    "request_id": "req_011CSimulated",
                });
                if let Some(details) = inner {
                    body["error"]["details"] = details.clone();
                }
                body
            }
            Self::Google => google(error),
            Self::GoogleArray => json!([google(error)]),
            Self::Flat => json!({
                "object": "error", "message": message, "type": kind, "param": param, "code": code,
            }),
            Self::Detail => json!({"detail": inner.clone().unwrap_or_else(|| message.as_str().into())}),
            Self::Text => json!({"error": message}),
            Self::Plain => message.as_str().into(),
        }
    }
}

fn openai(error: &ApiError) -> Value {
    let ApiError { status, kind, code, param, message, inner, .. } = error;
    let mut body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    match inner {
        Some(metadata) if metadata.get("retry_after_seconds").is_some() => body["error"]["metadata"] = metadata.clone(),
        Some(inner) => {
            body["error"]["type"] = Value::Null;
            body["error"]["status"] = status.as_u16().into();
            body["error"]["innererror"] = inner.clone();
        }
        None => {}
    }
    body
}

fn google(error: &ApiError) -> Value {
    let ApiError { status, code, message, inner, .. } = error;
    let named = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    let text = named.unwrap_or_else(|| google_status(*status));
    let mut body = json!({"error": {"code": status.as_u16(), "message": message, "status": text}});
    if let Some(details) = inner {
        body["error"]["details"] = details.clone();
    }
    body
}

fn google_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 413 | 422 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        402 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 | 405 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 | 502 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        500 => "INTERNAL",
        _ => "UNKNOWN",
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The type that vLLM derives from a status.
fn phrase(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BadRequestError",
        404 => "NotFoundError",
        500 => "InternalServerError",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}
