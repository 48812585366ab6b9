//! Deciding with Redis, or without asking it where the answer is known.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use buttress_redis::ErrorKind;
use rand::RngExt as _;
use tokio::time::Instant;
use tracing::debug;

use super::{
    counts::Counters,
    lease::{Pot, wants},
    near::Near,
    outbox::Outbox,
    script::{Change, Levels, Told},
};
use crate::{
    Bucket, Costs, Limits, SharedLimits, Shortage, WhenAway,
    limiter::{Grant, Limiter, Not, Owner, Source, Taken},
    shard::Shard,
    table::Kept,
};

/// What a limiter whose levels are in Redis has in addition.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) levels: Arc<Levels>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) replicas: NonZeroU32,
    pub(crate) away: WhenAway,
    /// In nanoseconds.
    pub(crate) lease: u64,
    memory: u64,
    /// Counts the times that Redis has come back to something that was used meanwhile.
    pub(crate) epoch: AtomicU32,
    /// Something was.
    pub(crate) spent: AtomicBool,
    pub(crate) counters: Counters,
}

/// What can be said of a call without asking Redis.
#[derive(Debug)]
pub(crate) enum Here {
    Taken(Taken),
    Not(Not),
    Ask,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(shared: &SharedLimits) -> Self {
        let SharedLimits { redis, namespace, name, .. } = shared.clone();
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            levels: Arc::new(Levels::new(redis, &namespace, &name, rand::rng().random())),
            outbox: Arc::default(),
            replicas: shared.replicas,
            away: shared.away,
            lease: nanos(shared.lease),
            memory: nanos(shared.memory),
            epoch: AtomicU32::new(0),
            spent: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }
}

// === impl Limiter ===

impl Limiter {
    /// Decides what needs no answer of Redis. Who comes anew is behind those who wait.
    pub(crate) fn here(&self, store: &Store, owner: Owner, costs: Costs, now: Instant) -> Here {
        if self.shard(owner.key).is_waited_for(owner.key) {
            return Here::Not(Not::Behind);
        }
        self.here_in_turn(store, owner, costs, now)
    }

    /// Decides what needs no answer of Redis, of a call whose turn it is.
    pub(crate) fn here_in_turn(&self, store: &Store, owner: Owner, costs: Costs, now: Instant) -> Here {
        if !store.levels.is_there() {
            return self.by_itself(store, owner, costs, now).map_or_else(Here::Not, Here::Taken);
        }
        let nanos = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let Some((mut kept, near)) = self.known(&mut shard, owner, nanos) else { return Here::Ask };
        if let Some(never) = never(kept.limits(), &costs) {
            return Here::Not(Not::Short(never));
        }
        near.calls.count(nanos, store.lease);
        near.end_lease(store, owner, nanos, kept.limits().id());
        if let (Some(pot), Ok(exact)) = (&mut near.pot, kept.limits().exact())
            && pot.take(&exact.needs(kept.limits(), &costs))
        {
            store.counters.leased.fetch_add(1, Ordering::Relaxed);
            return Here::Taken(Taken::new(owner, costs, Grant::out_of(kept.limits().id(), Source::Shared)));
        }
        if nanos < near.believed_until
            && let Err(shortage) = kept.bucket.check(&costs, nanos)
        {
            store.counters.remembered.fetch_add(1, Ordering::Relaxed);
            return Here::Not(Not::Short(shortage));
        }
        Here::Ask
    }

    /// Asks Redis, or decides without it if it does not answer.
    pub(crate) async fn ask(&self, store: &Store, owner: Owner, costs: Costs) -> Result<Taken, Not> {
        let (limits, wants) = self.wants(store, owner, &costs, Instant::now());
        if let Some(never) = never(&limits, &costs) {
            return Err(Not::Short(never));
        }
        let Ok(exact) = limits.exact() else { return Err(Not::Away) };
        store.counters.asked.fetch_add(1, Ordering::Relaxed);
        let change = Change::Take(exact.needs(&limits, &costs), wants);
        match store.levels.apply(owner.key, exact, &change).await {
            Ok(told) => self.told(store, owner, costs, &limits, &told, Instant::now()),
            Err(error) => {
                debug!(%error, "redis did not decide");
                match error.kind() {
                    ErrorKind::TimedOut => self.after_timeout(store, owner, costs, Instant::now()),
                    _ => self.by_itself(store, owner, costs, Instant::now()),
                }
            }
        }
    }

    /// Returns under which limits a call is, and what is to be leased with it.
    fn wants(&self, store: &Store, owner: Owner, costs: &Costs, now: Instant) -> (Limits, super::exact::Parts) {
        let nanos = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let Some((kept, near)) = self.known(&mut shard, owner, nanos) else {
            drop(shard);
            return (self.limits_of(owner), Default::default());
        };
        let limits = kept.limits().clone();
        // One at a time: else each of those that find none would take one.
        let expected = near.calls.expected().filter(|_| store.lease > 0 && near.leasing_until <= nanos);
        let wants = match (expected, limits.exact()) {
            (Some(expected), Ok(exact)) => {
                near.leasing_until = nanos.saturating_add(store.lease);
                wants(exact, &exact.needs(&limits, costs), expected, near.pot.as_deref())
            }
            _ => Default::default(),
        };
        (limits, wants)
    }

    /// Goes by what Redis has said to a call.
    fn told(
        &self,
        store: &Store,
        owner: Owner,
        costs: Costs,
        limits: &Limits,
        told: &Told,
        now: Instant,
    ) -> Result<Taken, Not> {
        let nanos = self.nanos(now);
        let mut shard = self.shard(owner.key);
        match self.known(&mut shard, owner, nanos) {
            Some((mut kept, near)) if kept.limits().id() == limits.id() => {
                learn(store, &mut kept, near, told, nanos);
                near.lease(store, owner, limits, told, nanos);
            }
            // What was leased and cannot be remembered goes back.
            _ => store.outbox.settle(owner.key, limits.clone(), told.extra.map(|extra| -extra)),
        }
        drop(shard);
        if told.done {
            return Ok(Taken::new(owner, costs, Grant::out_of(limits.id(), Source::Shared)));
        }
        let mut bucket = Bucket::full(limits, nanos);
        if let Ok(exact) = limits.exact() {
            bucket.view(limits).learn(exact.told(&told.missing), nanos);
        }
        Err(bucket.reserve(limits, &costs, nanos).map_or_else(Not::Short, |()| Not::Behind))
    }

    /// Goes by what Redis has said to a change that was made in the background. Returns whom to wake.
    pub(crate) fn hears(
        &self,
        store: &Store,
        due: &super::outbox::Due,
        told: &Told,
        now: Instant,
    ) -> Option<std::task::Waker> {
        let nanos = self.nanos(now);
        let mut guard = self.shard(due.key);
        let Shard { kept, near, .. } = &mut *guard;
        if let (Some(mut kept), Some(near)) = (kept.get(due.key), near.get_mut(&due.key))
            && kept.limits().id() == due.limits.id()
        {
            learn(store, &mut kept, near, told, nanos);
        }
        guard.first(due.key)
    }

    /// Finds or makes what is known of a key, or returns `None` if there is no room.
    pub(crate) fn known<'a>(&self, shard: &'a mut Shard, owner: Owner, now: u64) -> Option<(Kept<'a>, &'a mut Near)> {
        self.kept(shard, owner, now)?;
        let Shard { kept, near, .. } = shard;
        Some((kept.get(owner.key)?, near.entry(owner.key).or_default()))
    }
}

// === impl Near ===

impl Near {
    /// Puts what was taken in advance into the pot.
    fn lease(&mut self, store: &Store, owner: Owner, limits: &Limits, told: &Told, now: u64) {
        if told.extra.iter().all(|extra| *extra == 0) {
            return;
        }
        self.leasing_until = 0;
        self.end_lease(store, owner, now, limits.id());
        let until = now.saturating_add(store.lease);
        if self.pot.is_none() {
            store.outbox.leased(until, owner.key);
        }
        let pot =
            self.pot.get_or_insert_with(|| Box::new(Pot { limits: limits.clone(), left: Default::default(), until }));
        pot.left.iter_mut().zip(told.extra).for_each(|(left, extra)| *left += extra);
        pot.until = until;
    }

    /// Gives back what is left in the pot, if its time is over, or if the limits have changed.
    pub(crate) fn end_lease(&mut self, store: &Store, owner: Owner, now: u64, limits: u64) {
        if let Some(pot) = self.pot.take_if(|pot| pot.until <= now || pot.limits.id() != limits)
            && let Some(back) = pot.given_back()
        {
            store.outbox.settle(owner.key, pot.limits.clone(), back);
        }
    }
}

fn learn(store: &Store, kept: &mut Kept<'_>, near: &mut Near, told: &Told, now: u64) {
    if let Ok(exact) = kept.limits().exact() {
        kept.bucket.learn(exact.told(&told.missing), now);
        near.believed_until = now.saturating_add(store.memory);
    }
}

/// Returns why `costs` can never pass, if they are more than a bucket holds.
fn never(limits: &Limits, costs: &Costs) -> Option<Shortage> {
    let larger = |rule: &crate::limit::Rule| rule.scaled(costs.amount(rule.dimension)) > rule.capacity;
    if !limits.rules().iter().any(larger) {
        return None;
    }
    Bucket::full(limits, 0).reserve(limits, costs, 0).err()
}
