//! What a `Semantic` promises to those who share it.

use buttress_semantic_cache::{Bounds, ErrorBound, Policy, Question, Reason, Semantic, Settled, Text};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng as _, rngs::StdRng};

const CLASS: u64 = 5;

/// Questions about as many topics as there are directions. Near to the direction of its topic, a question is about it; farther
/// away it is about something of its own.
struct World {
    semantic: Semantic<u64>,
    rng: StdRng,
    next: u64,
    topics: Vec<u64>,
}

/// Who asks, and how well the judge serves them.
#[derive(Clone, Copy)]
struct Sender {
    id: u64,
    /// Every judgement is this, whatever the truth.
    claims: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Served {
    requests: u32,
    hits: u32,
    wrong: u32,
    comparisons: usize,
}

const HONEST: Sender = Sender { id: 1, claims: None };

impl World {
    fn new(policy: Policy) -> Self {
        let semantic = Semantic::new(policy, Bounds::default());
        Self { semantic, rng: StdRng::seed_from_u64(3), next: 100, topics: (0..12).collect() }
    }

    fn error_bound(target: f64) -> Self {
        Self::new(Policy::error_bound(ErrorBound::new(target).expect("it is in range")))
    }

    fn ask(&mut self, sender: Sender, served: &mut Served) {
        let topic = self.rng.random_range(0..self.topics.len());
        let off = self.rng.random_range(0.0..0.9_f32);
        let mut vector = vec![0.0; 48];
        vector[topic] = 1.0;
        vector[12 + self.rng.random_range(0..36_usize)] = off;
        let is_about = off < 0.5;
        let truth = if is_about { self.topics[topic] } else { self.next };
        let text = Text::read("tell me about it");
        // Each sender has a scope of its own; what they share is experience.
        let scope = [u8::try_from(sender.id).expect("it is small"); 32];
        let question = Question::new(scope, &text, &vector).class(CLASS).sender(sender.id);
        let decision = self.semantic.decide(&question, &mut self.rng);
        served.requests += 1;
        if let Some(&answer) = decision.answer() {
            served.hits += 1;
            served.wrong += u32::from(Self::meaning(answer) != truth);
        }
        served.comparisons += decision.compare().len();
        let verdicts: Vec<_> = decision
            .compare()
            .iter()
            .map(|&answer| Some(sender.claims.unwrap_or_else(|| Self::meaning(answer) == truth)))
            .collect();
        // Answers are numbered by what they mean, in thousands, so that each is one of its own.
        self.next += 1;
        let fresh = truth + 1_000_000 * self.next;
        let _settled = self.semantic.settle(decision.into_ticket(), &question, Some(fresh), &verdicts);
        if let Some(learning) = self.semantic.due(CLASS) {
            self.semantic.install(learning.run());
        }
    }

    const fn meaning(answer: u64) -> u64 {
        answer % 1_000_000
    }

    fn ask_often(&mut self, times: u32, senders: &[(Sender, u32)]) -> Vec<Served> {
        let mut served = vec![Served::default(); senders.len()];
        let all: u32 = senders.iter().map(|(_, share)| share).sum();
        for _ in 0..times {
            let mut drawn = self.rng.random_range(0..all);
            let at = senders
                .iter()
                .position(|(_, share)| {
                    drawn < *share || {
                        drawn -= share;
                        false
                    }
                })
                .expect("drawn of all");
            self.ask(senders[at].0, &mut served[at]);
        }
        served
    }
}

impl Served {
    fn wrong_rate(self) -> f64 {
        f64::from(self.wrong) / f64::from(self.requests)
    }

    fn wrong_per_hit(self) -> f64 {
        f64::from(self.wrong) / f64::from(self.hits)
    }

    fn hit_rate(self) -> f64 {
        f64::from(self.hits) / f64::from(self.requests)
    }
}

#[test]
fn an_honest_stream_is_served_within_the_bound() {
    let mut world = World::error_bound(0.02);
    let served = world.ask_often(4000, &[(HONEST, 1)])[0];
    assert!(served.hit_rate() > 0.25, "{served:?}");
    assert!(served.wrong_rate() <= 0.02, "{served:?}");
    assert!(world.semantic.cut(CLASS).expect("it has learned").is_finite());
}

#[test]
fn a_target_per_hit_bounds_how_many_of_the_answers_served_are_wrong() {
    let policy = ErrorBound::new(0.05).expect("it is in range").per_hit();
    let mut world = World::new(Policy::error_bound(policy));
    let served = world.ask_often(4000, &[(HONEST, 1)])[0];
    assert!(served.hit_rate() > 0.2, "{served:?}");
    assert!(served.wrong_per_hit() <= 0.05, "{served:?}");
}

#[test]
fn no_more_answers_are_compared_than_is_allowed() {
    for comparisons in [0.05, 0.3] {
        let policy = ErrorBound::new(0.02).and_then(|policy| policy.comparisons(comparisons)).expect("it is in range");
        let mut world = World::new(Policy::error_bound(policy));
        let served = world.ask_often(5000, &[(HONEST, 1)])[0];
        let made = f64::from(u32::try_from(served.comparisons).expect("it is small"));
        // Some are there at the beginning, and what is checked of the answers served is compared in any case.
        assert!(made <= 2000.0 + (comparisons + 0.08) * 5000.0, "{served:?}");
        assert!(served.wrong_rate() <= 0.02 && served.hits > 0, "{served:?}");
    }
}

#[test]
fn a_flood_of_false_praise_does_not_move_the_bound_of_others() {
    let liar = Sender { id: 66, claims: Some(true) };
    let mut world = World::error_bound(0.02);
    let served = world.ask_often(4000, &[(HONEST, 1), (liar, 3)])[0];
    // Three of four judgements are lies. What others are served must hold without them.
    assert!(served.wrong_rate() <= 0.02, "{served:?}");
}

#[test]
fn a_flood_of_false_blame_closes_the_cache_for_its_sender_only() {
    let liar = Sender { id: 66, claims: Some(false) };
    let mut world = World::error_bound(0.02);
    let served = world.ask_often(4000, &[(HONEST, 3), (liar, 1)]);
    assert!(served[0].hit_rate() > 0.1, "{served:?}");
    assert!(served[1].hit_rate() < served[0].hit_rate(), "{served:?}");
    assert!(served[0].wrong_rate() <= 0.02, "{served:?}");
}

#[test]
fn traffic_that_turns_is_noticed() {
    let mut world = World::error_bound(0.05);
    world.ask_often(2000, &[(HONEST, 1)]);
    // From now on every answer to the old questions is another one.
    world.topics.iter_mut().for_each(|topic| *topic += 50);
    let turning = world.ask_often(3000, &[(HONEST, 1)])[0];
    let after = world.ask_often(3000, &[(HONEST, 1)])[0];
    assert!(turning.wrong_rate() <= 0.15, "every other request would be answered wrongly: {turning:?}");
    assert!(after.wrong_rate() <= 0.05, "{after:?}");
    assert!(after.hit_rate() > 0.1, "it recovers: {after:?}");
}

#[test]
fn experience_outlives_the_process_and_damage_is_refused() {
    let mut world = World::error_bound(0.02);
    world.ask_often(2000, &[(HONEST, 1)]);
    let snapshot = world.semantic.snapshot(CLASS).expect("there is experience");

    let mut other = World::error_bound(0.02).semantic;
    assert_eq!(other.cut(CLASS), None);
    other.restore(CLASS, &snapshot).expect("it is whole");
    assert!(other.cut(CLASS).expect("it has learned").is_finite());
    assert_eq!(other.snapshot(CLASS), Some(snapshot.clone()));

    let mut fresh = World::error_bound(0.02).semantic;
    for at in (0..snapshot.len()).step_by(snapshot.len() / 97) {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 0x10;
        assert!(fresh.restore(CLASS, &damaged).is_err(), "byte {at}");
        assert!(fresh.restore(CLASS, &snapshot[..at]).is_err(), "cut at {at}");
    }
    let mut newer = snapshot.clone();
    newer[4] += 1;
    assert!(fresh.restore(CLASS, &newer).expect_err("another version").is_other_version());
    assert!(fresh.restore(CLASS, &snapshot[..snapshot.len() - 1]).expect_err("cut off").is_damaged());
    assert_eq!(fresh.cut(CLASS), None, "nothing was taken up");
}

fn unit(rng: &mut impl RngExt) -> [f32; 8] {
    std::array::from_fn(|_| rng.random_range(-1.0..1.0))
}

#[test]
fn what_is_remembered_stays_within_its_bounds() {
    let bounds = Bounds { entries: 100, bytes: 1 << 20, per_answer: 3, per_sender: 40 };
    let mut semantic = Semantic::new(Policy::default(), bounds);
    let mut rng = StdRng::seed_from_u64(1);
    for at in 0..1000_u32 {
        let text = Text::read(&format!("question {at}"));
        let vector = unit(&mut rng);
        semantic.insert(&Question::new([0; 32], &text, &vector).sender(u64::from(at % 4)), at / 5);
        assert!(semantic.len() <= 100 && semantic.bytes() <= 1 << 20);
    }
    assert!(semantic.evicted() > 0 || semantic.refused() > 0);
    assert!(semantic.refused() >= 300, "of five with one answer, two are too many");
    semantic.clear();
    assert!(semantic.is_empty() && semantic.bytes() == 0);
}

#[test]
fn a_question_that_is_asked_again_is_kept_longer() {
    let mut semantic = Semantic::new(Policy::default(), Bounds { entries: 10, ..Bounds::default() });
    let mut rng = StdRng::seed_from_u64(1);
    let text = Text::read("what is the time");
    let vector = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let asked = Question::new([0; 32], &text, &vector);
    assert!(semantic.insert(&asked, 0));
    for at in 1..100 {
        assert_eq!(semantic.decide(&asked, &mut rng).answer(), Some(&0), "after {at}");
        let vector = unit(&mut rng);
        assert!(semantic.insert(&Question::new([0; 32], &text, &vector), at));
    }
    assert_eq!((semantic.len(), semantic.evicted()), (10, 90));
}

#[test]
fn scopes_never_meet_and_a_caller_only_makes_it_stricter() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut semantic = Semantic::new(Policy::default(), Bounds::default());
    let text = Text::read("what is the time");
    assert!(semantic.insert(&Question::new([1; 32], &text, &[1.0, 0.0]), 'a'));
    let mut ask = |question: Question<'_>| semantic.decide(&question, &mut rng).reason();
    assert_eq!(ask(Question::new([2; 32], &text, &[1.0, 0.0])), Reason::Unknown);
    let near = Question::new([1; 32], &text, &[0.96, 0.28]);
    assert_eq!(ask(near), Reason::Similar);
    assert_eq!(ask(near.at_least(0.1)), Reason::Similar);
    assert_ne!(ask(near.at_least(0.99)), Reason::Similar);
    assert_ne!(ask(near.at_least(f32::NAN)), Reason::Similar);
    let far = Question::new([1; 32], &text, &[0.8, 0.6]);
    assert_eq!(ask(far.at_least(0.1)), Reason::TooFar, "a caller never makes it laxer");
    assert_eq!(ask(Question::new([1; 32], &text, &[f32::NAN, 0.0])), Reason::Unknown);
    assert_eq!(ask(Question::new([1; 32], &text, &[1.0])), Reason::Unknown);
}

#[test]
fn a_bad_answer_is_not_served_and_a_removed_one_is_gone() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut semantic = Semantic::new(Policy::default(), Bounds::default());
    let text = Text::read("what is the time");
    let question = Question::new([1; 32], &text, &[1.0, 0.0]);
    assert!(semantic.insert(&question, 'a'));
    assert!(semantic.mark_bad(&'a') && !semantic.mark_bad(&'b'));
    let decision = semantic.decide(&question, &mut rng);
    assert_eq!(decision.reason(), Reason::Quarantined);
    assert_eq!(semantic.settle(decision.into_ticket(), &question, Some('b'), &[]), Settled::Inserted);
    assert_eq!(semantic.decide(&question, &mut rng).answer(), Some(&'b'));
    assert_eq!((semantic.remove(&'a'), semantic.remove(&'a'), semantic.remove(&'b')), (1, 0, 1));
    assert_eq!(semantic.decide(&question, &mut rng).reason(), Reason::Unknown);
}

#[test]
fn settings_out_of_range_are_refused_with_the_range() {
    for similarity in [0.79, 1.01, f32::NAN] {
        let error = Policy::threshold(similarity).expect_err("out of range");
        assert_eq!(error.to_string(), "`similarity` must be between 0.8 and 1");
    }
    assert!(ErrorBound::new(0.0).is_err() && ErrorBound::new(0.3).is_err() && ErrorBound::new(f64::NAN).is_err());
    let bound = ErrorBound::new(0.01).expect("it is in range");
    assert!(bound.clone().audits(0.0).is_err() && bound.clone().comparisons(0.0).is_err() && bound.window(10).is_err());
}

proptest! {
    #[test]
    fn any_two_texts_are_compared_alike_from_both_sides(one in ".{0,80}", other in ".{0,80}") {
        let (one, other) = (Text::read(&one), Text::read(&other));
        prop_assert_eq!(one.compare(&other), other.compare(&one));
        prop_assert!(one.compare(&one).is_empty());
    }
}
