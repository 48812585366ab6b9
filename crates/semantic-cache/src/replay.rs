//! An answer is given again.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Stored;

/// How fast streams are given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// At once, part for part.
    #[default]
    Instant,
    /// As they came, part for part.
    Recorded,
}

/// Gives an answer again, part for part.
pub(crate) struct Replay {
    answer: Arc<Stored>,
    /// Which part is next.
    next: usize,
    at: usize,
    paced: Option<Paced>,
}

struct Paced {
    begun: Instant,
    /// Boxed, since a timer is large.
    timer: Pin<Box<Sleep>>,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(answer: Arc<Stored>, pace: Pace, now: Instant) -> Self {
        let paced = (pace == Pace::Recorded && answer.shape.stream)
            .then(|| Paced { begun: now, timer: Box::pin(sleep_until(now)) });
        Self { answer, next: 0, at: 0, paced }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let Some(part) = self.answer.parts.get(self.next) else { return Poll::Ready(None) };
        if let Some(paced) = &mut self.paced {
            let due = paced.begun + part.after;
            if paced.timer.deadline() != due {
                paced.timer.as_mut().reset(due);
            }
            ready!(paced.timer.as_mut().poll(cx));
        }
        let data = self.answer.body.slice(self.at..part.end);
        (self.at, self.next) = (part.end, self.next + 1);
        Poll::Ready(Some(Frame::data(data)))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.next == self.answer.parts.len()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.answer.body.len() - self.at) as u64)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("next", &self.next).finish_non_exhaustive()
    }
}
