//! What all services of a layer share.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::rngs::StdRng;
use tokio::{task::JoinSet, time::Instant};
use tracing::debug;

use crate::{
    Admit, Asked, Draft, Freshness, Key, Meaning, Memo, Shelf, Stored, Unfit,
    counts::Counters,
    store::{Bounds, NotKept, Store},
};

/// What all services of a layer share.
pub(crate) struct Shared {
    books: Mutex<Books>,
    pub(crate) counters: Counters,
    tasks: Mutex<JoinSet<()>>,
}

/// The answers, and the randomness of how long they are good.
pub(crate) struct Books {
    pub(crate) store: Store,
    rng: StdRng,
}

/// What was decided of a call whose answer may be kept.
pub(crate) struct Errand {
    pub(crate) question: Asked,
    /// The epoch at which it began.
    pub(crate) born: u64,
    pub(crate) memo: Option<Memo>,
}

/// Lets another one renew an answer when it is dropped.
pub(crate) struct Renewal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Key,
}

/// What may be done beside what callers wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Background {
    pub(crate) most: usize,
    pub(crate) time: Duration,
}

/// What keeps answers.
pub(crate) struct Keeper<A> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ask: Arc<A>,
    pub(crate) meaning: Option<Arc<dyn Meaning>>,
    pub(crate) freshness: Freshness,
    pub(crate) background: Background,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(bounds: Bounds, rng: StdRng) -> Arc<Self> {
        let books = Mutex::new(Books { store: Store::new(bounds), rng });
        Arc::new(Self { books, counters: Counters::default(), tasks: Mutex::default() })
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` in the background, unless too much is being done there, or there is no runtime to do it in.
    pub(crate) fn spawn(&self, background: Background, work: impl Future<Output = ()> + Send + 'static) -> bool {
        if tokio::runtime::Handle::try_current().is_err() {
            return false;
        }
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        let room = tasks.len() < background.most;
        if room {
            // It ends by itself: nothing that is dropped leaves it behind for longer than its time.
            tasks.spawn(async move {
                let _ = tokio::time::timeout(background.time, work).await;
            });
        }
        room
    }

    pub(crate) fn under_way(&self) -> usize {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.len()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.shared.books().store.renewed(&self.key);
    }
}

// === impl Keeper ===

impl<A> Clone for Keeper<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ask: Arc::clone(&self.ask),
            meaning: self.meaning.clone(),
            freshness: self.freshness,
            background: self.background,
        }
    }
}

impl<A: Admit + Send + Sync + 'static> Keeper<A> {
    /// Deals with what became of the recording of an answer.
    pub(crate) fn keep(&self, errand: Errand, recorded: Result<Draft, Unfit>, now: Instant) {
        let key = errand.question.key;
        let admitted = recorded.and_then(|draft| self.ask.admit(&errand.question, &draft).map(|usage| (draft, usage)));
        let kept = admitted.and_then(|(draft, usage)| self.put(errand, draft, usage, now));
        match kept {
            Ok(gone) => {
                self.shared.counters.stored.one();
                self.shared.counters.evicted.add(gone);
                debug!(?key, "stored");
            }
            Err(unfit) => self.unfit(key, unfit),
        }
    }

    pub(crate) fn unfit(&self, key: Key, unfit: Unfit) {
        self.shared.counters.unfit(unfit).one();
        debug!(?key, reason = unfit.as_str(), "not stored");
    }

    fn put(
        &self,
        errand: Errand,
        draft: Draft,
        usage: Option<buttress_core::Usage>,
        now: Instant,
    ) -> Result<u64, Unfit> {
        let Errand { question, born, memo } = errand;
        let answer = Arc::new(draft.store(usage, question.shape));
        let gone = {
            let mut books = self.shared.books();
            let Books { store, rng } = &mut *books;
            let span = question.freshness.unwrap_or(self.freshness).span(question.ttl, rng);
            store.insert(&question, Arc::clone(&answer), born, span, now)
        };
        let gone = gone.map_err(|not| match not {
            NotKept::TooLarge => Unfit::TooLarge,
            NotKept::Forgotten => Unfit::Forgotten,
        })?;
        if let (Some(meaning), Some(_)) = (&self.meaning, question.text()) {
            let (ask, asked) = (Arc::clone(&self.ask), question.clone());
            let words = Arc::new(move |answer: &Stored| ask.words(&asked, answer));
            let shelf = Shelf::new(Arc::clone(&self.shared), words, answer);
            let learn = meaning.learn(&question, memo, shelf);
            self.shared.spawn(self.background, learn);
        }
        Ok(gone)
    }
}
