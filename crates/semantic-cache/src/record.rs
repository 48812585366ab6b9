//! An answer is kept while it flows.

use std::{fmt, time::Duration};

use buttress_core::AnswerReport;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use http_body::{Body, Frame};
use tokio::time::Instant;

use crate::{Draft, Unfit, stored::Part};

/// Hears what became of a recording. Called exactly once.
pub(crate) type Kept = Box<dyn FnOnce(Result<Draft, Unfit>) + Send>;

/// What was recorded of an answer so far. Dropped before the end, it says that the answer was aborted.
pub(crate) struct Record {
    kept: Option<Kept>,
    status: StatusCode,
    headers: HeaderMap,
    report: Option<AnswerReport>,
    /// Copied: what comes may be a small part of a large buffer.
    body: Vec<u8>,
    parts: Vec<Part>,
    /// The exact length, where the answer announced one.
    announced: Option<u64>,
    bounds: RecordBounds,
    begun: Instant,
}

/// How much is recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordBounds {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

// === impl Record ===

impl Record {
    pub(crate) fn new<B: Body>(
        head: &response::Parts,
        body: &B,
        bounds: RecordBounds,
        begun: Instant,
        kept: Kept,
    ) -> Self {
        let announced = body.size_hint().exact();
        let mut record = Self {
            kept: Some(kept),
            status: head.status,
            headers: head.headers.clone(),
            report: head.extensions.get().cloned(),
            body: Vec::new(),
            parts: Vec::new(),
            announced,
            bounds,
            begun,
        };
        if announced.is_some_and(|length| length > bounds.bytes as u64) {
            record.give_up(Unfit::TooLarge);
        } else if body.is_end_stream() {
            record.ended();
        }
        record
    }

    /// Hears a frame, and whether it is the last one.
    pub(crate) fn hear(&mut self, frame: &Frame<Bytes>, is_last: bool) {
        if self.kept.is_none() {
            return;
        }
        let Some(data) = frame.data_ref() else { return self.give_up(Unfit::Form) };
        // Each part is counted, so that many small ones are bounded too.
        let weight = self.body.len() + data.len() + (self.parts.len() + 1) * size_of::<Part>();
        if weight > self.bounds.bytes {
            return self.give_up(Unfit::TooLarge);
        }
        let after = Instant::now().saturating_duration_since(self.begun);
        if after > self.bounds.time {
            return self.give_up(Unfit::Slow);
        }
        self.body.extend_from_slice(data);
        self.parts.push(Part { end: self.body.len(), after });
        if is_last {
            self.ended();
        }
    }

    /// Hears that the answer has come to its end.
    pub(crate) fn ended(&mut self) {
        if self.kept.is_none() {
            return;
        }
        if self.announced.is_some_and(|length| length != self.body.len() as u64) {
            return self.give_up(Unfit::Truncated);
        }
        if let Err(unfit) = Unfit::of_report(self.report.as_ref()) {
            return self.give_up(unfit);
        }
        let usage = self.report.as_ref().and_then(AnswerReport::usage);
        let draft = Draft {
            status: self.status,
            headers: std::mem::take(&mut self.headers),
            body: std::mem::take(&mut self.body).into_boxed_slice().into(),
            parts: std::mem::take(&mut self.parts).into(),
            usage,
        };
        if let Some(kept) = self.kept.take() {
            kept(Ok(draft));
        }
    }

    pub(crate) fn give_up(&mut self, unfit: Unfit) {
        (self.body, self.parts) = (Vec::new(), Vec::new());
        if let Some(kept) = self.kept.take() {
            kept(Err(unfit));
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.give_up(Unfit::Aborted);
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
