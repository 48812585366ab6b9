//! Error answers in both dialects.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::headers::{ORGANIZATION_NAME, RETRY_AFTER_MS, go_duration, whole_seconds};
use super::{Dialect, known};
use crate::fault::ProviderError;
use crate::limits::{Denied, Exhausted, Snapshot};

/// An error as a provider answers it.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// `None` for the errors that come from Azure's front door, which have a code and a message only.
    kind: Option<&'static str>,
    code: Option<&'static str>,
    param: Option<&'static str>,
    message: String,
    inner: Option<Value>,
    retry: Option<Duration>,
    exhausted: Option<Exhausted>,
}

pub(super) const INVALID: &str = "invalid_request_error";
const DEFAULT_RETRY: Duration = Duration::from_secs(20);

// === impl ApiError ===

impl ApiError {
    /// An error of the model's API, in the same form in both dialects.
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: Some(kind),
            code: None,
            param: None,
            message: message.into(),
            inner: None,
            retry: None,
            exhausted: None,
        }
    }

    /// An error of Azure's front door.
    pub(crate) fn front_door(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: None, ..Self::new(status, "", message) }.code(code)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message)
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) fn param(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    pub(super) fn retry(self, retry: Duration, exhausted: Option<Exhausted>) -> Self {
        Self { retry: Some(retry), exhausted, ..self }
    }

    /// The error a provider is known for.
    pub(crate) fn provider(error: ProviderError, dialect: Dialect, model: &str, retry: Option<Duration>) -> Self {
        let retry = retry.unwrap_or(DEFAULT_RETRY);
        match dialect {
            Dialect::OpenAi => known::openai(error, model, retry),
            Dialect::Azure => known::azure(error, model, retry),
        }
    }

    /// The error a provider sends with `status`, for lack of anything more exact.
    pub(crate) fn for_status(status: StatusCode, dialect: Dialect, model: &str) -> Self {
        let error = match status.as_u16() {
            400 => ProviderError::InvalidRequest,
            401 => ProviderError::InvalidApiKey,
            403 => ProviderError::Forbidden,
            408 => ProviderError::Timeout,
            429 => ProviderError::RateLimit,
            500 => ProviderError::ServerError,
            503 => ProviderError::Overloaded,
            _ => {
                let kind = if status.is_server_error() { "server_error" } else { INVALID };
                let reason = status.canonical_reason().unwrap_or("Unknown status");
                return Self::new(status, kind, format!("{reason}."));
            }
        };
        Self::provider(error, dialect, model, None)
    }

    /// The answer to a request over the target's own limits.
    pub(crate) fn denied(denied: &Denied, dialect: Dialect, model: &str) -> Self {
        let (error, unit, limit) = match denied.by {
            Exhausted::Requests => (ProviderError::RateLimit, "requests per min (RPM)", denied.snapshot.requests),
            Exhausted::Tokens => (ProviderError::TokenLimit, "tokens per min (TPM)", denied.snapshot.tokens),
        };
        let mut answer = Self::provider(error, dialect, model, denied.retry_after);
        if denied.retry_after.is_none() {
            answer.retry = None;
            answer.message = format!(
                "Request too large for {model} in organization {ORGANIZATION_NAME} on {unit}: Limit {}, Requested {}.",
                limit.limit, denied.requested,
            );
        } else if dialect == Dialect::OpenAi {
            let used = limit.limit - limit.remaining;
            let retry = go_duration(denied.retry_after.unwrap_or_default());
            answer.message = format!(
                "Rate limit reached for {model} in organization {ORGANIZATION_NAME} on {unit}: \
                 Limit {}, Used {used}, Requested {}. Please try again in {retry}.",
                limit.limit, denied.requested,
            );
        }
        answer
    }

    pub(crate) fn no_key(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi => Self::new(
                StatusCode::UNAUTHORIZED,
                INVALID,
                "You didn't provide an API key. Provide it in an Authorization header: Authorization: Bearer YOUR_KEY.",
            ),
            Dialect::Azure => known::azure(ProviderError::InvalidApiKey, "", Duration::ZERO),
        }
    }

    /// Shows the ends of the key, as the provider does: what logs such a body must expect that.
    pub(crate) fn wrong_key(dialect: Dialect, key: &str) -> Self {
        let mut answer = Self::provider(ProviderError::InvalidApiKey, dialect, "", None);
        if dialect == Dialect::OpenAi {
            let shown = match (key.get(..8), key.len().checked_sub(4).and_then(|from| key.get(from..))) {
                (Some(head), Some(tail)) if key.len() > 12 => format!("{head}****{tail}"),
                _ => "****".to_owned(),
            };
            answer.message = format!("Incorrect API key provided: {shown}.");
        }
        answer
    }

    pub(crate) fn body(&self) -> Value {
        let Some(kind) = self.kind else {
            return json!({"error": {"code": self.code, "message": self.message}});
        };
        let mut body = json!({"error": {
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        }});
        if let Some(inner) = &self.inner {
            body["error"]["type"] = Value::Null;
            body["error"]["status"] = self.status.as_u16().into();
            body["error"]["innererror"] = inner.clone();
        }
        body
    }

    pub(super) fn inner(self, inner: Value) -> Self {
        Self { inner: Some(inner), ..self }
    }

    /// The limits as this error leaves them: a rate limit has used up its dimension.
    pub(crate) fn exhaust(&self, mut snapshot: Snapshot) -> Snapshot {
        let dimension = match self.exhausted {
            Some(Exhausted::Requests) => &mut snapshot.requests,
            Some(Exhausted::Tokens) => &mut snapshot.tokens,
            None => return snapshot,
        };
        dimension.remaining = 0;
        dimension.reset = self.retry.unwrap_or(dimension.reset);
        snapshot
    }

    /// Adds the retry hints.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(retry) = self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry)));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(retry.as_millis() as u64));
        }
    }
}
