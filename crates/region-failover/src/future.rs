//! The attempts of one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{
    Attempt, CallContext, Class, Classify, Label, Mark, Oneshot, Outcome, Refusal, RefusalKind, Refuse, Replay,
    Rewrite, Rewritten, ServedBy, Target, TransportErrorKind, Verdict,
};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;
use tracing::debug;

use crate::{
    RegionFailoverLayer,
    walk::{Verdicts, Walk},
};

/// The future of [`RegionFailover`](crate::RegionFailover).
///
/// # Cancel safety
///
/// Dropping it drops the attempt under way.
#[pin_project]
pub struct ResponseFuture<S, R, W, C, M, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    #[pin]
    state: State<S, R::Request>,
    call: Call<S, R, W, C, M, R::Saved>,
}

#[pin_project(project = StateProj)]
enum State<S: Service<Req>, Req> {
    /// The attempts begin at the first poll, so that a future that is never polled sends nothing.
    Start(Option<Req>),
    Attempt {
        #[pin]
        attempt: Oneshot<S, Req>,
        /// Registered only if the attempt is not ready at once.
        #[pin]
        timer: Option<Sleep>,
        to: Aim,
    },
    Done,
}

/// Where the attempt under way goes, and until when.
#[derive(Clone, Debug)]
struct Aim {
    target: Target,
    model: Option<Label>,
    begun: Instant,
    until: Instant,
}

/// What all attempts of one request share.
pub(crate) struct Call<S, R, W, C, M, Saved> {
    service: S,
    layer: Arc<RegionFailoverLayer<R, W, C, M>>,
    saved: Saved,
    context: CallContext,
    walk: Walk,
}

/// What follows a failed attempt.
enum Next<Req> {
    Attempt(Aim, Req),
    /// Nothing: the attempt's own result is returned. `true` if it is the target's, and not the refusal of a layer further in.
    AsItCame(bool),
    Refuse(Refusal),
}

// === impl ResponseFuture ===

impl<S, R, W, C, M, Req> ResponseFuture<S, R, W, C, M, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    pub(crate) const fn new(call: Call<S, R, W, C, M, R::Saved>, first: R::Request) -> Self {
        Self { state: State::Start(Some(first)), call }
    }
}

impl<S, R, W, C, M, Req> Future for ResponseFuture<S, R, W, C, M, Req>
where
    R: Replay<Req, Mark: Mark<S::Response>>,
    S: Service<R::Request> + Clone,
    W: Rewrite<R::Request>,
    C: Classify<S::Response, S::Error>,
    M: Refuse<Refusal, S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (result, next) = match this.state.as_mut().project() {
                StateProj::Start(first) => (None, this.call.start(first.take().expect("taken once, here"))),
                StateProj::Attempt { attempt, timer, to } => {
                    let result = ready!(poll_attempt(attempt, timer, to.until, cx));
                    let next = this.call.after(to, result.as_ref().map(Result::as_ref));
                    (result.map(|result| (to.clone(), result)), next)
                }
                StateProj::Done => panic!("polled after completion"),
            };
            match next {
                Next::Attempt(to, request) => {
                    // The failed response goes first, and with it its connection.
                    drop(result);
                    let attempt = Oneshot::new(this.call.service.clone(), request);
                    this.state.set(State::Attempt { attempt, timer: None, to });
                }
                Next::AsItCame(served) => {
                    this.state.set(State::Done);
                    let (to, result) = result.expect("only what came is returned as it came");
                    return Poll::Ready(this.call.answer::<Req, _, _>(served.then_some(to), result));
                }
                Next::Refuse(refusal) => {
                    this.state.set(State::Done);
                    return Poll::Ready(this.call.refuse::<Req, _, _>(refusal));
                }
            }
        }
    }
}

/// Polls the attempt, then the timer; `None` says that the time is over.
fn poll_attempt<F: Future>(
    attempt: Pin<&mut F>,
    mut timer: Pin<&mut Option<Sleep>>,
    until: Instant,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    if let Poll::Ready(output) = attempt.poll(cx) {
        return Poll::Ready(Some(output));
    }
    if timer.is_none() {
        timer.set(Some(sleep_until(until)));
    }
    let timer = timer.as_pin_mut().expect("set above");
    timer.poll(cx).map(|()| None)
}

impl<S, R, W, C, M, Req> fmt::Debug for ResponseFuture<S, R, W, C, M, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("context", &self.call.context).finish_non_exhaustive()
    }
}

// === impl Call ===

impl<S, R, W, C, M, Saved> Call<S, R, W, C, M, Saved> {
    pub(crate) const fn new(
        service: S,
        layer: Arc<RegionFailoverLayer<R, W, C, M>>,
        saved: Saved,
        context: CallContext,
    ) -> Self {
        Self { service, layer, saved, context, walk: Walk::new() }
    }

    fn start<Req>(&mut self, first: R::Request) -> Next<R::Request>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        self.attempt(first).unwrap_or_else(|refusal| {
            let none = || Refusal::new(RefusalKind::Unavailable, "no target is left to try").hopeless();
            Next::Refuse(refusal.unwrap_or_else(none))
        })
    }

    /// Aims `request` at the next target that takes it; fails with the last target's refusal if none does.
    fn attempt<Req>(&mut self, request: R::Request) -> Result<Next<R::Request>, Option<Refusal>>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        let layer = Arc::clone(&self.layer);
        let begun = Instant::now();
        let (mut request, mut refused) = (Some(request), None);
        while let Some(target) = self.walk.advance(&layer.settings.targets, &self.context, begun) {
            let Some(mut request) = request.take().or_else(|| layer.replay.again(&self.saved).ok()) else { break };
            if self.context.remaining(begun).is_some_and(|left| left.is_zero()) {
                return Err(Some(deadline_passed()));
            }
            layer.replay.aim(&mut request, target);
            match layer.rewrite.rewrite(request, target) {
                Ok(Rewritten { request, model, .. }) => {
                    let until = self.until(begun);
                    return Ok(Next::Attempt(Aim { target: target.clone(), model, begun, until }, request));
                }
                Err(refusal) => {
                    debug!(upstream = %target.name(), reason = refusal.kind().code(), "target passed over");
                    refused = Some(refusal);
                }
            }
        }
        Err(refused)
    }

    fn until(&self, begun: Instant) -> Instant {
        let timeout = self.context.attempt_timeout().unwrap_or(self.layer.settings.attempt_timeout);
        let timeout = begun.checked_add(timeout);
        match (timeout, self.context.deadline()) {
            (Some(timeout), Some(deadline)) => timeout.min(deadline),
            (Some(at), None) | (None, Some(at)) => at,
            // A timeout beyond what a clock can hold is no timeout; a day is as good.
            (None, None) => begun + Self::DAY,
        }
    }

    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

    /// Says what follows an attempt; a `result` of `None` says that its time was over.
    fn after<Req, Res, Err>(&mut self, to: &Aim, result: Option<Result<&Res, &Err>>) -> Next<R::Request>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
        C: Classify<Res, Err>,
    {
        let answered = matches!(result, Some(Ok(_)));
        let class = match result {
            Some(result) => self.layer.classify.classify(result),
            None => Class::transport(TransportErrorKind::Timeout),
        };
        let now = Instant::now();
        self.record(to, class, now);
        let served = !matches!(class.outcome, Outcome::Refused(_));
        if class.verdict == Verdict::Success || (result.is_some() && !class.verdict.try_elsewhere()) {
            return Next::AsItCame(served);
        }
        self.walk.failed(class);
        if self.context.remaining(now).is_some_and(|left| left.is_zero()) {
            return Next::Refuse(deadline_passed());
        }
        if let Some(next) = self.elsewhere(class, now) {
            return next;
        }
        match self.walk.sum(answered, self.context.attempts_made() == 1) {
            Verdicts::AsItCame => Next::AsItCame(served),
            Verdicts::Sum(refusal) => Next::Refuse(refusal),
        }
    }

    fn elsewhere<Req>(&mut self, class: Class, now: Instant) -> Option<Next<R::Request>>
    where
        R: Replay<Req, Saved = Saved>,
        W: Rewrite<R::Request>,
    {
        let Self { layer, saved, context, .. } = self;
        let repeatable = !class.begun || layer.settings.repeat_all || layer.replay.is_idempotent(saved);
        let allowed = context.attempts_left() > 0;
        if !repeatable || !allowed || !self.walk.has_next(&layer.settings.targets, context, now) {
            return None;
        }
        // Made again only now: that ends the failed attempt's body, which may still be on its way.
        let request = layer.replay.again(saved).ok()?;
        let next = self.attempt(request).ok()?;
        // Taken last, since a target that the rewrite refuses costs no attempt.
        self.context.take_attempt().then_some(next)
    }

    fn record(&self, to: &Aim, class: Class, now: Instant) {
        let elapsed = now.saturating_duration_since(to.begun);
        let Class { verdict, outcome, .. } = class;
        debug!(
            upstream = %to.target.name(), %verdict, %outcome, elapsed_ms = elapsed.as_millis(),
            "attempt ended"
        );
        self.context.record(Attempt::ended(to.target.clone(), class, elapsed, now));
    }

    fn answer<Req, Res, Err>(&self, by: Option<Aim>, mut result: Result<Res, Err>) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
    {
        if let Ok(response) = &mut result {
            let served_by = by.map(|Aim { target, model, .. }| ServedBy { target, model });
            R::Mark::mark(response, served_by.as_ref(), &self.context);
        }
        result
    }

    fn refuse<Req, Res, Err>(&self, refusal: Refusal) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
        M: Refuse<Refusal, Res, Err>,
    {
        let mut result = self.layer.refusal.refuse(refusal);
        if let Ok(response) = &mut result {
            R::Mark::mark(response, None, &self.context);
        }
        result
    }
}

fn deadline_passed() -> Refusal {
    Refusal::new(RefusalKind::DeadlineExceeded, "the deadline passed before a target answered")
        .with_guessed_retry_after(Walk::GUESS)
}
