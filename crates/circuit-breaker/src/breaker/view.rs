//! What a breaker tells of itself.

use tokio::time::Instant;

use super::{Breaker, World};
use crate::{State, rules::Rules, window::Tally};

/// Whether a breaker can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    Not,
    Closed,
    /// It is on its way back, or could be, and nobody asks.
    Other,
}

// === impl Breaker ===

impl Breaker {
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) const fn not_permitted(&self) -> u64 {
        self.not_permitted
    }

    pub(crate) const fn degraded(&self) -> bool {
        self.degraded
    }

    pub(crate) const fn openings(&self) -> u32 {
        self.openings
    }

    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Returns whether there is nothing about it that would be missed.
    pub(crate) fn is_idle(&self, now: Instant) -> Idle {
        match self.state {
            State::Closed => Idle::Closed,
            State::Open if self.until.is_some_and(|at| at <= now) => Idle::Other,
            State::HalfOpen | State::Ramping => Idle::Other,
            _ => Idle::Not,
        }
    }

    /// Returns whether further successes at this tick change nothing but the count: then they may be counted elsewhere.
    pub(crate) fn is_calm(&self, rules: &Rules) -> bool {
        let sum = self.window.sum();
        // More successes make no rate rise, except that they reach the minimum. But one may have risen since it was judged
        // last, when successes grew too old: the next call that ends, a success too, must open then.
        let nothing_bad = sum.failed == 0 && sum.slow == 0;
        let judged = sum.total >= self.minimum(rules) && self.exceeded(rules).is_none();
        self.state == State::Closed && self.run == 0 && !self.degraded && (nothing_bad || judged)
    }

    /// Returns what was counted, in the window, by the probes, or when the circuit opened; and how many calls must be for
    /// their rates to mean anything.
    pub(crate) fn seen(&mut self, world: &World<'_>) -> (Tally, u32) {
        self.window.advance(world.tick);
        self.counted(world.rules)
    }

    pub(super) fn counted(&self, rules: &Rules) -> (Tally, u32) {
        match self.state {
            State::Closed | State::MetricsOnly => (self.window.sum(), self.minimum(rules)),
            State::HalfOpen | State::Ramping => (self.trial.tally(), self.minimum(rules).min(rules.probes)),
            State::Open | State::ForcedOpen => self.frozen,
            State::Disabled => (Tally::default(), self.minimum(rules)),
        }
    }
}
