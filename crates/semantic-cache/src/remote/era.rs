//! When something happened here, by the clock of what was forgotten in Redis.

use std::collections::VecDeque;

/// What is known of one run of Redis: how the clock of forgetting there goes with that here.
///
/// A call notes the clock here when it begins. What had been heard of forgetting by then is what its answer is kept with there: if
/// something was forgotten that was not heard of, the answer counts as older, and is not kept.
#[derive(Clone, Debug)]
pub(super) struct Era {
    run: Box<str>,
    /// The clock here, and what is known of that there from then on. Both grow.
    points: VecDeque<(u64, u64)>,
}

/// Calls that take longer than so many forgettings are not kept in Redis.
const POINTS: usize = 1_024;

// === impl Era ===

impl Era {
    pub(super) fn new(run: impl Into<Box<str>>, here: u64, there: u64) -> Self {
        Self { run: run.into(), points: VecDeque::from([(here, there)]) }
    }

    /// Hears that something was forgotten there at `there`, which is `here` here.
    pub(super) fn heard(&mut self, here: u64, there: u64) {
        if self.points.len() >= POINTS {
            self.points.pop_front();
        }
        let there = self.points.back().map_or(there, |(_, last)| there.max(*last));
        self.points.push_back((here, there));
    }

    /// Returns what was known of the clock there at `here`.
    pub(super) fn there(&self, here: u64) -> Option<u64> {
        self.points.iter().rev().find(|(point, _)| *point <= here).map(|(_, there)| *there)
    }

    /// Returns what is known of the clock there now.
    pub(super) fn last(&self) -> u64 {
        self.points.back().map_or(0, |(_, there)| *there)
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_old_as_what_was_known_when_its_call_began() {
        let mut era = Era::new("a", 5, 100);
        era.heard(7, 200);
        era.heard(9, 300);
        for (here, there) in
            [(4, None), (5, Some(100)), (6, Some(100)), (7, Some(200)), (8, Some(200)), (9, Some(300)), (99, Some(300))]
        {
            assert_eq!(era.there(here), there, "{here}");
        }
        assert_eq!(era.last(), 300);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut era = Era::new("a", 0, 0);
        (1..5_000).for_each(|at| era.heard(at, at * 10));
        assert_eq!(era.points.len(), POINTS);
        assert_eq!((era.there(10), era.there(4_999)), (None, Some(49_990)));
    }
}
