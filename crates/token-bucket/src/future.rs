//! A call and its reservation.

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
    Cover, Fingerprint, RateLimited, Reservation,
    layer::Desk,
    ticket::{Ticket, Turn},
};

/// The future of [`TokenBucket`](crate::TokenBucket).
///
/// # Cancel safety
///
/// Dropping it drops the call and settles it as one that was [given up](crate::Settling::dropped), or gives up its turn in the
/// queue, where it holds nothing.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, M, P, C, E, Req> {
    #[pin]
    state: State<S, Req, P, Arc<Desk<M, P, C, E>>>,
}

// Who was called needs the protocol alone: to count a reference to the desk would cost as much as the decision does.
#[pin_project(project = StateProj)]
pub(crate) enum State<S: Service<Req>, Req, P, D> {
    Called {
        // Dropped before it is settled.
        #[pin]
        inner: S::Future,
        reservation: Option<Reservation>,
        protocol: P,
    },
    // Boxed, since a round trip takes time in any case.
    #[cfg(feature = "redis")]
    Asking(Box<crate::shared::Asking<S, Req>>, D),
    // Boxed, since a timer is large, and who waits has time.
    Waiting(Pin<Box<Waiting<S, Req>>>, D),
    Refused(RateLimited, Fingerprint, D),
    Done,
}

/// A call in the queue.
#[pin_project]
pub(crate) struct Waiting<S, Req> {
    service: S,
    request: Option<Req>,
    ticket: Ticket,
    /// It has had its turn, and waits for the inner service. What it had taken is somebody else's meanwhile.
    aside: bool,
    key: Fingerprint,
    /// It is its turn, and Redis is asked.
    #[cfg(feature = "redis")]
    asks: Option<crate::shared::Asks>,
    #[pin]
    timer: Sleep,
}

/// What comes of waiting.
enum Waited<F, E> {
    Called(F, Reservation),
    Failed(E),
    Refused(RateLimited),
}

// === impl ResponseFuture ===

impl<S: Service<Req>, M, P, C, E, Req> ResponseFuture<S, M, P, C, E, Req> {
    #[inline]
    pub(crate) const fn called(inner: S::Future, reservation: Reservation, protocol: P) -> Self {
        Self { state: State::Called { inner, reservation: Some(reservation), protocol } }
    }

    pub(crate) fn waiting(service: S, request: Req, ticket: Ticket, desk: Arc<Desk<M, P, C, E>>) -> Self {
        Self { state: State::waiting(service, request, ticket, desk) }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn asking(service: S, request: Req, wish: crate::ticket::Wish, desk: Arc<Desk<M, P, C, E>>) -> Self {
        let asking = crate::shared::Asking::new(service, request, wish, &desk.limiter);
        Self { state: State::Asking(Box::new(asking), desk) }
    }

    pub(crate) const fn refused(why: RateLimited, key: Fingerprint, desk: Arc<Desk<M, P, C, E>>) -> Self {
        Self { state: State::Refused(why, key, desk) }
    }
}

impl<S, M, P, C, E, Req> Future for ResponseFuture<S, M, P, C, E, Req>
where
    S: Service<Req> + Clone,
    M: Refuse<Refusal, S::Response, S::Error>,
    P: Cover<S::Response, S::Error> + Clone,
{
    type Output = Result<P::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Called { inner, reservation, protocol } => {
                    let result = ready!(inner.poll(cx));
                    let reservation = reservation.take().expect("polled after completion");
                    let answer = protocol.cover(result, reservation);
                    this.state.set(State::Done);
                    return Poll::Ready(answer);
                }
                #[cfg(feature = "redis")]
                StateProj::Asking(asking, desk) => ready!(asking.poll(cx, desk)),
                StateProj::Waiting(waiting, desk) => match ready!(waiting.as_mut().poll(cx)) {
                    Waited::Called(inner, reservation) => {
                        State::Called { inner, reservation: Some(reservation), protocol: desk.protocol.clone() }
                    }
                    Waited::Failed(error) => {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    Waited::Refused(why) => State::Refused(why, waiting.key, Arc::clone(desk)),
                },
                StateProj::Refused(why, key, desk) => {
                    debug!(%key, reason = %why, "refused");
                    let result = desk.refusal.refuse(Refusal::from(&*why));
                    let result = desk.protocol.refused(result, why.clone());
                    this.state.set(State::Done);
                    return Poll::Ready(result);
                }
                StateProj::Done => panic!("polled after completion"),
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Req>, M, P, C, E, Req> fmt::Debug for ResponseFuture<S, M, P, C, E, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "called",
            #[cfg(feature = "redis")]
            State::Asking(..) => "asking",
            State::Waiting(..) => "waiting",
            State::Refused(..) => "refused",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}

// === impl State ===

impl<S: Service<Req>, Req, P, D> State<S, Req, P, D> {
    pub(crate) fn waiting(service: S, request: Req, ticket: Ticket, desk: D) -> Self {
        let (timer, key) = (sleep_until(ticket.until()), ticket.key());
        let waiting = Waiting {
            service,
            request: Some(request),
            ticket,
            aside: false,
            key,
            #[cfg(feature = "redis")]
            asks: None,
            timer,
        };
        Self::Waiting(Box::pin(waiting), desk)
    }
}

// === impl Waiting ===

impl<S, Req> Waiting<S, Req> {
    /// Waits for its turn and for the inner service, and holds neither while it waits for the other.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<S::Future, S::Error>>
    where
        S: Service<Req> + Clone,
    {
        let mut this = self.project();
        loop {
            let now = Instant::now();
            let mut ready = false;
            if *this.aside {
                ready = match this.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Waited::Failed(error)),
                    Poll::Pending => false,
                };
                if ready && !this.ticket.come_back(now) {
                    return Poll::Ready(Waited::Refused(this.ticket.refused(None, now)));
                }
                *this.aside = !ready;
            }
            let mut again = this.ticket.until();
            if !*this.aside {
                #[cfg(feature = "redis")]
                let turn = match crate::shared::poll_turn(this.ticket, this.asks, cx, now) {
                    Poll::Ready(turn) => turn,
                    // It is bounded, and the deadline is looked at when it is over.
                    Poll::Pending => return Poll::Pending,
                };
                #[cfg(not(feature = "redis"))]
                let turn = this.ticket.poll(cx.waker(), now);
                match turn {
                    #[cfg(feature = "redis")]
                    Turn::Ask => continue,
                    #[cfg(feature = "redis")]
                    Turn::Away => return Poll::Ready(Waited::Refused(this.ticket.away(now))),
                    Turn::Never(shortage) => {
                        return Poll::Ready(Waited::Refused(this.ticket.refused(shortage, now)));
                    }
                    Turn::Later(at) => again = at.min(again),
                    Turn::Now(reservation) => {
                        match if ready { Poll::Ready(Ok(())) } else { this.service.poll_ready(cx) } {
                            Poll::Ready(Ok(())) => {
                                let request = this.request.take().expect("who waits is called once");
                                return Poll::Ready(Waited::Called(this.service.call(request), reservation));
                            }
                            Poll::Ready(Err(error)) => {
                                reservation.cancel(now);
                                return Poll::Ready(Waited::Failed(error));
                            }
                            Poll::Pending => {
                                this.ticket.step_aside(reservation, now);
                                *this.aside = true;
                            }
                        }
                    }
                }
                if ready {
                    // The inner service is ready and it is not this call's turn: it must not be kept from others.
                    let clone = this.service.clone();
                    *this.service = clone;
                }
            }
            if now >= this.ticket.until() {
                return Poll::Ready(Waited::Refused(this.ticket.refused(None, now)));
            }
            if this.timer.deadline() != again {
                this.timer.as_mut().reset(again);
            }
            ready!(poll_expired(this.timer.as_mut(), cx));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A service whose future holds four numbers.
    type Inner = tower::util::ServiceFn<fn(u64) -> Answer>;
    type Answer = std::future::Ready<Result<[u64; 4], Infallible>>;
    type Wrapped =
        ResponseFuture<Inner, buttress_core::HttpRefusal, crate::PlainProtocol, crate::Callers, crate::OneRequest, u64>;

    #[test]
    fn the_future_is_no_larger_than_its_reservation_asks_for() {
        assert!(size_of::<Reservation>() <= 144, "{}", size_of::<Reservation>());
        let most = size_of::<Answer>() + size_of::<Reservation>() + 24;
        assert!(size_of::<Wrapped>() <= most, "{} of {most}", size_of::<Wrapped>());
    }
}
