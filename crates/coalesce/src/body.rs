//! A body, shared or not.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use buttress_core::{AnswerReport, BoxError, Usage};
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
    Shared(Reader<B>, Option<Retold>),
}

/// What is told of an answer that another one's call has brought: how it ended, and that it has cost nothing.
pub(crate) struct Retold {
    /// What is told of the call, where somebody reads its answer.
    call: Option<AnswerReport>,
    own: AnswerReport,
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(crate) const fn alone(body: B) -> Self {
        Self(Kind::Alone(body))
    }

    pub(crate) const fn shared(reader: Reader<B>, retold: Option<Retold>) -> Self {
        Self(Kind::Shared(reader, retold))
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
            KindProj::Shared(reader, retold) => {
                let polled = reader.poll_frame(cx);
                let ended = matches!(polled, Poll::Ready(None | Some(Err(_)))) || reader.is_end_stream();
                if let Some(retold) = retold.as_ref().filter(|_| ended) {
                    retold.conclude();
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Alone(body) => body.is_end_stream(),
            Kind::Shared(reader, _) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Alone(body) => body.size_hint(),
            Kind::Shared(reader, _) => reader.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

// === impl Retold ===

impl Retold {
    pub(crate) fn of(call: Option<AnswerReport>) -> Self {
        let own = AnswerReport::default();
        own.count(Usage::default());
        Self { call, own }
    }

    pub(crate) fn report(&self) -> AnswerReport {
        self.own.clone()
    }

    /// The call has told how it ended before its last part could be seen.
    fn conclude(&self) {
        if let Some(class) = self.call.as_ref().and_then(AnswerReport::class) {
            self.own.conclude(class);
        }
    }
}
