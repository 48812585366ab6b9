//! What was forgotten, and when.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::Mark;

/// What was forgotten, and when: to forget a million answers costs as much as to forget one.
///
/// An answer notes the time at which its call began. It is valid as long as none of its marks was forgotten since: so an answer
/// that is under way when its tenant is forgotten does not come back either.
#[derive(Debug)]
pub(crate) struct Epochs {
    clock: u64,
    all: u64,
    by_mark: HashMap<Mark, u64, RandomState>,
    most: usize,
}

// === impl Epochs ===

impl Epochs {
    pub(crate) fn new(most: usize) -> Self {
        Self { clock: 0, all: 0, by_mark: HashMap::default(), most }
    }

    pub(crate) fn forget(&mut self, mark: Mark) {
        self.clock += 1;
        if self.by_mark.len() >= self.most && !self.by_mark.contains_key(&mark) {
            // Rather forget too much than remember too much.
            return self.forget_all();
        }
        self.by_mark.insert(mark, self.clock);
    }

    pub(crate) fn forget_all(&mut self) {
        self.clock += 1;
        self.all = self.clock;
        self.by_mark.clear();
    }

    /// Lets time pass, though nothing was forgotten here.
    #[cfg(feature = "redis")]
    pub(crate) const fn tick(&mut self) {
        self.clock += 1;
    }

    /// Returns the time.
    pub(crate) const fn now(&self) -> u64 {
        self.clock
    }

    /// Returns whether what began at `born` is still valid.
    pub(crate) fn is_valid(&self, born: u64, marks: &[Mark]) -> bool {
        self.all <= born
            && (self.by_mark.is_empty() || marks.iter().all(|mark| self.by_mark.get(mark).is_none_or(|at| *at <= born)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_stays_so_and_what_comes_later_is_valid() {
        let mut epochs = Epochs::new(2);
        let [a, b, c] = ["a", "b", "c"].map(Mark::tag);
        let before = epochs.now();
        assert!(epochs.is_valid(before, &[a, b]));
        epochs.forget(a);
        assert!(!epochs.is_valid(before, &[b, a]) && epochs.is_valid(before, &[b]));
        assert!(epochs.is_valid(epochs.now(), &[a, b]));
        epochs.forget(b);
        let later = epochs.now();
        epochs.forget(c);
        assert!(!epochs.is_valid(later, &[]), "there are too many marks, and all is forgotten");
        assert!(epochs.is_valid(epochs.now(), &[a, b, c]) && epochs.by_mark.is_empty());
    }
}
