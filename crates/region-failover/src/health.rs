//! How well a target is.

use std::time::Duration;

use tokio::time::Instant;

use crate::HealthPolicy;

/// How well a target is, from what became of the requests it was sent.
///
/// A failure or two are a hiccup: they lower the score, and successes raise it again. A run of them, or most of what was
/// sent over a while, is an outage: the target is out, and sees a single request now and then. When one of those is served
/// it must stay well for a while before it counts again, and then takes up its load slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    /// The moving average of successes, in [0, 1].
    score: f64,
    /// How many failures there were since the last success.
    run: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Up,
    /// Out. `probes` were sent in vain; `sent` says that one is under way.
    Out {
        next_probe: Instant,
        probes: u32,
        sent: bool,
    },
    /// Served a request again at `since`, and has not failed since.
    Returning {
        since: Instant,
        next_probe: Instant,
    },
    /// Takes up its load.
    Starting {
        since: Instant,
    },
}

// === impl Health ===

impl Health {
    /// How much one request weighs in the score.
    const WEIGHT: f64 = 0.1;
    /// A score below this is an outage, however the failures are spread.
    const FLOOR: f64 = 0.3;
    pub(crate) const RAMP_FROM: f64 = 0.1;

    pub(crate) const fn new() -> Self {
        Self { score: 1.0, run: 0, state: State::Up }
    }

    #[inline]
    pub(crate) fn succeeded(&mut self, policy: &HealthPolicy, now: Instant) {
        self.score += (1.0 - self.score) * Self::WEIGHT;
        self.run = 0;
        self.state = match self.at(policy, now) {
            State::Out { .. } => State::Returning { since: now, next_probe: add(now, policy.probe_every / 5) },
            state => state,
        };
    }

    pub(crate) fn failed(&mut self, policy: &HealthPolicy, now: Instant) {
        self.score -= self.score * Self::WEIGHT;
        self.run = self.run.saturating_add(1);
        let out = |probes: u32| State::Out { next_probe: add(now, policy.patience(probes)), probes, sent: false };
        self.state = match self.at(policy, now) {
            State::Out { probes, sent: true, .. } => out(probes.saturating_add(1)),
            // A request from before the outage: no news.
            state @ State::Out { .. } => state,
            State::Returning { .. } => out(1),
            _ if self.run >= policy.outage_after || self.score < Self::FLOOR => out(0),
            state => state,
        };
    }

    /// Returns what part of its weight the target counts for, in [0, 1].
    pub(crate) fn factor(&self, policy: &HealthPolicy, now: Instant) -> f64 {
        self.score * self.ease(policy, now)
    }

    /// Returns the moving average of its successes, in [0, 1].
    pub(crate) const fn score(&self) -> f64 {
        self.score
    }

    /// Returns what part of its load the target takes up, whatever its score: all, unless it comes back.
    pub(crate) fn ease(&self, policy: &HealthPolicy, now: Instant) -> f64 {
        match self.at(policy, now) {
            State::Up => 1.0,
            State::Out { .. } | State::Returning { .. } => 0.0,
            State::Starting { since } => policy.ramp(now.saturating_duration_since(since)),
        }
    }

    /// Says that it is out, whatever its requests came to.
    pub(crate) fn fell(&mut self, policy: &HealthPolicy, now: Instant) {
        if !matches!(self.at(policy, now), State::Out { .. }) {
            self.state = State::Out { next_probe: add(now, policy.patience(0)), probes: 0, sent: false };
        }
    }

    /// Returns whether requests go there as a rule.
    pub(crate) fn is_up(&self, policy: &HealthPolicy, now: Instant) -> bool {
        matches!(self.at(policy, now), State::Up | State::Starting { .. })
    }

    /// Returns whether it is up whatever the time.
    pub(crate) fn is_settled(&self) -> bool {
        self.state == State::Up
    }

    /// Returns whether one request may be sent to see how the target is, and counts it as sent.
    pub(crate) fn probe(&mut self, policy: &HealthPolicy, now: Instant) -> bool {
        let state = self.at(policy, now);
        self.state = match state {
            State::Out { next_probe, probes, .. } if next_probe <= now => {
                // Until it is known what became of it, no other one. If it is never known, time goes on.
                State::Out { next_probe: add(now, policy.patience(probes)), probes, sent: true }
            }
            State::Returning { since, next_probe } if next_probe <= now => {
                State::Returning { since, next_probe: add(now, policy.probe_every / 5) }
            }
            state => state,
        };
        self.state != state
    }

    /// Says that there is reason to look again: a probe without tokens was answered. Only a request can bring a target back.
    pub(crate) fn look_again(&mut self, now: Instant) {
        if let State::Out { next_probe, .. } = &mut self.state {
            *next_probe = now.min(*next_probe);
        }
    }

    /// Returns when the next request may go there, if the target is out.
    pub(crate) fn returns_at(&self, policy: &HealthPolicy, now: Instant) -> Option<Instant> {
        match self.at(policy, now) {
            State::Up | State::Starting { .. } => None,
            State::Out { next_probe, .. } | State::Returning { next_probe, .. } => Some(next_probe),
        }
    }

    /// The state at `now`: time alone moves it on.
    #[inline]
    fn at(&self, policy: &HealthPolicy, now: Instant) -> State {
        // Almost always, and each request asks several times.
        if self.state == State::Up { State::Up } else { self.moved_on(policy, now) }
    }

    fn moved_on(&self, policy: &HealthPolicy, now: Instant) -> State {
        match self.state {
            State::Returning { since, .. } if now.saturating_duration_since(since) >= policy.hysteresis => {
                let since = add(since, policy.hysteresis);
                Self { state: State::Starting { since }, ..*self }.at(policy, now)
            }
            State::Starting { since } if now.saturating_duration_since(since) >= policy.slow_start => State::Up,
            state => state,
        }
    }
}

fn add(now: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(24 * 60 * 60);
    now.checked_add(time).unwrap_or(now + FAR)
}

#[cfg(test)]
mod tests;
