use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::FaultForm;

/// One way for a provider to fail.
///
/// As JSON, a fault is an object with a `kind` in snake case beside the fields of the variant:
/// `{"kind": "stall_after", "events": 3}`.
///
/// `events` counts the `data:` events of a stream from its first, the role chunk (on Azure: the filter results before it). A
/// stream with fewer events is hit after its last. Answers that are not streams are hit in the middle of their body, or
/// right after their headers where `events` is 0. Error answers, such as those of the target's own limits, keep their form.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "FaultForm", into = "FaultForm")]
#[non_exhaustive]
pub enum Fault {
    /// Answers with this status, these headers and this body.
    Status(StatusFault),
    /// Answers as the provider itself does on this error, with the retry hints that belong to it.
    Provider {
        /// What went wrong.
        error: ProviderError,
        /// The hint of errors that carry one, in place of 20 seconds.
        retry_after_ms: Option<u64>,
    },
    /// Refuses connections: the port is closed and live connections are dropped. Only while switched on, not in a script.
    Refuse,
    /// Reads the request and never answers.
    Hang,
    /// Reads the request, then resets the connection.
    Reset,
    /// Sends the first content this late; an answer that is not a stream comes late as a whole.
    SlowFirstToken {
        /// The time to first token, in milliseconds.
        ms: u64,
    },
    /// Sends nothing more after so many events, and keeps the connection open.
    StallAfter {
        /// Events sent before.
        events: usize,
    },
    /// Closes the connection in the middle of the message: no last chunk, or fewer bytes than announced.
    TruncateAfter {
        /// Events sent before.
        events: usize,
    },
    /// Ends the stream without a finish reason or `[DONE]`, correctly as far as HTTP can tell. A body that is not a stream
    /// stops in the middle of its JSON.
    EndAfter {
        /// Events sent before.
        events: usize,
    },
    /// Resets the connection (a TCP RST) in the middle of the message.
    ResetAfter {
        /// Events sent before.
        events: usize,
    },
    /// Replaces one event with broken JSON and goes on. A body that is not a stream becomes broken JSON.
    MalformedEvent {
        /// Events sent before.
        after: usize,
    },
    /// Sends an error event in a stream that began with status 200, and ends it. A body that is not a stream becomes the
    /// error, with status 200.
    ErrorEvent {
        /// Events sent before.
        after: usize,
        /// The value of `error` in the event; a `server_error` where there is none.
        error: Option<Value>,
    },
    /// Answers 200 with an empty body.
    Empty,
    /// Answers a stream with `[DONE]` alone; other answers as `Empty`.
    OnlyDone,
}

/// An answer made up by hand, for [`Fault::Status`].
///
/// Without a body, it gets the one the provider sends with this status. Headers are sent as given, over those that every
/// answer has; none are added.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusFault {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Value>,
}

/// The errors a provider is known for, for [`Fault::Provider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderError {
    /// 400: the request is not valid.
    InvalidRequest,
    /// 400: the prompt is longer than the model's context.
    ContextLengthExceeded,
    /// 400: the content filter stopped the prompt.
    ContentFilter,
    /// 401: the key is wrong.
    InvalidApiKey,
    /// 403: no access from here.
    Forbidden,
    /// 404: no such model; on Azure, no such deployment.
    ModelNotFound,
    /// 408: the request timed out.
    Timeout,
    /// 429: too many requests per minute.
    RateLimit,
    /// 429: too many tokens per minute.
    TokenLimit,
    /// 429: the account has run out of credit.
    InsufficientQuota,
    /// 429: the load grew too fast.
    SlowDown,
    /// 429: provisioned throughput is used up.
    ProvisionedThroughput,
    /// 500: the server failed.
    ServerError,
    /// 503: the server is overloaded.
    Overloaded,
}

// === impl Fault ===

impl Fault {
    /// Returns the `kind` of the fault's JSON form.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Provider { .. } => "provider",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::SlowFirstToken { .. } => "slow_first_token",
            Self::StallAfter { .. } => "stall_after",
            Self::TruncateAfter { .. } => "truncate_after",
            Self::EndAfter { .. } => "end_after",
            Self::ResetAfter { .. } => "reset_after",
            Self::MalformedEvent { .. } => "malformed_event",
            Self::ErrorEvent { .. } => "error_event",
            Self::Empty => "empty",
            Self::OnlyDone => "only_done",
        }
    }

    /// Creates the fault that answers with `status` and the provider's body for it.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self::Status(StatusFault::new(status))
    }

    /// Creates the fault that answers with a provider's error.
    #[must_use]
    pub const fn provider(error: ProviderError) -> Self {
        Self::Provider { error, retry_after_ms: None }
    }
}

impl From<StatusFault> for Fault {
    fn from(fault: StatusFault) -> Self {
        Self::Status(fault)
    }
}

// === impl StatusFault ===

impl StatusFault {
    /// Creates an answer with the provider's body for `status`. A status below 200 is no answer and is sent as 500.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        let status = if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
        Self { status, headers: HeaderMap::new(), body: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the body: a string is sent as it is, anything else as JSON.
    #[must_use]
    pub fn body(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn parts(&self) -> (StatusCode, &HeaderMap, Option<&Value>) {
        (self.status, &self.headers, self.body.as_ref())
    }
}
