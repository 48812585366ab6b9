//! The choice of a target for one attempt.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
    sync::Arc,
};

use crate::{
    Policy,
    candidates::{Candidates, Domains, Up, Wish},
    member::Member,
    policy::{Dice, below, mix},
    shedding::Shedding,
    vitals::Standing,
};

/// The choice of a target for one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) among: Candidates<'a>,
    pub(crate) policy: Policy,
    pub(crate) dice: &'a Dice,
    pub(crate) shedding: &'a Shedding,
}

// === impl Choice ===

impl<'a> Choice<'a> {
    /// Chooses a target; `None` if none of those that were not tried may be asked now.
    #[inline]
    pub(crate) fn make(&self) -> Option<&'a Arc<Member>> {
        if let Some(member) = self.due() {
            return Some(member);
        }
        // Almost always nothing has failed, and both rounds are the same.
        let other = if self.among.wish.fresh { None } else { self.by_policy(Domains::Other) };
        other.or_else(|| self.by_policy(Domains::Any)).or_else(|| {
            let Wish { fresh, story, .. } = self.among.wish;
            if fresh {
                self.shedding.found_short(story.class, self.among.now);
            }
            if story.class.is_sheddable() { None } else { self.least_bad() }
        })
    }

    /// Chooses a target of another failure domain for a request that is under way already; `None` if none is there that
    /// takes up its whole load.
    pub(crate) fn make_second(&self) -> Option<&'a Arc<Member>> {
        self.by_policy(Domains::Other).filter(|member| match member.standing(self.among.now) {
            Standing::Up(share) => share.ease >= 1.0,
            _ => false,
        })
    }

    /// A request that could go elsewhere sees how a target is that is out, if it is time for it.
    #[inline]
    fn due(&self) -> Option<&'a Arc<Member>> {
        let Wish { story, repeatable, fresh, .. } = self.among.wish;
        if !repeatable || !fresh {
            return None;
        }
        let member = self.among.fleet.take_due(self.among.now, || story.attempts_left() > 0)?;
        (self.among.is_open(member, Domains::Any) && member.claim_probe(self.among.now)).then_some(member)
    }

    #[inline]
    fn by_policy(&self, domains: Domains) -> Option<&'a Arc<Member>> {
        let members = self.among.fleet.members();
        let all = 0..members.len();
        // Almost always the first takes up its whole load, and no dice are needed.
        if self.policy == Policy::Ordered
            && let Some(up) = members.first().and_then(|first| self.among.up(first, domains))
            && up.share.ease >= 1.0
        {
            return Some(up.member);
        }
        match (self.policy, self.among.wish.key) {
            (Policy::Balanced, _) | (Policy::Sticky, None) => self.balanced(domains),
            (Policy::Weighted, _) => self.weighted(|| self.among.ups(all.clone(), domains)),
            _ => {
                let dice = if self.policy == Policy::RoundRobin { self.dice.turn() } else { self.dice.roll() };
                // Whoever takes up only a part of its load is there for only a part of the requests.
                let there = |up: &Up<'_>| up.share.ease >= 1.0 || unit(salted(dice, up.member)) < up.share.ease;
                self.by_rule(dice, domains, &there).or_else(|| self.by_rule(dice, domains, &|_| true))
            }
        }
    }

    /// Chooses by a rule that goes by no weight.
    fn by_rule(&self, dice: u64, domains: Domains, there: &dyn Fn(&Up<'_>) -> bool) -> Option<&'a Arc<Member>> {
        let all = 0..self.among.fleet.members().len();
        let ups = || self.among.ups(all.clone(), domains).filter(|up| there(up));
        match (self.policy, self.among.wish.key) {
            (Policy::Nearest, _) => least(ups(), |up| up.member.pace(self.among.now).latency.unwrap_or(0.0)),
            (Policy::Cheapest, _) => {
                let price = ups().map(|up| up.member.target().cost()).min()?;
                self.least_loaded(ups().filter(|up| up.member.target().cost() == price))
            }
            (Policy::RoundRobin, _) => {
                let first = (dice % all.len().max(1) as u64) as usize;
                let mut circle = self.among.ups(first..all.len(), domains).chain(self.among.ups(0..first, domains));
                circle.find(there).map(|up| up.member)
            }
            (Policy::Sticky, Some(key)) => self.sticky(key, ups()),
            _ => ups().next().map(|up| up.member),
        }
    }

    /// Envoy's levels, and in the level that the dice name, the better of two.
    #[inline]
    fn balanced(&self, domains: Domains) -> Option<&'a Arc<Member>> {
        let levels = self.among.fleet.levels();
        let level = if levels.len() == 1 { 0 } else { self.among.fleet.draw_level(self.dice, self.among.now) };
        self.better_of_two(levels.get(level)?.clone(), domains).or_else(|| {
            // It has nobody for this request. What is left is asked in the order of priority.
            levels.iter().find_map(|range| self.better_of_two(range.clone(), domains))
        })
    }

    fn better_of_two(&self, range: Range<usize>, domains: Domains) -> Option<&'a Arc<Member>> {
        /// How often two are drawn before all are looked at.
        const DRAWS: u32 = 3;
        let level = self.among.fleet.members().get(range.clone()).unwrap_or_default();
        let n = level.len();
        for _ in 0..if n > 2 { DRAWS } else { 0 } {
            let dice = self.dice.roll();
            let first = below(dice, n);
            // Another one: there are n - 1.
            let second = below(mix(dice), n - 1);
            let second = if second < first { second } else { second + 1 };
            let one = |at: usize| self.among.up(level.get(at)?, domains);
            if let Some(member) = self.least_loaded([one(first), one(second)].into_iter().flatten()) {
                return Some(member);
            }
        }
        self.least_loaded(self.among.ups(range, domains))
    }

    fn weighted<I: Iterator<Item = Up<'a>>>(&self, ups: impl Fn() -> I) -> Option<&'a Arc<Member>> {
        let weight = |up: &Up<'_>| capacity(up.member) * up.share.factor().max(1e-6);
        let total: f64 = ups().map(|up| weight(&up)).sum();
        let mut at = unit(self.dice.roll()) * total;
        let mut last = None;
        for up in ups() {
            at -= weight(&up);
            last = Some(up.member);
            if at < 0.0 {
                break;
            }
        }
        last
    }

    /// The first in the order that the key gives, whose load is not above 1.25 times its share.
    fn sticky(&self, key: u64, ups: impl Iterator<Item = Up<'a>>) -> Option<&'a Arc<Member>> {
        const BOUND: f64 = 1.25;
        let members = self.among.fleet.members();
        let pending: f64 = members.iter().map(|member| f64::from(member.pending())).sum();
        let each = (pending + 1.0) / members.iter().map(|member| capacity(member)).sum::<f64>();
        let full = |member: &Member| f64::from(member.pending()) + 1.0 > (each * capacity(member) * BOUND).ceil();
        // Weighted rendezvous hashing: the least of -w / ln(u), negated, for a u in (0, 1) that key and name give.
        let rank = |member: &Member| {
            let mut hasher = DefaultHasher::new();
            (key, member.target().name().as_str()).hash(&mut hasher);
            capacity(member) / unit(hasher.finish()).ln()
        };
        let ranked = ups.map(|up| (full(up.member), rank(up.member), up.member));
        let first = ranked.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        first.map(|(_, _, member)| member)
    }

    /// All are out: the one that is due back first. What a target asked for itself is kept all the same.
    fn least_bad(&self) -> Option<&'a Arc<Member>> {
        let tried = |domain| self.among.wish.story.told().is_some_and(|context| context.tried(domain));
        let now = self.among.now;
        let open = self.among.fleet.members().iter().filter(|member| self.among.is_open(member, Domains::Any));
        let out = open.filter_map(|member| match member.standing(now) {
            Standing::Out(at) if !member.is_congested() => Some((tried(member.target().failure_domain()), at, member)),
            _ => None,
        });
        let (_, _, member) = out.min_by_key(|(tried, at, _)| (*tried, *at))?;
        // If it is due, this is how it is looked at.
        member.claim_probe(now);
        Some(member)
    }

    /// Returns the member where one request more costs least; one that is in doubt instead of one that is not only now and
    /// then.
    #[inline]
    fn least_loaded(&self, ups: impl Iterator<Item = Up<'a>>) -> Option<&'a Arc<Member>> {
        /// One request in so many sees how a target is by now that is in doubt.
        const LOOKS: usize = 150;
        let mut best = [None, None];
        for up in ups {
            let pace = up.member.pace(self.among.now);
            let cost = up.member.cost(up.share.factor(), pace);
            let best = &mut best[usize::from(pace.in_doubt)];
            if best.is_none_or(|(least, _)| cost < least) {
                *best = Some((cost, up.member));
            }
        }
        match best {
            [Some((cost, well)), Some((less, in_doubt))] => {
                let looks = || below(self.dice.roll(), LOOKS) == 0;
                Some(if less < cost && looks() { in_doubt } else { well })
            }
            [well, in_doubt] => well.or(in_doubt).map(|(_, member)| member),
        }
    }
}

/// Returns the member with the least `cost`; the first of equals.
fn least<'a>(ups: impl Iterator<Item = Up<'a>>, cost: impl Fn(&Up<'a>) -> f64) -> Option<&'a Arc<Member>> {
    let priced = ups.map(|up| (cost(&up), up.member));
    priced.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, member)| member)
}

/// Returns random bits of its own for each target.
fn salted(dice: u64, member: &Member) -> u64 {
    let mut hasher = DefaultHasher::new();
    (dice, member.target().name().as_str()).hash(&mut hasher);
    hasher.finish()
}

fn capacity(member: &Member) -> f64 {
    f64::from(member.weight().get())
}

/// Returns a number in (0, 1) from random `bits`.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
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
            Choice { among: Candidates { fleet, admit: None, wish, now: self.now }, policy, dice, shedding }
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
            assert_eq!(
                [Critical, SheddablePlus, Sheddable].map(|class| chosen(&mut scene, class)),
                [true, true, false]
            );
            let back = scene.choice(policy).among.returns_at();
            assert_eq!(back, Some(scene.now + Duration::from_secs(5)), "b may be looked at then");
            scene.kill("a");
            assert_eq!(
                [Critical, SheddablePlus, Sheddable].map(|class| chosen(&mut scene, class)),
                [true, false, false]
            );
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
                    let verdict =
                        if k * (100 - rate) % 100 < 100 - rate { Verdict::Transient } else { Verdict::Success };
                    scene.note(&format!("t{i}"), verdict, None, 1);
                }
            }
            scene.choose(Policy::Ordered);
            let eased = (0..rates.len()).map(|i| format!("t{i}")).filter(
                |name| matches!(scene.member(name).standing(scene.now), Standing::Up(share) if share.ease < 0.2),
            );
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
            assert!(
                !moved || scene.choose(Policy::Sticky) == Some(homes[key as usize].as_str()),
                "only its own keys move"
            );
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
}
