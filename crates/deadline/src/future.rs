//! A call and its deadline.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{Refusal, Refuse};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use crate::{Cover, DeadlineExceeded, DeadlineLayer, error::Stage, timer::poll_expired};

/// The future of [`Deadline`](crate::Deadline).
///
/// # Cancel safety
///
/// Dropping it drops the call.
#[pin_project]
pub struct ResponseFuture<F, M, P> {
    #[pin]
    state: State<F>,
    deadline: Option<Instant>,
    layer: Arc<DeadlineLayer<M, P>>,
}

#[pin_project(project = StateProj)]
enum State<F> {
    Called {
        #[pin]
        inner: F,
        /// Registered only if the call is not ready at once.
        #[pin]
        timer: Option<Sleep>,
    },
    Late(Stage),
    Done,
}

// === impl ResponseFuture ===

impl<F, M, P> ResponseFuture<F, M, P> {
    pub(crate) const fn new(inner: F, deadline: Option<Instant>, layer: Arc<DeadlineLayer<M, P>>) -> Self {
        Self { state: State::Called { inner, timer: None }, deadline, layer }
    }

    pub(crate) const fn late(layer: Arc<DeadlineLayer<M, P>>) -> Self {
        Self { state: State::Late(Stage::Call), deadline: None, layer }
    }
}

impl<F, M, P, Res, Err> Future for ResponseFuture<F, M, P>
where
    F: Future<Output = Result<Res, Err>>,
    M: Refuse<Refusal, Res, Err>,
    P: Cover<Res>,
{
    type Output = Result<P::Response, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let late = match this.state.as_mut().project() {
                StateProj::Called { inner, timer } => {
                    // The call before the timer: an answer that is there at the deadline is returned.
                    if let Poll::Ready(result) = inner.poll(cx) {
                        this.state.set(State::Done);
                        return Poll::Ready(result.map(|answer| this.layer.protocol.cover(answer, *this.deadline)));
                    }
                    let Some(deadline) = *this.deadline else { return Poll::Pending };
                    ready!(poll_timer(timer, deadline, cx));
                    Stage::Head
                }
                StateProj::Late(stage) => {
                    let refusal = DeadlineExceeded::before(*stage);
                    debug!(reason = %refusal, "refused");
                    this.state.set(State::Done);
                    let result = this.layer.refusal.refuse(refusal.into());
                    return Poll::Ready(result.map(|answer| this.layer.protocol.cover(answer, None)));
                }
                StateProj::Done => panic!("polled after completion"),
            };
            // The call goes before its refusal is made.
            this.state.set(State::Late(late));
        }
    }
}

impl<F, M, P> fmt::Debug for ResponseFuture<F, M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Polls a timer that is set when it is needed.
fn poll_timer(mut timer: Pin<&mut Option<Sleep>>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if timer.is_none() {
        timer.set(Some(sleep_until(deadline)));
    }
    poll_expired(timer.as_pin_mut().expect("it was set a line above"), cx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Ready;

    use crate::{HttpProtocol, PlainProtocol};
    use buttress_core::HttpRefusal;

    #[test]
    fn the_future_is_no_larger_than_its_timer_asks_for() {
        type Wrapped<P> = ResponseFuture<Ready<[u64; 4]>, HttpRefusal, P>;
        let own = size_of::<Sleep>() + size_of::<Ready<[u64; 4]>>();
        assert_eq!(size_of::<Wrapped<HttpProtocol>>(), own + 24);
        assert_eq!(size_of::<Wrapped<HttpProtocol>>(), size_of::<Wrapped<PlainProtocol>>());
    }
}
