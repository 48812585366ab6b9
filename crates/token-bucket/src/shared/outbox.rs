//! What waits to be sent to Redis.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};

use super::{
    exact::Parts,
    script::{Change, RETRIED_FOR},
};
use crate::{Fingerprint, Limits, limiter::lock};

/// What waits to be sent to Redis.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<VecDeque<Due>>,
    /// The keys that have leases, and when they end.
    leased: Mutex<VecDeque<(u64, Fingerprint)>>,
    pub(crate) more: Notify,
    /// Tells who waits for it that what waited was written, or could not be.
    pub(crate) tried: Notify,
    /// Nothing more will come.
    closed: AtomicBool,
    under_way: AtomicUsize,
    numbers: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) settled: AtomicU64,
}

/// A change that waits to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) key: Fingerprint,
    pub(crate) limits: Limits,
    pub(crate) change: Change,
    /// When it was first sent, if it was.
    pub(crate) tried: Option<Instant>,
}

const MOST: usize = 65_536;

// === impl Outbox ===

impl Outbox {
    /// Takes or gives back in the background. It is done once, however often it is sent.
    pub(crate) fn settle(&self, key: Fingerprint, limits: Limits, change: Parts) {
        if change.iter().any(|part| *part != 0) {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            self.push(Due { key, limits, change: Change::Settle(change, number), tried: None });
        }
    }

    pub(crate) fn push(&self, due: Due) {
        self.put_back(due);
        self.more.notify_one();
    }

    /// Keeps what could not be sent until somebody looks for it again.
    pub(crate) fn put_back(&self, due: Due) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() < MOST {
            waiting.push_back(due);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes up to `most` out. What may have been done so long ago that its mark is gone is not sent again: it might count twice.
    pub(crate) fn first(&self, most: usize, now: Instant) -> Vec<Due> {
        let mut waiting = lock(&self.waiting);
        let mut batch = Vec::with_capacity(most.min(waiting.len()));
        while batch.len() < most
            && let Some(due) = waiting.pop_front()
        {
            if due.tried.is_some_and(|tried| now.saturating_duration_since(tried) >= RETRIED_FOR) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                batch.push(due);
            }
        }
        self.under_way.fetch_add(batch.len(), Ordering::Relaxed);
        batch
    }

    /// So many of those that were taken out are done with, or back.
    pub(crate) fn back(&self, number: usize) {
        self.under_way.fetch_sub(number, Ordering::Relaxed);
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.more.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.waiting).len() + self.under_way.load(Ordering::Relaxed)
    }

    /// Remembers that `key` has a lease. Of too many the oldest is forgotten here, and ends when its key is next asked for.
    pub(crate) fn leased(&self, until: u64, key: Fingerprint) {
        let mut leased = lock(&self.leased);
        if leased.len() >= MOST {
            leased.pop_front();
        }
        leased.push_back((until, key));
    }

    /// Returns a key whose lease ended by `now`, as far as is known.
    pub(crate) fn ended(&self, now: u64) -> Option<Fingerprint> {
        let mut leased = lock(&self.leased);
        let (until, key) = *leased.front()?;
        (until <= now).then(|| {
            leased.pop_front();
            key
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Dimension, Limit};

    fn limits() -> Limits {
        Limit::try_new("a", Dimension::REQUESTS, 1, Duration::from_secs(1)).expect("it makes sense").into()
    }

    #[test]
    fn what_may_have_been_done_long_ago_is_not_sent_again() {
        let (outbox, now) = (Outbox::default(), Instant::now());
        for _ in 0..2 {
            outbox.settle(Fingerprint::SHARED, limits(), [1; Limits::MOST]);
        }
        outbox.settle(Fingerprint::SHARED, limits(), Parts::default());
        assert_eq!(outbox.len(), 2, "nothing is not sent");
        let mut both = outbox.first(9, now);
        assert_ne!(both[0].change, both[1].change, "each has a number of its own");
        both[0].tried = Some(now);
        both.into_iter().for_each(|due| outbox.put_back(due));
        outbox.back(2);
        assert_eq!(outbox.first(9, now + RETRIED_FOR).len(), 1, "the one that was never sent");
        assert_eq!(outbox.dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let (outbox, limits) = (Outbox::default(), limits());
        (0..MOST + 3).for_each(|_| outbox.settle(Fingerprint::SHARED, limits.clone(), [1; Limits::MOST]));
        assert_eq!((outbox.len(), outbox.dropped.load(Ordering::Relaxed)), (MOST, 3));
    }

    #[test]
    fn no_more_leases_are_looked_after_than_there_is_room_for() {
        let outbox = Outbox::default();
        (0..MOST as u64 + 3).for_each(|until| outbox.leased(until, Fingerprint::SHARED));
        assert_eq!(lock(&outbox.leased).len(), MOST);
        assert!(outbox.ended(2).is_none() && outbox.ended(3).is_some(), "the oldest are not");
    }
}
