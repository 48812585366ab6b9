//! Counts what happens to bodies.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// Counts what happens to the bodies that share it, and ends their pauses.
#[derive(Clone, Debug, Default)]
pub struct BodyWatch(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) made: u64,
    pub(crate) dropped: u64,
    pub(crate) polls: u64,
    pub(crate) polls_after_end: u64,
    pub(crate) round: u64,
    pub(crate) waiting: Vec<Waker>,
}

// === impl BodyWatch ===

impl BodyWatch {
    /// Ends the pauses that have begun.
    pub fn release(&self) {
        let mut counts = self.counts();
        counts.round += 1;
        let waiting = std::mem::take(&mut counts.waiting);
        drop(counts);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Returns whether a body is in a pause.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.counts().waiting.is_empty()
    }

    /// Returns how many bodies were made and not dropped.
    #[must_use]
    pub fn alive(&self) -> u64 {
        let counts = self.counts();
        counts.made - counts.dropped
    }

    /// Returns how many bodies were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts().dropped
    }

    /// Returns how often a body was polled.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.counts().polls
    }

    /// Returns how often a body was polled after its last `None` or its error.
    #[must_use]
    pub fn polls_after_end(&self) -> u64 {
        self.counts().polls_after_end
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
