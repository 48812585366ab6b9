//! Remembers questions with their answers, decides which are answered again, and learns from what becomes of it.

mod candidates;
mod decide;
mod decision;
mod known;
mod question;
mod store;

use std::collections::HashMap;
use std::hash::Hash;

use rand::Rng;

use self::candidates::candidates;
use self::store::Store;
use crate::index::Neighbour;
use crate::policy::{Fitted, Learner, Mode, Policy, Refit, Risk, SnapshotError};

pub(crate) use self::candidates::NEIGHBOURS;
pub use self::decision::{Decision, Reason, Ticket};
pub(crate) use self::known::Known;
#[cfg(feature = "redis")]
pub(crate) use self::known::{Name, Standing, name};
pub use self::question::{Bounds, Question};

/// A memory of questions and answers, and the policy that decides when one answers another.
///
/// It is sync and does no I/O. `A` names an answer; bodies are kept elsewhere. A layer uses it so, each step under a short lock:
///
/// 1. [`Semantic::decide`] says whether to serve, and which answers to compare a fresh one with.
/// 2. Where a fresh answer came, compare it with [`Decision::compare`] by a [`Judge`](crate::Judge), without the lock.
/// 3. [`Semantic::settle`] learns, and remembers the question: as another way to ask for an answer that was judged equal, or with
///    its own.
/// 4. [`Semantic::due`] gives work to do without the lock; its result is taken by [`Semantic::install`].
///
/// Questions of different scopes never meet. Experience is shared by all scopes of a class: it holds numbers only, and no sender has
/// more than a quarter of its weight, as far as there are others. What others are served holds without the word of any one of them.
/// In a scope that several [principals](Question::principal) share, none is given what only one other was told.
///
/// # Example
///
/// ```
/// use buttress_semantic_cache::{Bounds, Policy, Question, Reason, Semantic, Settled, Text};
/// use rand::{SeedableRng as _, rngs::StdRng};
///
/// let mut rng = StdRng::seed_from_u64(1);
/// let mut semantic = Semantic::new(Policy::threshold(0.95)?, Bounds::default());
/// let scope = [7; 32];
///
/// let text = Text::read("How do I reset my password?");
/// let question = Question::new(scope, &text, &[1.0, 0.0]);
/// let decision = semantic.decide(&question, &mut rng);
/// assert_eq!(decision.reason(), Reason::Unknown);
/// let settled = semantic.settle(decision.into_ticket(), &question, Some("answer 1"), &[]);
/// assert_eq!(settled, Settled::Inserted);
///
/// let text = Text::read("how do i reset my password, please");
/// let decision = semantic.decide(&Question::new(scope, &text, &[0.99, 0.01]), &mut rng);
/// assert_eq!(decision.answer(), Some(&"answer 1"));
///
/// let text = Text::read("How do I not reset my password?");
/// let decision = semantic.decide(&Question::new(scope, &text, &[0.99, 0.01]), &mut rng);
/// assert_eq!(decision.to_string(), "reason=vetoed; similarity=1.000; guards=polarity");
/// # Ok::<(), buttress_semantic_cache::PolicyError>(())
/// ```
#[derive(Debug)]
pub struct Semantic<A> {
    policy: Policy,
    store: Store<A>,
    learners: HashMap<u64, Learner>,
    found: Vec<Neighbour>,
}

/// What [`Semantic::settle`] did with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled<A> {
    /// It is remembered as another way to ask for this answer. The fresh one is not needed.
    Joined(A),
    /// It is remembered with its fresh answer.
    Inserted,
    /// It is not remembered: there was no fresh answer, or one that was served was right, or there was no room, or it may mean the same
    /// as what it was not compared with.
    Nothing,
}

/// Work that learns from what was judged. It takes milliseconds: to be done without a lock.
#[derive(Debug)]
pub struct Learning {
    class: u64,
    refit: Refit,
}

/// What was learned.
#[derive(Debug)]
pub struct Learned {
    class: u64,
    fitted: Fitted,
}

/// Classes beyond share the experience of class 0.
const CLASSES: usize = 64;

// === impl Semantic ===

impl<A: Clone + Eq + Hash> Semantic<A> {
    /// Creates an empty memory.
    #[must_use]
    pub fn new(policy: Policy, bounds: Bounds) -> Self {
        Self { policy, store: Store::new(bounds), learners: HashMap::new(), found: Vec::new() }
    }

    /// Decides whether a question is answered by what is known.
    pub fn decide(&mut self, question: &Question<'_>, rng: &mut impl Rng) -> Decision<A> {
        let mut found = std::mem::take(&mut self.found);
        self.store.nearest(&question.scope, question.vector, NEIGHBOURS, &mut found);
        let decision = self.decide_among(question, &found, rng);
        self.found = found;
        decision
    }

    fn decide_among(&mut self, question: &Question<'_>, found: &[Neighbour], rng: &mut impl Rng) -> Decision<A> {
        let near = candidates(&self.store, question, found, &self.policy);
        let decision = match &self.policy.mode {
            &Mode::Threshold { similarity, vetoes } => {
                decide::by_threshold(&self.store, question, near, similarity, vetoes)
            }
            Mode::ErrorBound(settings) => {
                let class = self.class(question.class);
                let learner = self.learners.entry(class).or_insert_with(|| Learner::new(settings.clone()));
                decide::by_experience(&self.store, learner, question, near, rng)
            }
        };
        if decision.answer.is_some()
            && let Some(compared) = decision.ticket.compared.first()
        {
            self.store.used(&question.scope, compared.slot);
        }
        decision
    }

    /// Takes note of what became of a decision: the fresh answer, if there is one to remember, and of each answer of
    /// [`Decision::compare`] whether it is equal. `None` is for what was not compared, or could not be.
    pub fn settle(
        &mut self,
        ticket: Ticket,
        question: &Question<'_>,
        fresh: Option<A>,
        equal: &[Option<bool>],
    ) -> Settled<A> {
        let Ticket { scope, class, number, served, compared, stands_for, untried, doubtful } = ticket;
        let mut joined = None::<u64>;
        let verdicts = compared.iter().zip(equal).filter_map(|(compared, equal)| Some((compared, (*equal)?)));
        for (compared, right) in verdicts {
            self.store.judged(compared.group, &scope, compared.slot, right, served);
            if compared.is_evidence
                && let Some(learner) = self.learners.get_mut(&class)
            {
                learner.judge(number, right, stands_for);
                if untried && !right {
                    learner.found_wrong(stands_for);
                }
            }
            if let Some(principal) = question.principal.filter(|_| right) {
                self.store.vouch(compared.group, principal);
            }
            match joined {
                Some(first) => self.store.compared(first, compared.group, right),
                None if right => joined = Some(compared.group),
                None => {}
            }
        }
        match joined {
            Some(_) if served => Settled::Nothing,
            Some(group) if self.store.insert(Some(group), None, question) => {
                self.store.group(group).map_or(Settled::Nothing, |group| Settled::Joined(group.answer.clone()))
            }
            // What is not remembered as an alias is not remembered beside its twin.
            Some(_) => Settled::Nothing,
            // A served answer that nobody found wrong stands.
            None if served && equal.first() != Some(&Some(false)) => Settled::Nothing,
            // What may have a twin is not remembered beside it: two groups for one answer would speak against each other.
            None if doubtful => Settled::Nothing,
            None if fresh.is_some() && self.store.insert(None, fresh, question) => Settled::Inserted,
            None => Settled::Nothing,
        }
    }

    /// Adds a question with its answer, as read from a store that outlives the process, or told by another one.
    ///
    /// Questions with the same answer are ways to ask for it. Returns whether there was room.
    pub fn insert(&mut self, question: &Question<'_>, answer: A) -> bool {
        self.store.insert(None, Some(answer), question)
    }

    /// Forgets an answer with all its questions. Returns how many there were.
    pub fn remove(&mut self, answer: &A) -> usize {
        self.store.remove(answer)
    }

    /// Notes that an answer is bad: it is not served again before a judge finds it right. Returns whether it is known.
    pub fn mark_bad(&mut self, answer: &A) -> bool {
        self.store.mark_bad(answer)
    }

    /// Notes that somebody else compared an answer with a fresh one: whether it was right, and whether it had been served. Returns
    /// whether it is known.
    pub fn judged(&mut self, answer: &A, right: bool, served: bool) -> bool {
        self.store.told(answer, right, served)
    }

    /// Forgets all questions and answers. What was learned is kept.
    pub fn clear(&mut self) {
        self.store.clear();
    }

    /// Returns work to learn from, if enough has happened in a class.
    pub fn due(&mut self, class: u64) -> Option<Learning> {
        let class = self.class(class);
        let refit = self.learners.get_mut(&class)?.due()?;
        Some(Learning { class, refit })
    }

    /// Takes up what was learned.
    pub fn install(&mut self, learned: Learned) {
        if let Some(learner) = self.learners.get_mut(&learned.class) {
            learner.install(learned.fitted);
        }
    }

    /// Returns the experience of a class as bytes, to be taken up by another process. There is no text in it.
    #[must_use]
    pub fn snapshot(&self, class: u64) -> Option<Vec<u8>> {
        self.learners.get(&self.class(class)).map(Learner::snapshot)
    }

    /// Takes up the experience of a class in place of what was learned so far. A threshold has none, and ignores it.
    ///
    /// # Errors
    ///
    /// Refuses what is no snapshot, is damaged, or is of another version. Nothing has changed then.
    pub fn restore(&mut self, class: u64, snapshot: &[u8]) -> Result<(), SnapshotError> {
        if let Mode::ErrorBound(settings) = &self.policy.mode {
            let learner = Learner::restore(settings.clone(), snapshot)?;
            self.learners.insert(self.class(class), learner);
        }
        Ok(())
    }

    /// Returns the least score that is served in a class, as far as something was learned.
    #[must_use]
    pub fn cut(&self, class: u64) -> Option<f64> {
        let fitted = self.learners.get(&self.class(class))?.fitted()?;
        Some(fitted.common_cut())
    }

    /// Returns how often answers of a class are wrong that are served, as far as something was learned.
    #[must_use]
    pub fn risk(&self, class: u64) -> Option<Risk> {
        self.learners.get(&self.class(class))?.risk()
    }

    /// Returns the classes of which there is experience, in order: 64 at most, and class 0.
    #[must_use]
    pub fn classes(&self) -> Vec<u64> {
        let mut classes: Vec<u64> = self.learners.keys().copied().collect();
        classes.sort_unstable();
        classes
    }

    /// Returns how many questions are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.store.len()
    }

    /// Returns whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// Returns what they take, about, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.store.bytes()
    }

    /// Returns how many questions were evicted to make room.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.store.evicted
    }

    /// Returns how many questions were not remembered because of a bound, or for their vector.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.store.refused
    }

    fn class(&self, class: u64) -> u64 {
        if self.learners.len() < CLASSES || self.learners.contains_key(&class) { class } else { 0 }
    }
}

// === impl Learning ===

impl Learning {
    /// Learns.
    #[must_use]
    pub fn run(self) -> Learned {
        Learned { class: self.class, fitted: self.refit.run() }
    }
}
