//! What opened here and waits to be written.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::RngExt as _;
use tokio::{sync::Notify, time::Instant};

use crate::{Change, OnChange, State, share::ShareCounts, share_message::write};

/// Hears what opens here. For [`Settings::on_change`](crate::Settings::on_change). Made by
/// [`Share::observer`](crate::Share::observer).
#[derive(Clone)]
pub struct ShareObserver(Arc<Outbox>);

/// What opened here and waits to be written, and what was counted.
pub(crate) struct Outbox {
    /// Tells this replica's messages from those of others.
    pub(crate) replica: String,
    waiting: Mutex<VecDeque<Opened>>,
    /// Tells the worker that there is something.
    pub(crate) more: Notify,
    pub(crate) sent: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) ignored: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) failed: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) message: String,
    pub(crate) until: Instant,
}

/// The longest that a message stays.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);
/// How many messages wait at most. The oldest give way: they are over soonest.
const MAX_WAITING: usize = 256;

// === impl ShareObserver ===

impl ShareObserver {
    pub(crate) const fn new(outbox: Arc<Outbox>) -> Self {
        Self(outbox)
    }
}

impl OnChange for ShareObserver {
    fn on_change(&self, change: &Change) {
        let opened = change.to == State::Open && change.cause.is_evidence();
        let Some(time) = change.open_for.filter(|_| opened) else { return };
        let Some(until) = change.at.checked_add(time.min(LONGEST)) else { return };
        self.0.push(Opened { message: write(&self.0.replica, change.generation, &change.key), until });
    }
}

impl fmt::Debug for ShareObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareObserver").finish_non_exhaustive()
    }
}

// === impl Outbox ===

impl Outbox {
    fn push(&self, opened: Opened) {
        let mut waiting = self.waiting();
        if waiting.len() >= MAX_WAITING {
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back(opened);
        drop(waiting);
        self.more.notify_one();
    }

    /// Returns what waits and is not over, at most `count`, and lets it wait on.
    pub(crate) fn first(&self, count: usize, now: Instant) -> Vec<Opened> {
        let mut waiting = self.waiting();
        waiting.retain(|opened| opened.until > now);
        waiting.iter().take(count).cloned().collect()
    }

    /// Takes out what was written. Returns whether there is more.
    pub(crate) fn written(&self, written: &[Opened]) -> bool {
        let mut waiting = self.waiting();
        waiting.retain(|opened| !written.contains(opened));
        let more = !waiting.is_empty();
        drop(waiting);
        self.sent.fetch_add(written.len() as u64, Ordering::Relaxed);
        more
    }

    pub(crate) fn counts(&self) -> ShareCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ShareCounts {
            sent: read(&self.sent),
            heard: read(&self.heard),
            ignored: read(&self.ignored),
            dropped: read(&self.dropped),
            failed: read(&self.failed),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Opened>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            replica: format!("{:032x}", rand::rng().random::<u128>()),
            waiting: Mutex::default(),
            more: Notify::new(),
            sent: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(n: u64, until: Instant) -> Opened {
        Opened { message: n.to_string(), until }
    }

    #[test]
    fn a_thousand_openings_keep_the_newest_within_the_bound() {
        let (outbox, now) = (Outbox::default(), Instant::now());
        (0..1000).for_each(|n| outbox.push(opened(n, now + LONGEST)));
        let waiting = outbox.first(usize::MAX, now);
        assert_eq!(waiting.len(), MAX_WAITING);
        assert_eq!(waiting.last().map(|last| last.message.as_str()), Some("999"));
        assert_eq!(outbox.counts().dropped, 1000 - 256);
    }

    #[test]
    fn what_was_not_written_waits_until_it_is_over() {
        let (outbox, now) = (Outbox::default(), Instant::now());
        outbox.push(opened(1, now + Duration::from_secs(1)));
        outbox.push(opened(2, now + Duration::from_secs(9)));
        assert_eq!(outbox.first(1, now).len(), 1);
        assert_eq!(outbox.first(9, now).len(), 2, "looking takes nothing");
        let left = outbox.first(9, now + Duration::from_secs(1));
        assert_eq!(left.len(), 1);
        assert!(!outbox.written(&left));
        assert!(outbox.first(9, now).is_empty());
    }
}
