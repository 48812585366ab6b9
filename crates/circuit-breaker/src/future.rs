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
    /// That of a call, which is dropped before it.
    permit: Permit,
    classify: C,
    protocol: P,
}

#[pin_project(project = StateProj)]
enum State<F, Res, Err> {
    Called(#[pin] F),
    Refused(Option<Result<Res, Err>>),
    Done,
}

// === impl ResponseFuture ===

impl<F, Res, Err, C, P> ResponseFuture<F, Res, Err, C, P> {
    #[inline]
    pub(crate) const fn called(call: F, permit: Permit, classify: C, protocol: P) -> Self {
        Self { state: State::Called(call), permit, classify, protocol }
    }

    pub(crate) const fn refused(result: Result<Res, Err>, classify: C, protocol: P) -> Self {
        Self { state: State::Refused(Some(result)), permit: Permit::NONE, classify, protocol }
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
        let result = match this.state.as_mut().project() {
            StateProj::Called(call) => ready!(call.poll(cx)),
            StateProj::Refused(result) => result.take().expect("refused once"),
            StateProj::Done => panic!("polled after completion"),
        };
        this.state.set(State::Done);
        // The permit stays where it is until somebody needs it elsewhere.
        let good = this.permit.is_none() || this.classify.is_success(result.as_ref());
        Poll::Ready(match result {
            Ok(answer) if good => Ok(this.protocol.cover(answer, this.permit.take())),
            result => {
                if let Some(permit) = this.permit.take() {
                    permit.conclude(&this.classify.classify(result.as_ref()));
                }
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

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use std::{convert::Infallible, future::Ready};

    use buttress_core::HttpClassify;

    use crate::PlainProtocol;

    /// A call whose future holds four numbers.
    type Call = Ready<Result<[u64; 4], Infallible>>;
    type Wrapped = ResponseFuture<Call, [u64; 4], Infallible, HttpClassify, PlainProtocol>;

    #[test]
    fn the_future_is_no_larger_than_its_permit_asks_for() {
        assert_eq!(size_of::<Permit>(), 4 * size_of::<u64>());
        assert_eq!(size_of::<Wrapped>(), size_of::<Call>() + size_of::<Permit>() + 8);
    }
}
