//! Pairs that look alike and mean different things, and pairs that mean the same.

use std::collections::BTreeSet;

use buttress_semantic_cache::{Bounds, ErrorBound, Policy, Question, Reason, Semantic, Settled, Text};
use rand::{SeedableRng as _, rngs::StdRng};

const ADVERSARIAL: &str = include_str!("data/adversarial.txt");
const PARAPHRASES: &str = include_str!("data/paraphrases.txt");

fn pairs(lines: &str) -> impl Iterator<Item = Vec<&str>> {
    lines.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" | ").collect())
}

/// What a policy makes of a question whose vector is that of another one, which is answered already.
fn reason(policy: Policy, known: &str, asked: &str) -> Reason {
    let mut rng = StdRng::seed_from_u64(1);
    let mut semantic = Semantic::new(policy, Bounds::default());
    let (known, asked) = (Text::read(known), Text::read(asked));
    let known = Question::new([0; 32], &known, &[1.0, 0.0]);
    assert!(semantic.insert(&known, 1));
    let decision = semantic.decide(&Question::new([0; 32], &asked, &[1.0, 0.0]), &mut rng);
    assert_eq!(decision.answer().is_some(), matches!(decision.reason(), Reason::Similar | Reason::Learned));
    decision.reason()
}

#[test]
fn nothing_that_looks_alike_and_differs_is_served_by_a_threshold_or_before_anything_is_learned() {
    let mut kinds = BTreeSet::new();
    let mut served = Vec::new();
    for pair in pairs(ADVERSARIAL) {
        let [kind, one, other] = pair[..] else { panic!("not a pair: {pair:?}") };
        kinds.insert(kind);
        for (known, asked) in [(one, other), (other, one)] {
            let threshold = Policy::threshold(0.8).expect("it is in range");
            let error_bound = Policy::error_bound(ErrorBound::new(0.05).expect("it is in range"));
            for policy in [threshold, error_bound] {
                if reason(policy, known, asked) != Reason::Vetoed {
                    served.push(format!("{kind}: {known} | {asked}"));
                }
            }
        }
    }
    served.dedup();
    assert!(served.is_empty(), "served:\n{}", served.join("\n"));
    assert!(kinds.len() >= 10 && pairs(ADVERSARIAL).count() >= 130, "{kinds:?}");
}

#[test]
fn three_of_four_that_mean_the_same_pass_the_guards() {
    let (mut refused, mut all) = (Vec::new(), 0);
    for pair in pairs(PARAPHRASES) {
        let [one, other] = pair[..] else { panic!("not a pair: {pair:?}") };
        all += 1;
        let guards = Text::read(one).compare(&Text::read(other));
        assert_eq!(guards, Text::read(other).compare(&Text::read(one)), "{one} | {other}");
        if !guards.is_empty() {
            refused.push(format!("{guards}: {one} | {other}"));
        }
    }
    println!("{} of {all} refused:\n{}", refused.len(), refused.join("\n"));
    assert!(all >= 60);
    assert!(refused.len() * 4 <= all, "{} of {all} refused:\n{}", refused.len(), refused.join("\n"));
}

#[test]
fn every_text_passes_its_own_guards() {
    for text in pairs(ADVERSARIAL).flat_map(|pair| pair[1..].to_vec()) {
        assert!(Text::read(text).compare(&Text::read(&format!("  {text} "))).is_empty(), "{text}");
        assert_eq!(reason(Policy::default(), text, text), Reason::Similar, "{text}");
    }
}

#[test]
fn a_question_that_was_settled_is_answered_the_next_time() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut semantic = Semantic::new(Policy::default(), Bounds::default());
    let text = Text::read("Where is my parcel?");
    let question = Question::new([0; 32], &text, &[0.6, 0.8]);
    let decision = semantic.decide(&question, &mut rng);
    assert_eq!(decision.reason(), Reason::Unknown);
    assert_eq!(semantic.settle(decision.into_ticket(), &question, Some('a'), &[]), Settled::Inserted);
    assert_eq!(semantic.decide(&question, &mut rng).answer(), Some(&'a'));
}
