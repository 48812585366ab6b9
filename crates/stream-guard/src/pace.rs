//! The least that must come in a time.

use std::time::Duration;

/// How much content must come, and in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Least {
    pub(crate) amount: u64,
    pub(crate) unit: Unit,
    pub(crate) per: Duration,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Events,
    Bytes,
}

/// Counts content in a window that slides by eighths. It begins with the first content, and no word is said before the first
/// window is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    least: Least,
    slots: [u64; Self::SLOTS],
    /// How many slots are complete.
    complete: u32,
    /// When the current slot ends.
    boundary: Duration,
}

// === impl Pace ===

impl Pace {
    const SLOTS: usize = 8;

    /// The shortest slot: a window cannot be finer than the clock that wakes it.
    const SHORTEST: Duration = Duration::from_millis(1);

    pub(crate) fn new(least: Least, begun: Duration) -> Self {
        let mut new = Self { least, slots: [0; Self::SLOTS], complete: 0, boundary: begun };
        new.boundary = begun.saturating_add(new.slot());
        new
    }

    pub(crate) fn count(&mut self, events: u64, bytes: u64) {
        let amount = match self.least.unit {
            Unit::Events => events,
            Unit::Bytes => bytes,
        };
        let slot = &mut self.slots[self.complete as usize % Self::SLOTS];
        *slot = slot.saturating_add(amount);
    }

    /// Moves on to `now`. Returns `false` if too little came in a window on the way.
    pub(crate) fn keeps_up(&mut self, now: Duration) -> bool {
        while self.boundary <= now {
            self.complete = self.complete.saturating_add(1);
            let full = self.complete as usize >= Self::SLOTS;
            let sum = self.slots.iter().fold(0_u64, |sum, slot| sum.saturating_add(*slot));
            // A window with nothing in it is too slow, so this ends after one window at the latest.
            if full && sum < self.least.amount {
                return false;
            }
            self.slots[self.complete as usize % Self::SLOTS] = 0;
            self.boundary = self.boundary.saturating_add(self.slot());
            if self.boundary == Duration::MAX {
                return true;
            }
        }
        true
    }

    /// When there is something new to be said.
    pub(crate) const fn boundary(&self) -> Duration {
        self.boundary
    }

    fn slot(&self) -> Duration {
        (self.least.per / Self::SLOTS as u32).max(Self::SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn pace(amount: u64) -> Pace {
        Pace::new(Least { amount, unit: Unit::Events, per: secs(8) }, secs(100))
    }

    #[test]
    fn the_first_window_is_a_grace() {
        let mut pace = pace(8);
        assert!(pace.keeps_up(secs(107)));
        assert!(!pace.keeps_up(secs(108)));
    }

    #[test]
    fn just_enough_is_enough_and_a_burst_lasts_for_a_window() {
        let mut steady = pace(8);
        for second in 100..200 {
            steady.count(1, 0);
            assert!(steady.keeps_up(secs(second)), "{second}");
        }
        let mut burst = pace(8);
        burst.count(100, 0);
        assert!(burst.keeps_up(secs(108)));
        assert!(!burst.keeps_up(secs(109)));
    }

    #[test]
    fn bytes_are_counted_where_bytes_are_asked_for() {
        let mut pace = Pace::new(Least { amount: 10, unit: Unit::Bytes, per: secs(8) }, secs(0));
        pace.count(1, 10);
        assert!(pace.keeps_up(secs(8)));
    }

    #[test]
    fn no_window_and_endless_windows_do_no_harm() {
        let mut none = Pace::new(Least { amount: 1, unit: Unit::Events, per: Duration::ZERO }, secs(0));
        assert!(!none.keeps_up(Duration::MAX));
        let mut endless = Pace::new(Least { amount: u64::MAX, unit: Unit::Events, per: Duration::MAX }, secs(1));
        endless.count(u64::MAX, 0);
        endless.count(1, 0);
        assert!(endless.keeps_up(secs(1_000)));
        let mut late = Pace::new(Least { amount: 1, unit: Unit::Events, per: Duration::MAX }, Duration::MAX);
        assert!(late.keeps_up(Duration::MAX));
    }

    proptest! {
        #[test]
        fn who_brings_enough_in_every_eighth_is_never_too_slow(
            amounts in prop::collection::vec(2..50_u64, 1..60), steps in prop::collection::vec(1..8_u64, 1..60)
        ) {
            let mut pace = pace(16);
            let mut now = secs(100);
            for (amount, parts) in amounts.iter().zip(steps.iter().cycle()) {
                pace.count(*amount, 0);
                for part in 1..=*parts {
                    let at = now + secs(1) * u32::try_from(part).unwrap() / u32::try_from(*parts).unwrap();
                    prop_assert!(pace.keeps_up(at));
                }
                now += secs(1);
            }
        }
    }
}
