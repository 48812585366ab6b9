//! What a call is: with HTTP, or without.

use std::time::Duration;

use buttress_core::{AnswerReport, CallContext, Class, Classify, HttpClassify, Outcome, Verdict};
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;

use crate::{
    Alike, ByExtension, Criticality, Rank, ResponseBody,
    body::{Tally, Watch},
    limiter::{Meter, Permit},
    standing::Moment,
};

/// What a layer reads of a request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not read a `{Req}`",
    label = "not a request of this protocol",
    note = "around a service without HTTP, say `.plain(refuse)` of the layer, where `refuse` is a closure `Fn(Refusal) -> Result<Response, Error>`"
)]
pub trait Protocol<Req> {
    /// Returns how much `request` matters.
    fn criticality(&self, request: &Req) -> Criticality;

    /// Returns by when `request` must be answered, where it says so. Asked only if it has to wait.
    fn deadline(&self, request: &Req) -> Option<Instant>;
}

/// To where a call keeps its place.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know when a `{Res}` ends",
    label = "not an answer of this protocol",
    note = "around a service without HTTP, say `.plain(refuse)` of the layer, where `refuse` is a closure `Fn(Refusal) -> Result<Response, Error>`"
)]
pub trait Cover<Res, Err> {
    /// An answer that keeps its place.
    type Response;

    /// Lets `result` keep the place of its call as long as it needs it. A refusal has none.
    ///
    /// # Errors
    ///
    /// An error stays what it is.
    fn cover(&self, result: Result<Res, Err>, place: Option<Place>) -> Result<Self::Response, Err>;
}

/// The place of a call that is under way. Dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    permit: Permit,
    /// When the call began, if that matters.
    started: Option<Moment>,
}

/// What an adaptive limit goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The time to the first content, where a layer further in reads the answer and says in its
    /// [`AnswerReport`] when that came; to the first byte of the body otherwise.
    #[default]
    FirstContent,
    /// The time for each token of a whole answer, by the [`Usage`](buttress_core::Usage) in its [`AnswerReport`]. Answers that
    /// do not tell their usage count for nothing.
    PerToken,
}

/// HTTP: a call keeps its place to the end of the answer's body. See [`Protocol`] and [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpProtocol<C = HttpClassify, R = ByExtension> {
    pub(crate) classify: C,
    pub(crate) rank: R,
    pub(crate) signal: Signal,
}

/// Any service: a call keeps its place until it is answered, and that is what an adaptive limit goes by. See [`Protocol`] and
/// [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainProtocol<C = ByResult, R = Alike> {
    pub(crate) classify: C,
    pub(crate) rank: R,
}

/// Takes every error for a fault that may be gone next time, and every answer for a success.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResult;

// === impl Place ===

impl Place {
    #[inline]
    pub(crate) fn begin(permit: Permit) -> Self {
        let started = permit.begin();
        Self { permit, started }
    }

    fn meter(&self) -> Option<Meter> {
        self.started.map(|started| self.permit.meter(started))
    }
}

// === impl HttpProtocol ===

impl<C, R, B> Protocol<Request<B>> for HttpProtocol<C, R>
where
    R: Rank<Request<B>>,
{
    fn criticality(&self, request: &Request<B>) -> Criticality {
        self.rank.criticality(request)
    }

    fn deadline(&self, request: &Request<B>) -> Option<Instant> {
        CallContext::of(request)?.deadline()
    }
}

impl<C, R, B, E> Cover<Response<B>, E> for HttpProtocol<C, R>
where
    C: Classify<Response<B>, E>,
    B: Body,
{
    type Response = Response<ResponseBody<B>>;

    fn cover(&self, result: Result<Response<B>, E>, place: Option<Place>) -> Result<Self::Response, E> {
        let Some(place) = place else {
            return result.map(|response| response.map(ResponseBody::without_place));
        };
        let now = Instant::now();
        let meter = place.meter().filter(|meter| {
            let class = self.classify.classify(result.as_ref());
            meter.failed(&class);
            class.verdict == Verdict::Success
        });
        let response = result?;
        let permit = place.permit;
        let Some(meter) = meter else {
            return Ok(response.map(|body| ResponseBody::new(body, permit, None, None, now)));
        };
        let report = response.extensions().get::<AnswerReport>().cloned();
        let watch = match self.signal {
            Signal::FirstContent => watch(&meter, report.as_ref(), response.body().is_end_stream(), now),
            Signal::PerToken => None,
        };
        let tally = report.map(|report| Tally::new(meter, report, self.signal, now));
        Ok(response.map(|body| ResponseBody::new(body, permit, watch, tally, now)))
    }
}

/// Tells `meter` when the first content came, or returns what will: it may be there with the head, or there is none.
fn watch(meter: &Meter, report: Option<&AnswerReport>, empty: bool, now: Instant) -> Option<Watch> {
    let at = report.and_then(AnswerReport::first_content).or_else(|| empty.then_some(now));
    match at {
        Some(at) => {
            meter.first_content(at);
            None
        }
        None => Some(Watch::new(meter.clone(), report.cloned())),
    }
}

// === impl PlainProtocol ===

impl<C, R, Req> Protocol<Req> for PlainProtocol<C, R>
where
    R: Rank<Req>,
{
    fn criticality(&self, request: &Req) -> Criticality {
        self.rank.criticality(request)
    }

    fn deadline(&self, _: &Req) -> Option<Instant> {
        None
    }
}

impl<C, R, Res, Err> Cover<Res, Err> for PlainProtocol<C, R>
where
    C: Classify<Res, Err>,
{
    type Response = Res;

    #[inline]
    fn cover(&self, result: Result<Res, Err>, place: Option<Place>) -> Result<Res, Err> {
        if let Some(Place { permit, started }) = place {
            match started {
                None => drop(permit),
                Some(started) => self.measure(permit, started, result.as_ref()),
            }
        }
        result
    }
}

impl<C, R> PlainProtocol<C, R> {
    /// Gives the place back, and tells how the call went.
    #[inline(never)]
    fn measure<Res, Err>(&self, permit: Permit, started: Moment, result: Result<&Res, &Err>)
    where
        C: Classify<Res, Err>,
    {
        let meter = permit.meter(started);
        drop(permit);
        let class = self.classify.classify(result);
        match class.verdict {
            Verdict::Success => meter.first_content(Instant::now()),
            _ => meter.failed(&class),
        }
    }
}

// === impl ByResult ===

impl<Res, Err> Classify<Res, Err> for ByResult {
    fn classify(&self, result: Result<&Res, &Err>) -> Class {
        match result {
            Ok(_) => Class::SUCCESS,
            Err(_) => Class::new(Verdict::Transient, Outcome::Word("error")),
        }
    }
}

/// Returns how long each of `tokens` took that came within `time`, or `None` if there are none.
pub(crate) fn per_token(time: Duration, tokens: u64) -> Option<Duration> {
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    (tokens > 0).then(|| time / tokens)
}
