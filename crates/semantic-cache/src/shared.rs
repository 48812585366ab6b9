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
    Admit, Asked, Draft, Freshness, Key, Meaning, Memo, Neighbours, Seek, Shelf, Sought, Stored, Unfit,
    counts::Counters,
    remote::{Recalled, Remote},
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
    #[cfg(feature = "redis")]
    pub(crate) deleted: crate::remote::Deleted,
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
    pub(crate) remote: Option<Arc<Remote>>,
    pub(crate) freshness: Freshness,
    pub(crate) background: Background,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(bounds: Bounds, rng: StdRng) -> Arc<Self> {
        let books = Mutex::new(Books {
            store: Store::new(bounds),
            #[cfg(feature = "redis")]
            deleted: crate::remote::Deleted::default(),
            rng,
        });
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
            remote: self.remote.clone(),
            freshness: self.freshness,
            background: self.background,
        }
    }
}

impl<A> Keeper<A> {
    /// Looks for a question that means the same, and for its answer elsewhere, if it is not here.
    pub(crate) fn seek(&self, meaning: &dyn Meaning, question: &Asked) -> Seek {
        let Some(remote) = self.remote.clone() else { return meaning.seek(question) };
        let seek = meaning.seek_among(question, Neighbours::of(&remote, question));
        let (shared, question) = (Arc::clone(&self.shared), question.clone());
        Box::pin(async move {
            let sought = seek.await;
            let Some(like) = sought.like else { return sought };
            let is_here = shared.books().store.find(&like.key, Instant::now()).is_some();
            if !is_here && remote.recall(&shared, question.want(like.key)).await == Recalled::Unknown {
                // It may be there all the same, and is not to be forgotten.
                return Sought::nothing();
            }
            sought
        })
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
        let (gone, span) = {
            let mut books = self.shared.books();
            let Books { store, rng, .. } = &mut *books;
            let span = question.freshness.unwrap_or(self.freshness).span(question.ttl, rng);
            (store.insert(&question, Arc::clone(&answer), born, span, now), span)
        };
        let gone = gone.map_err(|not| match not {
            NotKept::TooLarge => Unfit::TooLarge,
            NotKept::Forgotten => Unfit::Forgotten,
        })?;
        if let Some(remote) = &self.remote {
            remote.keep(&question, &answer, born, span, now);
        }
        if let (Some(meaning), Some(_)) = (&self.meaning, question.text()) {
            let (ask, asked) = (Arc::clone(&self.ask), question.clone());
            let words = Arc::new(move |answer: &Stored| ask.words(&asked, answer));
            let shelf = Shelf::new(Arc::clone(&self.shared), words, answer).beside(
                self.remote.as_ref(),
                &question,
                now + span.longest(),
            );
            let learn = meaning.learn(&question, memo, shelf);
            self.shared.spawn(self.background, learn);
        }
        Ok(gone)
    }
}
