//! A call and its place.

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
use tower_service::Service;
use tracing::debug;

use crate::{
    Cover, Place,
    error::Reason,
    layer::Desk,
    limiter::{Permit, Ticket},
};

/// The future of [`Concurrency`](crate::Concurrency).
///
/// # Cancel safety
///
/// Dropping it drops the call and gives its place back, or gives up its turn in the queue. A place that it was given and had not
/// yet taken goes to the next in the queue.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, M, P, Req> {
    #[pin]
    state: State<S, M, P, Req>,
    /// That of a call, which is dropped before it.
    place: Option<Place>,
    protocol: P,
}

#[pin_project(project = StateProj)]
enum State<S: Service<Req>, M, P, Req> {
    Called(#[pin] S::Future),
    // Boxed, since a timer is large, and who waits has time.
    Waiting(Pin<Box<Waiting<S, M, P, Req>>>),
    Refused(Reason, Arc<Desk<M, P>>),
    Done,
}

/// A call in the queue.
#[pin_project]
struct Waiting<S, M, P, Req> {
    service: S,
    request: Option<Req>,
    ticket: Ticket,
    /// It has had its turn, and waits for the inner service. Its place is somebody else's meanwhile.
    aside: bool,
    /// Why it will be refused, if it waits to the end.
    late: Reason,
    desk: Arc<Desk<M, P>>,
    #[pin]
    timer: Sleep,
}

/// What comes of waiting.
enum Turn<F, E> {
    Called(F, Place),
    Failed(E),
    Late,
}

// === impl ResponseFuture ===

impl<S: Service<Req>, M, P, Req> ResponseFuture<S, M, P, Req> {
    #[inline]
    pub(crate) const fn called(inner: S::Future, place: Place, protocol: P) -> Self {
        Self { state: State::Called(inner), place: Some(place), protocol }
    }
}

impl<S: Service<Req>, M, P: Clone, Req> ResponseFuture<S, M, P, Req> {
    pub(crate) fn waiting(service: S, request: Req, ticket: Ticket, late: Reason, desk: Arc<Desk<M, P>>) -> Self {
        let (timer, protocol) = (sleep_until(ticket.until()), desk.protocol.clone());
        let waiting = Waiting { service, request: Some(request), ticket, aside: false, late, desk, timer };
        Self { state: State::Waiting(Box::pin(waiting)), place: None, protocol }
    }

    pub(crate) fn refused(reason: Reason, desk: Arc<Desk<M, P>>) -> Self {
        let protocol = desk.protocol.clone();
        Self { state: State::Refused(reason, desk), place: None, protocol }
    }
}

impl<S, M, P, Req> Future for ResponseFuture<S, M, P, Req>
where
    S: Service<Req> + Clone,
    M: Refuse<Refusal, S::Response, S::Error>,
    P: Cover<S::Response, S::Error>,
{
    type Output = Result<P::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Called(inner) => {
                    let result = ready!(inner.poll(cx));
                    this.state.set(State::Done);
                    return Poll::Ready(this.protocol.cover(result, this.place.take()));
                }
                StateProj::Waiting(waiting) => match ready!(waiting.as_mut().poll(cx)) {
                    Turn::Called(inner, place) => {
                        *this.place = Some(place);
                        State::Called(inner)
                    }
                    Turn::Failed(error) => {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    Turn::Late => State::Refused(waiting.late, Arc::clone(&waiting.desk)),
                },
                StateProj::Refused(reason, desk) => {
                    let (refusal, desk) = (desk.refusal_for(*reason), Arc::clone(desk));
                    debug!(reason = %refusal, "refused");
                    this.state.set(State::Done);
                    let result = desk.refusal.refuse(refusal.into());
                    return Poll::Ready(result.and_then(|answer| this.protocol.cover(Ok(answer), None)));
                }
                StateProj::Done => panic!("polled after completion"),
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Req>, M, P, Req> fmt::Debug for ResponseFuture<S, M, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called(_) => "called",
            State::Waiting(_) => "waiting",
            State::Refused(..) => "refused",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}

// === impl Waiting ===

impl<S, M, P, Req> Waiting<S, M, P, Req> {
    /// Waits for a place and for the inner service, and holds neither while it waits for the other.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn<S::Future, S::Error>>
    where
        S: Service<Req> + Clone,
    {
        let this = self.project();
        loop {
            let permit = if *this.aside {
                match this.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        *this.aside = false;
                        this.ticket.come_back()
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Turn::Failed(error)),
                    Poll::Pending => break,
                }
            } else {
                // The place before the timer: one that is there in time is taken.
                match this.ticket.poll(cx) {
                    Poll::Ready(Some(permit)) => match this.service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => Some(permit),
                        Poll::Ready(Err(error)) => return Poll::Ready(Turn::Failed(error)),
                        Poll::Pending => {
                            this.ticket.step_aside(permit);
                            *this.aside = true;
                            break;
                        }
                    },
                    Poll::Ready(None) => return Poll::Ready(Turn::Late),
                    Poll::Pending => break,
                }
            };
            if let Some(permit) = permit {
                return Poll::Ready(call(this.service, this.request, permit));
            }
            // The inner service is ready and there is no place: it must not be kept from others.
            let clone = this.service.clone();
            *this.service = clone;
        }
        poll_expired(this.timer, cx).map(|()| Turn::Late)
    }
}

fn call<S: Service<Req>, Req>(service: &mut S, request: &mut Option<Req>, permit: Permit) -> Turn<S::Future, S::Error> {
    let place = Place::begin(permit);
    let request = request.take().expect("who waits is called once");
    Turn::Called(service.call(request), place)
}

/// Polls a timer that fires even in a task that never rests: the clock can always be asked, whatever share of the task's turn
/// is used up.
fn poll_expired(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    let at = timer.deadline();
    match timer.poll(cx) {
        Poll::Pending if Instant::now() < at => Poll::Pending,
        Poll::Pending | Poll::Ready(()) => Poll::Ready(()),
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A service whose future holds four numbers.
    type Inner = tower::util::ServiceFn<fn(u64) -> Answer>;
    type Answer = std::future::Ready<Result<[u64; 4], Infallible>>;
    type Wrapped = ResponseFuture<Inner, buttress_core::HttpRefusal, crate::PlainProtocol, u64>;

    #[test]
    fn the_future_is_no_larger_than_its_place_asks_for() {
        assert_eq!(size_of::<Option<Place>>(), 3 * size_of::<u64>());
        assert_eq!(size_of::<Wrapped>(), size_of::<Answer>() + size_of::<Option<Place>>());
    }
}
