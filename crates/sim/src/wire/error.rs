//! Error answers in all dialects.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use super::headers::{ORGANIZATION_NAME, RETRY_AFTER_MS, go_duration, whole_seconds};
use super::{Dialect, Envelope, HintHeaders, known};
use crate::hint::Hint;
use crate::limits::{Denied, Exhausted, Snapshot};
use crate::provider_error::ProviderError;

/// An error as a provider answers it.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<&'static str>,
    pub(super) message: String,
    /// What a dialect tells beside: Azure's inner error, Google's details, OpenRouter's metadata.
    pub(super) inner: Option<Value>,
    pub(super) retry: Option<Duration>,
    exhausted: Option<Exhausted>,
    /// An envelope in place of the dialect's usual one.
    pub(super) shape: Option<Envelope>,
    /// The one form of the retry hint, if not those of the dialect.
    pub(super) hint: Option<Hint>,
}

pub(super) const INVALID: &str = "invalid_request_error";
const DEFAULT_RETRY: Duration = Duration::from_secs(20);

// === impl ApiError ===

impl ApiError {
    /// An error of the model's API. Dialects whose type follows from the status have no use for `kind`.
    pub(crate) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            inner: None,
            retry: None,
            exhausted: None,
            shape: None,
            hint: None,
        }
    }

    /// An error of Azure's front door.
    pub(crate) fn front_door(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, "", message).code(code).shape(Envelope::FrontDoor)
    }

    pub(super) fn shape(self, shape: Envelope) -> Self {
        Self { shape: Some(shape), ..self }
    }

    /// The error a provider is known for, with the retry hint in one form alone.
    pub(crate) fn hinted(
        error: ProviderError,
        dialect: Dialect,
        model: &str,
        hint: Hint,
        retry: Option<Duration>,
    ) -> Self {
        let mut answer = Self::provider(error, dialect, model, retry);
        hint.apply(&mut answer, retry.unwrap_or(DEFAULT_RETRY));
        answer
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
        known::of(error, dialect, model, retry)
    }

    /// The error a provider sends with `status`, for lack of anything more exact.
    pub(crate) fn for_status(status: StatusCode, dialect: Dialect, model: &str) -> Self {
        let error = match status.as_u16() {
            400 => ProviderError::InvalidRequest,
            401 => ProviderError::InvalidApiKey,
            403 => ProviderError::Forbidden,
            402 => ProviderError::PaymentRequired,
            408 => ProviderError::Timeout,
            409 => ProviderError::Conflict,
            413 => ProviderError::RequestTooLarge,
            422 => ProviderError::Unprocessable,
            429 => ProviderError::RateLimit,
            500 => ProviderError::ServerError,
            502 => ProviderError::BadGateway,
            503 => ProviderError::Overloaded,
            504 => ProviderError::GatewayTimeout,
            _ => {
                let kind = if status.is_server_error() { "server_error" } else { INVALID };
                let reason = status.canonical_reason().unwrap_or("Unknown status");
                return Self::new(status, kind, format!("{reason}."));
            }
        };
        Self { status, ..Self::provider(error, dialect, model, None) }
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
        Self::provider(ProviderError::MissingApiKey, dialect, "", None)
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

    /// The body; a string stands for text that is not JSON.
    pub(crate) fn body(&self, dialect: Dialect) -> Value {
        self.shape.unwrap_or_else(|| dialect.habits().envelope).write(self)
    }

    pub(super) fn inner(self, inner: Value) -> Self {
        Self { inner: Some(inner), ..self }
    }

    /// Whether the retry hint has one form alone.
    pub(crate) const fn is_hinted(&self) -> bool {
        self.hint.is_some()
    }

    /// The same without a hint, for those who give none.
    pub(super) fn unhinted(self) -> Self {
        Self { retry: None, exhausted: None, ..self }
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

    /// Adds the retry hints. `now` is in seconds since 1970.
    pub(crate) fn write(&self, headers: &mut HeaderMap, dialect: Dialect, now: u64) {
        let Some(retry) = self.retry else { return };
        if let Some(hint) = self.hint {
            return hint.write(headers, retry, now);
        }
        let hint = dialect.habits().hint;
        if hint != HintHeaders::None {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry)));
        }
        if hint == HintHeaders::SecondsAndMillis {
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(retry.as_millis() as u64));
        }
    }
}
