//! A request and the call it shares.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::Oneshot;
use pin_project::pin_project;
use tower_service::Service;

use crate::{
    Joinable, Share,
    flight::{Flight, Landed},
    member::Member,
};

/// The future of [`Coalesce`](crate::Coalesce).
///
/// # Cancel safety
///
/// Dropping it leaves the call to the others that wait for it. If there are none, the call is dropped.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, Req, P, A: Joinable> {
    #[pin]
    state: State<S, Req, A>,
    share: P,
}

#[pin_project(project = StateProj)]
enum State<S: Service<Req>, Req, A: Joinable> {
    /// The call is nobody else's.
    Alone(#[pin] Oneshot<S, Req>),
    Member {
        member: Member<Oneshot<S, Req>, A>,
        /// What is needed to make a call of its own.
        own: Option<(S, Req)>,
    },
    Done,
}

// === impl ResponseFuture ===

impl<S: Service<Req>, Req, P, A: Joinable> ResponseFuture<S, Req, P, A> {
    pub(crate) const fn alone(inner: S, request: Req, share: P) -> Self {
        Self { state: State::Alone(Oneshot::new(inner, request)), share }
    }

    pub(crate) const fn member(
        flight: Arc<Flight<Oneshot<S, Req>, A>>,
        seat: usize,
        inner: S,
        request: Req,
        share: P,
    ) -> Self {
        Self { state: State::Member { member: Member::new(flight, seat), own: Some((inner, request)) }, share }
    }
}

impl<S, Req, P, A> Future for ResponseFuture<S, Req, P, A>
where
    S: Service<Req>,
    P: Share<S::Response, S::Error, Answer = A>,
    A: Joinable,
{
    type Output = Result<P::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Alone(call) => {
                    let result = ready!(call.poll(cx));
                    this.state.set(State::Done);
                    return Poll::Ready(result.map(|answer| this.share.alone(answer)));
                }
                StateProj::Member { member, own } => {
                    let begin = || {
                        let (inner, request) = own.take().expect("each begins one call at most");
                        Oneshot::new(inner, request)
                    };
                    match ready!(member.poll(cx, begin, &*this.share)) {
                        Landed::Own(result) => {
                            this.state.set(State::Done);
                            return Poll::Ready(result.map(|answer| this.share.alone(answer)));
                        }
                        Landed::Shared { answer, joined } => {
                            // Who made the call has no request left for another one.
                            let joined = joined && own.is_some();
                            if let Some(response) = this.share.give(&answer, joined) {
                                this.state.set(State::Done);
                                return Poll::Ready(Ok(response));
                            }
                            let (inner, request) = own.take().expect("who joined has its request");
                            State::Alone(Oneshot::new(inner, request))
                        }
                    }
                }
                StateProj::Done => panic!("polled after completion"),
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Req>, Req, P, A: Joinable> fmt::Debug for ResponseFuture<S, Req, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Alone(_) => "alone",
            State::Member { .. } => "member",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
