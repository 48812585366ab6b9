//! The beginning of a body, read ahead.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use buttress_core::{Body, BoxError};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// How many frames are read: a body that is always ready, and always with nothing, never lets time run out.
const MAX_FRAMES: usize = 8 * 1024;

/// What was read of a body.
#[derive(Default)]
pub(crate) struct Beginning {
    data: Vec<Bytes>,
    length: usize,
    /// What came after the data and is not data: trailers, or an error.
    held: Option<Result<Frame<Bytes>, BoxError>>,
    ended: bool,
}

/// A body whose beginning was read.
struct Rejoined {
    data: Bytes,
    held: Option<Result<Frame<Bytes>, BoxError>>,
    rest: Body,
}

// === impl Beginning ===

impl Beginning {
    /// Reads on until there are `max` bytes, or no more data.
    pub(crate) async fn fill(&mut self, body: &mut Body, max: usize) {
        for _ in 0..MAX_FRAMES {
            if self.length >= max {
                return;
            }
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.is_empty() => {}
                Some(Ok(Ok(data))) => {
                    self.length += data.len();
                    self.data.push(data);
                }
                Some(Ok(Err(other))) => {
                    self.held = Some(Ok(other));
                    return;
                }
                Some(Err(error)) => {
                    self.held = Some(Err(error));
                    return;
                }
                None => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// Puts together what was read, and the body as it was before.
    pub(crate) fn rejoin(mut self, rest: Body) -> (Bytes, Body) {
        let data = if self.data.len() == 1 { self.data.remove(0) } else { self.data.concat().into() };
        if self.ended {
            return (data.clone(), Body::from(data));
        }
        if data.is_empty() && self.held.is_none() {
            return (data, rest);
        }
        (data.clone(), Body::boxed(Rejoined { data, held: self.held, rest }))
    }
}

// === impl Rejoined ===

impl HttpBody for Rejoined {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(held));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.held.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, read) = (self.rest.size_hint(), self.data.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
