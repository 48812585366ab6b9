//! One stream through one policy.

use buttress_semantic_cache::{Bounds, Policy, Question, Semantic};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::Scene;
use crate::scene::Asked;

/// A stream: the policy, and what is drawn by chance.
#[derive(Clone, Debug)]
pub struct Run {
    /// The policy.
    pub policy: Policy,
    /// Of the order of the questions, the audits and the errors of the judge.
    pub seed: u64,
    /// What the judge gets wrong.
    pub judge: Noise,
    /// The share of questions whose label is wrong, for the judge and for the count.
    pub mislabelled: f64,
    /// How many questions are asked, at most.
    pub most: usize,
    /// How many principals ask them.
    pub principals: u64,
}

/// The errors of a judge, as shares of its verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Of those of different answers, it calls so many equal.
    pub yes: f64,
    /// Of those of equal answers, it calls so many different.
    pub no: f64,
}

/// What came of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Questions.
    pub requests: u64,
    /// Those that were answered by the cache.
    pub hits: u64,
    /// Those that were answered wrongly by it.
    pub wrong: u64,
    /// Those answered by it, and then by the model too, to check.
    pub audits: u64,
    /// Comparisons of answers.
    pub comparisons: u64,
}

// === impl Run ===

impl Run {
    /// Creates a run over all questions, with a judge that never errs.
    #[must_use]
    pub const fn new(policy: Policy, seed: u64) -> Self {
        let judge = Noise { yes: 0.0, no: 0.0 };
        Self { policy, seed, judge, mislabelled: 0.0, most: usize::MAX, principals: 1 }
    }

    /// Sends the questions of a scene through the policy.
    #[must_use]
    pub fn over(&self, scene: &Scene<'_>) -> Outcome {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let stream = scene.stream(self.seed, self.most, self.mislabelled);
        let mut semantic = Semantic::new(self.policy.clone(), Bounds::default());
        let mut outcome = Outcome::default();
        for place in 0..stream.len() {
            self.ask(scene, &stream, place, &mut semantic, &mut outcome, &mut rng);
            if let Some(learning) = semantic.due(0) {
                semantic.install(learning.run());
            }
        }
        outcome
    }

    /// Asks one question. An answer is named by the place in the stream where it was first given, and means what it meant there.
    fn ask(
        &self,
        scene: &Scene<'_>,
        stream: &[Asked],
        place: usize,
        semantic: &mut Semantic<usize>,
        outcome: &mut Outcome,
        rng: &mut StdRng,
    ) {
        let Asked { at, meaning } = stream[place];
        let question = Question::new([0; 32], &scene.data.texts[at], scene.data.vector(at));
        let decision = semantic.decide(&question, rng);
        let is_right = |answer: usize| stream[answer].meaning == meaning;
        outcome.requests += 1;
        let mut fresh = Some(place);
        if let Some(&answer) = decision.answer() {
            outcome.hits += 1;
            outcome.wrong += u64::from(!is_right(answer));
            if decision.compare().is_empty() {
                fresh = None;
            } else {
                outcome.audits += 1;
            }
        }
        let mut verdicts = Vec::new();
        for &answer in decision.compare() {
            let right = is_right(answer);
            let verdict = right != rng.random_bool(if right { self.judge.no } else { self.judge.yes });
            outcome.comparisons += 1;
            verdicts.push(Some(verdict));
        }
        let _settled = semantic.settle(decision.into_ticket(), &question, fresh, &verdicts);
    }
}
