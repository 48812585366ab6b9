//! A body: as it comes, recorded, or given again.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::{Unfit, record::Record, replay::Replay};

/// The body of an answer. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
enum Kind<B> {
    Passing(#[pin] B),
    Recorded {
        #[pin]
        inner: B,
        record: Box<Record>,
    },
    Stored(Replay),
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn passing(inner: B) -> Self {
        Self(Kind::Passing(inner))
    }

    pub(crate) fn recorded(inner: B, record: Record) -> Self {
        Self(Kind::Recorded { inner, record: Box::new(record) })
    }

    pub(crate) const fn stored(replay: Replay) -> Self {
        Self(Kind::Stored(replay))
    }
}

/// A body made at once, such as that of a refusal further out, passes.
impl<B: From<Bytes>> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::passing(bytes.into())
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().0.project() {
            KindProj::Passing(body) => body.poll_frame(cx),
            KindProj::Recorded { mut inner, record } => {
                let frame = ready!(inner.as_mut().poll_frame(cx));
                match &frame {
                    // Who knows the length does not ask for what follows the last frame.
                    Some(Ok(frame)) => record.hear(frame, inner.is_end_stream()),
                    Some(Err(_)) => record.give_up(Unfit::Truncated),
                    None => record.ended(),
                }
                Poll::Ready(frame)
            }
            KindProj::Stored(replay) => replay.poll_frame(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Passing(body) | Kind::Recorded { inner: body, .. } => body.is_end_stream(),
            Kind::Stored(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Passing(body) | Kind::Recorded { inner: body, .. } => body.size_hint(),
            Kind::Stored(replay) => replay.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        let kind = match &self.0 {
            Kind::Passing(_) => "passing",
            Kind::Recorded { .. } => "recorded",
            Kind::Stored(_) => "stored",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}
