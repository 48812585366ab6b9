//! How many requests may wait at a target that was out of late.

use buttress_core::{Class, Verdict};
use tokio::time::Instant;

use crate::HealthPolicy;

/// How many requests may wait for their answer to begin at a target that is out, or was of late.
///
/// A server that is behind goes on with requests that nobody waits for any more. Were it asked as much as ever because the others
/// are no better, it would stay behind for ever, and so would they; and the first to be well again would get what all of
/// them could not serve. This bounds it as TCP does a connection that loses ([RFC 5681](https://www.rfc-editor.org/rfc/rfc5681)):
///
/// - [`FIRST`](Self::FIRST) to begin with, and a single one after each that took too long or was turned away, of those that
///   were sent after the one before.
/// - One more for each that is answered, which doubles it from one round to the next, up to half of what was under way when it
///   was lost; then one more for each round.
/// - It grows only while it is made use of ([RFC 7661](https://www.rfc-editor.org/rfc/rfc7661)).
///
/// A failure that comes at once says nothing of how far behind the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Congestion {
    most: u32,
    /// So far it grows fast.
    threshold: u32,
    /// How many were answered of those that must be before there is one more.
    answered: u32,
    /// When the last was lost.
    lost: Instant,
    /// One that was sent after that was answered, so that the next loss tells something new.
    answers: bool,
}

// === impl Congestion ===

impl Congestion {
    /// As a connection of TCP begins ([RFC 6928](https://www.rfc-editor.org/rfc/rfc6928)).
    const FIRST: u32 = 10;
    const LEAST_THRESHOLD: u32 = 2;

    /// Takes that the target is out since `now` for what an attempt came to, while so many waited there.
    pub(crate) fn new(class: Class, unanswered: u32, now: Instant) -> Self {
        let threshold = if is_lost(class) { (unanswered / 2).max(Self::FIRST) } else { u32::MAX };
        Self { most: Self::FIRST, threshold, answered: 0, lost: now, answers: false }
    }

    /// Returns how many may wait.
    pub(crate) const fn most(self) -> u32 {
        self.most
    }

    /// Returns whether nothing was lost for so long that what is under way need not be counted any more: twice as long as it takes
    /// to count for all of its weight again.
    pub(crate) fn is_over(self, policy: &HealthPolicy, now: Instant) -> bool {
        let back = policy.hysteresis.saturating_add(policy.slow_start);
        now.saturating_duration_since(self.lost) >= back.saturating_mul(2)
    }

    /// Notes what an attempt came to that began at `begun`. So many waited, it among them.
    pub(crate) fn note(&mut self, class: Class, begun: Instant, unanswered: u32, now: Instant) {
        if begun < self.lost {
            return;
        }
        if is_lost(class) {
            if self.answers {
                self.threshold = (self.most.min(unanswered) / 2).max(Self::LEAST_THRESHOLD);
            }
            *self = Self { most: 1, answered: 0, lost: now, answers: false, ..*self };
        } else if class.verdict == Verdict::Success {
            self.answers = true;
            if unanswered >= self.most.div_ceil(2) {
                self.grow();
            }
        }
    }

    fn grow(&mut self) {
        self.answered = self.answered.saturating_add(1);
        if self.most < self.threshold || self.answered >= self.most {
            (self.most, self.answered) = (self.most.saturating_add(1), 0);
        }
    }
}

/// Whether an attempt took too long, or was turned away.
fn is_lost(class: Class) -> bool {
    matches!(class.verdict, Verdict::RateLimited | Verdict::CapacityByDesign) || class.outcome.is_timeout()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use buttress_core::TransportErrorKind;
    use http::StatusCode;

    use super::*;

    const TIMEOUT: Class = Class::transport(TransportErrorKind::Timeout);
    const S: Duration = Duration::from_secs(1);

    /// Notes that all that may wait were answered.
    fn round(congestion: &mut Congestion, now: Instant) -> u32 {
        let unanswered = congestion.most();
        (0..unanswered).for_each(|_| congestion.note(Class::SUCCESS, now, unanswered, now));
        congestion.most()
    }

    #[test]
    fn after_a_loss_it_is_one_and_doubles_up_to_half_of_what_was_lost_and_then_grows_by_one_a_round() {
        let now = Instant::now();
        let mut congestion = Congestion::new(TIMEOUT, 0, now);
        assert_eq!([(); 3].map(|()| round(&mut congestion, now)), [11, 12, 13]);
        for class in [TIMEOUT, Class::status(StatusCode::TOO_MANY_REQUESTS)] {
            let mut congestion = congestion;
            congestion.note(class, now, 13, now);
            assert_eq!(congestion.most(), 1);
            assert_eq!([(); 5].map(|()| round(&mut congestion, now)), [2, 4, 6, 7, 8]);
        }
    }

    #[test]
    fn what_was_sent_before_the_last_loss_and_what_is_lost_before_anything_is_answered_tell_nothing_new() {
        let now = Instant::now();
        let mut congestion = Congestion::new(TIMEOUT, 100, now + S);
        congestion.note(TIMEOUT, now, 100, now + S);
        assert_eq!(congestion.most(), 10);
        for second in 2..5 {
            congestion.note(TIMEOUT, now + S * second, 10, now + S * second);
            assert_eq!(congestion.most(), 1);
        }
        let now = now + S * 5;
        assert_eq!(
            [(); 7].map(|()| round(&mut congestion, now)),
            [2, 4, 8, 16, 32, 50, 51],
            "half of what was under way"
        );
    }

    #[test]
    fn what_is_not_made_use_of_does_not_grow() {
        let now = Instant::now();
        let mut congestion = Congestion::new(TIMEOUT, 100, now);
        congestion.note(Class::SUCCESS, now, 4, now);
        assert_eq!(congestion.most(), 10);
    }

    #[test]
    fn what_fails_at_once_says_nothing() {
        let now = Instant::now();
        for class in [Class::status(StatusCode::SERVICE_UNAVAILABLE), Class::transport(TransportErrorKind::Connect)] {
            let mut congestion = Congestion::new(class, 4, now);
            congestion.note(class, now, 10, now);
            assert_eq!(congestion.most(), 10);
            assert_eq!(
                [(); 4].map(|()| round(&mut congestion, now)),
                [20, 40, 80, 160],
                "nothing is known to be too much"
            );
        }
    }

    #[test]
    fn it_is_over_three_minutes_after_the_last_loss() {
        let now = Instant::now();
        let mut congestion = Congestion::new(TIMEOUT, 0, now);
        congestion.note(TIMEOUT, now, 10, now + S * 60);
        congestion.note(Class::SUCCESS, now + S * 60, 1, now + S * 120);
        assert_eq!([239, 240].map(|s| congestion.is_over(&HealthPolicy::DEFAULT, now + S * s)), [false, true]);
        assert!(!congestion.is_over(&HealthPolicy::DEFAULT.slow_start(Duration::MAX), now + S * 240));
    }

    #[test]
    fn it_does_not_overflow() {
        let now = Instant::now();
        let mut congestion =
            Congestion { most: u32::MAX, answered: u32::MAX, ..Congestion::new(TIMEOUT, u32::MAX, now) };
        congestion.note(Class::SUCCESS, now, u32::MAX, now);
        assert_eq!(congestion.most(), u32::MAX);
        congestion.note(TIMEOUT, now, 0, now);
        assert_eq!((congestion.most(), congestion.threshold), (1, 2));
    }
}
