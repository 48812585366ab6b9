//! The calls that find out whether a target is well again.

use tokio::time::Instant;

use crate::{
    settings::Rules,
    window::{Mark, Tally},
};

/// The probes of a half-open circuit, or the calls of one that is ramping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// Calls that are out.
    out: u32,
    /// Those of them that have the head of an answer.
    answering: u32,
    tally: Tally,
    /// How many may be out, and have ended, together (half-open); or be out (ramping).
    limit: u32,
    ramping: bool,
    /// Since when nothing was heard.
    since: Instant,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Stay,
    Open,
    Close,
}

// === impl Trial ===

impl Trial {
    pub(crate) fn new(probes: u32, now: Instant) -> Self {
        Self { out: 0, answering: 0, tally: Tally::default(), limit: probes.max(1), ramping: false, since: now }
    }

    /// Begins the ramp that follows: one call more than there were probes, and one more for each success.
    pub(crate) fn ramp(self, rules: &Rules, now: Instant) -> Self {
        let limit = rules.probes.max(1).saturating_add(1);
        Self { out: 0, answering: 0, tally: self.tally, limit, ramping: true, since: now }
    }

    pub(crate) fn take(&mut self) -> bool {
        let ended = if self.ramping { 0 } else { self.tally.total };
        let free = self.out.saturating_add(ended) < self.limit;
        self.out += u32::from(free);
        free
    }

    pub(crate) fn answering(&mut self) {
        self.answering = self.answering.saturating_add(1).min(self.out);
    }

    /// Takes a call back.
    pub(crate) fn end(&mut self, mark: Option<Mark>, answered: bool, now: Instant, rules: &Rules) -> Turn {
        self.out = self.out.saturating_sub(1);
        self.answering = self.answering.saturating_sub(u32::from(answered)).min(self.out);
        let Some(mark) = mark else { return Turn::Stay };
        self.since = now;
        self.tally.add(mark, 1);
        if self.ramping { self.judge_ramp(mark, rules) } else { self.judge_probes(rules) }
    }

    /// Judges as soon as the probes that are still out cannot change the decision.
    fn judge_probes(&self, rules: &Rules) -> Turn {
        let Tally { total, .. } = self.tally;
        let all = self.limit;
        let left = all.saturating_sub(total);
        if !rules.decide_early && left > 0 {
            return Turn::Stay;
        }
        let parts = self.parts(rules);
        if parts.iter().flatten().any(|(part, percent)| Tally::reaches(*part, all, *percent)) {
            return Turn::Open;
        }
        let worst = |(part, percent): &(u32, u32)| Tally::reaches(part.saturating_add(left), all, *percent);
        if parts.iter().flatten().any(worst) && left > 0 { Turn::Stay } else { Turn::Close }
    }

    /// Judges by all calls since the circuit was half-open, whenever one went badly.
    fn judge_ramp(&mut self, mark: Mark, rules: &Rules) -> Turn {
        if mark.failed || mark.slow {
            let exceeds = |(part, percent): &(u32, u32)| Tally::reaches(*part, self.tally.total, *percent);
            if self.parts(rules).iter().flatten().any(exceeds) {
                return Turn::Open;
            }
        }
        if !mark.failed && !mark.slow {
            self.limit = self.limit.saturating_add(1);
        }
        let Tally { total, failed, slow, slow_failed } = self.tally;
        let good = total.saturating_add(slow_failed).saturating_sub(failed).saturating_sub(slow);
        if good >= rules.ramp.saturating_add(rules.probes) { Turn::Close } else { Turn::Stay }
    }

    /// Returns the bad calls of each kind, and the percentage from which they are too many. With no rule for the rate of
    /// failures, half of the probes are.
    fn parts(&self, rules: &Rules) -> [Option<(u32, u32)>; 2] {
        [
            Some((self.tally.failed, rules.failure_rate.unwrap_or(50))),
            rules.slow.map(|slow| (self.tally.slow, slow.percent)),
        ]
    }

    /// Returns until when it is waited, if there is an end to it.
    pub(crate) fn waited_until(&self, rules: &Rules) -> Option<Instant> {
        self.since.checked_add(rules.max_wait)
    }

    /// Says what follows when nothing was heard for too long, and begins to wait anew if nothing does.
    pub(crate) fn wait(&mut self, now: Instant, rules: &Rules) -> Turn {
        if self.waited_until(rules).is_none_or(|at| now < at) {
            return Turn::Stay;
        }
        if rules.wait_ends_closed {
            return Turn::Close;
        }
        if self.out > self.answering {
            return Turn::Open;
        }
        // All that are out have the head of an answer and may take their time; others may be tried beside them.
        self.out = 0;
        self.answering = 0;
        self.since = now;
        Turn::Stay
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }
}
