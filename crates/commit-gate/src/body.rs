//! The body of an answer that went through the gate.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

/// The body of an answer: what was held back of it, then the rest. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B> {
    held: Bytes,
    /// What came after the data and is not data. Rare: content comes before the trailers.
    after: Option<Box<Frame<Bytes>>>,
    /// The end of `rest` has been seen, and is yet to be told.
    end_is_due: bool,
    /// `None` in an answer that the gate made.
    /// The length of it all, until any of it has gone out.
    hint: Option<SizeHint>,
    #[pin]
    rest: Option<B>,
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    /// Creates a body of which nothing was held.
    pub(crate) const fn passing(rest: B) -> Self {
        Self { held: Bytes::new(), after: None, end_is_due: false, hint: None, rest: Some(rest) }
    }

    /// Creates a body that gives out `held` and `after` before `rest`. The length of it all is `hint`.
    pub(crate) const fn rejoined(
        held: Bytes,
        after: Option<Box<Frame<Bytes>>>,
        end_is_due: bool,
        hint: SizeHint,
        rest: B,
    ) -> Self {
        Self { held, after, end_is_due, hint: Some(hint), rest: Some(rest) }
    }
}

/// A body made at once, such as that of a refusal further out.
impl<B> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        let hint = SizeHint::with_exact(bytes.len() as u64);
        Self { held: bytes, after: None, end_is_due: false, hint: Some(hint), rest: None }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        *this.hint = None;
        if !this.held.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.held)))));
        }
        if let Some(frame) = this.after.take() {
            return Poll::Ready(Some(Ok(*frame)));
        }
        match this.rest.as_pin_mut() {
            Some(rest) if !std::mem::take(this.end_is_due) => rest.poll_frame(cx),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let read_ahead = !self.held.is_empty() || self.after.is_some() || self.end_is_due;
        !read_ahead && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = || self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        self.hint.unwrap_or_else(rest)
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").field("held", &self.held.len()).finish_non_exhaustive()
    }
}
