//! A body and its reservation.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use buttress_core::{AnswerReport, BodyEnd, EndBody, OnBodyEnd};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::Instant;

use crate::Reservation;

/// The body of an answer, at whose end its call is settled. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B>(#[pin] EndBody<B, Ending>);

/// What is to be settled at the end of a body.
#[derive(Debug, Default)]
struct Ending {
    reservation: Option<Reservation>,
    report: Option<AnswerReport>,
    failed: bool,
}

// === impl ResponseBody ===

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(
        inner: B,
        reservation: Reservation,
        report: Option<AnswerReport>,
        failed: bool,
        now: Instant,
    ) -> Self {
        Self(EndBody::new(inner, Ending { reservation: Some(reservation), report, failed }, now))
    }

    pub(crate) fn unlimited(inner: B) -> Self {
        Self(EndBody::new(inner, Ending::default(), Instant::now()))
    }
}

/// A body made at once, such as that of a refusal further out, has nothing to settle.
impl<B: Body + From<Bytes>> From<Bytes> for ResponseBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::unlimited(bytes.into())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Error: 'static>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().0.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it may be somebody's words.
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

// === impl Ending ===

impl OnBodyEnd for Ending {
    fn on_end(self, end: BodyEnd) {
        if let Some(reservation) = self.reservation {
            reservation.ended(&end, self.failed, self.report.as_ref().and_then(AnswerReport::usage));
        }
    }
}
