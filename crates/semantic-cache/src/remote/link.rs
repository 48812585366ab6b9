//! What stands between the cache and Redis.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use buttress_redis::Redis;
use rand::RngExt as _;
use tokio::{sync::watch, time::Instant};

use super::{
    Lesson, Seal, Search, SharedAnswers, SharedCounts,
    counts::Counters,
    era::Era,
    forgets::{Forget, Forgets},
    outbox::{Due, Outbox, Parcel},
    place::Places,
    scripts::Scripts,
};
use crate::{Asked, Key, Mark, Stored, freshness::Span};

/// What stands between the cache and Redis: what is known of it, and what waits to be told.
pub(crate) struct Remote {
    pub(super) redis: Redis,
    pub(super) log: Redis,
    pub(super) places: Places,
    pub(super) scripts: Scripts,
    pub(super) limits: Limits,
    pub(super) seal: Option<Arc<dyn Seal>>,
    pub(super) counters: Counters,
    pub(super) outbox: Outbox,
    forgets: Mutex<Forgets>,
    /// Something is to be forgotten that Redis has not heard of.
    pub(super) forgetting: AtomicBool,
    era: Mutex<Option<Era>>,
    search: Mutex<Search>,
    follows: watch::Sender<bool>,
    /// Tells what this process wrote from what others did.
    pub(super) origin: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) patience: Duration,
    pub(super) value_bytes: usize,
    pub(super) marks: usize,
    pub(super) log_entries: usize,
    pub(super) saving: Duration,
    /// The most questions of a scope that are searched for in Redis.
    pub(super) questions: usize,
}

// === impl Remote ===

impl Remote {
    pub(crate) fn new(answers: SharedAnswers) -> Arc<Self> {
        let SharedAnswers { redis, log, namespace, name, seal, patience, value_bytes, queue, .. } = answers;
        let SharedAnswers { marks, log_entries, saving, questions, .. } = answers;
        let search = match (questions, &seal) {
            (None, _) => Search::Here,
            (Some(_), None) => Search::Pending,
            (Some(_), Some(_)) => Search::Sealed,
        };
        Arc::new(Self {
            redis,
            log,
            places: Places::new(namespace, name),
            scripts: Scripts::new(),
            limits: Limits { patience, value_bytes, marks, log_entries, saving, questions: questions.unwrap_or(0) },
            seal,
            counters: Counters::default(),
            outbox: Outbox::new(queue.0, queue.1),
            forgets: Mutex::default(),
            forgetting: AtomicBool::new(false),
            era: Mutex::default(),
            search: Mutex::new(search),
            follows: watch::Sender::new(false),
            origin: random_word(),
        })
    }

    /// Returns whether it is worth asking. What is read while nobody follows the log would not be heard of when it is forgotten.
    pub(crate) fn is_there(&self) -> bool {
        *self.follows.borrow() && self.redis.status().is_connected()
    }

    /// Writes an answer in the background. `born` is the clock here when its call began.
    pub(crate) fn keep(&self, question: &Asked, answer: &Arc<Stored>, born: u64, span: Span, came: Instant) {
        let marks = question.marks.clone().into();
        let answer = Arc::clone(answer);
        let parcel = Parcel { key: question.key, scope: question.scope, marks, answer, born, span, came };
        self.push(Due::Answer(Box::new(parcel)));
    }

    /// Tells the others. Call it before something is forgotten here: what is on its way from Redis then finds that out.
    pub(crate) fn forget(&self, key: Key) {
        self.forget_too(Forget::Key(key));
    }

    /// As [`forget`](Self::forget).
    pub(crate) fn forget_all_of(&self, mark: Mark) {
        self.forget_too(Forget::Mark(mark));
    }

    /// As [`forget`](Self::forget).
    pub(crate) fn forget_everything(&self) {
        self.forget_too(Forget::All);
    }

    /// Tells the others of something that is worth hearing until then.
    pub(crate) fn tell(&self, lesson: Lesson, until: Option<Instant>) {
        self.push(Due::Lesson(lesson, until));
    }

    pub(crate) fn counts(&self) -> SharedCounts {
        let forgetting = self.forgetting.load(Ordering::Acquire);
        self.counters.read(self.outbox.len(), forgetting, *self.follows.borrow(), self.search())
    }

    /// Completes when the log is followed.
    pub(crate) async fn following(&self) {
        // The sender lives in `self`, so it cannot be gone.
        drop(self.follows.subscribe().wait_for(|follows| *follows).await);
    }

    pub(super) fn follow(&self, follows: bool) {
        self.follows.send_if_modified(|followed| std::mem::replace(followed, follows) != follows);
    }

    pub(super) fn forgets(&self) -> MutexGuard<'_, Forgets> {
        self.forgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn era(&self) -> MutexGuard<'_, Option<Era>> {
        self.era.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where questions are searched for.
    pub(super) fn search(&self) -> Search {
        *self.search.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn search_by(&self, search: Search) {
        *self.search.lock().unwrap_or_else(PoisonError::into_inner) = search;
    }

    fn forget_too(&self, forget: Forget) {
        let mut forgets = self.forgets();
        forgets.push(forget);
        self.forgetting.store(true, Ordering::Release);
        drop(forgets);
        self.outbox.more.notify_one();
    }

    fn push(&self, due: Due) {
        if !self.outbox.push(due) {
            self.counters.dropped.one();
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

pub(super) fn random_word() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

/// Returns the time of this machine's clock, in milliseconds since 1970.
pub(super) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, super::entry::millis)
}
