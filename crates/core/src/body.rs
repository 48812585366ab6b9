//! A response body that a layer can make as well as pass on.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project::pin_project;

use crate::{BoxError, Payload};

/// A response body that a layer can make as well as pass on.
///
/// hyper's `Incoming` cannot be built, so a layer around a client could not refuse with a response of the same type. The
/// client's body is turned into this one once, at the bottom of the stack; neither that nor a refusal boxes anything.
#[pin_project]
#[derive(Default)]
pub struct Body(#[pin] Kind);

#[pin_project(project = KindProj)]
#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(#[pin] Payload),
    #[cfg(feature = "client")]
    Incoming(#[pin] hyper::body::Incoming),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

// === impl Body ===

impl Body {
    /// Creates a body without content.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Creates a body of any other, in a box.
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(Kind::Boxed(Box::pin(IntoBoxError(body))))
    }

    /// Returns the bytes not yet sent of a body that is wholly in memory.
    #[must_use]
    pub const fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Whole(payload) => Some(payload.bytes()),
            _ => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Whole(Payload::new(bytes)))
    }
}

impl From<Payload> for Body {
    fn from(payload: Payload) -> Self {
        Self(Kind::Whole(payload))
    }
}

#[cfg(feature = "client")]
impl From<hyper::body::Incoming> for Body {
    fn from(incoming: hyper::body::Incoming) -> Self {
        Self(Kind::Incoming(incoming))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().0.project() {
            KindProj::Empty => Poll::Ready(None),
            KindProj::Whole(body) => body.poll_frame(cx).map_err(|never| match never {}),
            #[cfg(feature = "client")]
            KindProj::Incoming(body) => body.poll_frame(cx).map_err(Into::into),
            KindProj::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(body) => body.is_end_stream(),
            #[cfg(feature = "client")]
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(body) => body.size_hint(),
            #[cfg(feature = "client")]
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Whole(_) => "whole",
            #[cfg(feature = "client")]
            Kind::Incoming(_) => "incoming",
            Kind::Boxed(_) => "boxed",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

/// Boxes the errors of a body, so that the body itself can be boxed.
#[pin_project]
struct IntoBoxError<B>(#[pin] B);

impl<B> HttpBody for IntoBoxError<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(ready!(self.project().0.poll_frame(cx)).map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
