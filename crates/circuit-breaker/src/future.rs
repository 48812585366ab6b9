//! A call and its permit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::Classify;
use pin_project::pin_project;

use crate::{Cover, Permit};

/// The future of [`CircuitBreaker`](crate::CircuitBreaker).
///
/// # Cancel safety
///
/// Dropping it drops the call and gives its place back. If it was slow by then, it counts as slow.
#[pin_project]
pub struct ResponseFuture<F, Res, Err, C, P> {
    #[pin]
    state: State<F, Res, Err>,
    classify: C,
    protocol: P,
}

#[pin_project(project = StateProj)]
enum State<F, Res, Err> {
    // The call is dropped before the permit is.
    Called(#[pin] F, Option<Permit>),
    Refused(Option<Result<Res, Err>>),
    Done,
}

// === impl ResponseFuture ===

impl<F, Res, Err, C, P> ResponseFuture<F, Res, Err, C, P> {
    #[inline]
    pub(crate) const fn called(call: F, permit: Permit, classify: C, protocol: P) -> Self {
        Self { state: State::Called(call, Some(permit)), classify, protocol }
    }

    pub(crate) const fn refused(result: Result<Res, Err>, classify: C, protocol: P) -> Self {
        Self { state: State::Refused(Some(result)), classify, protocol }
    }
}

impl<F, Res, Err, C, P> Future for ResponseFuture<F, Res, Err, C, P>
where
    F: Future<Output = Result<Res, Err>>,
    C: Classify<Res, Err>,
    P: Cover<Res>,
{
    type Output = Result<P::Response, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (result, permit) = match this.state.as_mut().project() {
            StateProj::Called(call, permit) => (ready!(call.poll(cx)), permit.take()),
            StateProj::Refused(result) => (result.take().expect("refused once"), None),
            StateProj::Done => panic!("polled after completion"),
        };
        this.state.set(State::Done);
        let Some(permit) = permit else {
            return Poll::Ready(result.map(|answer| this.protocol.cover(answer, None)));
        };
        let good = this.classify.is_success(result.as_ref());
        Poll::Ready(match result {
            Ok(answer) if good => Ok(this.protocol.cover(answer, Some(permit))),
            result => {
                permit.conclude(&this.classify.classify(result.as_ref()));
                result.map(|answer| this.protocol.cover(answer, None))
            }
        })
    }
}

impl<F, Res, Err, C, P> fmt::Debug for ResponseFuture<F, Res, Err, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
