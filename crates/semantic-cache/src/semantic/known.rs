//! Questions that are known elsewhere.

use std::{
    fmt,
    hash::{Hash, Hasher as _},
};

use buttress_core::KeyHasher;
use rand::Rng;

use super::{Decision, Question, Semantic};
use crate::policy::Record;
use crate::text::Text;

/// Tells the questions of a scope apart: the first bits of SHA-256 of the answer and of what was asked.
pub(crate) type Name = [u8; 16];

/// A question that is known elsewhere, and is near to one that was asked.
pub(crate) struct Known<A> {
    pub(crate) name: Name,
    /// Its answer.
    pub(crate) answer: A,
    /// What it says.
    pub(crate) text: Box<str>,
    pub(crate) sender: u64,
    /// How near it is: a cosine.
    pub(crate) similarity: f32,
    pub(crate) standing: Standing,
}

/// What is known elsewhere of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// How many questions it has.
    pub(crate) questions: u32,
    /// How often it was judged right and wrong.
    pub(crate) record: Record,
    /// Whether it was served and judged wrong, and not right since.
    pub(crate) quarantined: bool,
}

/// Returns the name of a question with this answer.
pub(crate) fn name(answer: &impl Hash, said: &str) -> Name {
    let mut hasher = KeyHasher::new();
    answer.hash(&mut hasher);
    hasher.write(said.as_bytes());
    let mut name = Name::default();
    name.copy_from_slice(&hasher.digest()[..16]);
    name
}

// === impl Semantic ===

impl<A: Clone + Eq + Hash> Semantic<A> {
    /// Decides the same of questions that are [found elsewhere](Self::search_elsewhere).
    pub(crate) fn decide_of(&mut self, question: &Question<'_>, known: &[Known<A>], rng: &mut impl Rng) -> Decision<A> {
        let found = self.store.meet(&question.scope, known);
        self.decide_among(question, &found, rng)
    }

    /// Forgets all questions and answers, and finds the nearest ones elsewhere from now on, or here again.
    pub(crate) fn search_elsewhere(&mut self, elsewhere: bool) {
        self.store.search_elsewhere(elsewhere);
    }
}

// === impl Known ===

impl<A> Known<A> {
    pub(super) fn read(&self) -> Text {
        Text::read(&self.text)
    }
}

impl<A: fmt::Debug> fmt::Debug for Known<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the text.
        let Self { answer, similarity, .. } = self;
        f.debug_struct("Known").field("answer", answer).field("similarity", similarity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{Bounds, ErrorBound, Policy, Reason, Settled};

    const SCOPE: [u8; 32] = [7; 32];
    const ASKED: [(&str, u32, f32); 6] = [
        ("how do I reset the password of my account", 1, 0.00),
        ("please how do I reset the password of my account", 1, 0.05),
        ("how do I change the address of my account", 2, 0.20),
        ("how do I close my account for good", 3, 0.60),
        ("where is the nearest shop of yours", 4, 1.20),
        ("what does a parcel to Norway cost", 5, 1.50),
    ];

    fn vector(angle: f32) -> [f32; 2] {
        [angle.cos(), angle.sin()]
    }

    /// What is found elsewhere near to a vector, of the nearest first.
    fn known(angle: f32, standing: Standing) -> Vec<Known<u32>> {
        let mut known: Vec<_> = ASKED
            .iter()
            .map(|&(text, answer, at)| {
                let (name, similarity) = (name(&answer, text), (at - angle).cos());
                Known { name, answer, text: text.into(), sender: 0, similarity, standing }
            })
            .collect();
        known.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        known
    }

    fn elsewhere(policy: Policy) -> Semantic<u32> {
        let mut semantic = Semantic::new(policy, Bounds::default());
        semantic.search_elsewhere(true);
        semantic
    }

    fn decide(semantic: &mut Semantic<u32>, said: &str, angle: f32, known: Option<&[Known<u32>]>) -> Decision<u32> {
        let (text, vector, mut rng) = (Text::read(said), vector(angle), StdRng::seed_from_u64(1));
        let question = Question::new(SCOPE, &text, &vector).said(said);
        match known {
            Some(known) => semantic.decide_of(&question, known, &mut rng),
            None => semantic.decide(&question, &mut rng),
        }
    }

    #[test]
    fn what_is_found_elsewhere_is_decided_as_what_is_found_here() {
        for policy in [Policy::threshold(0.95), ErrorBound::new(0.01).map(Policy::error_bound)] {
            let policy = policy.expect("it makes sense");
            let (mut here, mut there) = (Semantic::new(policy.clone(), Bounds::default()), elsewhere(policy));
            for (said, answer, angle) in ASKED {
                let (text, vector) = (Text::read(said), vector(angle));
                assert!(here.insert(&Question::new(SCOPE, &text, &vector), answer));
            }
            let said = "how do I reset the password of my account now";
            for (said, angle) in [(said, 0.02), (said, 0.3), (said, 0.8), ("how do I not reset the password", 0.01)] {
                let one = decide(&mut here, said, angle, None);
                let standing = Standing { questions: 1, ..Standing::default() };
                let two = decide(&mut there, said, angle, Some(&known(angle, standing)));
                assert_eq!((one.answer(), one.compare()), (two.answer(), two.compare()), "{angle}");
                assert_eq!((one.reason(), one.guards()), (two.reason(), two.guards()), "{angle}");
                // An index in memory keeps a byte of each dimension.
                let apart = one.similarity().zip(two.similarity()).map(|(one, two)| (one - two).abs());
                assert!(apart.is_some_and(|apart| apart < 0.01), "{angle}: {one}, {two}");
            }
        }
    }

    #[test]
    fn who_knows_its_own_questions_takes_in_none_that_come_late() {
        let mut semantic = elsewhere(Policy::threshold(0.9).expect("it makes sense"));
        let near = known(0.0, Standing::default());
        assert_eq!(decide(&mut semantic, ASKED[0].0, 0.0, Some(&near)).answer(), Some(&1));
        semantic.search_elsewhere(false);
        assert!(semantic.is_empty());
        assert_eq!(decide(&mut semantic, ASKED[0].0, 0.0, Some(&near)).reason(), Reason::Unknown);
    }

    #[test]
    fn what_was_judged_elsewhere_counts_unless_more_is_known_here() {
        let mut semantic = elsewhere(Policy::threshold(0.9).expect("it makes sense"));
        let standing =
            |right, wrong, quarantined| Standing { questions: 2, record: Record { right, wrong }, quarantined };
        let mut reason = |standing| {
            let near = known(0.0, standing);
            decide(&mut semantic, ASKED[0].0, 0.0, Some(&near)).reason()
        };
        assert_eq!(reason(standing(0, 0, false)), Reason::Similar);
        assert_eq!(reason(standing(0, 1, true)), Reason::Quarantined);
        assert_eq!(reason(standing(0, 0, false)), Reason::Quarantined, "what was judged is on its way");
        assert_eq!(reason(standing(1, 1, false)), Reason::Similar);
    }

    #[test]
    fn a_question_that_is_remembered_is_met_again_by_its_name() {
        let mut semantic = elsewhere(Policy::threshold(0.9).expect("it makes sense"));
        let (text, vector) = (Text::read(ASKED[0].0), vector(0.0));
        let question = Question::new(SCOPE, &text, &vector).said(ASKED[0].0);
        let ticket = semantic.decide_of(&question, &[], &mut StdRng::seed_from_u64(1)).into_ticket();
        assert_eq!(semantic.settle(ticket, &question, Some(1), &[]), Settled::Inserted);
        assert_eq!(decide(&mut semantic, "and now", 0.0, None).reason(), Reason::Unknown, "nothing is found here");
        decide(&mut semantic, "and now", 0.0, Some(&known(0.0, Standing::default())));
        assert_eq!(semantic.len(), ASKED.len(), "it is there once");
        assert_eq!(semantic.remove(&1), 2);
    }
}
