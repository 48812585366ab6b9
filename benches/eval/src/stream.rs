//! One stream through one policy.

use buttress_semantic_cache::{Bounds, Policy, Question, Semantic};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::Data;

/// A stream: the policy, and what is drawn by chance.
#[derive(Clone, Debug)]
pub struct Run {
    /// The policy.
    pub policy: Policy,
    /// Of the order of the questions, the audits and the errors of the judge.
    pub seed: u64,
    /// The share of its verdicts that the judge turns round.
    pub noise: f64,
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
    /// Sends all questions through the policy, in an order drawn by chance.
    #[must_use]
    pub fn over(&self, data: &Data) -> Outcome {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut order: Vec<usize> = (0..data.len()).collect();
        order.shuffle(&mut rng);
        let mut semantic = Semantic::new(self.policy.clone(), Bounds::default());
        let mut outcome = Outcome::default();
        for at in order {
            self.ask(data, at, &mut semantic, &mut outcome, &mut rng);
            if let Some(learning) = semantic.due(0) {
                semantic.install(learning.run());
            }
        }
        outcome
    }

    /// Asks one question. An answer is named by the question it was first given to.
    fn ask(&self, data: &Data, at: usize, semantic: &mut Semantic<usize>, outcome: &mut Outcome, rng: &mut StdRng) {
        let question = Question::new([0; 32], &data.texts[at], data.vector(at));
        let decision = semantic.decide(&question, rng);
        let is_right = |answer: usize| data.labels[answer] == data.labels[at];
        outcome.requests += 1;
        let mut fresh = Some(at);
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
            let verdict = is_right(answer) != rng.random_bool(self.noise);
            outcome.comparisons += 1;
            verdicts.push(Some(verdict));
            if verdict {
                break;
            }
        }
        let _settled = semantic.settle(decision.into_ticket(), &question, fresh, &verdicts);
    }
}
