//! Calls for which Redis is asked.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use crate::{
    Costs, RateLimited, Reservation,
    error::Reason,
    future::State,
    layer::Desk,
    limiter::{Limiter, Not, Owner, Taken},
    ticket::{At, Ticket, Turn, Wish, refused},
};

/// A call for which Redis is asked.
pub(crate) struct Asking<S, Req> {
    /// Ready.
    service: S,
    request: Option<Req>,
    wish: Wish,
    asks: Asks,
}

/// How often Redis is asked by the call whose turn it is, at least.
const ASKS_AGAIN: Duration = Duration::from_secs(1);

/// A question to Redis. Boxed, since it is large, and a round trip takes much longer.
pub(crate) type Asks = Pin<Box<dyn Future<Output = Result<Taken, Not>> + Send>>;

// === impl Asking ===

impl<S, Req> Asking<S, Req> {
    pub(crate) fn new(service: S, request: Req, wish: Wish, limiter: &Arc<Limiter>) -> Self {
        let asks = asks(limiter, wish.owner, wish.costs);
        Self { service, request: Some(request), wish, asks }
    }

    pub(crate) fn poll<M, P: Clone, C, E>(
        &mut self,
        cx: &mut Context<'_>,
        desk: &Arc<Desk<M, P, C, E>>,
    ) -> Poll<State<S, Req, P, Arc<Desk<M, P, C, E>>>>
    where
        S: Service<Req> + Clone,
    {
        let outcome = ready!(self.asks.as_mut().poll(cx));
        let (request, limiter) = (self.request.take().expect("polled after completion"), &desk.limiter);
        Poll::Ready(match outcome {
            Ok(taken) => {
                let reservation = Some(Reservation::new(Arc::clone(limiter), taken));
                State::Called { inner: self.service.call(request), reservation, protocol: desk.protocol.clone() }
            }
            Err(not) => match self.wish.enter(limiter, not, Instant::now()) {
                Ok(ticket) => {
                    debug!(key = %self.wish.owner.key, "queued");
                    // Another clone: the instance that was made ready must not be what waits.
                    State::waiting(self.service.clone(), request, ticket, Arc::clone(desk))
                }
                Err(why) => State::Refused(why, self.wish.owner.key, Arc::clone(desk)),
            },
        })
    }
}

// === impl Ticket ===

impl Ticket {
    /// Goes by what was said to this call when it was its turn.
    pub(crate) fn asked(&mut self, outcome: Result<Taken, Not>, now: Instant) -> Turn {
        match outcome {
            Ok(taken) => {
                let mut shard = self.limiter.shard(self.owner.key);
                if let Some(line) = shard.lines.get_mut(&self.owner.key) {
                    line.served(self.place);
                }
                let next = shard.left(self.owner.key);
                drop(shard);
                if std::mem::replace(&mut self.at, At::Gone) == At::Line {
                    self.limiter.end_to_wait();
                }
                next.into_iter().for_each(Waker::wake);
                Turn::Now(Reservation::new(Arc::clone(&self.limiter), taken))
            }
            Err(Not::Short(shortage)) => match shortage.wait().and_then(|wait| now.checked_add(wait)) {
                // Redis counts in microseconds. What another replica gives back, nobody else tells of.
                Some(at) => Turn::Later((at + Duration::from_micros(1)).min(now + ASKS_AGAIN)),
                None => {
                    self.leave();
                    Turn::Never(Some(shortage))
                }
            },
            Err(Not::Behind) => Turn::Later(now + Duration::from_millis(1)),
            Err(Not::Away) => {
                self.leave();
                Turn::Away
            }
        }
    }

    /// Says that Redis is away, and that nobody passes without it.
    pub(crate) fn away(&self, now: Instant) -> RateLimited {
        refused(&self.limiter, self.owner, Reason::Away, None, None, now)
    }

    /// Returns what is to be asked of Redis.
    pub(crate) fn asks(&self) -> Asks {
        asks(&self.limiter, self.owner, self.costs)
    }
}

pub(crate) fn asks(limiter: &Arc<Limiter>, owner: Owner, costs: Costs) -> Asks {
    let limiter = Arc::clone(limiter);
    Box::pin(async move {
        match &limiter.shared {
            Some(store) => limiter.ask(store, owner, costs).await,
            None => Err(Not::Away),
        }
    })
}

/// Polls for a turn. Where Redis is to be asked, it is.
pub(crate) fn poll_turn(
    ticket: &mut Ticket,
    asks: &mut Option<Asks>,
    cx: &mut Context<'_>,
    now: Instant,
) -> Poll<Turn> {
    let asked = match asks {
        Some(asked) => asked,
        None => match ticket.poll(cx.waker(), now) {
            Turn::Ask => asks.insert(ticket.asks()),
            turn => return Poll::Ready(turn),
        },
    };
    let outcome = ready!(asked.as_mut().poll(cx));
    *asks = None;
    Poll::Ready(ticket.asked(outcome, Instant::now()))
}
