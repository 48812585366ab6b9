//! All targets.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use buttress_core::{Label, Target};
use tokio::time::Instant;

use crate::{
    HealthPolicy, LevelReport,
    epoch::{Epoch, Moment},
    levels::{Level, Share, Spread},
    member::Member,
    policy::{Dice, below},
    standing::Standing,
};

/// All targets, by priority, and what is known of each.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: Box<[Arc<Member>]>,
    epoch: Epoch,
    /// The members of each priority.
    levels: Box<[Range<usize>]>,
    /// How many attempts each level got by targets that are no more.
    departed: Box<[u64]>,
    view: Mutex<View>,
    /// What may be known of the view without a lock.
    glance: Glance,
}

/// What may be known of a view without a lock. Almost always there is nothing to take from it.
#[derive(Debug, Default)]
struct Glance {
    /// How long the view is good, in nanoseconds from the epoch. 0 if it is not.
    until: AtomicU64,
    has_due: AtomicBool,
}

/// A look at all targets, which is good for a short while: a choice must not cost as much as there are targets.
#[derive(Debug)]
struct View {
    until: Option<Instant>,
    levels: Box<[Level]>,
    shares: Box<[Share]>,
    /// A target that is out, and for which it is time to look how it is.
    due: Option<usize>,
    /// How often each target fails that is known well enough, and which it is.
    rates: Vec<(f64, usize)>,
    /// Those that fail far more often than the others.
    outliers: Vec<usize>,
}

// === impl Fleet ===

impl Fleet {
    /// How long a look at all targets is good for.
    const VIEW: Duration = Duration::from_millis(100);

    /// Creates a fleet of `targets`. What is known of a target of the same name in `before` stays known.
    pub(crate) fn new(targets: impl IntoIterator<Item = Target>, health: HealthPolicy, before: Option<&Self>) -> Self {
        let epoch = before.map_or_else(Epoch::default, |fleet| fleet.epoch.clone());
        let member = |target: Target| match before.and_then(|fleet| fleet.find(target.name())) {
            Some(member) if *member.target() == target => Arc::clone(member),
            Some(member) => Arc::new(member.renewed(target)),
            None => Arc::new(Member::new(target, health, &epoch)),
        };
        let mut members: Box<[_]> = targets.into_iter().map(member).collect();
        // Stable: within a priority, as given.
        members.sort_by_key(|member| member.target().priority());
        let mut levels = Vec::new();
        let mut from = 0;
        for level in members.chunk_by(|a, b| a.target().priority() == b.target().priority()) {
            levels.push(from..from + level.len());
            from += level.len();
        }
        let view = Mutex::new(View::of(levels.len()));
        let departed = |range: &Range<usize>| before.map_or(0, |fleet| fleet.departed(&members[range.clone()]));
        let departed = levels.iter().map(departed).collect();
        Self { members, epoch, levels: levels.into(), departed, view, glance: Glance::default() }
    }

    /// Returns from where all times are counted.
    pub(crate) const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Returns all members, by priority.
    pub(crate) const fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Returns where the members of each priority stand.
    pub(crate) const fn levels(&self) -> &[Range<usize>] {
        &self.levels
    }

    pub(crate) fn find(&self, name: &Label) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.target().name() == name)
    }

    /// Returns how many attempts the level of `members` got by targets that are not among them.
    fn departed(&self, members: &[Arc<Member>]) -> u64 {
        let priority = |level: &[Arc<Member>]| level.first().map(|member| member.target().priority());
        let same = |range: &&Range<usize>| priority(&self.members[(*range).clone()]) == priority(members);
        let Some((at, range)) = self.levels.iter().enumerate().find(|(_, range)| same(range)) else { return 0 };
        let gone = |member: &&Arc<Member>| !members.iter().any(|other| Arc::ptr_eq(other, member));
        let gone: u64 = self.members[range.clone()].iter().filter(gone).map(|member| member.attempts()).sum();
        self.departed[at] + gone
    }

    /// Returns how each level stands, the first by priority first.
    pub(crate) fn list_levels(&self, now: Instant) -> Vec<LevelReport> {
        let known = self
            .with_view(now, |view| view.levels.iter().copied().zip(view.shares.iter().copied()).collect::<Vec<_>>());
        let report = |((range, departed), (level, share)): ((&Range<usize>, &u64), (Level, Share))| {
            let members = &self.members[range.clone()];
            LevelReport {
                priority: members.first().map_or(0, |member| member.target().priority()),
                targets: members.len(),
                attempts: departed + members.iter().map(|member| member.attempts()).sum::<u64>(),
                share_percent: share.healthy + share.degraded,
                availability_percent: Spread::DEFAULT.availability(&level),
            }
        };
        self.levels.iter().zip(&self.departed).zip(known).map(report).collect()
    }

    /// Says that something has changed: the next choice looks at all targets anew.
    pub(crate) fn changed(&self) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.until = None;
        self.glance.until.store(0, Ordering::Release);
    }

    /// Looks at all targets, if it is time to.
    pub(crate) fn look(&self, now: Instant) {
        self.with_view(now, |_| ());
    }

    /// Draws a level, by Envoy's shares.
    pub(crate) fn draw_level(&self, dice: &Dice, now: Instant) -> usize {
        self.with_view(now, |view| view.draw(dice))
    }

    /// Takes the target that is out and due to be looked at, if there is one, and whoever asks `may` look.
    #[inline]
    pub(crate) fn take_due(&self, now: Moment, may: impl FnOnce() -> bool) -> Option<&Arc<Member>> {
        if self.glance.shows_nothing(now.nanos) {
            return None;
        }
        let due = self.with_view(now.at, |view| {
            let due = view.due.take_if(|_| may());
            self.glance.has_due.store(view.due.is_some(), Ordering::Relaxed);
            due
        })?;
        self.members.get(due)
    }

    fn with_view<T>(&self, now: Instant, f: impl FnOnce(&mut View) -> T) -> T {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.until.is_none_or(|until| until <= now) {
            view.renew(self, now);
            self.glance.renew(view.due.is_some(), view.until.map(|until| self.epoch.nanos(until)));
        }
        f(&mut view)
    }
}

// === impl Glance ===

impl Glance {
    /// Whether the view is good, and no target is due to be looked at.
    #[inline]
    fn shows_nothing(&self, nanos: u64) -> bool {
        nanos < self.until.load(Ordering::Acquire) && !self.has_due.load(Ordering::Relaxed)
    }

    fn renew(&self, has_due: bool, until: Option<u64>) {
        self.has_due.store(has_due, Ordering::Relaxed);
        self.until.store(until.unwrap_or(0), Ordering::Release);
    }
}

// === impl View ===

impl View {
    fn of(levels: usize) -> Self {
        let (levels, shares) = (vec![Level::default(); levels].into(), vec![Share::default(); levels].into());
        Self { until: None, levels, shares, due: None, rates: Vec::new(), outliers: Vec::new() }
    }

    fn renew(&mut self, fleet: &Fleet, now: Instant) {
        self.until = now.checked_add(Fleet::VIEW);
        self.due = None;
        self.rates.clear();
        for (level, range) in self.levels.iter_mut().zip(&fleet.levels) {
            *level = Level::default();
            for (at, member) in fleet.members.iter().enumerate().take(range.end).skip(range.start) {
                let weight = u64::from(member.weight().get()) * 1000;
                level.all += weight;
                let (standing, rate) = member.survey(now);
                self.rates.extend(rate.map(|rate| (rate, at)));
                match standing {
                    Standing::Drained => continue,
                    Standing::Up(share) => level.healthy += (weight as f64 * share.factor()) as u64,
                    Standing::Out(back) if back <= now && self.due.is_none() => self.due = Some(at),
                    Standing::Out(_) | Standing::Parked(_) => {}
                }
                level.total += weight;
            }
        }
        Spread::DEFAULT.over(&self.levels, &mut self.shares);
        self.find_outliers(fleet);
    }

    /// A target that fails three times as often as the median of the others, and at least one time in twenty, counts for
    /// less. The one that fails least is never among them.
    fn find_outliers(&mut self, fleet: &Fleet) {
        const TIMES: f64 = 3.0;
        const LEAST: f64 = 0.05;
        self.rates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // A target that is not heard of any more is no outlier any more.
        let was = std::mem::take(&mut self.outliers);
        let n = self.rates.len();
        for (place, &(rate, at)) in self.rates.iter().enumerate().skip(1) {
            // Whoever stands above this one stands a place lower among the others.
            let other = |k: usize| self.rates[if k < place { k } else { k + 1 }].0;
            let median = f64::midpoint(other((n - 2) / 2), other((n - 1) / 2));
            if rate >= LEAST && rate >= TIMES * median {
                self.outliers.push(at);
            }
        }
        for at in was.iter().filter(|at| !self.outliers.contains(at)) {
            fleet.members[*at].set_outlier(false);
        }
        for at in &self.outliers {
            fleet.members[*at].set_outlier(true);
        }
    }

    fn draw(&self, dice: &Dice) -> usize {
        let mut at = below(dice.roll(), 100) as i32;
        let drawn = self.shares.iter().position(|share| {
            at -= i32::from(share.healthy) + i32::from(share.degraded);
            at < 0
        });
        drawn.unwrap_or(0)
    }
}
