//! A body and its place.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::{AnswerReport, BodyEnd, End, EndBody, OnBodyEnd, Verdict};
use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::Instant;

use crate::{
    Signal,
    limiter::{Meter, Permit},
    protocol::per_token,
};

/// The body of an answer, which keeps the place of its call to its end. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B> {
    #[pin]
    inner: EndBody<B, Ending>,
    watch: Option<Watch>,
}

/// What is to be done at the end of a body.
#[derive(Debug, Default)]
struct Ending {
    permit: Option<Permit>,
    tally: Option<Tally>,
}

/// Waits for the first content.
#[derive(Debug)]
pub(crate) struct Watch {
    meter: Meter,
    report: Option<AnswerReport>,
}

/// Looks at the end into what a layer further in has found.
#[derive(Debug)]
pub(crate) struct Tally {
    meter: Meter,
    report: AnswerReport,
    signal: Signal,
    began: Instant,
}

// === impl ResponseBody ===

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(inner: B, permit: Permit, watch: Option<Watch>, tally: Option<Tally>, now: Instant) -> Self {
        Self { inner: EndBody::new(inner, Ending { permit: Some(permit), tally }, now), watch }
    }

    pub(crate) fn without_place(inner: B) -> Self {
        Self { inner: EndBody::new(inner, Ending::default(), Instant::now()), watch: None }
    }
}

/// A body made at once, such as that of a refusal further out, needs no place.
impl<B: Body + From<Bytes>> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::without_place(bytes.into())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Error: 'static>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(watch), Some(Ok(frame))) = (&*this.watch, &frame)
            && frame.data_ref().is_some_and(|data| data.has_remaining())
            && watch.saw_data()
        {
            *this.watch = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

// === impl Ending ===

impl OnBodyEnd for Ending {
    fn on_end(self, end: BodyEnd) {
        if let Some(tally) = &self.tally {
            tally.ended(end.end);
        }
        drop(self.permit);
    }
}

// === impl Watch ===

impl Watch {
    pub(crate) const fn new(meter: Meter, report: Option<AnswerReport>) -> Self {
        Self { meter, report }
    }

    /// Returns whether the first content is there, and tells of it if so.
    fn saw_data(&self) -> bool {
        // Who reads the answer knows content from signs of life.
        let at = self.report.as_ref().map_or_else(|| Some(Instant::now()), AnswerReport::first_content);
        at.is_some_and(|at| {
            self.meter.first_content(at);
            true
        })
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) const fn new(meter: Meter, report: AnswerReport, signal: Signal, began: Instant) -> Self {
        Self { meter, report, signal, began }
    }

    fn ended(&self, end: End) {
        match self.report.class() {
            // An answer that began well may tell of an overload in its midst.
            Some(class) if class.verdict != Verdict::Success => self.meter.failed(&class),
            _ if end == End::Complete && self.signal == Signal::PerToken => {
                let began = self.report.first_content().unwrap_or(self.began);
                let tokens = self.report.usage().map_or(0, |usage| usage.output);
                let latency = per_token(Instant::now().saturating_duration_since(began), tokens);
                latency.into_iter().for_each(|latency| self.meter.per_token(latency));
            }
            _ => {}
        }
    }
}
