use serde::{Deserialize, Serialize};

use crate::provider_error::ProviderError;

/// A place in an answer, for [`Fault::Stream`](crate::Fault::Stream).
///
/// An answer that is not a stream has the places start (after its headers), the middle of its JSON, and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum At {
    /// Before the first event.
    Start,
    /// After what comes before content: the role chunk, Azure's startup chunk, `message_start` and `ping`,
    /// `response.created` and what follows it. Where a dialect has nothing of the kind, as `Start`.
    Opening,
    /// After so many events with content; 0 is as `Opening`.
    Content(usize),
    /// After the event that tells how the answer ended, before what may follow it: usage, `[DONE]`, `message_stop`.
    Finish,
    /// After so many events of any kind.
    Events(usize),
    /// After so many bytes of the body.
    Bytes(usize),
}

/// What happens there, for [`Fault::Stream`](crate::Fault::Stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Then {
    /// Nothing more comes, and the connection stays.
    Stall,
    /// The message ends, correctly as far as HTTP can tell.
    End,
    /// The connection closes in the middle of the message.
    Close,
    /// The connection is reset.
    Reset,
    /// `[DONE]` and the end, where the dialect knows it; else the end.
    Done,
    /// An event that is not JSON, then the rest.
    Malformed,
    /// Comments, pings or blank lines, as the dialect has them, without end.
    Comments {
        /// The time between two, in milliseconds; at least 1.
        every_ms: u64,
    },
    /// An error in the dialect's words, under the status 200 that was sent, then the end.
    Error(ProviderError),
}
