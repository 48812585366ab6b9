//! Questions that mean the same.

use std::{any::Any, fmt, pin::Pin, sync::Arc};

use tokio::time::Instant;

use crate::{
    Asked, Fingerprint, Key, Lesson, Scope, Stored,
    remote::{Near, Remote},
    shared::Shared,
};

/// Finds the answer to a question that means the same, and learns of each new answer.
///
/// It is asked only about questions that have a [text](Asked::text), and only after the exact question was not found.
/// What it finds must have the same [scope](Asked::scope): the cache does not look at that again.
pub trait Meaning: Send + Sync {
    /// Begins to look for a question that means the same as `question`.
    fn seek(&self, question: &Asked) -> Seek;

    /// Does the same where the nearest questions may be known elsewhere: see [`search_elsewhere`](Self::search_elsewhere).
    fn seek_among(&self, question: &Asked, neighbours: Neighbours) -> Seek {
        let _ = neighbours;
        self.seek(question)
    }

    /// Learns that the answer in `shelf` was given to `question` and is kept under its key. `memo` is what [`seek`](Self::seek)
    /// left, if it was heard of in time. It is run in the background, and dropped if it takes too long.
    fn learn(&self, question: &Asked, memo: Option<Memo>, shelf: Shelf) -> Learn;

    /// Hears that what it found is not there any more.
    fn gone(&self, key: &Key) {
        let _ = key;
    }

    /// Returns where its vectors are from. Without, it hears nothing from other replicas.
    fn space(&self) -> Option<Fingerprint> {
        None
    }

    /// Hears what the meaning of another replica [told](Shelf::tell), or of this one before it was [cleared](Self::clear).
    fn hear(&self, lesson: Lesson) {
        let _ = lesson;
    }

    /// Drops all questions: what is known of them is going to be told anew.
    fn clear(&self) {}

    /// Drops all questions, and asks its [`Neighbours`] for the nearest ones from now on (`true`), or knows them itself again. Returns
    /// whether it does. One that never does is told every question.
    fn search_elsewhere(&self, elsewhere: bool) -> bool {
        !elsewhere
    }

    /// Returns the classes of which something was learned.
    fn classes(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Returns what was learned of a class, to be [taken up](Self::take_up) by another process.
    fn experience(&self, class: u64) -> Option<Vec<u8>> {
        let _ = class;
        None
    }

    /// Takes up what another process learned of a class. What is none is ignored.
    fn take_up(&self, class: u64, experience: &[u8]) {
        let _ = (class, experience);
    }
}

/// The words of a fresh answer, and of those that are kept.
#[derive(Clone)]
pub struct Shelf {
    shared: Arc<Shared>,
    words: Arc<dyn Fn(&Stored) -> Option<String> + Send + Sync>,
    fresh: Arc<Stored>,
    beside: Option<Beside>,
}

/// The questions nearest to one, where replicas find them in what they share. Known to the [`Meaning`] of this crate alone.
#[derive(Clone, Debug)]
pub struct Neighbours(Option<(Arc<Remote>, Scope)>);

/// What the replicas share.
#[derive(Clone)]
struct Beside {
    remote: Arc<Remote>,
    question: Asked,
    until: Instant,
}

/// What looks for a question that means the same. Dropped if there is an answer before it has found one.
pub type Seek = Pin<Box<dyn Future<Output = Sought> + Send>>;

/// What learns of an answer.
pub type Learn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a [`Meaning`] wants to have back when it learns of the answer.
pub type Memo = Box<dyn Any + Send + Sync>;

/// What was found.
#[derive(Default)]
#[non_exhaustive]
pub struct Sought {
    /// The question whose answer is to be served.
    pub like: Option<Like>,
    /// Why, in words that a trusted caller may see.
    pub detail: Option<Box<str>>,
    /// Whether to ask for an own answer as well, in the background, to learn whether this was right.
    pub audit: bool,
    /// To be given back with the answer.
    pub memo: Option<Memo>,
}

/// A question that means the same.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Like {
    /// What it is known by.
    pub key: Key,
    /// How alike the two are, one being the most.
    pub similarity: f32,
}

// === impl Sought ===

impl Sought {
    /// Nothing was found.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Sets the question whose answer is to be served.
    #[must_use]
    pub fn like(mut self, key: Key, similarity: f32) -> Self {
        self.like = Some(Like { key, similarity });
        self
    }

    /// Sets why, in words that a trusted caller may see.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Asks for an own answer as well.
    #[must_use]
    pub const fn audited(mut self) -> Self {
        self.audit = true;
        self
    }

    /// Sets what is to be given back with the answer.
    #[must_use]
    pub fn memo(mut self, memo: impl Any + Send + Sync) -> Self {
        self.memo = Some(Box::new(memo));
        self
    }
}

// === impl Neighbours ===

impl Neighbours {
    /// Those of nobody else.
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn of(remote: &Arc<Remote>, question: &Asked) -> Self {
        Self(Some((Arc::clone(remote), question.scope)))
    }

    /// Looks for the questions nearest to `vector`, which is from `space`.
    pub(crate) async fn near(&self, space: &Fingerprint, vector: &[f32]) -> Near {
        match &self.0 {
            Some((remote, scope)) => remote.near(*scope, space, vector).await,
            None => Near::Here,
        }
    }
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(
        shared: Arc<Shared>,
        words: Arc<dyn Fn(&Stored) -> Option<String> + Send + Sync>,
        fresh: Arc<Stored>,
    ) -> Self {
        Self { shared, words, fresh, beside: None }
    }

    pub(crate) fn beside(mut self, remote: Option<&Arc<Remote>>, question: &Asked, until: Instant) -> Self {
        self.beside = remote.map(|remote| Beside { remote: Arc::clone(remote), question: question.clone(), until });
        self
    }

    /// Returns the words of the fresh answer, as far as they can be told.
    #[must_use]
    pub fn fresh(&self) -> Option<String> {
        (self.words)(&self.fresh)
    }

    /// Returns the words of an answer that is kept, as far as they can be told.
    #[must_use]
    pub fn kept(&self, key: &Key) -> Option<String> {
        let kept = self.shared.books().store.peek(key)?;
        (self.words)(&kept)
    }

    /// Returns the same, and looks for it where replicas share their answers, if it is not here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up looking.
    pub async fn recalled(&self, key: &Key) -> Option<String> {
        let kept = self.kept(key);
        let Some(Beside { remote, question, .. }) = self.beside.as_ref().filter(|_| kept.is_none()) else {
            return kept;
        };
        remote.recall(&self.shared, question.want(*key)).await;
        self.kept(key)
    }

    pub(crate) fn neighbours(&self) -> Neighbours {
        let beside = self.beside.as_ref();
        beside.map_or(Neighbours::NONE, |Beside { remote, question, .. }| Neighbours::of(remote, question))
    }

    /// Tells the other replicas what was learned of the fresh answer, if they share their answers. It is written in the background.
    pub fn tell(&self, lesson: Lesson) {
        if let Some(Beside { remote, until, .. }) = &self.beside {
            remote.tell(lesson, Some(*until));
        }
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sought").field("like", &self.like).field("audit", &self.audit).finish_non_exhaustive()
    }
}

impl fmt::Debug for dyn Meaning + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meaning")
    }
}
