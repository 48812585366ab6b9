use serde::{Deserialize, Serialize};

/// The form of a retry hint, for [`Fault::Hinted`](crate::Fault::Hinted). Each comes alone: no other header or text of the
/// answer tells the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hint {
    /// None.
    None,
    /// `retry-after: 2`, rounded up.
    Seconds,
    /// `retry-after: 1.5`.
    FloatSeconds,
    /// `retry-after: Sun, 06 Nov 1994 08:49:37 GMT`.
    HttpDate,
    /// The same in the form of RFC 850.
    HttpDateRfc850,
    /// The same in the form of `asctime`.
    HttpDateAsctime,
    /// `retry-after-ms: 1500`.
    Millis,
    /// `x-ms-retry-after-ms: 1500`.
    MsMillis,
    /// `retry-after-ms` with the hint beside a `retry-after` three times as long.
    MillisAndSeconds,
    /// "Please try again in 1.5s." in the message.
    Message,
    /// Google's `RetryInfo` in the details.
    RetryInfo,
    /// `error.metadata.retry_after_seconds`.
    Metadata,
    /// `x-ratelimit-remaining-tokens: 0` and `x-ratelimit-reset-tokens` as a Go duration, beside a request limit that is
    /// not used up and resets sooner.
    ResetGo,
    /// The same in whole seconds.
    ResetSeconds,
    /// The same as seconds since 1970.
    ResetEpoch,
    /// `anthropic-ratelimit-tokens-reset` in RFC 3339.
    ResetRfc3339,
    /// `x-ratelimit-reset-tokens: -1`: unknown.
    ResetUnknown,
    /// `retry-after: soon`.
    Garbage,
    /// `retry-after: -1`.
    Negative,
    /// `retry-after: 999999999999`.
    Huge,
}
