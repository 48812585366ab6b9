//! What operators and other replicas say.

use std::time::Duration;

use super::{Breaker, World};
use crate::{Cause, State, change::Step};

impl Breaker {
    /// Changes the state on an operator's word. A circuit that is not open cannot become half-open, and none is made to ramp.
    pub(crate) fn order(&mut self, to: State, world: &World<'_>) -> Option<Step> {
        match to {
            State::HalfOpen if !matches!(self.state, State::Open | State::ForcedOpen) => None,
            State::Ramping => None,
            State::Open => self.open(Cause::Operator, None, world),
            State::Closed => {
                self.openings = 0;
                Some(self.go(State::Closed, Cause::Operator, world))
            }
            _ => Some(self.go(to, Cause::Operator, world)),
        }
    }

    /// Opens for `time` on an operator's word.
    pub(crate) fn order_open(&mut self, time: Duration, world: &World<'_>) -> Option<Step> {
        self.open(Cause::Operator, Some(time), world)
    }

    /// Takes the word of others that they have opened for `time`. Returns whether it was of any use.
    ///
    /// It is bound to this generation: a circuit that changes its state has seen for itself.
    pub(crate) fn advise(&mut self, time: Duration, world: &World<'_>) -> (bool, Option<Step>) {
        let time = time.min(world.rules.max_advice);
        let step = self.tick(world);
        if self.state != State::Closed || time.is_zero() {
            return (false, step);
        }
        if world.rules.trust_advice {
            let opened = self.open(Cause::Advice, Some(time), world);
            return (opened.is_some(), opened.or(step));
        }
        let until = world.now.checked_add(time);
        self.suspect_until = self.suspect_until.max(until);
        (true, step)
    }
}
