//! What a target has left of what it allows.

use std::time::Duration;

/// What a target has left of what it allows, by its own word, in the extensions of its response.
///
/// Whoever can read the headers of an answer leaves it there; whoever chooses targets goes by it. It holds what matters of
/// any number of limits: how long until those that are used up are whole again, the one of which least is left, and what is left
/// by each [`Measure`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headroom {
    used_up: Option<Duration>,
    scarcest: Option<Room>,
    measured: [Option<Room>; 4],
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// Requests.
    Requests,
    /// Tokens of input and of output together.
    Tokens,
    /// Tokens of input.
    InputTokens,
    /// Tokens of output.
    OutputTokens,
}

/// What is left of one limit: of requests, or of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// How much is left.
    pub left: u64,
    /// How much there is when the limit is whole.
    pub limit: Option<u64>,
    /// When the limit is whole again, from now.
    pub returns: Duration,
}

// === impl Headroom ===

impl Headroom {
    /// Adds a limit.
    #[must_use]
    pub fn with(mut self, room: Room) -> Self {
        if room.left == 0 {
            self.used_up = self.used_up.max(Some(room.returns));
        }
        if room.limit.is_some() && self.scarcest.is_none_or(|least| room.is_scarcer(&least)) {
            self.scarcest = Some(room);
        }
        self
    }

    /// Adds a limit of which it is known what it counts. Of several that count the same, the one with least left is kept.
    #[must_use]
    pub fn with_measured(mut self, measure: Measure, room: Room) -> Self {
        let known = &mut self.measured[measure as usize];
        let scarcer = |known: &Room| (room.left, known.returns) < (known.left, room.returns);
        if known.as_ref().is_none_or(scarcer) {
            *known = Some(room);
        }
        self.with(room)
    }

    /// Returns what is left of a limit that counts by `measure`, if one is known.
    #[must_use]
    pub const fn measured(&self, measure: Measure) -> Option<Room> {
        self.measured[measure as usize]
    }

    /// Returns how long it takes until all limits that are used up are whole again; `None` if none is used up.
    #[must_use]
    pub const fn used_up(&self) -> Option<Duration> {
        self.used_up
    }

    /// Returns the limit of which the smallest share is left, among those that tell how much there is.
    #[must_use]
    pub const fn scarcest(&self) -> Option<Room> {
        self.scarcest
    }
}

// === impl Room ===

impl Room {
    /// Creates the room of a limit.
    #[must_use]
    pub const fn new(left: u64, limit: Option<u64>, returns: Duration) -> Self {
        Self { left, limit, returns }
    }

    /// Returns whether less than `percent` of the limit is left. Without a known limit, nobody can tell.
    #[must_use]
    pub fn is_below(&self, percent: u8) -> bool {
        self.limit.is_some_and(|limit| u128::from(self.left) * 100 < u128::from(limit) * u128::from(percent))
    }

    fn is_scarcer(&self, other: &Self) -> bool {
        let share = |room: &Self, of: &Self| u128::from(room.left) * u128::from(of.limit.unwrap_or(0));
        share(self, other) < share(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn room(left: u64, limit: u64, secs: u64) -> Room {
        Room::new(left, Some(limit), Duration::from_secs(secs))
    }

    #[test]
    fn what_is_used_up_counts_by_its_longest_wait_and_what_is_left_by_the_smallest_share() {
        let headroom =
            [room(0, 10, 5), room(500, 1000, 9), room(0, 10, 7)].into_iter().fold(Headroom::default(), Headroom::with);
        assert_eq!(headroom.used_up(), Some(Duration::from_secs(7)));
        let headroom =
            Headroom::default().with(room(50, 100, 1)).with(room(90, 1000, 2)).with(Room::new(1, None, Duration::MAX));
        assert_eq!((headroom.used_up(), headroom.scarcest()), (None, Some(room(90, 1000, 2))));
    }

    #[test]
    fn each_measure_keeps_the_limit_with_least_left() {
        let headroom = Headroom::default()
            .with_measured(Measure::Requests, room(9, 10, 1))
            .with_measured(Measure::Tokens, room(50, 100, 1))
            .with_measured(Measure::Tokens, room(20, 1000, 2))
            .with_measured(Measure::Tokens, room(20, 2000, 1));
        assert_eq!(headroom.measured(Measure::Requests), Some(room(9, 10, 1)));
        assert_eq!(headroom.measured(Measure::Tokens), Some(room(20, 1000, 2)));
        assert_eq!(headroom.measured(Measure::InputTokens), None);
        assert_eq!(headroom.scarcest(), Some(room(20, 2000, 1)));
    }

    #[test]
    fn a_share_is_told_without_overflow() {
        assert!(room(1, 100, 0).is_below(2) && !room(2, 100, 0).is_below(2));
        assert!(!room(u64::MAX, u64::MAX, 0).is_below(100) && !room(0, 0, 0).is_below(2));
        assert!(!Room::new(0, None, Duration::ZERO).is_below(100));
    }
}
