//! How many circuits of a group may be open at once.

use std::{num::NonZeroU32, sync::Arc};

use crate::sync::{AtomicU64, Ordering};

/// Lets no more than a part of a group be open at once, so that never all targets are out of service for a fault that they
/// share, or that is the caller's own.
///
/// Whether one more may open is judged by what would be open *afterwards*: Envoy's check of what was open before lets one
/// too many go (envoy#26877). A circuit that may not open stays closed and is reported as
/// [degraded](crate::Snapshot::degraded). Clones are one group.
#[derive(Clone, Debug)]
pub struct EjectionGroup(Arc<Members>);

#[derive(Debug)]
struct Members {
    /// Members in the upper half, those open in the lower: one word, so that two cannot take one place.
    word: AtomicU64,
    refused: AtomicU64,
    max_percent: u32,
    min_healthy: u32,
    expected: u32,
}

const MEMBER: u64 = 1 << 32;
const OPEN: u64 = MEMBER - 1;

// === impl EjectionGroup ===

impl EjectionGroup {
    /// Creates a group of which at most `max_percent` are open at once (above 100 is 100), and always one at least is not.
    #[must_use]
    pub fn new(max_percent: u32) -> Self {
        Self::with(max_percent, 1, 0)
    }

    /// Keeps so many members from opening: 1 unless set; 0 lets all go.
    #[must_use]
    pub fn min_healthy(self, members: u32) -> Self {
        Self::with(self.0.max_percent, members, self.0.expected)
    }

    /// Counts so many members, even if fewer were used so far: a circuit joins with its first call.
    #[must_use]
    pub fn expecting(self, members: NonZeroU32) -> Self {
        Self::with(self.0.max_percent, self.0.min_healthy, members.get())
    }

    /// Returns how many circuits belong to the group.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.0.total(self.0.word.load(Ordering::Relaxed))
    }

    /// Returns how many of them are open, or half-open.
    #[must_use]
    pub fn ejected(&self) -> u32 {
        (self.0.word.load(Ordering::Relaxed) & OPEN) as u32
    }

    /// Returns how often one was kept from opening.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn with(max_percent: u32, min_healthy: u32, expected: u32) -> Self {
        let (word, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Members { word, refused, max_percent: max_percent.min(100), min_healthy, expected }))
    }

    pub(crate) fn join(&self) {
        self.0.word.fetch_add(MEMBER, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.0.word.fetch_sub(MEMBER, Ordering::Relaxed);
    }

    /// Takes a place among the open, if there is one.
    pub(crate) fn eject(&self) -> bool {
        let place = |word: u64| {
            let (total, open) = (self.0.total(word), (word & OPEN) as u32);
            let then = u64::from(open) + 1;
            let share = then * 100 <= u64::from(total) * u64::from(self.0.max_percent);
            (share && then + u64::from(self.0.min_healthy) <= u64::from(total)).then_some(word + 1)
        };
        let taken = self.0.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_ok();
        if !taken {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Takes a place whether there is one or not: somebody wants it so.
    pub(crate) fn force(&self) {
        self.0.word.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn restore(&self) {
        self.0.word.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Members ===

impl Members {
    fn total(&self, word: u64) -> u32 {
        ((word >> 32) as u32).max(self.expected)
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;

    fn group(members: u32, percent: u32, min_healthy: u32) -> EjectionGroup {
        let group = EjectionGroup::new(percent).min_healthy(min_healthy);
        (0..members).for_each(|_| group.join());
        group
    }

    #[test]
    fn the_share_is_judged_by_what_would_be_open_afterwards() {
        for (members, percent, min_healthy, places) in [
            (10, 10, 1, 1),
            (10, 50, 1, 5),
            (3, 50, 1, 1),
            (3, 34, 1, 1),
            (3, 33, 1, 0),
            (3, 100, 1, 2),
            (3, 100, 0, 3),
            (1, 100, 1, 0),
            (2, 100, u32::MAX, 0),
            (0, 100, 0, 0),
        ] {
            let group = group(members, percent, min_healthy);
            let taken = (0..20).filter(|_| group.eject()).count();
            assert_eq!(taken, places, "{members} members, {percent} %, {min_healthy} healthy");
            assert_eq!(group.overflow(), 20 - places as u64);
        }
    }

    #[test]
    fn a_place_that_was_given_back_can_be_taken_again() {
        let group = group(4, 25, 1);
        assert!(group.eject() && !group.eject());
        group.restore();
        assert!(group.eject());
        group.force();
        assert_eq!((group.members(), group.ejected()), (4, 2));
    }

    #[test]
    fn members_that_are_expected_count_before_they_come() {
        let group = EjectionGroup::new(50).expecting(NonZeroU32::new(4).unwrap());
        group.join();
        assert!(group.eject() && group.eject() && !group.eject());
    }
}
