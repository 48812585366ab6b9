//! A limit, whatever it goes by: fixed or found out.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::Class;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Algorithm, Criticality, Heard, Queue, Sample, Shares,
    gate::{Entry, Gate},
    queue::Turn,
    standing::{Moment, Standing},
};

/// The calls of one target, or of one key.
pub(crate) struct Limiter {
    gate: Gate,
    algorithm: Option<Mutex<Box<dyn Algorithm>>>,
    /// What calls are timed by.
    base: Instant,
}

/// How each limiter of a layer is made.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) limit: Limit,
    pub(crate) queue: Queue,
    pub(crate) shares: Shares,
}

#[derive(Clone)]
pub(crate) enum Limit {
    Fixed(u32),
    Adaptive(Arc<dyn Fn() -> Box<dyn Algorithm> + Send + Sync>),
}

/// A place. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    standing: Standing,
}

/// A turn in the queue. It is given up when this is dropped, and with it a place that it was given.
#[derive(Debug)]
pub(crate) struct Ticket {
    limiter: Arc<Limiter>,
    turn: Turn,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    InQueue,
    Aside,
    Over,
}

/// What a call finds that has to be let in.
#[derive(Debug)]
pub(crate) enum Admission {
    Free(Permit),
    Wait(Ticket),
    Full,
}

/// Measures one call for an algorithm.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    limiter: Arc<Limiter>,
    started: Instant,
    in_flight: u32,
}

// === impl Limiter ===

impl Limiter {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        let (limit, algorithm) = match &settings.limit {
            Limit::Fixed(limit) => (*limit, None),
            Limit::Adaptive(make) => {
                let algorithm = make();
                (algorithm.limit(), Some(Mutex::new(algorithm)))
            }
        };
        let gate = Gate::new(limit, settings.queue, settings.shares);
        Arc::new(Self { gate, algorithm, base: Instant::now() })
    }

    /// Takes a place without a look at the queue, if nobody is in it. Gives the limiter back otherwise.
    #[inline]
    pub(crate) fn try_admit(self: Arc<Self>, class: Criticality) -> Result<Permit, Arc<Self>> {
        match self.gate.try_pass() {
            Some(in_flight) => Ok(Permit { limiter: self, standing: Standing::new(class, in_flight) }),
            None => Err(self),
        }
    }

    /// Takes a place or a turn. See [`Gate::enter`] for `times`.
    pub(crate) fn admit(
        self: &Arc<Self>,
        class: Criticality,
        times: impl FnOnce() -> Option<(Instant, Instant)>,
    ) -> Admission {
        match self.gate.enter(class, times) {
            Entry::Free(in_flight) => Admission::Free(self.permit(class, in_flight)),
            Entry::Wait(turn) => Admission::Wait(Ticket { limiter: Arc::clone(self), turn, stage: Stage::InQueue }),
            Entry::Full => Admission::Full,
        }
    }

    pub(crate) const fn is_adaptive(&self) -> bool {
        self.algorithm.is_some()
    }

    pub(crate) fn limit(&self) -> u32 {
        self.gate.limit()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.gate.in_flight()
    }

    pub(crate) fn queued(&self) -> usize {
        self.gate.queued()
    }

    pub(crate) fn set_limit(&self, limit: u32) {
        match &self.algorithm {
            None => self.gate.set_limit(limit).wake(),
            Some(algorithm) => self.steer(algorithm, |algorithm| algorithm.restart(limit)),
        }
    }

    fn hear(&self, sample: &Sample) {
        if let Some(algorithm) = &self.algorithm {
            self.steer(algorithm, |algorithm| algorithm.on_sample(sample));
        }
    }

    /// Changes the algorithm, and the limit with it. The lock is held over both, so that the limit is always the newest.
    fn steer(&self, algorithm: &Mutex<Box<dyn Algorithm>>, change: impl FnOnce(&mut dyn Algorithm)) {
        let mut algorithm = algorithm.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut **algorithm);
        let (before, after) = (self.gate.limit(), algorithm.limit().max(1));
        if before == after {
            return;
        }
        let woken = self.gate.set_limit(after);
        drop(algorithm);
        woken.wake();
        debug!(before, after, "limit changed");
    }

    fn permit(self: &Arc<Self>, class: Criticality, in_flight: u32) -> Permit {
        Permit { limiter: Arc::clone(self), standing: Standing::new(class, in_flight) }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limit", &self.limit())
            .field("in_flight", &self.in_flight())
            .field("adaptive", &self.is_adaptive())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("queue", &self.queue).field("shares", &self.shares).finish_non_exhaustive()
    }
}

// === impl Permit ===

impl Permit {
    /// Asks when the call begins, if somebody wants to know how long it takes.
    #[inline]
    pub(crate) fn begin(&self) -> Option<Moment> {
        self.limiter.is_adaptive().then(|| Moment::new(Instant::now().saturating_duration_since(self.limiter.base)))
    }

    /// Measures a call that began at `started`.
    pub(crate) fn meter(&self, started: Moment) -> Meter {
        let started = self.limiter.base + started.since_base();
        Meter { limiter: Arc::clone(&self.limiter), started, in_flight: self.standing.in_flight() }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.limiter.gate.give_back(self.standing.class());
    }
}

// === impl Ticket ===

impl Ticket {
    /// Waits for a place; `None` if the time was over before there was one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        let answer = match self.stage {
            Stage::InQueue => std::task::ready!(self.limiter.gate.poll(&self.turn, cx.waker())),
            Stage::Aside | Stage::Over => None,
        };
        self.stage = Stage::Over;
        Poll::Ready(answer.map(|in_flight| self.limiter.permit(self.turn.class, in_flight)))
    }

    /// Gives the place back that this turn has come to, and keeps the turn.
    pub(crate) fn step_aside(&mut self, permit: Permit) {
        self.limiter.gate.step_aside(&self.turn);
        self.stage = Stage::Aside;
        drop(permit);
    }

    /// Takes a place at once, or waits for one again, where it was.
    pub(crate) fn come_back(&mut self) -> Option<Permit> {
        let taken = self.limiter.gate.come_back(&self.turn);
        self.stage = if taken.is_some() { Stage::Over } else { Stage::InQueue };
        taken.map(|in_flight| self.limiter.permit(self.turn.class, in_flight))
    }

    pub(crate) const fn until(&self) -> Instant {
        self.turn.until
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match self.stage {
            Stage::InQueue => self.limiter.gate.leave(&self.turn),
            Stage::Aside => self.limiter.gate.stay_away(&self.turn),
            Stage::Over => {}
        }
    }
}

// === impl Meter ===

impl Meter {
    /// Tells that the first content came at `at`.
    pub(crate) fn first_content(&self, at: Instant) {
        self.tell(Heard::Latency(at.saturating_duration_since(self.started)));
    }

    /// Tells that each token took so long.
    pub(crate) fn per_token(&self, latency: Duration) {
        self.tell(Heard::Latency(latency));
    }

    /// Tells how a call failed, as far as that says something of the target's load.
    pub(crate) fn failed(&self, class: &Class) {
        if let Some(heard) = Heard::of_failure(class) {
            self.tell(heard);
        }
    }

    fn tell(&self, heard: Heard) {
        let Self { limiter, started, in_flight } = self;
        limiter.hear(&Sample { started: *started, now: Instant::now(), in_flight: *in_flight, heard });
    }
}
