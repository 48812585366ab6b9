//! From where times are counted.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::latency::nanos;

/// From where all targets of a layer count their times: the first look at one of them. Clones speak of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch(Arc<OnceLock<Instant>>);

/// A moment, as the clock tells it, and as it is counted: a difference of two numbers costs a tenth of one of two instants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    /// Nanoseconds from the epoch; 0 before it.
    pub(crate) nanos: u64,
}

// === impl Epoch ===

impl Epoch {
    #[inline]
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        Moment { at, nanos: self.nanos(at) }
    }

    /// Returns the nanoseconds until `now`; 0 before the epoch, which begins with the first question.
    #[inline]
    pub(crate) fn nanos(&self, now: Instant) -> u64 {
        let since = self.0.get_or_init(|| now);
        nanos(now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_counted_from_the_first_and_a_clock_that_goes_back_does_no_harm() {
        let (now, epoch) = (Instant::now() + Duration::from_secs(1), Epoch::default());
        let clone = epoch.clone();
        let later = now + Duration::from_micros(3);
        assert_eq!([now, later, now - Duration::from_secs(1)].map(|at| epoch.nanos(at)), [0, 3_000, 0]);
        assert_eq!(clone.moment(later).nanos, 3_000, "clones count from the same moment");
    }
}
