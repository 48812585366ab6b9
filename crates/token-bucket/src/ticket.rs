//! A call that waits for its turn.

use std::{num::NonZeroU32, sync::Arc, task::Waker, time::Duration};

use buttress_core::CallContext;
use tokio::time::Instant;

use crate::{
    Costs, Fingerprint, Reservation, Shortage,
    error::{RateLimited, Reason},
    limiter::{Grant, Limiter, Not, Owner, Taken},
    queue::Place,
};

/// A call's turn in the queue. Dropping it gives the turn up.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) owner: Owner,
    pub(crate) flow: Fingerprint,
    pub(crate) costs: Costs,
    pub(crate) place: Place,
    pub(crate) until: Instant,
    pub(crate) at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Line,
    /// It has had its turn, and waits elsewhere.
    Aside,
    Gone,
}

/// What a call finds that asks for its turn.
#[derive(Debug)]
pub(crate) enum Turn {
    Now(Reservation),
    /// Not before this time, unless it is woken.
    Later(Instant),
    /// Another has its place, or it can never pass any more.
    Never(Option<Shortage>),
    /// It is its turn, and Redis is to be asked. See [`Ticket::asked`].
    #[cfg(feature = "redis")]
    Ask,
    /// Redis is away, and nobody passes without it.
    #[cfg(feature = "redis")]
    Away,
}

/// A call that wants to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) owner: Owner,
    pub(crate) costs: Costs,
    pub(crate) flow: Fingerprint,
    pub(crate) weight: NonZeroU32,
    pub(crate) deadline: Option<Instant>,
}

// === impl Wish ===

impl Wish {
    /// Takes a turn for a call that was not let in.
    ///
    /// # Errors
    ///
    /// Says why there is none.
    pub(crate) fn enter(self, limiter: &Arc<Limiter>, not: Not, now: Instant) -> Result<Ticket, RateLimited> {
        let Self { owner, costs, flow, deadline, .. } = self;
        let shortage = match not {
            Not::Short(shortage) => Some(shortage),
            Not::Behind => None,
            #[cfg(feature = "redis")]
            Not::Away => return Err(refused(limiter, owner, Reason::Away, None, None, now)),
        };
        let refuse = |reason, wait| {
            // Who is behind others is told what it lacks, if it lacks anything by itself.
            let shortage = shortage.clone().or_else(|| limiter.shortage(owner, &costs, now));
            Err(refused(limiter, owner, reason, shortage, wait, now))
        };
        if shortage.as_ref().is_some_and(Shortage::is_never) {
            return refuse(Reason::Short, None);
        }
        if deadline.is_some_and(|at| at <= now) {
            return refuse(Reason::Deadline, None);
        }
        let alone = shortage.as_ref().and_then(Shortage::wait);
        if limiter.queue.is_none() {
            return refuse(Reason::Short, alone);
        }
        let until = limiter.queue.until(now, deadline);
        let lined_up = self.line_up(limiter, until, now);
        match lined_up.place {
            Some(place) => {
                let limiter = Arc::clone(limiter);
                Ok(Ticket { limiter, owner, flow, costs, place, until, at: At::Line })
            }
            None => refuse(Reason::Short, lined_up.wait.map(Duration::from_nanos).or(alone)),
        }
    }

    /// Enters the line of the bucket, unless the call could not be served in time, or there is no room.
    fn line_up(self, limiter: &Limiter, until: Instant, now: Instant) -> LinedUp {
        let Self { owner, costs, flow, weight, .. } = self;
        let nanos = limiter.nanos(now);
        let mut guard = limiter.shard(owner.key);
        let shard = &mut *guard;
        if limiter.kept(shard, owner, nanos).is_none() {
            // Keys for which there is no room have no line either.
            return LinedUp { place: None, wait: None };
        }
        let mut kept = shard.kept.get(owner.key).expect("it is there since a moment");
        let line = shard.lines.entry(owner.key).or_default();
        let place = line.place(flow);
        let wait = kept.bucket.wait_behind(&line.before(place), &costs, nanos);
        let in_time = wait.and_then(|wait| now.checked_add(Duration::from_nanos(wait))).is_some_and(|at| at <= until);
        let full = line.len() >= limiter.queue.length;
        let overtaken = if in_time && full { line.make_room(flow) } else { None };
        let entered = in_time && (!full || overtaken.is_some()) && limiter.begin_to_wait();
        if entered {
            line.enter(place, flow, weight, costs, kept.limits());
        }
        if line.len() == 0 {
            shard.left(owner.key);
        }
        drop(guard);
        overtaken.flatten().into_iter().for_each(Waker::wake);
        LinedUp { place: entered.then_some(place), wait }
    }
}

/// Where a call stands in line, and how long it would have to wait, in nanoseconds.
struct LinedUp {
    place: Option<Place>,
    wait: Option<u64>,
}

pub(crate) fn deadline_of<B>(request: &http::Request<B>) -> Option<Instant> {
    CallContext::of(request)?.deadline()
}

pub(crate) fn refused(
    limiter: &Limiter,
    owner: Owner,
    reason: Reason,
    shortage: Option<Shortage>,
    wait: Option<Duration>,
    now: Instant,
) -> RateLimited {
    RateLimited::new(reason, shortage, wait).or_stand(|| limiter.stand(owner, now))
}

// === impl Ticket ===

impl Ticket {
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    pub(crate) const fn key(&self) -> Fingerprint {
        self.owner.key
    }

    /// Takes what is needed if it is this call's turn and there is enough.
    pub(crate) fn poll(&mut self, waker: &Waker, now: Instant) -> Turn {
        let nanos = self.limiter.nanos(now);
        let mut guard = self.limiter.shard(self.owner.key);
        let shard = &mut *guard;
        let Some(line) = shard.lines.get_mut(&self.owner.key).filter(|line| line.is_known(self.place)) else {
            drop(guard);
            self.at = At::Gone;
            self.limiter.end_to_wait();
            return Turn::Never(None);
        };
        if !line.is_first(self.place) {
            line.remember(self.place, waker);
            return Turn::Later(self.until);
        }
        #[cfg(feature = "redis")]
        if let Some(store) = &self.limiter.shared {
            // Before it is asked: what comes back in between must not be missed.
            line.remember(self.place, waker);
            drop(guard);
            return match self.limiter.here_in_turn(store, self.owner, self.costs, now) {
                crate::shared::Here::Ask => Turn::Ask,
                crate::shared::Here::Taken(taken) => self.asked(Ok(taken), now),
                crate::shared::Here::Not(not) => self.asked(Err(not), now),
            };
        }
        // A key that somebody waits for is kept; `kept` fits it to rules that changed.
        let Some(mut kept) = self.limiter.kept(shard, self.owner, nanos) else {
            return Turn::Later(self.until);
        };
        let outcome = kept.bucket.reserve(&self.costs, nanos);
        let id = kept.limits().id();
        let line = shard.lines.get_mut(&self.owner.key).expect("it was there a moment ago");
        match outcome {
            Ok(()) => {
                line.served(self.place);
                let next = shard.left(self.owner.key);
                drop(guard);
                self.at = At::Gone;
                self.limiter.end_to_wait();
                next.into_iter().for_each(Waker::wake);
                let taken = Taken::new(self.owner, self.costs, Grant::own(id));
                Turn::Now(Reservation::new(Arc::clone(&self.limiter), taken))
            }
            Err(shortage) => match shortage.wait().and_then(|wait| now.checked_add(wait)) {
                Some(at) => {
                    line.remember(self.place, waker);
                    Turn::Later(at)
                }
                None => {
                    drop(guard);
                    self.leave();
                    Turn::Never(Some(shortage))
                }
            },
        }
    }

    /// Gives back what was taken and lets the next go, but keeps the place.
    pub(crate) fn step_aside(&mut self, reservation: Reservation, now: Instant) {
        reservation.cancel(now);
        self.at = At::Aside;
    }

    /// Waits again, at the old place, if there is room.
    pub(crate) fn come_back(&mut self, now: Instant) -> bool {
        let nanos = self.limiter.nanos(now);
        if !self.limiter.begin_to_wait() {
            return false;
        }
        let mut guard = self.limiter.shard(self.owner.key);
        let shard = &mut *guard;
        if self.limiter.kept(shard, self.owner, nanos).is_none() {
            drop(guard);
            self.limiter.end_to_wait();
            return false;
        }
        shard.lines.entry(self.owner.key).or_default().come_back(self.place, self.flow, self.costs);
        self.at = At::Line;
        true
    }

    /// Gives the turn up.
    pub(crate) fn leave(&mut self) {
        if self.at == At::Line {
            self.limiter.end_to_wait();
            let mut shard = self.limiter.shard(self.owner.key);
            if let Some(line) = shard.lines.get_mut(&self.owner.key) {
                line.leave(self.place);
            }
            let next = shard.left(self.owner.key);
            drop(shard);
            next.into_iter().for_each(Waker::wake);
        }
        self.at = At::Gone;
    }

    /// Says why the call was not let in after all.
    pub(crate) fn refused(&self, shortage: Option<Shortage>, now: Instant) -> RateLimited {
        let short = shortage.or_else(|| self.limiter.shortage(self.owner, &self.costs, now));
        let wait = short.as_ref().and_then(Shortage::wait);
        refused(&self.limiter, self.owner, Reason::Late, short, wait, now)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}
