//! One call of one clone of a service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower_service::Service;

/// Drives a service to readiness and calls it once.
///
/// A request that *may* be sent later (a retry, a hedge, a failover) must not hold a place in the service until then. It
/// takes a clone when its time has come, and runs it as a `Oneshot`.
///
/// # Cancel safety
///
/// Dropping it drops the service, and with it any permit that readiness reserved.
#[pin_project]
pub struct Oneshot<S: Service<Req>, Req>(#[pin] State<S, Req>);

#[pin_project(project = StateProj)]
enum State<S: Service<Req>, Req> {
    NotReady(S, Option<Req>),
    Called(#[pin] S::Future),
    Done,
}

// === impl Oneshot ===

impl<S: Service<Req>, Req> Oneshot<S, Req> {
    /// Creates the call of `service` with `request`.
    pub const fn new(service: S, request: Req) -> Self {
        Self(State::NotReady(service, Some(request)))
    }
}

impl<S: Service<Req>, Req> Future for Oneshot<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().0;
        loop {
            let next = match state.as_mut().project() {
                StateProj::NotReady(service, request) => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    State::Called(service.call(request.take().expect("the request is taken once, here")))
                }
                StateProj::Called(future) => {
                    let output = ready!(future.poll(cx));
                    state.set(State::Done);
                    return Poll::Ready(output);
                }
                StateProj::Done => panic!("polled after completion"),
            };
            state.set(next);
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Oneshot<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot").finish_non_exhaustive()
    }
}
