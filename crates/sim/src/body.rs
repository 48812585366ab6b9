//! The body of an answer on its way out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::plan::{self, Ending, Mark, Part};
use crate::socket::Cut;
use crate::stats::InFlight;

/// Sends the parts of a plan when they are due, then ends as planned.
#[derive(Debug)]
pub(crate) struct SimBody {
    parts: vec::IntoIter<Part>,
    next: Option<Part>,
    /// When the next part leaves. Parts are due on a schedule, so that late timers do not add up.
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    /// What is left of the announced length.
    left: Option<u64>,
    ending: Ending,
    cut: Cut,
    guard: Option<InFlight>,
}

// === impl SimBody ===

impl SimBody {
    pub(crate) fn new(body: plan::Body, ending: Ending, cut: Cut, guard: InFlight, now: Instant) -> Self {
        let left = body.announced.map(|left| left as u64);
        let mut parts = body.parts.into_iter();
        let mut next = parts.next();
        if next.is_none() {
            next = again(&ending);
        }
        let due = next.as_ref().map_or(now, |part| now + part.wait);
        let mut body = Self { parts, next, due, sleep: None, left, ending, cut, guard: Some(guard) };
        body.finish_if_sent();
        body
    }

    /// Reports a complete answer with its last bytes: the server does not ask again after the announced length.
    fn finish_if_sent(&mut self) {
        if self.is_end_stream()
            && let Some(guard) = self.guard.take()
        {
            guard.complete();
        }
    }

    fn end(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.ending {
            Ending::Complete => return Poll::Ready(None),
            Ending::Stall | Ending::Repeat { .. } => return Poll::Pending,
            Ending::Close => self.cut.close(),
            Ending::Reset => self.cut.reset(),
        }
        if let Some(guard) = self.guard.take() {
            guard.abort();
            // The cut happens at the next flush; the wake-up makes sure that there is one.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // No timer where nothing waits: this is the path that load tests measure.
        if self.next.as_ref().is_none_or(|part| part.wait.is_zero()) {
            return Poll::Ready(());
        }
        let due = self.due;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        ready!(this.poll_due(cx));
        let Some(part) = this.next.take() else {
            return this.end(cx);
        };
        this.next = this.parts.next().or_else(|| again(&this.ending));
        if let Some(guard) = &this.guard {
            guard.sent(part.bytes.len());
        }
        this.due += this.next.as_ref().map(|part| part.wait).unwrap_or_default();
        this.left = this.left.map(|left| left.saturating_sub(part.bytes.len() as u64));
        this.finish_if_sent();
        Poll::Ready(Some(Ok(Frame::data(part.bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.ending == Ending::Complete
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What comes after the last part, if something does.
fn again(ending: &Ending) -> Option<Part> {
    match ending {
        Ending::Repeat { bytes, every } => Some(Part::new(*every, Mark::Comment, bytes.clone())),
        Ending::Complete | Ending::Stall | Ending::Close | Ending::Reset => None,
    }
}
