use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::FaultForm;
use crate::hint::Hint;
use crate::moment::{At, Then};
use crate::provider_error::ProviderError;
use crate::transport::{Coding, LineEnd};

/// One way for a provider to fail.
///
/// As JSON, a fault is an object with a `kind` in snake case beside the fields of the variant:
/// `{"kind": "stall_after", "events": 3}`.
///
/// Every fault is there in every dialect, in the dialect's own words. `events` counts the events (Ollama: the lines) of a
/// stream from its first, the role chunk (on Azure: the filter results before it); comments are none. `content` counts only
/// those that carry content. A stream with fewer is hit after its last. Answers that are not streams are hit in the middle of their body, or
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
    /// As [`Fault::Provider`], with the retry hint in one form alone.
    Hinted {
        /// What went wrong.
        error: ProviderError,
        /// How the hint is written.
        hint: Hint,
        /// The hint, in place of 20 seconds.
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
    /// Something happens at a point of the answer: any of the ends at any of the places.
    Stream {
        /// Where.
        at: At,
        /// What.
        then: Then,
    },
    /// Stops an answer after so much content because of what it says: `finish_reason` `content_filter` and its like.
    Filtered {
        /// Content events sent before.
        content: usize,
    },
    /// Leaves out what the answer cost.
    NoUsage,
    /// Compresses the body, and says so in `content-encoding`. Each event can be decoded when it comes.
    Encoded {
        /// How.
        coding: Coding,
    },
    /// Ends the lines of a stream in another way.
    LineEnds {
        /// How.
        end: LineEnd,
    },
    /// Begins a stream with a byte order mark.
    ByteOrderMark,
    /// Sends the body in pieces that end at these offsets, whatever the events.
    Split {
        /// Offsets in bytes, in any order; at most 1024.
        at: Vec<usize>,
    },
    /// Sends the body in pieces of so many bytes.
    Drip {
        /// Bytes in a piece, at least 1.
        bytes: usize,
        /// The time between two pieces, in milliseconds.
        every_ms: u64,
    },
    /// Filters a stream of Azure's while it is sent: chunks without id and content tell of the filter between the words and
    /// after the finish reason. A mode of Azure rather than a fault.
    AsyncFilter,
    /// Answers with a call of a tool instead of words. No fault of the provider, but switched and scripted like one.
    ToolCall {
        /// The name of the tool.
        name: String,
        /// Its arguments.
        arguments: Value,
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
            Self::Hinted { .. } => "hinted",
            Self::Stream { .. } => "stream",
            Self::Filtered { .. } => "filtered",
            Self::NoUsage => "no_usage",
            Self::Encoded { .. } => "encoded",
            Self::LineEnds { .. } => "line_ends",
            Self::ByteOrderMark => "byte_order_mark",
            Self::Split { .. } => "split",
            Self::Drip { .. } => "drip",
            Self::AsyncFilter => "async_filter",
            Self::ToolCall { .. } => "tool_call",
            Self::Empty => "empty",
            Self::OnlyDone => "only_done",
        }
    }

    /// Creates the fault that answers with `status` and the provider's body for it.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self::Status(StatusFault::new(status))
    }

    /// Creates the fault that lets `then` happen at `at`.
    #[must_use]
    pub const fn at(at: At, then: Then) -> Self {
        Self::Stream { at, then }
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
