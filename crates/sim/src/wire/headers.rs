//! The headers that every answer carries.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::clock::Civil;
use super::{Dialect, LimitHeaders};
use crate::limits::{Dimension, Snapshot};
use crate::seed::Seeded;

/// What the headers of one answer tell.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) region: &'a HeaderValue,
    /// The planned time to first token: the measured one would make equal answers differ.
    pub(crate) processing: Duration,
    pub(crate) client_request_id: Option<&'a HeaderValue>,
    pub(crate) snapshot: Snapshot,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

const ANTHROPIC_ORGANIZATION: HeaderName = HeaderName::from_static("anthropic-organization-id");
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const APIM_REQUEST_ID: HeaderName = HeaderName::from_static("apim-request-id");
pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const DEEPSEEK_TRACE_ID: HeaderName = HeaderName::from_static("x-ds-trace-id");
const GENERATION_ID: HeaderName = HeaderName::from_static("x-generation-id");
const MODEL_SESSION: HeaderName = HeaderName::from_static("azureml-model-session");
const ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
const PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");
const REGION: HeaderName = HeaderName::from_static("x-ms-region");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const VERSION: HeaderName = HeaderName::from_static("openai-version");

const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const LIMIT_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-limit-tokens");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const REMAINING_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-tokens");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const RESET_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-reset-tokens");

pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The header name and value of the organization in every answer and message.
pub(crate) const ORGANIZATION_NAME: &str = "org-sim";

// === impl Facts ===

impl Facts<'_> {
    pub(crate) fn write(&self, headers: &mut HeaderMap, seeded: &mut Seeded) {
        match self.dialect {
            Dialect::OpenAi => {
                headers.insert(REQUEST_ID, value(&format!("req_{}", seeded.hex(32))));
                headers.insert(ORGANIZATION, HeaderValue::from_static(ORGANIZATION_NAME));
                headers.insert(VERSION, HeaderValue::from_static("2020-10-01"));
                headers.insert(PROCESSING, HeaderValue::from(self.processing.as_millis() as u64));
            }
            Dialect::Azure => {
                let id = value(&seeded.uuid());
                headers.insert(REQUEST_ID, value(&seeded.uuid()));
                headers.insert(CLIENT_REQUEST_ID, self.client_request_id.unwrap_or(&id).clone());
                headers.insert(APIM_REQUEST_ID, id);
                headers.insert(REGION, self.region.clone());
                headers.insert(MODEL_SESSION, HeaderValue::from_static("d001-sim"));
                headers.insert(PROCESSING, HeaderValue::from(self.processing.as_millis() as u64));
            }
            Dialect::Anthropic => {
                headers.insert(ANTHROPIC_REQUEST_ID, value(&format!("req_011C{}", seeded.base62(20))));
                headers.insert(ANTHROPIC_ORGANIZATION, HeaderValue::from_static(ORGANIZATION_NAME));
            }
            Dialect::Groq | Dialect::Mistral | Dialect::Vllm => {
                headers.insert(REQUEST_ID, value(&format!("req_{}", seeded.base62(26))));
            }
            Dialect::OpenRouter => {
                let id = format!("gen-{}-{}", self.now, seeded.base62(20));
                headers.insert(GENERATION_ID, value(&id));
            }
            Dialect::DeepSeek => {
                headers.insert(DEEPSEEK_TRACE_ID, value(&seeded.hex(32)));
            }
            Dialect::Gemini | Dialect::GeminiOpenAi | Dialect::Ollama | Dialect::OllamaOpenAi => {}
        }
        self.write_limits(headers);
    }

    fn write_limits(&self, headers: &mut HeaderMap) {
        let Snapshot { requests, tokens } = self.snapshot;
        let reset: fn(Duration) -> HeaderValue = match self.dialect.habits().limits {
            LimitHeaders::None => return,
            LimitHeaders::Anthropic => return self.write_anthropic(headers),
            LimitHeaders::Go => |wait| value(&go_duration(wait)),
            LimitHeaders::Seconds => |wait| HeaderValue::from(whole_seconds(wait)),
        };
        headers.insert(LIMIT_REQUESTS, HeaderValue::from(requests.limit));
        headers.insert(LIMIT_TOKENS, HeaderValue::from(tokens.limit));
        headers.insert(REMAINING_REQUESTS, HeaderValue::from(requests.remaining));
        headers.insert(REMAINING_TOKENS, HeaderValue::from(tokens.remaining));
        headers.insert(RESET_REQUESTS, reset(requests.reset));
        headers.insert(RESET_TOKENS, reset(tokens.reset));
    }

    /// Tokens that remain are told in thousands; the simulator has one limit for input and output.
    fn write_anthropic(&self, headers: &mut HeaderMap) {
        let Snapshot { requests, tokens } = self.snapshot;
        let rounded = Dimension { remaining: (tokens.remaining + 500) / 1000 * 1000, ..tokens };
        for (name, dimension) in
            [("requests", requests), ("tokens", rounded), ("input-tokens", rounded), ("output-tokens", rounded)]
        {
            let mut put = |what: &str, shown: HeaderValue| {
                let name = HeaderName::try_from(format!("anthropic-ratelimit-{name}-{what}"));
                headers.insert(name.expect("a name of letters and hyphens"), shown);
            };
            put("limit", HeaderValue::from(dimension.limit));
            put("remaining", HeaderValue::from(dimension.remaining));
            put("reset", value(&Civil::after(self.now, dimension.reset).rfc3339()));
        }
    }
}

/// A duration as Go prints it, in milliseconds below a second: `12ms`, `1s`, `7.66s`, `6m0s`, `1h2m3.5s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    let fraction = format!(".{:03}", millis % 1000);
    let seconds = format!("{seconds}{}", fraction.trim_end_matches('0').trim_end_matches('.'));
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Rounded up: a client that waits as told must not come too early.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000) as u64
}

/// Seconds with the fraction they have: `46`, `46.3`.
pub(crate) fn exact_seconds(duration: Duration) -> String {
    let text = format!("{}.{:03}", duration.as_secs(), duration.subsec_millis());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("generated values are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (millis, text) in [
            (0, "0s"),
            (12, "12ms"),
            (1000, "1s"),
            (7660, "7.66s"),
            (72_000, "1m12s"),
            (360_000, "6m0s"),
            (3_723_500, "1h2m3.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(exact_seconds(Duration::from_millis(46_300)), "46.3");
        assert_eq!(exact_seconds(Duration::from_secs(10)), "10");
    }
}
