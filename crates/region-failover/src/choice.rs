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
    standing::Standing,
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
                self.shedding.found_short(story.class, self.among.now.at);
            }
            if story.class.is_sheddable() { None } else { self.least_bad() }
        })
    }

    /// Chooses a target of another failure domain for a request that is under way already; `None` if none is there that
    /// takes up its whole load.
    pub(crate) fn make_second(&self) -> Option<&'a Arc<Member>> {
        self.by_policy(Domains::Other).filter(|member| match member.standing(self.among.now.at) {
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
        (self.among.is_open(member, Domains::Any) && member.claim_probe(self.among.now.at)).then_some(member)
    }

    #[inline]
    fn by_policy(&self, domains: Domains) -> Option<&'a Arc<Member>> {
        let members = self.among.fleet.members();
        let all = 0..members.len();
        // Almost always the first takes up its whole load, and no dice are needed.
        if self.policy == Policy::Ordered
            && let Some(first) = members.first()
            && self.takes_all(first, domains)
        {
            return Some(first);
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

    /// Whether a target may be asked, and takes up its whole load.
    #[inline]
    fn takes_all(&self, member: &'a Arc<Member>, domains: Domains) -> bool {
        let plain = self.among.asks_nothing() && member.serves();
        let takes = || self.among.up(member, domains).is_some_and(|up| up.share.ease >= 1.0);
        if plain { self.among.admits(member) } else { takes() }
    }

    /// Chooses by a rule that goes by no weight.
    fn by_rule(&self, dice: u64, domains: Domains, there: &dyn Fn(&Up<'_>) -> bool) -> Option<&'a Arc<Member>> {
        let all = 0..self.among.fleet.members().len();
        let ups = || self.among.ups(all.clone(), domains).filter(|up| there(up));
        match (self.policy, self.among.wish.key) {
            (Policy::Nearest, _) => least(ups(), |up| up.member.pace(self.among.now.at).latency.unwrap_or(0.0)),
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
        let level = if levels.len() == 1 { 0 } else { self.among.fleet.draw_level(self.dice, self.among.now.at) };
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
            let (one, other) = (level.get(first)?, level.get(second)?);
            if let Some(member) = self.better(one, other).or_else(|| self.better_after_all(one, other, domains)) {
                return Some(member);
            }
        }
        self.least_loaded(self.among.ups(range, domains))
    }

    /// The better of two that both simply serve, for a request that goes anywhere: almost always.
    #[inline]
    fn better(&self, one: &'a Arc<Member>, other: &'a Arc<Member>) -> Option<&'a Arc<Member>> {
        let cost = |member: &Member| member.cost_at(self.among.now.nanos).filter(|_| self.among.admits(member));
        if !self.among.asks_nothing() {
            return None;
        }
        Some(if cost(other)? < cost(one)? { other } else { one })
    }

    fn better_after_all(
        &self,
        one: &'a Arc<Member>,
        other: &'a Arc<Member>,
        domains: Domains,
    ) -> Option<&'a Arc<Member>> {
        self.least_loaded([one, other].into_iter().filter_map(|member| self.among.up(member, domains)))
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
        let now = self.among.now.at;
        let open = self.among.fleet.members().iter().filter(|member| self.among.is_open(member, Domains::Any));
        let out = open.filter_map(|member| match member.standing(now) {
            Standing::Out(at) if !member.is_congested(now) => {
                Some((tried(member.target().failure_domain()), at, member))
            }
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
            let pace = up.member.pace(self.among.now.at);
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
mod tests;
