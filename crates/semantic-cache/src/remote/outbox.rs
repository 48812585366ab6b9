//! What waits to be written.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use crate::{Key, Lesson, Mark, Scope, Stored, freshness::Span};

/// What waits to be written, within bounds. What comes when it is full is not written.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    pub(super) more: Notify,
    most: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    dues: VecDeque<Due>,
    bytes: usize,
    /// What was taken out last, and may not be written yet: how many, and their bytes. They take room until then.
    under_way: (usize, usize),
}

/// Something to write.
#[derive(Debug)]
pub(super) enum Due {
    Answer(Box<Parcel>),
    /// With until when it is worth hearing.
    Lesson(Lesson, Option<Instant>),
}

/// An answer to write.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) key: Key,
    pub(super) scope: Scope,
    pub(super) marks: Box<[Mark]>,
    pub(super) answer: Arc<Stored>,
    /// The clock here when its call began.
    pub(super) born: u64,
    pub(super) span: Span,
    pub(super) came: Instant,
}

// === impl Outbox ===

impl Outbox {
    pub(super) fn new(most: usize, bytes: usize) -> Self {
        Self { waiting: Mutex::default(), more: Notify::new(), most, bytes }
    }

    /// Returns whether there was room.
    pub(super) fn push(&self, due: Due) -> bool {
        let weight = due.weight();
        let mut waiting = self.lock();
        let bytes = waiting.bytes.saturating_add(waiting.under_way.1).saturating_add(weight);
        let room = waiting.len() < self.most && bytes <= self.bytes;
        if room {
            waiting.bytes += weight;
            waiting.dues.push_back(due);
            drop(waiting);
            self.more.notify_one();
        }
        room
    }

    /// Takes the first ones out: up to `most`, and one more than `bytes` hold at most. Those before are [done](Self::done) with.
    pub(super) fn first(&self, most: usize, bytes: usize) -> Vec<Due> {
        let mut waiting = self.lock();
        let (mut batch, mut taken) = (Vec::new(), 0);
        while batch.len() < most
            && taken < bytes
            && let Some(due) = waiting.dues.pop_front()
        {
            taken += due.weight();
            batch.push(due);
        }
        waiting.bytes -= taken;
        waiting.under_way = (batch.len(), taken);
        batch
    }

    /// Those that were taken out are done with.
    pub(super) fn done(&self) {
        self.lock().under_way = (0, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting {
    fn len(&self) -> usize {
        self.dues.len() + self.under_way.0
    }
}

// === impl Due ===

impl Due {
    fn weight(&self) -> usize {
        match self {
            Self::Answer(parcel) => parcel.answer.weight() + size_of::<Parcel>() + size_of_val(&*parcel.marks),
            Self::Lesson(Lesson::Asked(taught), _) => taught.text.len() + size_of_val(&*taught.vector) + 256,
            Self::Lesson(..) => 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(number: u8) -> Due {
        let key = Key::from_bytes([number; 32]);
        Due::Lesson(Lesson::Judged { key, right: true, served: false }, None)
    }

    #[test]
    fn no_more_waits_than_there_is_room_for() {
        let outbox = Outbox::new(3, 1_000);
        assert_eq!([1, 2, 3, 4].map(|number| outbox.push(lesson(number))), [true, true, true, false]);
        assert_eq!(outbox.first(2, 1_000).len(), 2);
        assert_eq!(outbox.len(), 3, "what is under way counts");
        assert!(!outbox.push(lesson(5)), "and takes room");
        outbox.done();
        assert!(outbox.push(lesson(5)));
        assert_eq!((outbox.len(), outbox.first(9, 1).len()), (2, 1), "one at least");

        let narrow = Outbox::new(9, 300);
        assert_eq!([1, 2, 3].map(|number| narrow.push(lesson(number))), [true, true, false]);
        assert_eq!(narrow.first(1, 1).len(), 1);
        assert!(!narrow.push(lesson(3)), "its bytes do too");
        narrow.done();
        assert!(narrow.push(lesson(3)));
    }
}
