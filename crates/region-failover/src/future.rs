//! The attempts of one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::{Classify, Mark, Oneshot, Refusal, Refuse, Replay, Rewrite};
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::call::{Call, Next, UnderWay};

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
#[expect(clippy::large_enum_variant, reason = "a box would cost every call an allocation")]
enum State<S: Service<Req>, Req> {
    /// The attempts begin at the first poll, so that a future that is never polled sends nothing.
    Start(Option<Req>),
    Attempt {
        #[pin]
        attempt: Oneshot<S, Req>,
        /// Registered only if the attempt is not ready at once.
        #[pin]
        timer: Option<Sleep>,
        under_way: UnderWay,
    },
    Done,
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
                StateProj::Attempt { attempt, timer, under_way } => {
                    let result = ready!(poll_attempt(attempt, timer, under_way.to.until, cx));
                    under_way.finish();
                    let next = this.call.after(&under_way.to, result.as_ref().map(Result::as_ref));
                    (result.map(|result| (under_way.to.clone(), result)), next)
                }
                StateProj::Done => panic!("polled after completion"),
            };
            match next {
                Next::Attempt(to, request) => {
                    // The failed response goes first, and with it its connection.
                    drop(result);
                    let attempt = Oneshot::new(this.call.service.clone(), request);
                    this.state.set(State::Attempt { attempt, timer: None, under_way: to.under_way() });
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
