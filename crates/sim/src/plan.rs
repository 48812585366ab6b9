//! The plan of an answer: all its bytes, when they leave, and how it ends. Faults are changes to a plan.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::fault::Fault;

/// How fast an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) first_token: Duration,
    pub(crate) gap: Duration,
}

/// Bytes that leave together, so long after the part before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) wait: Duration,
    pub(crate) mark: Mark,
    pub(crate) bytes: Bytes,
}

/// What a part is to who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// No event at all.
    Comment,
    /// Comes before content.
    Opening,
    Content,
    /// Comes after content, before the end is told.
    Closing,
    /// Tells how the answer ended.
    Finish,
    Usage,
    Done,
}

/// What happens after the last part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Stall,
    Close,
    Reset,
    /// Sends this again and again.
    Repeat {
        bytes: Bytes,
        every: Duration,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The wait before the headers.
    pub(crate) delay: Duration,
    pub(crate) body: Body,
    pub(crate) ending: Ending,
}

/// A body in the parts in which it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) parts: Vec<Part>,
    /// The length that is announced; `None` sends it in chunks.
    pub(crate) announced: Option<usize>,
    /// Whether it is a stream of events.
    pub(crate) stream: bool,
}

// === impl Pace ===

impl Pace {
    /// The pace under `fault`.
    pub(crate) fn under(self, fault: Option<&Fault>) -> Self {
        match fault {
            Some(Fault::SlowFirstToken { ms }) => Self { first_token: Duration::from_millis(*ms), ..self },
            _ => self,
        }
    }

    /// How long an answer of `tokens` takes as a whole.
    pub(crate) fn whole(self, tokens: u32) -> Duration {
        self.first_token + self.gap * tokens.saturating_sub(1)
    }
}

// === impl Part ===

impl Part {
    pub(crate) const fn new(wait: Duration, mark: Mark, bytes: Bytes) -> Self {
        Self { wait, mark, bytes }
    }
}

// === impl Plan ===

impl Plan {
    /// Drops the body where HTTP has none. The server would never ask for it, and the answer would count as cancelled.
    pub(crate) fn fit(&mut self, method: &Method) {
        if method == Method::HEAD || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            self.body = Body::whole(Bytes::new());
            self.ending = Ending::Complete;
        }
    }
}

// === impl Body ===

impl Body {
    /// A body of known length.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let announced = Some(bytes.len());
        let part = Part::new(Duration::ZERO, Mark::Content, bytes);
        Self { parts: if part.bytes.is_empty() { Vec::new() } else { vec![part] }, announced, stream: false }
    }

    pub(crate) const fn events(parts: Vec<Part>) -> Self {
        Self { parts, announced: None, stream: true }
    }

    pub(crate) const fn is_stream(&self) -> bool {
        self.stream
    }
}
