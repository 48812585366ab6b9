//! All targets.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use buttress_core::{Label, Target};
use tokio::time::Instant;

use crate::{
    HealthPolicy,
    levels::{Level, Share, Spread},
    member::{Member, Standing},
    policy::{Dice, below},
};

/// All targets, by priority, and what is known of each.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: Box<[Arc<Member>]>,
    /// The members of each priority.
    levels: Box<[Range<usize>]>,
    view: Mutex<View>,
}

/// A look at all targets, which is good for a short while: a choice must not cost as much as there are targets.
#[derive(Debug)]
struct View {
    until: Option<Instant>,
    levels: Box<[Level]>,
    shares: Box<[Share]>,
    /// A target that is out, and for which it is time to look how it is.
    due: Option<usize>,
}

// === impl Fleet ===

impl Fleet {
    /// How long a look at all targets is good for.
    const VIEW: Duration = Duration::from_millis(100);

    /// Creates a fleet of `targets`. What is known of a target of the same name in `before` stays known.
    pub(crate) fn new(targets: impl IntoIterator<Item = Target>, before: Option<&Self>) -> Self {
        let member = |target: Target| match before.and_then(|fleet| fleet.find(target.name())) {
            Some(member) if *member.target() == target => Arc::clone(member),
            Some(member) => Arc::new(member.renewed(target)),
            None => Arc::new(Member::new(target)),
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
        Self { members, levels: levels.into(), view }
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

    /// Says that something has changed: the next choice looks at all targets anew.
    pub(crate) fn changed(&self) {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).until = None;
    }

    /// Draws a level, by Envoy's shares.
    pub(crate) fn draw_level(&self, dice: &Dice, health: &HealthPolicy, now: Instant) -> usize {
        self.with_view(health, now, |view| view.draw(dice))
    }

    /// Takes the target that is out and due to be looked at, if there is one.
    pub(crate) fn take_due(&self, health: &HealthPolicy, now: Instant) -> Option<&Arc<Member>> {
        let due = self.with_view(health, now, |view| view.due.take())?;
        self.members.get(due)
    }

    fn with_view<T>(&self, health: &HealthPolicy, now: Instant, f: impl FnOnce(&mut View) -> T) -> T {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.until.is_none_or(|until| until <= now) {
            view.renew(self, health, now);
        }
        f(&mut view)
    }
}

// === impl View ===

impl View {
    fn of(levels: usize) -> Self {
        let (levels, shares) = (vec![Level::default(); levels].into(), vec![Share::default(); levels].into());
        Self { until: None, levels, shares, due: None }
    }

    fn renew(&mut self, fleet: &Fleet, health: &HealthPolicy, now: Instant) {
        self.until = now.checked_add(Fleet::VIEW);
        self.due = None;
        for (level, range) in self.levels.iter_mut().zip(&fleet.levels) {
            *level = Level::default();
            for (at, member) in fleet.members.iter().enumerate().take(range.end).skip(range.start) {
                let weight = u64::from(member.target().capacity().get()) * 1000;
                level.all += weight;
                match member.standing(health, now) {
                    Standing::Drained => continue,
                    Standing::Up(factor) => level.healthy += (weight as f64 * factor) as u64,
                    Standing::Out(back) if back <= now && self.due.is_none() => self.due = Some(at),
                    Standing::Out(_) | Standing::Parked(_) => {}
                }
                level.total += weight;
            }
        }
        Spread::DEFAULT.over(&self.levels, &mut self.shares);
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
