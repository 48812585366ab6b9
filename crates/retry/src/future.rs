//! The attempts of one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use buttress_core::{Attempt, CallContext, Class, Classify, Mark, Oneshot, Replay, Verdict};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;
use tracing::debug;

use crate::{
    RetryLayer,
    policy::{Failure, Stop},
};

/// The future of [`Retry`](crate::Retry).
///
/// # Cancel safety
///
/// Dropping it drops the attempt or the wait under way.
#[pin_project]
pub struct ResponseFuture<S, R, C, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    #[pin]
    state: State<S, R::Request>,
    call: Call<S, R, C, R::Saved>,
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
pub(crate) struct Call<S, R, C, Saved> {
    /// Never made ready: it is cloned for each further attempt, so that a wait holds no place in the inner service.
    service: S,
    layer: Arc<RetryLayer<R, C>>,
    saved: Saved,
    context: Option<CallContext>,
    /// The layer's own deadline, for requests that carry no context.
    deadline: Option<Instant>,
    made: u32,
    /// When the attempt under way began, and how many attempts the trail held then.
    begun: Option<(Instant, u32)>,
}

// === impl ResponseFuture ===

impl<S, R, C, Req> ResponseFuture<S, R, C, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    pub(crate) const fn new(first: S::Future, call: Call<S, R, C, R::Saved>) -> Self {
        Self { state: State::First(first), call }
    }
}

impl<S, R, C, Req> Future for ResponseFuture<S, R, C, Req>
where
    R: Replay<Req> + Mark<S::Response>,
    S: Service<R::Request> + Clone,
    C: Classify<S::Response, S::Error>,
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

impl<S, R, C, Req> fmt::Debug for ResponseFuture<S, R, C, Req>
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
    fn poll_wait<R, C, Saved>(self: Pin<&mut Self>, cx: &mut Context<'_>, call: &mut Call<S, R, C, Saved>) -> Poll<()> {
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

impl<S, R, C, Saved> Call<S, R, C, Saved> {
    pub(crate) fn new(
        service: S,
        layer: Arc<RetryLayer<R, C>>,
        saved: Saved,
        context: Option<CallContext>,
        deadline: Option<Instant>,
    ) -> Self {
        let mut call = Self { service, layer, saved, context, deadline, made: 0, begun: None };
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
    {
        self.made += 1;
        let class = self.layer.classify.classify(result.as_ref());
        self.record(class);
        if class.verdict == Verdict::Success {
            return None;
        }
        match self.decide(class) {
            Ok((wait, request)) => {
                let wait_ms = wait.as_millis();
                debug!(verdict = %class.verdict, outcome = %class.outcome, attempt = self.made, wait_ms, "retrying");
                Some((wait, request))
            }
            Err(stop) => {
                let reason = stop.as_str();
                debug!(verdict = %class.verdict, outcome = %class.outcome, attempt = self.made, reason, "not retrying");
                None
            }
        }
    }

    fn decide<Req>(&self, class: Class) -> Result<(Duration, R::Request), Stop>
    where
        R: Replay<Req, Saved = Saved>,
    {
        let deadline = self.context.as_ref().map_or(self.deadline, CallContext::deadline);
        let wait = self.layer.settings.decide(Failure {
            class,
            made: self.made,
            idempotent: self.layer.replay.is_idempotent(&self.saved),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        })?;
        // Asked before the request is made again: that ends the failed attempt's body, which may still be on its way.
        if self.context.as_ref().is_some_and(|context| context.attempts_left() == 0) {
            return Err(Stop::Allowance);
        }
        let request = self.layer.replay.again(&self.saved).map_err(|_| Stop::NotReplayable)?;
        if let Some(context) = &self.context {
            if !context.take_attempt() {
                return Err(Stop::Allowance);
            }
            context.begin_walk();
        }
        Ok((wait, request))
    }

    /// Adds the attempt to the trail, unless a layer further in, which knows the target, has done so.
    fn record(&self, class: Class) {
        if let (Some(context), Some((begun, made))) = (&self.context, self.begun)
            && context.attempts_made() == made
        {
            let elapsed = Instant::now().saturating_duration_since(begun);
            context.record(Attempt::new(None, class.verdict, class.outcome, elapsed));
        }
    }

    fn finish<Req, Res, Err>(&self, mut result: Result<Res, Err>) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved> + Mark<Res>,
    {
        if let (Ok(response), Some(context), 2..) = (&mut result, &self.context, self.made) {
            self.layer.replay.mark(response, None, context);
        }
        result
    }
}
