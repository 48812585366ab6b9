//! The attempts of one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::{Classify, Mark, Oneshot, Replay};
use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::{Policies, call::Call};

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

// === impl ResponseFuture ===

impl<S, R, C, P, Req> ResponseFuture<S, R, C, P, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    #[inline]
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

    #[inline]
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
            call.begin_retry();
        }
        Poll::Ready(())
    }
}
