//! A body and its deadline.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use crate::{DeadlineExceeded, error::Stage, timer::poll_expired};

/// The body of an answer that must be complete by a deadline. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B> {
    /// `None` once the deadline has cut it off.
    #[pin]
    inner: Option<B>,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    deadline: Instant,
    /// Registered only if a frame is not ready at once.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether a frame of data was let through after the deadline.
    overdue: bool,
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) fn new(inner: B, deadline: Option<Instant>) -> Self {
        let limit = deadline.map(|deadline| Limit { deadline, timer: None, overdue: false });
        Self { inner: Some(inner), limit }
    }
}

/// A body made at once, such as that of a refusal further out, has no deadline to keep.
impl<B: From<Bytes>> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes.into(), None)
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // Frames before the timer: what is there at the deadline is delivered.
        if let Poll::Ready(frame) = inner.poll_frame(cx) {
            let more = matches!(&frame, Some(Ok(frame)) if !frame.is_trailers());
            if !(more && this.limit.as_mut().is_some_and(|limit| limit.overstays(Instant::now()))) {
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
        } else {
            let Some(limit) = this.limit else { return Poll::Pending };
            ready!(limit.poll_expired(cx));
        }
        this.inner.set(None);
        *this.limit = None;
        let error = DeadlineExceeded::before(Stage::Body);
        debug!(reason = %error, "cut off");
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").field("limit", &self.limit).finish_non_exhaustive()
    }
}

// === impl Limit ===

impl Limit {
    /// Returns whether a frame of data that is there at `now` comes too late.
    ///
    /// The first one after the deadline does not: it may have been there in time, and its reader late. Nor does the
    /// second wait: a body whose frames are always there would never be asked for the time.
    fn overstays(&mut self, now: Instant) -> bool {
        now > self.deadline && std::mem::replace(&mut self.overdue, true)
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.deadline)));
        poll_expired(timer.as_mut(), cx)
    }
}
