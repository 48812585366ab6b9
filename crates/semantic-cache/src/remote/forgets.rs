//! What the others are to forget as well.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{Key, Mark};

/// Something to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forget {
    Key(Key),
    Mark(Mark),
    All,
}

/// What is to be forgotten, until Redis knows of it. None is ever lost: where there are too many, everything is forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgets {
    waiting: VecDeque<(u64, Forget)>,
    /// What Redis knew of not long ago, should it forget that.
    recent: VecDeque<(Instant, Forget)>,
    made: u64,
}

const MOST: usize = 4_096;
/// For how long what was forgotten is told again to a Redis that comes back empty.
const AGAIN: Duration = Duration::from_secs(300);

// === impl Forgets ===

impl Forgets {
    pub(super) fn push(&mut self, forget: Forget) {
        self.made += 1;
        let all = self.waiting.len() >= MOST || forget == Forget::All;
        if all {
            self.waiting.clear();
        }
        self.waiting.push_back((self.made, if all { Forget::All } else { forget }));
    }

    /// Redis knows of all up to `last`, of those that [`first`](Self::first) returned.
    pub(super) fn known(&mut self, last: u64, now: Instant) {
        while let Some(&(number, forget)) = self.waiting.front()
            && number <= last
        {
            self.waiting.pop_front();
            while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > AGAIN) {
                self.recent.pop_front();
            }
            if self.recent.len() >= MOST {
                self.recent.clear();
                self.recent.push_back((now, Forget::All));
            }
            self.recent.push_back((now, forget));
        }
    }

    /// Tells what was told since `since`, less a while, once more.
    pub(super) fn again(&mut self, since: Instant) {
        for (at, forget) in std::mem::take(&mut self.recent) {
            if since.saturating_duration_since(at) <= AGAIN {
                self.push(forget);
            }
        }
    }

    /// Returns the first, and the number of the last of them. They stay until Redis knows of them.
    pub(super) fn first(&self, most: usize) -> (Vec<Forget>, u64) {
        let last = self.waiting.iter().take(most).next_back().map_or(0, |(number, _)| *number);
        (self.waiting.iter().take(most).map(|(_, forget)| *forget).collect(), last)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize) -> Forget {
        Forget::Mark(Mark::tag(&number.to_string()))
    }

    #[test]
    fn rather_all_is_forgotten_than_one_thing_not() {
        let mut forgets = Forgets::default();
        (0..MOST).for_each(|number| forgets.push(mark(number)));
        assert_eq!(forgets.first(usize::MAX).0.len(), MOST);
        let (_, last) = forgets.first(10);
        forgets.push(mark(MOST));
        assert_eq!(forgets.first(9).0, [Forget::All]);
        forgets.known(last, Instant::now());
        assert_eq!(forgets.first(9).0, [Forget::All], "those that were told were others");
    }

    #[test]
    fn what_was_told_not_long_ago_is_told_again() {
        let (mut forgets, now) = (Forgets::default(), Instant::now());
        for (number, at) in [(1, now), (2, now + AGAIN), (3, now + AGAIN * 2)] {
            forgets.push(mark(number));
            let (told, last) = forgets.first(9);
            assert_eq!(told, [mark(number)]);
            forgets.known(last, at);
        }
        assert!(forgets.is_empty());
        forgets.again(now + AGAIN * 2);
        assert_eq!(forgets.first(9).0, [mark(2), mark(3)]);
    }
}
