//! What stands before a slow model: vectors of late, one question for all who ask the same, a bounded queue, a time limit.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    hash::Hasher as _,
    mem,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tokio::{
    sync::{mpsc, watch},
    time,
};

use super::{
    EmbedError, EmbedErrorKind, EmbedLimits, EmbedStats, Embedding,
    recent::{Key, Recent},
};

/// The callers' half.
#[derive(Clone)]
pub(super) struct Front {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
    /// Whether there is any use in asking the model now.
    admits: Option<Admits>,
}

/// Says whether a model is asked.
pub(super) type Admits = Arc<dyn Fn() -> bool + Send + Sync>;

/// A text to embed. Dropped unfinished, it tells those who wait that there will be no vector.
pub(super) struct Job {
    shared: Arc<Shared>,
    key: Key,
    text: Arc<str>,
    answer: watch::Sender<Option<Answer>>,
    finished: bool,
}

type Answer = Result<Embedding, EmbedError>;

pub(super) struct Shared {
    limits: EmbedLimits,
    hasher: SipHasher13,
    state: Mutex<State>,
    counts: [AtomicU64; 10],
}

struct State {
    recent: Recent,
    /// The answers under way. Never more than the queue and the model hold.
    flights: HashMap<Key, watch::Receiver<Option<Answer>>>,
}

/// Which of the counts.
#[derive(Clone, Copy)]
pub(super) enum Count {
    Asked,
    Recent,
    Joined,
    Timeouts,
    Busy,
    TooLong,
    Failed,
    Abandoned,
    Calls,
    Refused,
}

enum Found {
    Recent(Embedding),
    Flight(watch::Receiver<Option<Answer>>),
}

// === impl Front ===

impl Front {
    /// Creates both halves. `key` is that of the hash that tells texts apart: secret and random.
    pub(super) fn pair(limits: EmbedLimits, dimensions: NonZeroUsize, key: [u64; 2]) -> (Self, mpsc::Receiver<Job>) {
        let (queue, jobs) = mpsc::channel(limits.queue.get());
        let state = State { recent: Recent::new(limits.recent, dimensions.get()), flights: HashMap::new() };
        let shared = Shared {
            limits,
            hasher: SipHasher13::new_with_keys(key[0], key[1]),
            state: Mutex::new(state),
            counts: Default::default(),
        };
        (Self { shared: Arc::new(shared), queue, admits: None }, jobs)
    }

    /// Asks the model only where `admits` says so.
    pub(super) fn admitted_by(mut self, admits: Option<Admits>) -> Self {
        self.admits = admits;
        self
    }

    pub(super) async fn embed(&self, text: &str) -> Answer {
        self.count(Count::Asked);
        if text.len() > self.shared.limits.text {
            self.count(Count::TooLong);
            return Err(EmbedErrorKind::TooLong.into());
        }
        let mut flight = match self.find(text)? {
            Found::Recent(embedding) => return Ok(embedding),
            Found::Flight(flight) => flight,
        };
        match time::timeout(self.shared.limits.timeout, flight.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().expect("that is what was waited for"),
            Ok(Err(_)) => Err(EmbedErrorKind::Unavailable.into()),
            Err(_) => {
                self.count(Count::Timeouts);
                Err(EmbedErrorKind::Timeout.into())
            }
        }
    }

    pub(super) fn stats(&self) -> EmbedStats {
        let count = |which: Count| self.shared.counts[which as usize].load(Ordering::Relaxed);
        EmbedStats {
            asked: count(Count::Asked),
            recent: count(Count::Recent),
            joined: count(Count::Joined),
            timeouts: count(Count::Timeouts),
            busy: count(Count::Busy),
            too_long: count(Count::TooLong),
            failed: count(Count::Failed),
            abandoned: count(Count::Abandoned),
            calls: count(Count::Calls),
            refused: count(Count::Refused),
        }
    }

    /// Finds the vector, or who is about to bring it, or sends for it.
    fn find(&self, text: &str) -> Result<Found, EmbedError> {
        let key = self.shared.key(text);
        let mut state = self.shared.lock();
        if let Some(embedding) = state.recent.find(key) {
            self.count(Count::Recent);
            return Ok(Found::Recent(embedding));
        }
        match state.flights.entry(key) {
            hash_map::Entry::Occupied(flight) => {
                self.count(Count::Joined);
                Ok(Found::Flight(flight.get().clone()))
            }
            hash_map::Entry::Vacant(_) if self.admits.as_ref().is_some_and(|admits| !admits()) => {
                self.count(Count::Refused);
                Err(EmbedErrorKind::Refused.into())
            }
            hash_map::Entry::Vacant(vacant) => {
                let place = self.queue.try_reserve().map_err(|error| match error {
                    mpsc::error::TrySendError::Full(()) => {
                        self.count(Count::Busy);
                        EmbedErrorKind::Busy
                    }
                    mpsc::error::TrySendError::Closed(()) => EmbedErrorKind::Unavailable,
                })?;
                let (answer, flight) = watch::channel(None);
                vacant.insert(flight.clone());
                let shared = Arc::clone(&self.shared);
                place.send(Job { shared, key, text: text.into(), answer, finished: false });
                Ok(Found::Flight(flight))
            }
        }
    }

    fn count(&self, which: Count) {
        self.shared.count(which);
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("limits", &self.shared.limits).field("stats", &self.stats()).finish()
    }
}

// === impl Job ===

impl Job {
    pub(super) fn finish(mut self, answer: Answer) {
        self.settle(answer);
    }

    /// Returns the job, unless nobody waits for it any more.
    pub(super) fn still_wanted(mut self) -> Option<Self> {
        let mut state = self.shared.lock();
        // One receiver is that of the table, from which others are cloned under the same lock.
        if self.answer.receiver_count() > 1 {
            drop(state);
            return Some(self);
        }
        state.flights.remove(&self.key);
        drop(state);
        self.shared.count(Count::Abandoned);
        self.finished = true;
        None
    }

    pub(super) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Returns what counts.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    fn settle(&mut self, answer: Answer) {
        if mem::replace(&mut self.finished, true) {
            return;
        }
        let mut state = self.shared.lock();
        state.flights.remove(&self.key);
        match &answer {
            Ok(embedding) => state.recent.insert(self.key, Embedding::clone(embedding)),
            Err(error) if error.kind() == EmbedErrorKind::Refused => self.shared.count(Count::Refused),
            Err(_) => self.shared.count(Count::Failed),
        }
        drop(state);
        self.answer.send_replace(Some(answer));
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.settle(Err(EmbedErrorKind::Unavailable.into()));
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the text.
        write!(f, "Job({} bytes)", self.text.len())
    }
}

// === impl Shared ===

impl Shared {
    fn key(&self, text: &str) -> Key {
        let mut hasher = self.hasher;
        hasher.write(text.as_bytes());
        hasher.finish128().as_u128()
    }

    fn count(&self, which: Count) {
        self.counts[which as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call of the model, unless a layer refused it.
    pub(super) fn count_call(&self, error: Option<&EmbedError>) {
        if error.is_none_or(|error| error.kind() != EmbedErrorKind::Refused) {
            self.count(Count::Calls);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that happens under the lock leaves the tables half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
