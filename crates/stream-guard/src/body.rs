//! The body of an answer that is watched.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{BoxError, EventReader, Speaker, StreamFailure};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    clock::{Clock, Limits},
    counts::Counters,
    watch::Watch,
};

/// The body of an answer that is watched to its end. See the [crate docs](crate).
///
/// # Cancel safety
///
/// Dropping it drops the target's answer.
#[pin_project]
pub struct ResponseBody<B, R> {
    /// `None` once it has ended, or was ended here.
    #[pin]
    inner: Option<B>,
    /// `None` for an answer that is not read. Boxed: the answer is moved through each layer further out, and what reads it is large.
    guard: Option<Box<Guard<R>>>,
}

struct Guard<R> {
    watch: Watch<R>,
    clock: Clock,
    counters: Arc<Counters>,
    /// Registered only if something is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl ResponseBody ===

impl<B, R> ResponseBody<B, R> {
    /// How many frames are read without anything to give, before others get their turn.
    const FRAMES_A_TURN: usize = 64;

    pub(crate) const fn passing(inner: B) -> Self {
        Self { inner: Some(inner), guard: None }
    }
}

impl<B: Body, R: EventReader> ResponseBody<B, R> {
    pub(crate) fn watched(inner: B, reader: R, report: Speaker, limits: Limits, counters: Arc<Counters>) -> Self {
        let mut watch = Watch::new(reader, report, inner.size_hint().exact());
        if inner.is_end_stream() {
            watch.end(&counters);
        }
        let inner = (!watch.is_cut()).then_some(inner);
        Self { inner, guard: Some(Box::new(Guard { watch, clock: Clock::new(limits), counters, timer: None })) }
    }
}

/// A body made at once, such as that of a refusal further out.
impl<B: From<Bytes>, R> From<Bytes> for ResponseBody<B, R> {
    fn from(bytes: Bytes) -> Self {
        Self::passing(bytes.into())
    }
}

impl<B, R> Body for ResponseBody<B, R>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    R: EventReader,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        for _ in 0..Self::FRAMES_A_TURN {
            if let Some(next) = this.guard.as_mut().and_then(|guard| guard.watch.next()) {
                return Poll::Ready(Some(next));
            }
            let Some(mut inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            // Frames before the timer: what is there is passed on.
            let frame = inner.as_mut().poll_frame(cx).map_err(Into::into);
            let Some(guard) = this.guard else { return frame };
            match frame {
                Poll::Pending => {
                    let failure = ready!(guard.poll_lapse(cx));
                    guard.watch.lapse(failure, &guard.counters);
                }
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {
                    guard.clock.resume();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Ok(frame))) => guard.frame(frame, inner.is_end_stream()),
                Poll::Ready(Some(Err(error))) => guard.watch.error(error, &guard.counters),
                Poll::Ready(None) => {
                    guard.watch.end(&guard.counters);
                    this.inner.set(None);
                }
            }
            if guard.watch.is_cut() {
                // Its connection goes before anybody is told.
                this.inner.set(None);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let settled = self.guard.as_ref().is_none_or(|guard| guard.watch.is_settled() && !guard.watch.has_next());
        match &self.inner {
            Some(inner) => settled && inner.is_end_stream(),
            None => self.guard.as_ref().is_none_or(|guard| !guard.watch.has_next()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.guard.as_ref().map_or(0, |guard| guard.watch.waiting());
        let inner = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(waiting)) {
            hint.set_upper(upper);
        }
        hint.set_lower(inner.lower().saturating_add(waiting));
        hint
    }
}

impl<B, R> fmt::Debug for ResponseBody<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").field("watched", &self.guard.is_some()).finish_non_exhaustive()
    }
}

// === impl Guard ===

impl<R: EventReader> Guard<R> {
    fn frame(&mut self, frame: Frame<Bytes>, last: bool) {
        self.clock.resume();
        match frame.into_data() {
            Ok(data) => {
                let progress = self.watch.data(data, &self.counters);
                if progress.events > 0 {
                    self.clock.content(progress.events, progress.bytes);
                }
                if last {
                    self.watch.end(&self.counters);
                }
            }
            Err(other) => {
                if other.is_trailers() {
                    self.watch.end(&self.counters);
                }
                self.watch.put_after(other);
            }
        }
        if self.watch.is_settled() {
            self.clock.ended();
        }
    }

    /// Waits until the target has been waited for too long.
    fn poll_lapse(&mut self, cx: &mut Context<'_>) -> Poll<StreamFailure> {
        loop {
            match self.clock.wait(Instant::now()) {
                Err(failure) => return Poll::Ready(failure),
                Ok(None) => return Poll::Pending,
                Ok(Some(at)) => ready!(self.poll_timer(at, cx)),
            }
        }
    }

    /// Polls a timer that goes off at `at` or before. It is set back only when it went off too soon, and not with each event.
    fn poll_timer(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at || timer.is_elapsed() {
            timer.as_mut().reset(at);
        }
        while timer.deadline() < at {
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().reset(at);
        }
        match timer.as_mut().poll(cx) {
            // It asks for a share of the task's turn, which may be used up. The clock can always be asked.
            Poll::Pending if Instant::now() < at => Poll::Pending,
            Poll::Pending | Poll::Ready(()) => Poll::Ready(()),
        }
    }
}
