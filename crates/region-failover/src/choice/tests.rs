//! What is chosen, and how often.

use super::*;
use crate::{
    HealthPolicy, Stance,
    ended::Ended,
    fleet::Fleet,
    story::Story,
    vectors::{list, number, section},
    vitals::Rests,
};
use buttress_core::{Attempt, Class, Criticality, Headroom, Label, Outcome, RetryHint, Room, Target, Verdict};
use proptest::prelude::*;
use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};
use tokio::time::Instant;

const HEALTH: HealthPolicy = HealthPolicy::DEFAULT;
const WORD: Outcome = Outcome::Word("test");

/// A fleet, and one request that looks for its targets.
struct Scene {
    fleet: Fleet,
    dice: Dice,
    shedding: Shedding,
    story: Story,
    passed: Vec<Label>,
    key: Option<u64>,
    context_over: u64,
    now: Instant,
}

impl Scene {
    fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let story = Story::new(None, NonZeroU32::new(1000).unwrap(), Criticality::Critical);
        let (fleet, dice) = (Fleet::new(targets, HEALTH, None), Dice::new(42));
        let (shedding, passed, now) = (Shedding::default(), Vec::new(), Instant::now());
        Self { fleet, dice, shedding, story, passed, key: None, context_over: 0, now }
    }

    fn of(names: &[&str]) -> Self {
        Self::new(names.iter().map(|name| Target::named(name).unwrap()))
    }

    fn choice(&self, policy: Policy) -> Choice<'_> {
        let Self { fleet, dice, shedding, story, passed, .. } = self;
        let fresh = story.attempts_made() == 0;
        let (key, context_over) = (self.key, self.context_over);
        let wish = Wish { story, fresh, passed, key, context_over, repeatable: true, beside: None };
        Choice {
            among: Candidates { fleet, admit: None, wish, now: fleet.epoch().moment(self.now) },
            policy,
            dice,
            shedding,
        }
    }

    fn choose(&self, policy: Policy) -> Option<&str> {
        self.choice(policy).make().map(|member| member.target().name().as_str())
    }

    fn member(&self, name: &str) -> &Member {
        self.fleet.find(&Label::try_new(name).unwrap()).unwrap()
    }

    fn note(&self, name: &str, verdict: Verdict, hint: Option<u64>, ms: u64) {
        let hint = RetryHint { after: hint.map(Duration::from_secs), should_retry: None };
        let class = Class::new(verdict, WORD).with_hint(hint);
        let elapsed = Duration::from_millis(ms);
        let ended = Ended { elapsed, ..Ended::later(class) };
        self.member(name).note(&Rests::DEFAULT, &ended, self.now);
        self.fleet.changed();
    }

    fn kill(&self, name: &str) {
        (0..5).for_each(|_| self.note(name, Verdict::Transient, None, 1));
    }

    /// How often each target is chosen, in 1000 requests of one attempt.
    fn counts(&self, policy: Policy) -> HashMap<String, u32> {
        let mut counts = HashMap::new();
        for _ in 0..1000 {
            *counts.entry(self.choose(policy).unwrap().to_owned()).or_default() += 1;
        }
        counts
    }

    /// The targets of one request, each of which fails.
    fn walk(&mut self, policy: Policy) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(target) = self.choice(policy).make().map(|member| member.target().clone()) {
            names.push(target.name().as_str().to_owned());
            self.story.record(Attempt::new(Some(target), Verdict::Transient, WORD, Duration::ZERO));
        }
        names
    }
}

fn n(capacity: u32) -> NonZeroU32 {
    NonZeroU32::new(capacity).unwrap()
}

fn domain(name: &str, domain: &str) -> Target {
    Target::named(name).unwrap().with_failure_domain(Label::try_new(domain).unwrap())
}

#[test]
fn every_policy_walks_all_targets_and_none_twice() {
    for policy in Policy::ALL {
        for key in [None, Some(7)] {
            let mut scene = Scene { key, ..Scene::of(&["a", "b", "c", "d", "e"]) };
            let mut names = scene.walk(policy);
            names.sort();
            assert_eq!(names, ["a", "b", "c", "d", "e"], "{policy:?}");
        }
    }
}

#[test]
fn another_failure_domain_comes_first_and_a_sibling_only_after_all_others() {
    for policy in Policy::ALL {
        let targets = [domain("a1", "a"), domain("a2", "a"), domain("b1", "b"), domain("b2", "b")];
        let names = Scene::new(targets).walk(policy);
        assert_ne!(names[0][..1], names[1][..1], "{policy:?}: {names:?}");
        assert_eq!(names.len(), 4);
    }
}

#[test]
fn priorities_are_walked_in_their_order_whatever_the_order_given() {
    let ranked = |name, priority| Target::named(name).unwrap().with_priority(priority);
    let mut scene = Scene::new([ranked("third", 2), ranked("first", 0), ranked("second", 1)]);
    assert_eq!(scene.walk(Policy::Ordered), ["first", "second", "third"]);
    let scene = Scene::new([ranked("third", 2), ranked("first", 0), ranked("second", 1)]);
    assert_eq!(scene.counts(Policy::Balanced), HashMap::from([("first".to_owned(), 1000)]));
}

#[test]
fn a_level_that_lost_half_its_weight_spills_thirty_percent() {
    let ranked = |name, priority| Target::named(name).unwrap().with_priority(priority);
    let scene = Scene::new([ranked("a", 0), ranked("b", 0), ranked("c", 1)]);
    scene.note("b", Verdict::RateLimited, Some(600), 1);
    let counts = scene.counts(Policy::Balanced);
    assert!((250..350).contains(&counts["c"]) && !counts.contains_key("b"), "{counts:?}");
}

#[test]
fn a_target_that_asked_for_time_gets_it_from_all_requests() {
    for policy in Policy::ALL {
        let mut scene = Scene::of(&["a", "b", "c"]);
        scene.note("a", Verdict::RateLimited, Some(30), 1);
        assert!(!scene.counts(policy).contains_key("a"), "{policy:?}");
        assert_eq!(scene.walk(policy).len(), 2, "not even when all others have failed");
        scene.passed = ["b", "c"].map(|name| Label::try_new(name).unwrap()).into();
        assert_eq!(scene.choice(policy).among.returns_at(), Some(scene.now + Duration::from_secs(30)));
    }
}

#[test]
fn a_target_that_is_out_is_asked_last_and_once_in_a_while_first() {
    for policy in Policy::ALL {
        let mut scene = Scene::of(&["a", "b"]);
        scene.kill("a");
        assert_eq!(scene.counts(policy), HashMap::from([("b".to_owned(), 1000)]), "{policy:?}");
        scene.now += Duration::from_secs(6);
        assert_eq!(scene.counts(policy)["a"], 1, "{policy:?}: one request sees how it is");
        scene.passed = vec![Label::try_new("b").unwrap()];
        assert_eq!(scene.choose(policy), Some("a"), "{policy:?}: better than nothing");
    }
}

#[test]
fn what_may_be_shed_is_never_sent_where_all_are_out_and_leaves_what_is_scarce_to_others() {
    use Criticality::{Critical, Sheddable, SheddablePlus};
    for policy in Policy::ALL {
        let mut scene = Scene::of(&["a", "b"]);
        let chosen = |scene: &mut Scene, class| {
            scene.story.class = class;
            scene.choose(policy).is_some()
        };
        scene.kill("b");
        let room = Headroom::default().with(Room::new(1, Some(1_000), Duration::from_secs(9)));
        let headroom = Some(room);
        let ended = Ended { headroom, ..Ended::later(Class::SUCCESS) };
        scene.member("a").note(&Rests::DEFAULT, &ended, scene.now);
        assert_eq!([Critical, SheddablePlus, Sheddable].map(|class| chosen(&mut scene, class)), [true, true, false]);
        let back = scene.choice(policy).among.returns_at();
        assert_eq!(back, Some(scene.now + Duration::from_secs(5)), "b may be looked at then");
        scene.kill("a");
        assert_eq!([Critical, SheddablePlus, Sheddable].map(|class| chosen(&mut scene, class)), [true, false, false]);
        assert!(scene.shedding.sheds(SheddablePlus, scene.now).is_some(), "{policy:?}");
    }
}

#[test]
fn a_request_that_cannot_be_repeated_is_no_probe() {
    let mut scene = Scene::of(&["a", "b"]);
    scene.kill("a");
    scene.now += Duration::from_secs(6);
    let mut choice = scene.choice(Policy::Ordered);
    choice.among.wish.repeatable = false;
    assert_eq!(choice.make().unwrap().target().name().as_str(), "b");
}

#[test]
fn the_better_of_two_is_the_faster_and_the_less_loaded() {
    let scene = Scene::of(&["fast", "slow", "loaded"]);
    for (name, ms) in [("fast", 100), ("slow", 1000), ("loaded", 100)] {
        scene.note(name, Verdict::Success, None, ms);
    }
    (0..50).for_each(|_| scene.member("loaded").began());
    let counts = scene.counts(Policy::Balanced);
    assert!(counts["fast"] > 600, "{counts:?}");
}

#[test]
fn capacity_shares_the_load() {
    let scene = Scene::new([
        Target::named("small").unwrap().with_capacity(n(1)),
        Target::named("large").unwrap().with_capacity(n(3)),
    ]);
    let counts = scene.counts(Policy::Weighted);
    assert!((700..800).contains(&counts["large"]), "{counts:?}");
}

#[test]
fn weight_is_shared_as_envoy_shares_it_among_localities_that_are_well_or_gone() {
    // The rows in between go by a factor of 1.4, which here stands between priorities, and not between targets.
    for case in list(&section("locality_weighted")["cases"]) {
        let healthy = ["x_healthy_pct", "y_healthy_pct"].map(|name| number(&case[name]));
        if healthy.iter().any(|percent| !matches!(percent, 0 | 100)) {
            continue;
        }
        let weights = ["x_weight", "y_weight"].map(|name| number(&case[name]) as u32);
        let target = |name, weight| Target::named(name).unwrap().with_capacity(n(weight));
        let scene = Scene::new([target("x", weights[0]), target("y", weights[1])]);
        if healthy[0] == 0 {
            scene.kill("x");
        }
        let counts = scene.counts(Policy::Weighted);
        let share = f64::from(*counts.get("x").unwrap_or(&0)) / 10.0;
        assert!((share - number(&case["pct"][0]) as f64).abs() < 5.0, "{case}: {share}");
    }
}

#[test]
fn a_target_that_fails_far_more_often_than_the_others_counts_for_a_tenth_and_never_do_all() {
    // Envoy's row on rates of success, for 100 requests each: the rule is another one, and so is what is done.
    let rows = section("outlier");
    let rates = list(&list(&rows["cases"])[4]["rates"]).iter().map(number).collect::<Vec<_>>();
    for (rates, outliers) in [
        (&rates[..], &["t0"][..]),
        (&[96, 100, 100], &[]),
        (&[94, 100, 100], &["t0"]),
        (&[90, 95, 95], &[]),
        (&[80, 95, 95], &["t0"]),
        (&[50, 50, 50], &[]),
        (&[80, 95], &["t0"]),
        (&[60], &[]),
    ] {
        let scene = Scene::new((0..rates.len()).map(|i| Target::named(&format!("t{i}")).unwrap()));
        for (i, rate) in rates.iter().enumerate() {
            for k in 0..100 {
                let verdict = if k * (100 - rate) % 100 < 100 - rate { Verdict::Transient } else { Verdict::Success };
                scene.note(&format!("t{i}"), verdict, None, 1);
            }
        }
        scene.choose(Policy::Ordered);
        let eased = (0..rates.len())
            .map(|i| format!("t{i}"))
            .filter(|name| matches!(scene.member(name).standing(scene.now), Standing::Up(share) if share.ease < 0.2));
        assert_eq!(eased.collect::<Vec<_>>(), outliers, "{rates:?}");
    }
}

#[test]
fn cost_and_latency_and_turn_are_what_their_policies_go_by() {
    let priced = |name, cost| Target::named(name).unwrap().with_cost(cost);
    let mut scene = Scene::new([priced("dear", 9), priced("cheap", 1), priced("fair", 3)]);
    assert_eq!(scene.walk(Policy::Cheapest), ["cheap", "fair", "dear"]);
    let scene = Scene::of(&["far", "near"]);
    scene.note("far", Verdict::Success, None, 200);
    scene.note("near", Verdict::Success, None, 20);
    assert_eq!(scene.choose(Policy::Nearest), Some("near"));
    let scene = Scene::of(&["a", "b", "c"]);
    let turns: Vec<_> = (0..4).map(|_| scene.choose(Policy::RoundRobin).unwrap()).collect();
    assert_eq!(turns, ["a", "b", "c", "a"]);
}

#[test]
fn a_key_keeps_its_target_until_that_has_more_than_its_share() {
    let names: Vec<String> = (0..10).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut scene = Scene::of(&names);
    let mut homes = Vec::new();
    for key in 0..100 {
        scene.key = Some(key);
        let home = scene.choose(Policy::Sticky).unwrap().to_owned();
        assert_eq!(scene.choose(Policy::Sticky), Some(home.as_str()));
        homes.push(home);
    }
    assert!(homes.iter().collect::<std::collections::HashSet<_>>().len() > 7, "keys are spread");
    scene.key = Some(0);
    (0..5).for_each(|_| scene.member(&homes[0]).began());
    assert_ne!(scene.choose(Policy::Sticky), Some(homes[0].as_str()));
    scene.note(&homes[1], Verdict::RateLimited, Some(30), 1);
    for key in 0..100 {
        scene.key = Some(key);
        let moved = homes[key as usize] != homes[1] && homes[key as usize] != homes[0];
        assert!(!moved || scene.choose(Policy::Sticky) == Some(homes[key as usize].as_str()), "only its own keys move");
    }
}

#[test]
fn a_request_that_is_too_long_goes_only_where_it_is_known_to_fit() {
    let sized = |name, tokens| Target::named(name).unwrap().with_context(NonZeroU64::new(tokens).unwrap());
    let mut scene = Scene::new([sized("8k", 8000), Target::named("any").unwrap(), sized("128k", 128_000)]);
    scene.context_over = 8000;
    assert_eq!(scene.walk(Policy::Ordered), ["128k"]);
}

#[test]
fn a_drained_target_gets_nothing_and_takes_no_share() {
    for policy in Policy::ALL {
        let scene = Scene::of(&["a", "b"]);
        scene.member("a").set_stance(Stance::Drained);
        scene.fleet.changed();
        assert_eq!(scene.counts(policy), HashMap::from([("b".to_owned(), 1000)]), "{policy:?}");
    }
}

proptest! {
    #[test]
    fn as_long_as_a_target_may_be_asked_one_is_chosen(
        targets in proptest::collection::vec((0..3_u8, 0..3_u8, 1..5_u32, 0..4_u8), 1..12),
        policy in 0..Policy::ALL.len(),
        key in proptest::option::of(any::<u64>()),
    ) {
        let target = |(i, &(priority, group, capacity, _)): (usize, &(u8, u8, u32, u8))| {
            domain(&format!("t{i}"), &format!("d{group}")).with_priority(priority).with_capacity(n(capacity))
        };
        let mut scene = Scene { key, ..Scene::new(targets.iter().enumerate().map(target)) };
        let mut askable = 0;
        for (i, (.., fate)) in targets.iter().enumerate() {
            let name = format!("t{i}");
            match fate {
                0 => scene.note(&name, Verdict::RateLimited, Some(60), 1),
                1 => scene.member(&name).set_stance(Stance::Drained),
                2 => scene.kill(&name),
                _ => {}
            }
            askable += u32::from(*fate >= 2);
        }
        prop_assert_eq!(scene.walk(Policy::ALL[policy]).len() as u32, askable);
    }
}
