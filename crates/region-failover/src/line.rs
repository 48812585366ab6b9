//! Requests that wait for the first target to return.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use buttress_core::Criticality;
use tokio::time::Instant;

/// Requests that wait for the first target to return.
#[derive(Debug)]
pub(crate) struct Line {
    longest: Duration,
    most: NonZeroU32,
    all: AtomicU32,
    /// Those of them that must not fail.
    first: AtomicU32,
}

/// A place in the line. Whoever drops it has left.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    first: bool,
    /// When the request came here first.
    pub(crate) since: Instant,
}

// === impl Line ===

impl Line {
    /// How long after the one before it each of those that wait is let go: if the target that returned turns the first away,
    /// the others have not run after it.
    const GAP: Duration = Duration::from_millis(10);

    pub(crate) const fn new(longest: Duration, most: NonZeroU32) -> Self {
        Self { longest, most, all: AtomicU32::new(0), first: AtomicU32::new(0) }
    }

    /// Returns the same line with nobody in it.
    pub(crate) const fn renewed(&self) -> Self {
        Self::new(self.longest, self.most)
    }

    /// Takes a place for a request that came at `since`, and says when its turn is: at `back` for the first in the line, and
    /// later for those behind. `None` if there is no place, or if the turn came too late for it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        class: Criticality,
        since: Instant,
        back: Instant,
        deadline: Option<Instant>,
    ) -> Option<(Place, Instant)> {
        let enters = |waiting: u32| (waiting < self.most.get()).then(|| waiting + 1);
        let before = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enters).ok()?;
        let first = class == Criticality::CriticalPlus;
        let ahead = if first { self.first.fetch_add(1, Ordering::Relaxed) } else { before };
        let place = Place { line: Arc::clone(self), first, since };
        let turn = back.checked_add(Self::GAP.saturating_mul(ahead))?;
        let in_time = turn.saturating_duration_since(since) <= self.longest;
        (in_time && deadline.is_none_or(|deadline| turn < deadline)).then_some((place, turn))
    }

    #[cfg(test)]
    fn waiting(&self) -> [u32; 2] {
        [&self.all, &self.first].map(|count| count.load(Ordering::Relaxed))
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.line.all.fetch_sub(1, Ordering::Relaxed);
        if self.first {
            self.line.first.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Criticality::{Critical, CriticalPlus};

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn line(longest: Duration, most: u32) -> Arc<Line> {
        Arc::new(Line::new(longest, NonZeroU32::new(most).unwrap()))
    }

    #[test]
    fn each_has_its_turn_and_who_must_not_fail_comes_first() {
        let (now, line) = (Instant::now(), line(ms(5_000), 10));
        let back = now + ms(1_000);
        let enter = |class| line.enter(class, now, back, None).unwrap();
        let places = [Critical, Critical, CriticalPlus, Critical, CriticalPlus].map(enter);
        let turns = places.each_ref().map(|(_, turn)| (*turn - back).as_millis());
        assert_eq!(turns, [0, 10, 0, 30, 10]);
        drop(places);
        assert_eq!(line.waiting(), [0, 0]);
    }

    #[test]
    fn nobody_waits_in_vain_and_no_more_than_there_is_room_for() {
        let (now, line) = (Instant::now(), line(ms(5_000), 2));
        let enter = |back, deadline| line.enter(CriticalPlus, now, now + back, deadline);
        assert!(enter(ms(5_001), None).is_none(), "longer than anybody is to wait");
        assert!(enter(ms(1_000), Some(now + ms(1_000))).is_none(), "there would be no time left");
        assert_eq!(line.waiting(), [0, 0], "whoever does not wait is not in the line");
        let places = [(); 3].map(|()| enter(ms(1_000), Some(now + ms(2_000))));
        assert_eq!(places.each_ref().map(Option::is_some), [true, true, false]);
        drop(places);
        assert_eq!(line.waiting(), [0, 0]);
    }

    #[test]
    fn settings_at_their_edges_do_no_harm() {
        let (now, line) = (Instant::now(), line(Duration::MAX, u32::MAX));
        line.all.store(u32::MAX - 1, Ordering::Relaxed);
        assert!(line.enter(Critical, now, now, None).is_some(), "its turn comes late, and nobody minds");
        line.all.store(u32::MAX, Ordering::Relaxed);
        assert!(line.enter(Critical, now, now, None).is_none());
    }
}
