//! Who is refused first where there is not enough for all.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use buttress_core::Criticality;
use tokio::time::Instant;

/// What has become of requests for which there was no target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShedCounts {
    /// How often a request that may be shed was refused, so that what there is goes to those that matter more.
    pub shed: u64,
    /// How often a request waited for the first target to return.
    pub waited: u64,
    /// How often one could not wait, because it would have been too long, or too many waited before it.
    pub turned_away: u64,
}

/// Who is refused first where there is not enough for all.
///
/// While a request finds nobody to ask, and for a while after that, those that matter less than it are refused, so that
/// they do not take what comes back first. Each time it happens again soon the while is twice as long.
#[derive(Debug, Default)]
pub(crate) struct Shedding {
    /// Whether there is anything to look at, so that nothing is locked while all is well.
    on: AtomicBool,
    short: Mutex<Option<Short>>,
    pub(crate) shed: AtomicU64,
    pub(crate) waited: AtomicU64,
    pub(crate) turned_away: AtomicU64,
}

/// Requests of a class found nobody to ask.
#[derive(Clone, Copy, Debug)]
struct Short {
    class: Criticality,
    hold: Duration,
    until: Instant,
}

// === impl Shedding ===

impl Shedding {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(32);

    /// Says that a request of `class` found nobody to ask.
    pub(crate) fn found_short(&self, class: Criticality, now: Instant) {
        if class == Criticality::Sheddable {
            return;
        }
        let mut short = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        let (class, hold) = match *short {
            Some(before) if now < before.until => (class.max(before.class), before.hold),
            Some(before) if before.is_recent(now) => (class, (before.hold * 2).min(Self::LONGEST)),
            _ => (class, Self::FIRST),
        };
        *short = Some(Short { class, hold, until: now + hold });
        self.on.store(true, Ordering::Release);
    }

    /// Returns until when requests of `class` are refused for the sake of others, if they are.
    #[inline]
    pub(crate) fn sheds(&self, class: Criticality, now: Instant) -> Option<Instant> {
        if !class.is_sheddable() || !self.on.load(Ordering::Acquire) {
            return None;
        }
        let mut short = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        let Short { class: for_whom, until, .. } = short.filter(|short| short.is_recent(now)).or_else(|| {
            *short = None;
            self.on.store(false, Ordering::Release);
            None
        })?;
        (now < until && class < for_whom).then_some(until)
    }

    pub(crate) fn counts(&self) -> ShedCounts {
        let [shed, waited, turned_away] =
            [&self.shed, &self.waited, &self.turned_away].map(|count| count.load(Ordering::Relaxed));
        ShedCounts { shed, waited, turned_away }
    }
}

// === impl Short ===

impl Short {
    /// Whether it is so short a time ago that the same again is no coincidence.
    fn is_recent(&self, now: Instant) -> bool {
        now < self.until + self.hold.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};
    use proptest::prelude::*;

    const fn s(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn those_that_matter_less_are_refused_for_a_while_and_what_a_person_waits_for_never_is() {
        let (now, shedding) = (Instant::now(), Shedding::default());
        let refused = |at| Criticality::ALL.map(|class| shedding.sheds(class, at).is_some());
        assert_eq!(refused(now), [false; 4]);
        shedding.found_short(SheddablePlus, now);
        assert_eq!(refused(now), [false, false, false, true]);
        shedding.found_short(CriticalPlus, now);
        assert_eq!(refused(now), [false, false, true, true]);
        assert_eq!(shedding.sheds(Sheddable, now), Some(now + s(1)));
        assert_eq!(refused(now + s(1)), [false; 4]);
        shedding.found_short(Sheddable, now + s(1));
        assert_eq!(refused(now + s(1)), [false; 4], "nobody matters less");
    }

    #[test]
    fn the_while_doubles_each_time_it_happens_again_soon_and_is_short_again_after_a_rest() {
        let (mut now, shedding, mut holds) = (Instant::now(), Shedding::default(), Vec::new());
        for _ in 0..8 {
            shedding.found_short(Critical, now);
            let until = shedding.sheds(Sheddable, now).unwrap();
            holds.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(holds, [1, 2, 4, 8, 16, 32, 32, 32]);
        shedding.found_short(Critical, now + s(64));
        assert_eq!(shedding.sheds(Sheddable, now + s(64)), Some(now + s(65)));
    }

    #[test]
    fn it_holds_for_as_long_as_it_goes_on() {
        let (now, shedding) = (Instant::now(), Shedding::default());
        (0..100).for_each(|tenth| shedding.found_short(Critical, now + Duration::from_millis(tenth * 100)));
        assert_eq!(shedding.sheds(Sheddable, now + s(10)), Some(now + Duration::from_millis(10_900)));
    }

    proptest! {
        #[test]
        fn nobody_is_refused_for_longer_than_32_s_after_the_last_shortage(
            steps in proptest::collection::vec((0..4_usize, 0..60_000_u64), 1..100)
        ) {
            let (mut now, shedding) = (Instant::now(), Shedding::default());
            for (class, after) in steps {
                now += Duration::from_millis(after);
                shedding.found_short(Criticality::ALL[class], now);
                for class in Criticality::ALL {
                    let until = shedding.sheds(class, now);
                    prop_assert!(until.is_none_or(|until| class.is_sheddable() && until <= now + s(32)));
                }
            }
            prop_assert_eq!(shedding.sheds(Sheddable, now + s(32)), None);
        }
    }
}
