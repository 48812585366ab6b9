//! When an answer has really ended.

use std::{
    any::Any,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;

use crate::{BoxError, error::is_broken_off};

/// How, when and after how much a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyEnd {
    /// How it ended.
    pub end: End,
    /// How many bytes of data it gave.
    pub bytes: u64,
    /// How long it took from the making of the [`EndBody`].
    pub elapsed: Duration,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a body is whole, fails, stops short, or is dropped; there is no fifth way"
)]
pub enum End {
    /// Everything came.
    Complete,
    /// The body failed.
    Error,
    /// The body stopped before its announced length, or the connection closed under it.
    Truncated,
    /// The body was dropped before its end.
    Cancelled,
}

/// Hears how a body ended. Any `FnOnce(BodyEnd)` does.
pub trait OnBodyEnd {
    /// Called exactly once.
    fn on_end(self, end: BodyEnd);
}

/// A body that reports its end exactly once, to whatever `R` is.
///
/// The end is the first of: no more frames, an error, trailers, `is_end_stream` after a frame or at the very beginning,
/// and drop. hyper does not poll past a known length, so waiting for the last `None` would miss most ends.
/// Data, trailers, unknown frames and both hints pass unchanged.
#[pin_project(PinnedDrop)]
#[derive(Debug)]
pub struct EndBody<B, R: OnBodyEnd> {
    #[pin]
    inner: B,
    report: Report<R>,
}

#[derive(Debug)]
struct Report<R> {
    to: Option<R>,
    bytes: u64,
    /// The exact length, where the body announced one.
    announced: Option<u64>,
    started: Instant,
}

// === impl OnBodyEnd ===

impl<F: FnOnce(BodyEnd)> OnBodyEnd for F {
    fn on_end(self, end: BodyEnd) {
        self(end);
    }
}

// === impl EndBody ===

impl<B: Body, R: OnBodyEnd> EndBody<B, R> {
    /// Wraps `inner`; `report` hears its end. Time is counted from `now`.
    pub fn new(inner: B, report: R, now: Instant) -> Self {
        let announced = inner.size_hint().exact();
        let mut report = Report { to: Some(report), bytes: 0, announced, started: now };
        if inner.is_end_stream() {
            report.send(End::Complete);
        }
        Self { inner, report }
    }
}

impl<B, R> Body for EndBody<B, R>
where
    B: Body<Error: 'static>,
    R: OnBodyEnd,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.report.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                if frame.is_trailers() || this.inner.is_end_stream() {
                    this.report.finished();
                }
            }
            Some(Err(error)) => this.report.send(if is_truncation(error) { End::Truncated } else { End::Error }),
            None => this.report.finished(),
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

#[pinned_drop]
impl<B, R: OnBodyEnd> PinnedDrop for EndBody<B, R> {
    fn drop(self: Pin<&mut Self>) {
        let report = self.project().report;
        // Who read all that was announced need not ask whether there is more.
        let whole = report.announced == Some(report.bytes);
        report.send(if whole { End::Complete } else { End::Cancelled });
    }
}

// === impl Report ===

impl<R: OnBodyEnd> Report<R> {
    fn finished(&mut self) {
        let short = self.announced.is_some_and(|length| self.bytes < length);
        self.send(if short { End::Truncated } else { End::Complete });
    }

    fn send(&mut self, end: End) {
        if let Some(to) = self.to.take() {
            let elapsed = Instant::now().saturating_duration_since(self.started);
            to.on_end(BodyEnd { end, bytes: self.bytes, elapsed });
        }
    }
}

/// Returns whether `error` says that the connection closed before the body's end.
fn is_truncation<E: 'static>(error: &E) -> bool {
    let any = error as &dyn Any;
    if let Some(boxed) = any.downcast_ref::<BoxError>() {
        return is_broken_off(boxed.as_ref()) || is_incomplete(boxed.as_ref());
    }
    #[cfg(feature = "client")]
    if let Some(error) = any.downcast_ref::<hyper::Error>() {
        return is_broken_off(error) || is_incomplete(error);
    }
    any.downcast_ref::<std::io::Error>().is_some_and(|error| is_broken_off(error))
}

#[cfg(feature = "client")]
fn is_incomplete(error: &(dyn std::error::Error + 'static)) -> bool {
    crate::error::causes(error)
        .any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message))
}

#[cfg(not(feature = "client"))]
const fn is_incomplete(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}
