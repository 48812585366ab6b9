//! What a call is: with HTTP, or without.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::CallContext;
use http::{Request, Response};
use tokio::time::Instant;

use crate::{ResponseBody, attempt_timeout, sources::Sources};

/// Where the deadline of a request is found.
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no deadline in a `{Req}`",
    label = "not a request of this protocol",
    note = "around a service without HTTP, make the layer by `DeadlineLayer::plain`"
)]
pub trait Protocol<Req> {
    /// Returns by when `request`, which came at `now` and has `timeout` at most, must be answered; `None` if there is
    /// no limit.
    fn deadline(&self, request: &mut Req, timeout: Duration, now: Instant) -> Option<Instant>;
}

/// What of an answer the deadline covers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know when a `{Res}` ends",
    label = "not an answer of this protocol",
    note = "around a service without HTTP, make the layer by `DeadlineLayer::plain`"
)]
pub trait Cover<Res> {
    /// A covered answer.
    type Response;

    /// Covers what is still to come of `response` by `deadline`. A refusal has none.
    fn cover(&self, response: Res, deadline: Option<Instant>) -> Self::Response;
}

/// HTTP: callers ask by header, and the deadline goes into the [`CallContext`]. See [`Protocol`] and [`Cover`].
#[derive(Clone, Debug)]
pub struct HttpProtocol {
    pub(crate) sources: Sources,
    pub(crate) allowance: NonZeroU32,
    /// The longest and the shortest time of an attempt, if the time is to be shared out.
    pub(crate) attempts: Option<(Duration, Duration)>,
    covers_body: bool,
}

/// Any service: all requests have the same time, and an answer is there when it is there. See [`Protocol`] and
/// [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainProtocol;

// === impl HttpProtocol ===

impl HttpProtocol {
    pub(crate) const fn to_the_end() -> Self {
        let allowance = NonZeroU32::new(5).expect("5 is not 0");
        Self { sources: Sources::ALL, allowance, attempts: None, covers_body: true }
    }

    pub(crate) const fn to_the_head() -> Self {
        Self { covers_body: false, ..Self::to_the_end() }
    }

    fn share_out(&self, context: &CallContext, now: Instant) {
        if let Some((per_try, floor)) = self.attempts
            && let Some(remaining) = context.remaining(now)
        {
            let per_try = context.attempt_timeout().map_or(per_try, |timeout| timeout.min(per_try));
            let attempts = NonZeroU32::MIN.saturating_add(context.attempts_left());
            if let Some(timeout) = attempt_timeout(remaining, attempts, per_try, floor) {
                context.set_attempt_timeout(timeout);
            }
        }
    }
}

impl<B> Protocol<Request<B>> for HttpProtocol {
    fn deadline(&self, request: &mut Request<B>, timeout: Duration, now: Instant) -> Option<Instant> {
        let asked = self.sources.asked(request.headers());
        let context = CallContext::of_or_insert(request, self.allowance);
        if let Some(at) = now.checked_add(asked.map_or(timeout, |asked| asked.min(timeout))) {
            context.limit_deadline(at);
        }
        self.share_out(&context, now);
        context.deadline()
    }
}

impl<B> Cover<Response<B>> for HttpProtocol {
    type Response = Response<ResponseBody<B>>;

    fn cover(&self, response: Response<B>, deadline: Option<Instant>) -> Self::Response {
        response.map(|body| ResponseBody::new(body, deadline.filter(|_| self.covers_body)))
    }
}

// === impl PlainProtocol ===

impl<Req> Protocol<Req> for PlainProtocol {
    fn deadline(&self, _: &mut Req, timeout: Duration, now: Instant) -> Option<Instant> {
        now.checked_add(timeout)
    }
}

impl<Res> Cover<Res> for PlainProtocol {
    type Response = Res;

    fn cover(&self, response: Res, _: Option<Instant>) -> Res {
        response
    }
}
