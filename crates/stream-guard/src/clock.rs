//! How long the target was waited for.

use std::time::Duration;

use buttress_core::StreamFailure;
use tokio::time::Instant;

use crate::pace::{Least, Pace};

/// What an answer is held to. Times are those in which its target was waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) first_content: Option<Duration>,
    pub(crate) idle: Duration,
    pub(crate) total: Option<Duration>,
    pub(crate) least: Option<Least>,
}

/// Counts the time in which the target was waited for. It stands still while nobody reads: whoever reads slowly must not make
/// the target late.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: Limits,
    waited: Duration,
    since: Option<Instant>,
    /// What `waited` was when the last content came.
    content_at: Duration,
    stage: Stage,
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Flowing,
    Ended,
}

// === impl Clock ===

impl Clock {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            waited: Duration::ZERO,
            since: None,
            content_at: Duration::ZERO,
            stage: Stage::Before,
            pace: None,
        }
    }

    /// Content came: so many events, of so many bytes.
    pub(crate) fn content(&mut self, events: u64, bytes: u64) {
        self.content_at = self.waited;
        if self.stage == Stage::Before {
            self.stage = Stage::Flowing;
            self.pace = self.limits.least.map(|least| Pace::new(least, self.waited));
        }
        if let Some(pace) = &mut self.pace {
            pace.count(events, bytes);
        }
    }

    /// The answer is complete; only the end of its bytes is waited for.
    pub(crate) fn ended(&mut self) {
        if self.stage != Stage::Ended {
            self.content_at = self.waited;
            self.stage = Stage::Ended;
        }
    }

    /// Something came.
    pub(crate) fn resume(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(Instant::now().saturating_duration_since(since));
        }
    }

    /// Nothing is there at `now`. Returns what is wrong with that, or else when to ask again.
    pub(crate) fn wait(&mut self, now: Instant) -> Result<Option<Instant>, StreamFailure> {
        let since = *self.since.get_or_insert(now);
        let waited = self.waited.saturating_add(now.saturating_duration_since(since));
        let pace = self.pace.as_mut().filter(|_| self.stage == Stage::Flowing);
        let (on_pace, boundary) = pace.map_or((true, None), |pace| (pace.keeps_up(waited), Some(pace.boundary())));
        let quiet = match self.stage {
            Stage::Before => self.limits.first_content,
            Stage::Flowing | Stage::Ended => Some(self.content_at.saturating_add(self.limits.idle)),
        };
        let total = self.limits.total.filter(|_| self.stage != Stage::Ended);
        let over = |limit: Option<Duration>| limit.is_some_and(|limit| limit <= waited);
        if over(quiet) {
            return Err(if self.stage == Stage::Before { StreamFailure::late() } else { StreamFailure::idle() });
        }
        if over(total) {
            return Err(StreamFailure::overlong());
        }
        if !on_pace {
            return Err(StreamFailure::too_slow());
        }
        let next = [quiet, total, boundary].into_iter().flatten().min();
        Ok(next.and_then(|next| since.checked_add(next.saturating_sub(self.waited))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Unit;

    const SECOND: Duration = Duration::from_secs(1);

    const LIMITS: Limits = Limits { first_content: None, idle: SECOND, total: None, least: None };

    #[test]
    fn only_content_resets_the_idle_clock_and_only_waiting_counts() {
        let (mut clock, now) = (Clock::new(LIMITS), Instant::now());
        assert_eq!(clock.wait(now), Ok(None), "nothing is asked before the first content");
        clock.since = None;
        clock.content(1, 1);
        assert_eq!(clock.wait(now), Ok(Some(now + SECOND)));
        // A ping came after 0.6 s, and then nobody read for a minute.
        clock.waited = SECOND * 6 / 10;
        clock.since = None;
        let later = now + 60 * SECOND;
        assert_eq!(clock.wait(later), Ok(Some(later + SECOND * 4 / 10)));
        assert_eq!(clock.wait(later + SECOND * 4 / 10), Err(StreamFailure::idle()));
    }

    #[test]
    fn the_first_of_several_limits_counts() {
        let now = Instant::now();
        let least = Least { amount: 1, unit: Unit::Events, per: 8 * SECOND };
        let limits =
            Limits { first_content: Some(3 * SECOND), idle: 20 * SECOND, total: Some(10 * SECOND), least: Some(least) };
        let mut clock = Clock::new(limits);
        assert_eq!(clock.wait(now), Ok(Some(now + 3 * SECOND)));
        assert_eq!(clock.wait(now + 3 * SECOND), Err(StreamFailure::late()));
        let mut clock = Clock::new(limits);
        clock.content(2, 2);
        assert_eq!(clock.wait(now), Ok(Some(now + SECOND)), "the pace is looked at every second");
        assert_eq!(clock.wait(now + 9 * SECOND), Err(StreamFailure::too_slow()));
        assert_eq!(clock.wait(now + 10 * SECOND), Err(StreamFailure::overlong()));
    }

    #[test]
    fn an_answer_that_is_complete_has_the_idle_time_to_end() {
        let now = Instant::now();
        let mut clock = Clock::new(Limits { total: Some(Duration::ZERO), ..LIMITS });
        clock.ended();
        assert_eq!(clock.wait(now), Ok(Some(now + SECOND)));
        assert_eq!(clock.wait(now + SECOND), Err(StreamFailure::idle()));
    }

    #[test]
    fn limits_of_nothing_and_of_for_ever_hold() {
        let now = Instant::now();
        let mut none = Clock::new(Limits { idle: Duration::ZERO, ..LIMITS });
        none.content(1, 1);
        assert_eq!(none.wait(now), Err(StreamFailure::idle()));
        let mut endless = Clock::new(Limits { idle: Duration::MAX, ..LIMITS });
        endless.content(1, 1);
        assert_eq!(endless.wait(now), Ok(None));
    }
}
