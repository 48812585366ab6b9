//! One retry hint, in one form.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::clock::Civil;
use super::error::ApiError;
use super::headers::{RETRY_AFTER_MS, exact_seconds, go_duration, value, whole_seconds};
use super::known::retry_info;
use crate::hint::Hint;

const MS_RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");

// === impl Hint ===

impl Hint {
    /// Adds the headers of this form. The headers that every answer has are gone by then where they would tell the same.
    pub(super) fn write(self, headers: &mut HeaderMap, retry: Duration, now: u64) {
        let millis = HeaderValue::from(retry.as_millis() as u64);
        let date = Civil::after(now, retry);
        let mut after = |text: &str| drop(headers.insert(RETRY_AFTER, value(text)));
        match self {
            Self::None | Self::Message | Self::RetryInfo | Self::Metadata => {}
            Self::Seconds => after(&whole_seconds(retry).to_string()),
            Self::FloatSeconds => after(&exact_seconds(retry)),
            Self::HttpDate => after(&date.imf_fixdate()),
            Self::HttpDateRfc850 => after(&date.rfc850()),
            Self::HttpDateAsctime => after(&date.asctime()),
            Self::Garbage => after("soon"),
            Self::Negative => after("-1"),
            Self::Huge => after("999999999999"),
            Self::Millis => drop(headers.insert(RETRY_AFTER_MS, millis)),
            Self::MsMillis => drop(headers.insert(MS_RETRY_AFTER_MS, millis)),
            Self::MillisAndSeconds => {
                after(&whole_seconds(retry * 3).to_string());
                headers.insert(RETRY_AFTER_MS, millis);
            }
            Self::ResetGo => reset(headers, "12ms", &go_duration(retry)),
            Self::ResetSeconds => reset(headers, "1", &whole_seconds(retry).to_string()),
            Self::ResetEpoch => {
                reset(headers, &now.to_string(), &now.saturating_add(whole_seconds(retry)).to_string());
            }
            Self::ResetUnknown => reset(headers, "-1", "-1"),
            Self::ResetRfc3339 => {
                headers.insert("anthropic-ratelimit-tokens-limit", HeaderValue::from(100_000));
                headers.insert("anthropic-ratelimit-tokens-remaining", HeaderValue::from(0));
                headers.insert("anthropic-ratelimit-tokens-reset", value(&date.rfc3339()));
            }
        }
    }

    /// Changes the error whose hint this is: takes out what the dialect would tell, puts in what this form does.
    pub(crate) fn apply(self, error: &mut ApiError, retry: Duration) {
        error.retry = Some(retry);
        error.hint = Some(self);
        for start in [" Please try again in ", " Please retry after ", "\nPlease retry in "] {
            if let Some(at) = error.message.find(start) {
                error.message.truncate(at);
            }
        }
        if let Some(Value::Array(details)) = &mut error.inner {
            details.retain(|detail| detail.get("retryDelay").is_none());
        }
        match self {
            Self::Message => error.message.push_str(&format!(" Please try again in {}.", go_duration(retry))),
            Self::RetryInfo => {
                let mut details = match error.inner.take() {
                    Some(Value::Array(details)) => details,
                    _ => Vec::new(),
                };
                details.push(retry_info(retry));
                error.inner = Some(Value::from(details));
                error.shape = Some(super::Envelope::Google);
            }
            Self::Metadata => {
                let seconds = retry.as_secs_f64();
                match &mut error.inner {
                    Some(Value::Object(metadata)) => {
                        metadata.insert("retry_after_seconds".to_owned(), seconds.into());
                    }
                    inner => *inner = Some(json!({"retry_after_seconds": seconds})),
                }
            }
            _ => {}
        }
    }
}

/// Requests are left and reset soon, tokens are used up: the wait is that of the tokens.
fn reset(headers: &mut HeaderMap, requests: &str, tokens: &str) {
    headers.insert("x-ratelimit-remaining-requests", HeaderValue::from(50));
    headers.insert("x-ratelimit-reset-requests", value(requests));
    headers.insert("x-ratelimit-remaining-tokens", HeaderValue::from(0));
    headers.insert("x-ratelimit-reset-tokens", value(tokens));
}

/// Whether a header tells how long to wait.
pub(crate) fn tells(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-ratelimit-") || name.starts_with("anthropic-ratelimit-") || name.starts_with("retry-after")
}
