//! A body and its reservation.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{AnswerReport, BodyEnd, End, EndBody, Headroom, OnBodyEnd, Verdict};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::Instant;

use crate::{
    Reservation,
    limiter::{Limiter, Owner},
};

/// The body of an answer, at whose end its call is settled. See the [crate docs](crate).
#[pin_project]
pub struct ResponseBody<B>(#[pin] EndBody<B, Ending>);

/// What is to be settled at the end of a body.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) reservation: Option<Reservation>,
    pub(crate) report: Option<AnswerReport>,
    pub(crate) failed: bool,
    pub(crate) heed: Option<Box<Heed>>,
}

/// What the answer has told of what is left, and when.
///
/// It counts at once, and again when the call is settled: what comes back then was in the provider's word already.
#[derive(Debug)]
pub(crate) struct Heed {
    headroom: Headroom,
    limiter: Arc<Limiter>,
    owner: Owner,
    told: Instant,
}

// === impl ResponseBody ===

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(inner: B, ending: Ending, now: Instant) -> Self {
        Self(EndBody::new(inner, ending, now))
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

// === impl Heed ===

impl Heed {
    /// Returns `None` for a reservation that nothing is to be settled of.
    pub(crate) fn begin(headroom: Headroom, reservation: &Reservation, now: Instant) -> Option<Self> {
        let limiter = Arc::clone(reservation.limiter()?);
        let heed = Self { headroom, limiter, owner: reservation.taken().owner, told: now };
        heed.heed(now);
        Some(heed)
    }

    fn heed(&self, now: Instant) {
        self.limiter.heed(self.owner, &self.headroom, self.told, now);
    }
}

// === impl Ending ===

impl Ending {
    /// Returns how the answer ended, and whether it failed as a whole. One may tell of its failure and then end well: it was cut short
    /// all the same, and failed if nothing had come of it.
    fn as_told(&self, end: BodyEnd) -> (BodyEnd, bool) {
        let mut end = end;
        let told =
            self.report.as_ref().filter(|report| report.class().is_some_and(|class| class.verdict != Verdict::Success));
        if let (Some(_), End::Complete) = (told, end.end) {
            end.end = End::Truncated;
        }
        (end, self.failed || told.is_some_and(|report| report.first_content().is_none()))
    }
}

impl OnBodyEnd for Ending {
    fn on_end(self, end: BodyEnd) {
        let (end, failed) = self.as_told(end);
        if let Some(reservation) = self.reservation {
            reservation.ended(&end, failed, self.report.as_ref().and_then(AnswerReport::usage));
        }
        if let Some(heed) = self.heed {
            heed.heed(Instant::now());
        }
    }
}
