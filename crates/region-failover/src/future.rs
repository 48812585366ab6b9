//! The attempts of one request.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::{Classify, Mark, Refusal, Refuse, Replay, Rewrite, ServedBy};
use pin_project::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;

use crate::{
    call::{Call, Next},
    line::Place,
    running::{Came, Running},
};

/// The future of [`RegionFailover`](crate::RegionFailover).
///
/// # Cancel safety
///
/// Dropping it drops the attempts under way.
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
        first: Running<S, Req>,
        /// Rare: a second attempt, because the first one takes long.
        second: Option<Pin<Box<Running<S, Req>>>>,
    },
    /// Rare: all targets are left alone, and the first to return is waited for.
    Waiting {
        #[pin]
        timer: Sleep,
        first: Option<Req>,
        place: Option<Place>,
    },
    /// Rare: the second attempt goes on, the first has failed.
    Second(Pin<Box<Running<S, Req>>>),
    Done,
}

/// What a poll of the attempts comes to: what is returned, and whose answer it is, or what follows.
type Step<T, Req> = Result<(Option<ServedBy>, T), Next<Req>>;

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

    /// What every attempt goes through is inlined here as one piece, and what is rare is not: to hand over what an attempt
    /// consists of from function to function costs more than to make it.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let step = match this.state.as_mut().project() {
                StateProj::Start(first) => Err(this.call.start(first, None)),
                StateProj::Waiting { timer, first, place } => {
                    ready!(timer.poll(cx));
                    // It may have to stand in the line again, and nobody stands there twice.
                    let since = place.take().map(|place| place.since);
                    Err(this.call.start_again(first, since))
                }
                StateProj::Attempt { first, second } => ready!(this.call.poll_both(first, second, cx)),
                StateProj::Second(second) => ready!(this.call.poll_alone(second.as_mut(), cx)),
                StateProj::Done => panic!("polled after completion"),
            };
            let next = match step {
                Ok((by, result)) => {
                    this.state.set(State::Done);
                    return Poll::Ready(this.call.answer::<Req, _, _>(by, result));
                }
                Err(next) => next,
            };
            match next {
                Next::Attempt(to, request) => {
                    let slow_at = this.call.slow_at(&to);
                    let first = Running::new(this.call.service.clone(), to, request, slow_at);
                    this.state.set(State::Attempt { first, second: None });
                }
                Next::Await(place, turn) => {
                    let first = match this.state.as_mut().project() {
                        StateProj::Start(first) | StateProj::Waiting { first, .. } => first.take(),
                        _ => None,
                    };
                    this.state.set(State::Waiting { timer: sleep_until(turn), first, place: Some(place) });
                }
                Next::Wait => {
                    if let StateProj::Attempt { second, .. } = this.state.as_mut().project()
                        && let Some(second) = second.take()
                    {
                        this.state.set(State::Second(second));
                    }
                }
                Next::Refuse(refusal) => {
                    this.state.set(State::Done);
                    return Poll::Ready(this.call.refuse::<Req, _, _>(refusal));
                }
            }
        }
    }
}

// === impl Call ===

impl<S, R, W, C, M, Saved> Call<S, R, W, C, M, Saved> {
    /// Polls an attempt and the one that may be under way beside it.
    #[inline(always)]
    fn poll_both<Req>(
        &mut self,
        mut first: Pin<&mut Running<S, R::Request>>,
        second: &mut Option<Pin<Box<Running<S, R::Request>>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Step<Result<S::Response, S::Error>, R::Request>>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<S::Response>>,
        S: Service<R::Request> + Clone,
        W: Rewrite<R::Request>,
        C: Classify<S::Response, S::Error>,
    {
        loop {
            match first.as_mut().poll(cx) {
                Poll::Ready(Came::Slow) => {
                    let hedge = self.hedge(&first.as_mut().under_way().to);
                    *second =
                        hedge.map(|(to, request)| Box::pin(Running::new(self.service.clone(), to, request, None)));
                    // The timer was set anew, and nobody waits for it before it is polled.
                }
                Poll::Ready(came) => {
                    let step = self.ended(first.as_mut(), came, second.is_some());
                    self.noted(&first.as_mut().under_way().to, step.is_ok());
                    if let (Ok(_), Some(second)) = (&step, second) {
                        self.lost(second.as_mut().under_way());
                        self.second_ended(false);
                    }
                    return Poll::Ready(step);
                }
                Poll::Pending => break,
            }
        }
        let Some(running) = second else { return Poll::Pending };
        let came = ready!(running.as_mut().poll(cx));
        let step = self.ended(running.as_mut(), came, true);
        self.second_ended(step.is_ok());
        *second = None;
        if step.is_ok() {
            self.noted(&first.as_mut().under_way().to, true);
            self.lost(first.under_way());
            return Poll::Ready(step);
        }
        // It failed, and the first goes on.
        Poll::Pending
    }

    /// Polls the second attempt, after the first has failed.
    fn poll_alone<Req>(
        &mut self,
        mut second: Pin<&mut Running<S, R::Request>>,
        cx: &mut Context<'_>,
    ) -> Poll<Step<Result<S::Response, S::Error>, R::Request>>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<S::Response>>,
        S: Service<R::Request>,
        W: Rewrite<R::Request>,
        C: Classify<S::Response, S::Error>,
    {
        let came = ready!(second.as_mut().poll(cx));
        let step = self.ended(second, came, false);
        self.second_ended(step.is_ok());
        Poll::Ready(step)
    }

    /// What came of an attempt that is not returned goes here, before anything follows, and with it its connection.
    #[inline(always)]
    fn ended<Req>(
        &mut self,
        running: Pin<&mut Running<S, R::Request>>,
        came: Came<Result<S::Response, S::Error>>,
        more: bool,
    ) -> Step<Result<S::Response, S::Error>, R::Request>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<S::Response>>,
        S: Service<R::Request>,
        W: Rewrite<R::Request>,
        C: Classify<S::Response, S::Error>,
    {
        let under_way = running.under_way();
        under_way.finish();
        let result = if let Came::Answer(result) = came { Some(result) } else { None };
        let served = self.after(under_way, result.as_ref().map(Result::as_ref), more)?;
        // Whoever marks an answer must know whose it is.
        let by = (R::Mark::MARKS && served).then(|| under_way.to.served_by());
        Ok((by, result.expect("only what came is returned as it came")))
    }

    fn answer<Req, Res, Err>(&mut self, by: Option<ServedBy>, mut result: Result<Res, Err>) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
    {
        if let (Ok(response), true) = (&mut result, R::Mark::MARKS) {
            R::Mark::mark(response, by, self.story.context());
        }
        result
    }

    fn refuse<Req, Res, Err>(&mut self, refusal: Refusal) -> Result<Res, Err>
    where
        R: Replay<Req, Saved = Saved, Mark: Mark<Res>>,
        M: Refuse<Refusal, Res, Err>,
    {
        let mut result = self.layer.refusal.refuse(refusal);
        if let (Ok(response), true) = (&mut result, R::Mark::MARKS) {
            R::Mark::mark(response, None, self.story.context());
        }
        result
    }
}

impl<S, R, W, C, M, Req> fmt::Debug for ResponseFuture<S, R, W, C, M, Req>
where
    R: Replay<Req>,
    S: Service<R::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("context", &self.call.story.told()).finish_non_exhaustive()
    }
}
