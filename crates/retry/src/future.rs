//! The attempts of one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use buttress_core::{Attempt, CallContext, Class, Classify, Mark, Oneshot, Outcome, Replay, Verdict};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;
use tracing::debug;

use crate::{Policies, RetryLayer, backoff::Streak, budget::Ledger, counts::Stop, marks, policy::Failure};

/// The future of [`Retry`](crate::Retry).
///
/// # Cancel safety
///
/// Dropping it drops the attempt or the wait under way.
#[pin_project]
pub struct ResponseFuture<S, R, C, P, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    #[pin]
    state: State<S, R::Request>,
    call: Call<S, R, C, P, R::Saved>,
}

#[pin_project(project = StateProj)]
enum State<S: Service<Req>, Req> {
    First(#[pin] S::Future),
    // Boxed, since a timer is large and a retry is rare.
    Again(Pin<Box<Delayed<S, Req>>>),
    Done,
}

/// An attempt that begins when its time has come. Until then it holds no place in the service.
#[pin_project]
struct Delayed<S: Service<Req>, Req> {
    #[pin]
    wait: Option<Sleep>,
    #[pin]
    attempt: Oneshot<S, Req>,
}

/// What all attempts of one request share.
pub(crate) struct Call<S, R, C, P, Saved> {
    /// Never made ready: it is cloned for each further attempt, so that a wait holds no place in the inner service.
    service: S,
    layer: Arc<RetryLayer<R, C, P>>,
    saved: Saved,
    context: Option<CallContext>,
    /// The layer's own deadline, for requests that carry no context.
    deadline: Option<Instant>,
    ledger: Ledger,
    streak: Streak,
    made: u32,
    /// When the attempt under way began, and how many attempts the trail held then.
    begun: Option<(Instant, u32)>,
    /// Why there is no further attempt, and how long the server asked to be left alone.
    stopped: Option<(Stop, Option<Duration>)>,
}

// === impl ResponseFuture ===

impl<S, R, C, P, Req> ResponseFuture<S, R, C, P, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    pub(crate) const fn new(first: S::Future, call: Call<S, R, C, P, R::Saved>) -> Self {
        Self { state: State::First(first), call }
    }
}

impl<S, R, C, P, Req> Future for ResponseFuture<S, R, C, P, Req>
where
    R: Replay<Req, Mark: Mark<S::Response>>,
    S: Service<R::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Policies<R::Saved>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProj::First(attempt) => ready!(attempt.poll(cx)),
                StateProj::Again(delayed) => {
                    ready!(delayed.as_mut().poll_wait(cx, this.call));
                    ready!(delayed.as_mut().project().attempt.poll(cx))
                }
                StateProj::Done => panic!("polled after completion"),
            };
            let Some((wait, request)) = this.call.next(&result) else {
                this.state.set(State::Done);
                return Poll::Ready(this.call.finish::<Req, _, _>(result));
            };
            // Before the wait, the failed response goes, and with it its connection and any permit its body holds.
            drop(result);
            let attempt = Oneshot::new(this.call.service.clone(), request);
            this.state.set(State::Again(Box::pin(Delayed { wait: Some(sleep(wait)), attempt })));
        }
    }
}

impl<S, R, C, P, Req> fmt::Debug for ResponseFuture<S, R, C, P, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("attempts", &self.call.made).finish_non_exhaustive()
    }
}

// === impl Delayed ===

impl<S: Service<Req>, Req> Delayed<S, Req> {
    /// Waits, once, and then lets `call` know that an attempt begins.
    fn poll_wait<R, C, P, Saved>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        call: &mut Call<S, R, C, P, Saved>,
    ) -> Poll<()> {
        let mut wait = self.project().wait;
        if let Some(sleep) = wait.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
            wait.set(None);
            call.begin();
        }
        Poll::Ready(())
    }
}

// === impl Call ===

impl<S, R, C, P, Saved> Call<S, R, C, P, Saved> {
    pub(crate) fn new(
        service: S,
        layer: Arc<RetryLayer<R, C, P>>,
        saved: Saved,
        context: Option<CallContext>,
        deadline: Option<Instant>,
    ) -> Self {
        let ledger = Ledger::open(layer.settings.budgets.as_ref());
        let streak = Streak::default();
        let mut call =
            Self { service, layer, saved, context, deadline, ledger, streak, made: 0, begun: None, stopped: None };
        call.begin();
        call
    }

    fn begin(&mut self) {
        self.begun = self.context.as_ref().map(|context| (Instant::now(), context.attempts_made()));
    }

    /// Returns when and with what to try again after `result`, or `None` if it is final.
    fn next<Req, Res, Err>(&mut self, result: &Result<Res, Err>) -> Option<(Duration, R::Request)>
    where
        R: Replay<Req, Saved = Saved>,
        C: Classify<Res, Err>,
        P: Policies<Saved>,
    {
        self.made = self.made.saturating_add(1);
        let class = self.layer.classify.classify(result.as_ref());
        self.record(class);
        self.ledger.attempt_ended(class.verdict);
        if class.verdict == Verdict::Success {
            if self.made > 1 {
                self.layer.settings.counters.recovered();
            }
            return None;
        }
        let Class { verdict, outcome, .. } = class;
        match self.decide(class) {
            Ok((wait, request)) => {
                self.layer.settings.counters.retry();
                debug!(%verdict, %outcome, attempt = self.made, wait_ms = wait.as_millis(), "retrying");
                Some((wait, request))
            }
            Err(stop) => {
                self.layer.settings.counters.stop(stop);
                self.stopped = Some((stop, class.hint.after));
                debug!(%verdict, %outcome, attempt = self.made, reason = stop.as_str(), "not retrying");
                None
            }
        }
    }

    fn decide<Req>(&mut self, class: Class) -> Result<(Duration, R::Request), Stop>
    where
        R: Replay<Req, Saved = Saved>,
        P: Policies<Saved>,
    {
        let layer = Arc::clone(&self.layer);
        let head = layer.replay.kept(&self.saved);
        let policy = head.and_then(|head| head.extensions().get().copied());
        let policy = policy.unwrap_or_else(|| layer.policies.policy(&self.saved));
        let deadline = self.context.as_ref().map_or(self.deadline, CallContext::deadline);
        self.streak.failures = self.streak.failures.saturating_add(1);
        let failure = Failure {
            class,
            made: self.made.saturating_add(self.context.as_ref().map_or(0, CallContext::client_retries)),
            streak: self.streak,
            idempotent: layer.replay.is_idempotent(&self.saved),
            marked: head.is_some_and(marks::is_retry),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let wait = layer.settings.decide(&policy, failure)?;
        let request = self.take(class.verdict)?;
        self.streak = match class.hint.after {
            // Who was told how long to wait starts again from the beginning (gRPC proposal A6).
            Some(_) => Streak::default(),
            None => Streak { last_wait: wait, ..self.streak },
        };
        Ok((wait, request))
    }

    /// Takes a retry from budgets and allowance, and makes the request once more.
    fn take<Req>(&mut self, verdict: Verdict) -> Result<R::Request, Stop>
    where
        R: Replay<Req, Saved = Saved>,
    {
        // Asked before the request is made again: that ends the failed attempt's body, which may still be on its way.
        if self.context.as_ref().is_some_and(|context| context.attempts_left() == 0) {
            return Err(Stop::Allowance);
        }
        if !self.ledger.take_retry(verdict) {
            return Err(Stop::Budget);
        }
        let request = self.layer.replay.again(&self.saved).map_err(|_| Stop::NotReplayable);
        let granted = request.and_then(|request| match &self.context {
            Some(context) if !context.take_attempt() => Err(Stop::Allowance),
            _ => Ok(request),
        });
        match granted {
            Ok(mut request) => {
                if let Some(context) = &self.context {
                    context.begin_walk();
                }
                if let Some(head) = self.layer.replay.outbound(&mut request) {
                    marks::mark(head, self.made);
                }
                Ok(request)
            }
            Err(stop) => {
                self.ledger.put_back();
                Err(stop)
            }
        }
    }

    /// Adds the attempt to the trail, unless a layer further in, which knows the target, has done so, or has refused.
    fn record(&self, class: Class) {
        if let (Some(context), Some((begun, made))) = (&self.context, self.begun)
            && context.attempts_made() == made
            && !matches!(class.outcome, Outcome::Refused(_))
        {
            let elapsed = Instant::now().saturating_duration_since(begun);
            context.record(Attempt::new(None, class.verdict, class.outcome, elapsed));
        }
    }

    fn finish<Req, Res, Err>(&self, mut result: Result<Res, Err>) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
    {
        if let Ok(response) = &mut result {
            if let (Some(context), 2..) = (&self.context, self.made) {
                R::Mark::mark(response, None, context);
            }
            match self.stopped {
                Some((stop, after)) if stop.is_giving_up() => R::Mark::give_up(response, after),
                Some((Stop::HintTooLong, Some(after))) => R::Mark::stay_away(response, after),
                _ => {}
            }
        }
        result
    }
}
