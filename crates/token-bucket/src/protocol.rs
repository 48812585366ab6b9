//! What a call is: with HTTP, or without.

use buttress_core::{AnswerReport, Headroom, Usage};
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;

use crate::{
    RateLimited, Reservation, ResponseBody,
    body::{Ending, Heed},
    headers,
    ticket::deadline_of,
};

/// What a layer reads of a request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not read a `{Req}`",
    label = "not a request of this protocol",
    note = "around a service without HTTP, say `.plain(refuse)` of the layer, where `refuse` is a closure `Fn(Refusal) -> Result<Response, Error>`"
)]
pub trait Protocol<Req> {
    /// Returns by when `request` must be answered, where it says so. Asked only if it may have to wait.
    fn deadline(&self, request: &Req) -> Option<Instant>;
}

/// When a call is settled.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know when a `{Res}` ends",
    label = "not an answer of this protocol",
    note = "around a service without HTTP, say `.plain(refuse)` of the layer, where `refuse` is a closure `Fn(Refusal) -> Result<Response, Error>`"
)]
pub trait Cover<Res, Err> {
    /// An answer that keeps its reservation.
    type Response;

    /// Whether an answer can tell what its call has cost. If none can, a call that costs what it has taken in any case gets a
    /// reservation that there is nothing to settle of, which is cheaper.
    const TELLS: bool = true;

    /// Lets `result` keep the reservation of its call until it is known what it has cost.
    ///
    /// # Errors
    ///
    /// An error stays what it is.
    fn cover(&self, result: Result<Res, Err>, reservation: Reservation) -> Result<Self::Response, Err>;

    /// Lets `result` say what it knows of a refusal.
    ///
    /// # Errors
    ///
    /// An error stays what it is.
    fn refused(&self, result: Result<Res, Err>, why: RateLimited) -> Result<Self::Response, Err>;
}

/// HTTP: a call is settled at the end of its answer's body, by the [`Usage`] in its [`AnswerReport`]. A refusal has the headers that
/// tell of rates. See [`Protocol`] and [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpProtocol {
    pub(crate) announce: bool,
    pub(crate) heed: bool,
}

/// Any service: a call is settled when it is answered. See [`Protocol`] and [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainProtocol<U = Untold> {
    pub(crate) usage: U,
}

/// Says what an answer without HTTP has cost. Any `Fn(&Res) -> Option<Usage>` does.
pub trait TellUsage<Res> {
    /// Whether any answer tells.
    const TELLS: bool = true;

    /// Returns what was used for `answer`, where that is known.
    fn usage(&self, answer: &Res) -> Option<Usage>;
}

/// Answers say nothing of what they have cost. See [`TellUsage`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold;

// === impl HttpProtocol ===

impl<B> Protocol<Request<B>> for HttpProtocol {
    fn deadline(&self, request: &Request<B>) -> Option<Instant> {
        deadline_of(request)
    }
}

impl<B: Body, E> Cover<Response<B>, E> for HttpProtocol {
    type Response = Response<ResponseBody<B>>;

    fn cover(&self, result: Result<Response<B>, E>, reservation: Reservation) -> Result<Self::Response, E> {
        let mut response = match result {
            Ok(response) => response,
            Err(error) => {
                reservation.failed();
                return Err(error);
            }
        };
        let now = Instant::now();
        if let Some(limiter) = reservation.limiter().filter(|_| self.announce) {
            let stand = limiter.stand(reservation.taken().owner, now);
            headers::write(response.headers_mut(), &stand, None);
        }
        let report = response.extensions().get::<AnswerReport>().cloned();
        let failed = !response.status().is_success();
        let told = response.extensions().get::<Headroom>().filter(|_| self.heed);
        let heed = told.and_then(|headroom| Heed::begin(*headroom, &reservation, now)).map(Box::new);
        Ok(response
            .map(|body| ResponseBody::new(body, Ending { reservation: Some(reservation), report, failed, heed }, now)))
    }

    fn refused(&self, result: Result<Response<B>, E>, why: RateLimited) -> Result<Self::Response, E> {
        let mut response = result?;
        if let Some(stand) = why.stand() {
            headers::write(response.headers_mut(), stand, Some(&why));
        }
        response.extensions_mut().insert(why);
        Ok(response.map(ResponseBody::unlimited))
    }
}

// === impl PlainProtocol ===

impl<U, Req> Protocol<Req> for PlainProtocol<U> {
    fn deadline(&self, _: &Req) -> Option<Instant> {
        None
    }
}

impl<U, Res, Err> Cover<Res, Err> for PlainProtocol<U>
where
    U: TellUsage<Res>,
{
    type Response = Res;

    const TELLS: bool = U::TELLS;

    #[inline]
    fn cover(&self, result: Result<Res, Err>, reservation: Reservation) -> Result<Res, Err> {
        match &result {
            Ok(answer) => match self.usage.usage(answer) {
                Some(usage) => reservation.settle_usage(&usage, Instant::now()),
                None => reservation.keep(),
            },
            Err(_) => reservation.failed(),
        }
        result
    }

    fn refused(&self, result: Result<Res, Err>, _: RateLimited) -> Result<Res, Err> {
        result
    }
}

// === impl TellUsage ===

impl<F, Res> TellUsage<Res> for F
where
    F: Fn(&Res) -> Option<Usage>,
{
    fn usage(&self, answer: &Res) -> Option<Usage> {
        self(answer)
    }
}

impl<Res> TellUsage<Res> for Untold {
    const TELLS: bool = false;

    fn usage(&self, _: &Res) -> Option<Usage> {
        None
    }
}
