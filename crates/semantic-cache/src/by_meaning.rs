//! Finds questions that mean the same by their vectors, and learns from what a judge says.

mod counts;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{SeedableRng as _, rngs::StdRng};
use tracing::debug;

pub use self::counts::MeaningCounts;
use self::counts::{Of, Tally};
use crate::{
    Asked, Bounds, Embedder, Embedding, Fingerprint, Judge, Key, Learn, Lesson, Meaning, Memo, Neighbours, Policy,
    Question, Reason, SameText, Scope, Seek, Semantic, Settled, Shelf, Sought, Taught, Text, Ticket, remote::Near,
};

/// Finds questions that mean the same: an [`Embedder`] makes vectors of them, a [`Policy`] decides, and a [`Judge`] says behind the
/// caller's back whether it was right. See [`Meaning`].
///
/// A question with fewer than three words of content (unless [set](Self::remembering) otherwise) is only answered by its own answer: "and in French?" means
/// another thing each time. An embedder that fails is a miss.
pub struct ByMeaning<E, J = SameText>(Arc<Inner<E, J>>);

struct Inner<E, J> {
    tally: Tally,
    embed: E,
    judge: J,
    memory: Mutex<Memory>,
    least_words: usize,
}

struct Memory {
    semantic: Semantic<Key>,
    rng: StdRng,
}

/// What is known of a question between the time it is sought and the time its answer is there.
struct Sighted {
    text: Text,
    vector: Embedding,
    ticket: Ticket,
    compare: Vec<Key>,
    /// Whether one of them was served.
    served: bool,
}

/// What came of a question with its answer.
struct Learned {
    settled: Settled<Key>,
    vector: Embedding,
    verdicts: Vec<(Key, Option<bool>)>,
}

/// Who asks, and of what, in numbers.
#[derive(Clone, Copy)]
struct Whence {
    scope: Scope,
    class: u64,
    sender: u64,
    principal: Option<u64>,
}

// === impl ByMeaning ===

impl<E: Embedder> ByMeaning<E> {
    /// Creates one whose judge takes two answers for equal if their texts are.
    #[must_use]
    pub fn new(policy: Policy, embed: E) -> Self {
        Self::judged(policy, embed, SameText)
    }
}

impl<E: Embedder, J> ByMeaning<E, J> {
    /// Creates one with a judge.
    #[must_use]
    pub fn judged(policy: Policy, embed: E, judge: J) -> Self {
        let semantic = Semantic::new(policy, Bounds::default());
        let memory = Mutex::new(Memory { semantic, rng: StdRng::from_rng(&mut rand::rng()) });
        Self(Arc::new(Inner { tally: Tally::default(), embed, judge, memory, least_words: 3 }))
    }

    /// Sets how much is remembered, by what seed it is drawn what is checked, and how many words of content a question must have:
    /// three by default. It begins with an empty memory.
    #[must_use]
    pub fn remembering(self, policy: Policy, bounds: Bounds, seed: u64, least_words: usize) -> Self
    where
        E: Clone,
        J: Clone,
    {
        let semantic = Semantic::new(policy, bounds);
        let memory = Mutex::new(Memory { semantic, rng: StdRng::seed_from_u64(seed) });
        let (embed, judge) = (self.0.embed.clone(), self.0.judge.clone());
        Self(Arc::new(Inner { tally: Tally::default(), embed, judge, memory, least_words }))
    }

    /// Calls `f` with the memory: to count, to save what was learned, or to mark an answer as bad. Under a lock, so briefly.
    pub fn with_memory<T>(&self, f: impl FnOnce(&mut Semantic<Key>) -> T) -> T {
        f(&mut self.0.memory().semantic)
    }

    /// Returns what became of the questions that were sought.
    #[must_use]
    pub fn counts(&self) -> MeaningCounts {
        self.0.tally.read()
    }

    /// Returns how many questions were decided for this reason.
    #[must_use]
    pub fn decided_for(&self, why: Reason) -> u64 {
        self.0.tally.decided_for(why)
    }
}

impl<E, J> Clone for ByMeaning<E, J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E, J> Meaning for ByMeaning<E, J>
where
    E: Embedder + 'static,
    J: Judge + Send + Sync + 'static,
{
    fn seek(&self, question: &Asked) -> Seek {
        self.seek_among(question, Neighbours::NONE)
    }

    fn seek_among(&self, question: &Asked, neighbours: Neighbours) -> Seek {
        let (inner, whence) = (Arc::clone(&self.0), Whence::of(question));
        let text: Box<str> = question.text().unwrap_or_default().into();
        Box::pin(async move {
            let (decision, text, vector) = match inner.decide(whence, &text, &neighbours).await {
                Ok(decided) => decided,
                Err(why) => {
                    inner.tally.add(why);
                    return Sought::nothing().detail(why.as_str());
                }
            };
            inner.tally.decided(decision.reason());
            debug!(%decision, "sought");
            let detail = decision.to_string();
            let served = decision.answer().copied().zip(decision.similarity());
            let compare = decision.compare().to_vec();
            let audited = served.is_some() && !compare.is_empty();
            let memo = Sighted { text, vector, compare, ticket: decision.into_ticket(), served: served.is_some() };
            if audited {
                inner.tally.add(Of::Audits);
            }
            let mut sought = Sought::nothing().detail(detail).memo(memo);
            if let Some((key, similarity)) = served {
                sought = sought.like(key, similarity);
            }
            if audited { sought.audited() } else { sought }
        })
    }

    fn learn(&self, question: &Asked, memo: Option<Memo>, shelf: Shelf) -> Learn {
        let (inner, whence, key) = (Arc::clone(&self.0), Whence::of(question), question.key());
        let text: Box<str> = question.text().unwrap_or_default().into();
        Box::pin(async move {
            let sighted = memo.and_then(|memo| memo.downcast::<Sighted>().ok()).map(|sighted| *sighted);
            let sighted = match sighted {
                Some(sighted) => sighted,
                // It came too late to be waited for. The vector is remembered, as a rule.
                None => match inner.decide(whence, &text, &shelf.neighbours()).await {
                    Ok((decision, text, vector)) => {
                        let (compare, served) = (decision.compare().to_vec(), decision.answer().is_some());
                        Sighted { text, vector, compare, ticket: decision.into_ticket(), served }
                    }
                    Err(_) => return,
                },
            };
            let served = sighted.served;
            let learned = inner.settle(whence, key, sighted, &text, &shelf).await;
            inner.tell(whence, key, served, learned, text, &shelf);
        })
    }

    fn gone(&self, key: &Key) {
        self.0.memory().semantic.remove(key);
    }

    fn space(&self) -> Option<Fingerprint> {
        Some(self.0.embed.fingerprint().clone())
    }

    fn hear(&self, lesson: Lesson) {
        match lesson {
            Lesson::Asked(taught) => {
                let Taught { key, scope, class, sender, text, vector, .. } = &*taught;
                let text = Text::read(text);
                // Who vouches for an answer elsewhere is not told: here it takes as many again.
                let whence = Whence { scope: *scope, class: *class, sender: *sender, principal: None };
                self.0.memory().semantic.insert(&whence.question(&text, vector), *key);
            }
            Lesson::Judged { key, right, served } => drop(self.0.memory().semantic.judged(&key, right, served)),
            Lesson::Gone(key) => drop(self.0.memory().semantic.remove(&key)),
        }
    }

    fn clear(&self) {
        self.0.memory().semantic.clear();
    }

    fn search_elsewhere(&self, elsewhere: bool) -> bool {
        self.0.memory().semantic.search_elsewhere(elsewhere);
        true
    }

    fn classes(&self) -> Vec<u64> {
        self.0.memory().semantic.classes()
    }

    fn experience(&self, class: u64) -> Option<Vec<u8>> {
        self.0.memory().semantic.snapshot(class)
    }

    fn take_up(&self, class: u64, experience: &[u8]) {
        if let Err(error) = self.0.memory().semantic.restore(class, experience) {
            debug!(%error, "experience not taken up");
        }
    }
}

impl<E, J> fmt::Debug for ByMeaning<E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByMeaning").finish_non_exhaustive()
    }
}

// === impl Inner ===

impl<E, J> Inner<E, J> {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Embedder, J> Inner<E, J> {
    /// Decides; or says why not.
    async fn decide(
        &self,
        whence: Whence,
        text: &str,
        neighbours: &Neighbours,
    ) -> Result<(crate::Decision<Key>, Text, Embedding), Of> {
        let read = Text::read(text);
        if read.content_words() < self.least_words {
            return Err(Of::TooShort);
        }
        let vector = match self.embed.embed(text).await {
            Ok(vector) => vector,
            Err(error) => {
                debug!(%error, "not embedded");
                return Err(Of::NotEmbedded);
            }
        };
        let near = neighbours.near(self.embed.fingerprint(), &vector).await;
        let question = whence.question(&read, &vector).said(text);
        let mut memory = self.memory();
        let Memory { semantic, rng } = &mut *memory;
        let decision = match near {
            Near::Here => semantic.decide(&question, rng),
            Near::There(known) => semantic.decide_of(&question, &known, rng),
            Near::Unknown => return Err(Of::NotSearched),
        };
        drop(memory);
        Ok((decision, read, vector))
    }
}

impl<E: Embedder, J: Judge> Inner<E, J> {
    /// Compares the fresh answer with those that are kept, and learns.
    async fn settle(&self, whence: Whence, key: Key, sighted: Sighted, said: &str, shelf: &Shelf) -> Learned {
        let Sighted { text, vector, ticket, compare, served } = sighted;
        let fresh = shelf.fresh();
        let mut equal = Vec::with_capacity(compare.len());
        for other in &compare {
            let judged = match fresh.as_deref().zip(shelf.recalled(other).await) {
                Some((fresh, kept)) => self.judge.equal(fresh, &kept).await,
                None => None,
            };
            equal.push(judged);
            self.tally.judged(served, judged);
        }
        let question = whence.question(&text, &vector).said(said);
        let mut memory = self.memory();
        let settled = memory.semantic.settle(ticket, &question, Some(key), &equal);
        let due = memory.semantic.due(whence.class);
        drop(memory);
        debug!(?settled, "learned");
        if let Some(learning) = due {
            let learned = learning.run();
            self.memory().semantic.install(learned);
            self.tally.add(Of::Learned);
        }
        Learned { settled, vector, verdicts: compare.into_iter().zip(equal).collect() }
    }

    /// Tells the other replicas.
    fn tell(&self, whence: Whence, key: Key, served: bool, learned: Learned, text: Box<str>, shelf: &Shelf) {
        let Learned { settled, vector, verdicts } = learned;
        for (key, right) in verdicts {
            if let Some(right) = right {
                shelf.tell(Lesson::Judged { key, right, served });
            }
        }
        let key = match settled {
            Settled::Inserted => key,
            Settled::Joined(answer) => answer,
            Settled::Nothing => return,
        };
        let space = self.embed.fingerprint().clone();
        let taught = Taught::new(key, whence.scope, text, vector, space).of(whence.class, whence.sender);
        shelf.tell(Lesson::Asked(Box::new(taught)));
    }
}

// === impl Whence ===

impl Whence {
    fn of(question: &Asked) -> Self {
        // The first mark is the tenant's, the next one the model's, if there is one.
        let number = |at: usize| question.marks.get(at).map_or(0, crate::Mark::number);
        Self { scope: question.scope(), class: number(1), sender: number(0), principal: question.principal }
    }

    const fn question<'a>(&self, text: &'a Text, vector: &'a [f32]) -> Question<'a> {
        let question = Question::new(*self.scope.as_bytes(), text, vector).class(self.class).sender(self.sender);
        match self.principal {
            Some(principal) => question.principal(principal),
            None => question,
        }
    }
}
