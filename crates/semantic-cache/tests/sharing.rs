//! Who may be given whose answers, and how answers come together.

use buttress_semantic_cache::{Bounds, Decision, ErrorBound, Policy, Question, Reason, Semantic, Settled, Text};
use rand::{SeedableRng as _, rngs::StdRng};

/// One question that several principals ask, each in words of its own.
struct Asking {
    semantic: Semantic<u32>,
    rng: StdRng,
    text: Text,
}

impl Asking {
    fn new(policy: Policy) -> Self {
        let semantic = Semantic::new(policy, Bounds::default());
        Self { semantic, rng: StdRng::seed_from_u64(1), text: Text::read("what is the time") }
    }

    fn decide(&mut self, principal: Option<u64>) -> Decision<u32> {
        self.semantic.decide(&question(&self.text, principal), &mut self.rng)
    }

    /// Asks; if there is no answer, a fresh one is given, which is `equal` to those it is compared with.
    fn ask(&mut self, principal: Option<u64>, fresh: u32, equal: bool) -> Reason {
        let decision = self.decide(principal);
        let reason = decision.reason();
        assert_eq!(decision.answer().is_some(), reason == Reason::Similar);
        if decision.answer().is_none() {
            let verdicts = vec![Some(equal); decision.compare().len()];
            let question = question(&self.text, principal);
            let _settled = self.semantic.settle(decision.into_ticket(), &question, Some(fresh), &verdicts);
        }
        reason
    }
}

fn question(text: &Text, principal: Option<u64>) -> Question<'_> {
    let question = Question::new([0; 32], text, &[1.0, 0.0]);
    principal.map_or(question, |principal| question.principal(principal))
}

fn policies() -> [Policy; 2] {
    [Policy::default(), Policy::error_bound(ErrorBound::new(0.05).expect("it is in range"))]
}

#[test]
fn an_answer_is_shared_only_after_two_principals_had_it_of_their_own() {
    for policy in policies() {
        let mut asking = Asking::new(policy);
        assert_eq!(asking.ask(Some(1), 1, true), Reason::Unknown);
        assert_eq!(asking.ask(Some(1), 2, true), Reason::Similar, "it is its own");
        assert_eq!(asking.ask(Some(2), 3, true), Reason::Unvouched);
        assert_eq!(asking.ask(Some(3), 4, true), Reason::Similar, "two had it");
    }
}

#[test]
fn what_a_principal_says_again_and_again_counts_once() {
    for policy in policies() {
        let mut asking = Asking::new(policy.min_principals(3).expect("it is in range"));
        for fresh in 0..20 {
            asking.ask(Some(1), fresh, true);
        }
        assert_eq!(asking.ask(Some(2), 20, true), Reason::Unvouched);
        assert_eq!(asking.ask(Some(2), 21, true), Reason::Similar, "it is its own by now");
        assert_eq!(asking.ask(Some(3), 22, true), Reason::Unvouched);
        assert_eq!(asking.ask(Some(4), 23, true), Reason::Similar);
    }
}

#[test]
fn an_answer_that_others_did_not_get_is_never_shared() {
    for policy in policies() {
        let mut asking = Asking::new(policy);
        asking.ask(Some(66), 666, true);
        for principal in 1..20 {
            let reason = asking.ask(Some(principal), 100 + u32::try_from(principal).expect("it is small"), false);
            assert_ne!(reason, Reason::Similar, "{principal}");
        }
    }
}

#[test]
fn where_nobody_says_who_asks_all_are_one() {
    for policy in policies() {
        let mut asking = Asking::new(policy.clone());
        asking.ask(None, 1, true);
        assert_eq!(asking.ask(None, 2, true), Reason::Similar);
        assert_eq!(asking.decide(Some(7)).reason(), Reason::Unvouched, "nobody is not somebody");
        let mut asking = Asking::new(policy.min_principals(1).expect("it is in range"));
        asking.ask(Some(1), 1, true);
        assert_eq!(asking.ask(Some(2), 2, true), Reason::Similar);
    }
    for wrong in [0, 17, usize::MAX] {
        let error = Policy::default().min_principals(wrong).expect_err("it is out of range");
        assert_eq!(error.to_string(), "`min_principals` must be between 1 and 16");
    }
}

/// Two questions with an answer of their own each, and one between them.
struct Twins {
    semantic: Semantic<char>,
    rng: StdRng,
    asked: usize,
}

impl Twins {
    const A: [f32; 16] = Self::vector(1, 0.2);
    const B: [f32; 16] = Self::vector(1, -0.2);

    const fn vector(at: usize, value: f32) -> [f32; 16] {
        let mut vector = [0.0; 16];
        vector[0] = 1.0;
        vector[at] = value;
        vector
    }

    fn new() -> Self {
        let policy = Policy::error_bound(ErrorBound::new(0.05).expect("it is in range"));
        Self { semantic: Semantic::new(policy, Bounds::default()), rng: StdRng::seed_from_u64(1), asked: 1 }
    }

    /// Adds a question with an answer.
    fn add(&mut self, vector: [f32; 16], answer: char) {
        let text = Text::read("how late is it");
        assert!(self.semantic.insert(&Question::new([0; 32], &text, &vector), answer));
    }

    /// Asks something between the two, whose fresh answer is equal to both, or to one.
    fn ask(&mut self, both: bool) {
        let text = Text::read("what is the time now");
        self.asked += 1;
        let vector = Self::vector(self.asked, 0.45);
        let question = Question::new([0; 32], &text, &vector);
        let decision = self.semantic.decide(&question, &mut self.rng);
        assert_eq!(decision.compare().len(), 2, "{decision}");
        let settled = self.semantic.settle(decision.into_ticket(), &question, Some('c'), &[Some(true), Some(both)]);
        assert!(matches!(settled, Settled::Joined('a' | 'b')));
    }

    fn are_one(&mut self) -> bool {
        let text = Text::read("how late is it");
        let mut at = |vector: [f32; 16]| {
            self.semantic.decide(&Question::new([0; 32], &text, &vector), &mut self.rng).answer().copied()
        };
        let (a, b) = (at(Self::A), at(Self::B));
        assert!(a.is_some() && b.is_some());
        a == b
    }
}

#[test]
fn answers_that_a_fresh_one_is_equal_to_become_one() {
    let mut twins = Twins::new();
    twins.add(Twins::A, 'a');
    twins.add(Twins::B, 'b');
    assert!(!twins.are_one());
    twins.ask(true);
    assert!(twins.are_one());
    assert_eq!(twins.semantic.len(), 3);
    let forgotten = twins.semantic.remove(&'a') + twins.semantic.remove(&'b');
    assert_eq!((forgotten, twins.semantic.len()), (3, 0), "they are forgotten together");
}

#[test]
fn answers_to_many_questions_become_one_only_when_that_is_certain() {
    let mut twins = Twins::new();
    for _ in 0..5 {
        twins.add(Twins::A, 'a');
        twins.add(Twins::B, 'b');
    }
    twins.ask(true);
    twins.ask(true);
    assert!(!twins.are_one());
    // Whoever says no makes the others' yes doubtful.
    twins.ask(false);
    twins.ask(true);
    twins.ask(true);
    assert!(!twins.are_one());
    twins.ask(true);
    assert!(twins.are_one());
}
