//! One breaker: what it has seen, and what follows.
//!
//! Pure: it is told the time and handed its randomness, and somebody else locks it.

mod order;
mod view;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::view::Idle;
use crate::{
    Cause, EjectionGroup, State,
    change::Step,
    outcome::{Kind, Outcome},
    rules::Rules,
    trial::{Trial, Turn},
    window::{Mark, Tally, Window},
};

/// A breaker without its key and its lock.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    generation: u64,
    window: Window,
    /// Failures since the last success.
    run: u32,
    /// How often in a row it opened, less the steps back.
    openings: u32,
    closed_since: Instant,
    /// When it may be tried again, if it is open and there is such a time.
    until: Option<Instant>,
    /// The latest time that a server asked to be left alone until.
    rest_until: Option<Instant>,
    /// Until when a single failure is enough, on the word of others.
    suspect_until: Option<Instant>,
    trial: Trial,
    /// What was seen when it opened, and how many calls had to be.
    frozen: (Tally, u32),
    not_permitted: u64,
    degraded: bool,
}

/// What a breaker goes by, and what it asks.
pub(crate) struct World<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) group: Option<&'a EjectionGroup>,
    /// Draws from 0 to 1.
    pub(crate) unit: &'a dyn Fn() -> f64,
    pub(crate) now: Instant,
    /// The bucket of the window that `now` falls into.
    pub(crate) tick: u64,
}

/// Whether a call may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    Refused {
        state: State,
        /// The time until the next probe, and whether that is known and not guessed.
        after: Option<(Duration, bool)>,
    },
}

// === impl Breaker ===

impl Breaker {
    pub(crate) fn new(rules: &Rules, now: Instant) -> Self {
        let mut breaker = Self {
            state: rules.initial,
            generation: 0,
            window: Window::new(rules.span),
            run: 0,
            openings: 0,
            closed_since: now,
            until: None,
            rest_until: None,
            suspect_until: None,
            trial: Trial::new(rules.probes, now),
            frozen: (Tally::default(), rules.minimum),
            not_permitted: 0,
            degraded: false,
        };
        if rules.initial == State::Open {
            breaker.openings = 1;
            breaker.until = now.checked_add(rules.open_time.draw(1, 0.5));
        }
        breaker
    }

    /// Asks whether a call may pass. If so, it must be reported, or given back.
    pub(crate) fn acquire(&mut self, world: &World<'_>) -> (Admission, Option<Step>) {
        let step = self.tick(world);
        let admission = match self.state {
            State::Closed | State::Disabled | State::MetricsOnly => return (Admission::Admitted, step),
            State::HalfOpen | State::Ramping if self.trial.take() => return (Admission::Admitted, step),
            State::HalfOpen | State::Ramping => {
                // When a place is free again is for the calls that are out to tell. A second is a fair guess.
                let most = self.trial.waited_until(world.rules).map_or(Duration::MAX, |at| at - world.now);
                Some((most.min(Duration::from_secs(1)), false))
            }
            State::Open => self.until.map(|at| (at.saturating_duration_since(world.now), true)),
            State::ForcedOpen => None,
        };
        self.not_permitted = self.not_permitted.saturating_add(1);
        (Admission::Refused { state: self.state, after: admission }, step)
    }

    /// Lets time do what it does: an open time that is over, a probe that does not come back.
    pub(crate) fn tick(&mut self, world: &World<'_>) -> Option<Step> {
        match self.state {
            State::Open if self.until.is_some_and(|at| at <= world.now) => {
                Some(self.go(State::HalfOpen, Cause::Elapsed, world))
            }
            State::HalfOpen | State::Ramping => match self.trial.wait(world.now, world.rules) {
                Turn::Open => self.open(Cause::MaxWait, None, world),
                Turn::Close => Some(self.go(State::Closed, Cause::MaxWait, world)),
                Turn::Stay => None,
            },
            _ => None,
        }
    }

    /// Counts how a call of `generation` ended. What was admitted in another generation says nothing about this one.
    pub(crate) fn record(&mut self, generation: u64, outcome: Outcome, world: &World<'_>) -> Option<Step> {
        if generation != self.generation {
            return None;
        }
        self.note_hint(outcome.hint, world);
        match self.state {
            State::Closed | State::MetricsOnly => self.record_closed(outcome, world),
            State::HalfOpen | State::Ramping => self.record_trial(outcome, world),
            State::Open | State::ForcedOpen | State::Disabled => None,
        }
    }

    /// Notes that a probe has the head of an answer.
    pub(crate) fn note_answer(&mut self, generation: u64) {
        if generation == self.generation && matches!(self.state, State::HalfOpen | State::Ramping) {
            self.trial.answering();
        }
    }

    /// Counts successes that were counted elsewhere before. They ended at `tick`, in this generation.
    pub(crate) fn add_successes(&mut self, times: u32, tick: u64) {
        if times > 0 {
            self.run = 0;
            self.window.add(Mark::default(), times, tick);
        }
    }

    /// Forgets what is too old at `tick`.
    pub(crate) fn advance(&mut self, tick: u64) {
        self.window.advance(tick);
    }

    fn note_hint(&mut self, hint: Option<Duration>, world: &World<'_>) {
        if let Some(at) = hint.and_then(|hint| world.now.checked_add(hint.min(world.rules.max_hint))) {
            self.rest_until = Some(self.rest_until.map_or(at, |rest| rest.max(at)));
        }
    }

    fn record_closed(&mut self, outcome: Outcome, world: &World<'_>) -> Option<Step> {
        if let (Kind::Sticky(time), State::Closed) = (outcome.kind, self.state) {
            return self.open(Cause::Sticky, Some(time), world);
        }
        let mark = outcome.mark()?;
        self.window.add(mark, 1, world.tick);
        match outcome.kind {
            Kind::Failure => self.run = self.run.saturating_add(1),
            Kind::Success => self.run = 0,
            _ => {}
        }
        if self.state == State::MetricsOnly {
            return None;
        }
        if let Some(cause) = self.exceeded(world.rules) {
            return self.open(cause, None, world);
        }
        self.degraded = false;
        let suspicion = self.suspect_until.and_then(|at| at.checked_duration_since(world.now));
        match suspicion.filter(|left| !left.is_zero() && (mark.failed || mark.slow)) {
            Some(left) => self.open(Cause::Advice, Some(left), world),
            None => None,
        }
    }

    fn record_trial(&mut self, outcome: Outcome, world: &World<'_>) -> Option<Step> {
        if let Kind::Sticky(time) = outcome.kind {
            return self.open(Cause::Sticky, Some(time), world);
        }
        let heard = outcome.kind != Kind::Dropped || outcome.slow;
        if heard {
            self.trial.hear(world.now);
        }
        match self.trial.end(outcome.mark(), outcome.answered, world.rules) {
            Turn::Stay => None,
            Turn::Open => self.open(Cause::Probe, None, world),
            Turn::Close if self.state == State::HalfOpen && world.rules.ramp > 0 => {
                Some(self.go(State::Ramping, Cause::Recovered, world))
            }
            Turn::Close => Some(self.go(State::Closed, Cause::Recovered, world)),
        }
    }

    fn exceeded(&self, rules: &Rules) -> Option<Cause> {
        if rules.consecutive.is_some_and(|most| self.run >= most.get()) {
            return Some(Cause::Consecutive);
        }
        let sum = self.window.sum();
        if sum.total < self.minimum(rules) {
            return None;
        }
        if rules.failure_rate.is_some_and(|percent| Tally::reaches(sum.failed, sum.total, percent)) {
            return Some(Cause::FailureRate);
        }
        let slow = rules.slow.is_some_and(|slow| Tally::reaches(sum.slow, sum.total, slow.percent));
        slow.then_some(Cause::SlowRate)
    }

    fn minimum(&self, rules: &Rules) -> u32 {
        self.window.size().map_or(rules.minimum, |size| size.min(rules.minimum))
    }

    /// Opens, unless the group does not let it. For its own time, or for `time`; and never for less than the server asked.
    fn open(&mut self, cause: Cause, time: Option<Duration>, world: &World<'_>) -> Option<Step> {
        let ejected = self.state.is_ejected();
        if !ejected && cause != Cause::Operator && !world.group.is_none_or(EjectionGroup::eject) {
            return self.stay(world);
        }
        if !ejected && cause == Cause::Operator {
            world.group.inspect(|group| group.force());
        }
        if self.state == State::Closed {
            let closed = world.now.saturating_duration_since(self.closed_since);
            self.openings = self.openings.saturating_sub(world.rules.open_time.steps_back(closed));
        }
        // The word of others is no reason to stay away longer each time.
        self.openings = self.openings.saturating_add(u32::from(cause != Cause::Advice));
        let own = world.rules.open_time.draw(self.openings, (world.unit)());
        let mut time = match cause {
            // The word of others holds for at most as long as they said.
            Cause::Advice => time.map_or(own, |time| time.min(own)),
            _ => time.unwrap_or(own),
        };
        if let (Some(rest), true) = (self.rest_until, cause != Cause::Operator) {
            time = time.max(rest.saturating_duration_since(world.now));
        }
        self.frozen = self.counted(world.rules);
        self.until = world.now.checked_add(time);
        let open_for = self.until.map(|_| time);
        Some(Step { open_for, ..self.enter(State::Open, cause, world) })
    }

    /// May not open. What is closed stays so; what was ramping is closed again, since it cannot ramp for ever.
    fn stay(&mut self, world: &World<'_>) -> Option<Step> {
        let step = (self.state == State::Ramping).then(|| self.go(State::Closed, Cause::Recovered, world));
        self.degraded = true;
        step
    }

    /// Changes to any state but open.
    fn go(&mut self, to: State, cause: Cause, world: &World<'_>) -> Step {
        match (self.state.is_ejected(), to.is_ejected()) {
            (true, false) => drop(world.group.inspect(|group| group.restore())),
            (false, true) => drop(world.group.inspect(|group| group.force())),
            _ => {}
        }
        match to {
            State::HalfOpen => self.trial = Trial::new(world.rules.probes, world.now),
            State::Ramping => self.trial = self.trial.ramp(world.rules, world.now),
            State::Open | State::ForcedOpen => self.frozen = self.counted(world.rules),
            State::Closed | State::Disabled | State::MetricsOnly => {
                self.window.clear();
                self.run = 0;
                self.closed_since = world.now;
                self.rest_until = None;
            }
        }
        self.enter(to, cause, world)
    }

    fn enter(&mut self, to: State, cause: Cause, world: &World<'_>) -> Step {
        let from = std::mem::replace(&mut self.state, to);
        self.generation += 1;
        self.not_permitted = 0;
        self.degraded = false;
        self.suspect_until = None;
        if to != State::Open {
            self.until = None;
        }
        Step { from, to, cause, open_for: None, generation: self.generation, at: world.now }
    }
}
