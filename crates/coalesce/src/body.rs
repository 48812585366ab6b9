//! A body, shared or not.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use buttress_core::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::reader::Reader;

/// The body of an answer, which others may read too. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
enum Kind<B> {
    Alone(#[pin] B),
    Shared(Reader<B>),
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn alone(body: B) -> Self {
        Self(Kind::Alone(body))
    }

    pub(crate) const fn shared(reader: Reader<B>) -> Self {
        Self(Kind::Shared(reader))
    }
}

/// A body made at once, such as that of a refusal further out, is nobody else's.
impl<B: From<Bytes>> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::alone(bytes.into())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().0.project() {
            KindProj::Alone(body) => body.poll_frame(cx).map_err(Into::into),
            KindProj::Shared(reader) => reader.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Alone(body) => body.is_end_stream(),
            Kind::Shared(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Alone(body) => body.size_hint(),
            Kind::Shared(reader) => reader.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
