//! The body of an answer, whose end is the end of the call.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use buttress_core::{AnswerReport, BodyEnd, EndBody, OnBodyEnd};
use bytes::Bytes;
use http::Extensions;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::Instant;

use crate::Permit;

/// The body of an answer, whose end is the end of the call. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
enum Kind<B> {
    Watched(#[pin] EndBody<B, Ended>),
    /// The call has ended before, or never began.
    Passed(#[pin] B),
}

/// Reports the end of a body to the permit.
struct Ended {
    permit: Permit,
    /// What a layer further in finds in the answer.
    report: Option<AnswerReport>,
}

// === impl ResponseBody ===

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(inner: B, permit: Option<Permit>, extensions: &Extensions) -> Self {
        Self(match permit {
            Some(permit) => {
                let ended = Ended { permit: permit.answered(), report: extensions.get().cloned() };
                Kind::Watched(EndBody::new(inner, ended, Instant::now()))
            }
            None => Kind::Passed(inner),
        })
    }
}

/// A body made at once, such as that of a refusal further out, is nobody's call.
impl<B: From<Bytes>> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Passed(bytes.into()))
    }
}

impl<B: Body<Error: 'static>> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().0.project() {
            KindProj::Watched(body) => body.poll_frame(cx),
            KindProj::Passed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Watched(body) => body.is_end_stream(),
            Kind::Passed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Watched(body) => body.size_hint(),
            Kind::Passed(body) => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").field("watched", &matches!(self.0, Kind::Watched(_))).finish_non_exhaustive()
    }
}

// === impl Ended ===

impl OnBodyEnd for Ended {
    fn on_end(self, end: BodyEnd) {
        let Self { permit, report } = self;
        permit.end(end, report.as_ref());
    }
}
