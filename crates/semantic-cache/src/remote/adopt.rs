//! Takes an answer in that was kept elsewhere.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    Key, Mark, Stored,
    freshness::Span,
    shared::Shared,
    store::{NotKept, Store},
};

/// An answer that was kept elsewhere.
pub(super) struct Foreign {
    pub(super) key: Key,
    pub(super) marks: Box<[Mark]>,
    pub(super) answer: Arc<Stored>,
    pub(super) age: Duration,
    pub(super) span: Span,
}

/// What was forgotten here by its key of late, so that what is on its way does not bring it back.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    keys: VecDeque<Key>,
    count: u64,
}

/// What was known here when an answer was asked for elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    epoch: u64,
    deleted: u64,
}

const DELETED: usize = 1_024;

// === impl Deleted ===

impl Deleted {
    pub(crate) fn note(&mut self, key: Key) {
        if self.keys.len() >= DELETED {
            self.keys.pop_front();
        }
        self.keys.push_back(key);
        self.count += 1;
    }

    /// Returns whether `key` may have been forgotten since so many had been.
    fn since(&self, count: u64, key: &Key) -> bool {
        let more = usize::try_from(self.count - count).unwrap_or(usize::MAX);
        more > self.keys.len() || self.keys.iter().rev().take(more).any(|deleted| deleted == key)
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn since(&self) -> Since {
        let books = self.books();
        Since { epoch: books.store.epochs.now(), deleted: books.deleted.count }
    }

    /// Takes an answer in, unless it was forgotten since it was asked for. Returns whether it is here now.
    pub(super) fn adopt(&self, foreign: Foreign, since: Since, now: Instant) -> bool {
        let Foreign { key, marks, answer, age, span } = foreign;
        let Some(came) = now.checked_sub(age) else { return false };
        let mut books = self.books();
        if books.deleted.since(since.deleted, &key) {
            return false;
        }
        let adopted = books.store.adopt(key, marks, answer, since.epoch, (came, span), now);
        drop(books);
        adopted.is_ok_and(|gone| {
            self.counters.evicted.add(gone);
            true
        })
    }
}

// === impl Store ===

impl Store {
    /// Keeps an answer that came earlier, and elsewhere, unless there is one that is not older. Returns how many others went for it.
    fn adopt(
        &mut self,
        key: Key,
        marks: Box<[Mark]>,
        answer: Arc<Stored>,
        born: u64,
        (came, span): (Instant, Span),
        now: Instant,
    ) -> Result<u64, NotKept> {
        let age = now.saturating_duration_since(came);
        if self.find(&key, now).is_some_and(|kept| kept.age <= age) {
            return Ok(0);
        }
        self.keep(key, marks, answer, born, (came, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forgotten_meanwhile_is_known_or_taken_for_granted() {
        let key = |number: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            Key::from_bytes(bytes)
        };
        let mut deleted = Deleted::default();
        deleted.note(key(1));
        let before = deleted.count;
        assert!(!deleted.since(before, &key(1)), "that was before");
        deleted.note(key(2));
        assert!(deleted.since(before, &key(2)) && !deleted.since(before, &key(1)));
        (3..2_000).for_each(|number| deleted.note(key(number)));
        assert!(deleted.since(before, &key(7_777)), "who knows");
        assert_eq!(deleted.keys.len(), DELETED);
    }
}
