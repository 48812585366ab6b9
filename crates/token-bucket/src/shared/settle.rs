//! Settling what was taken from shared buckets, and what operators do with them.

use std::{pin::pin, sync::Arc, task::Waker};

use tokio::time::Instant;

use super::{
    outbox::Due,
    script::Change,
    store::{Here, Store},
};
use crate::{
    Costs, Fingerprint, Limits, RateLimited, Reservation, Shortage,
    error::Reason,
    limiter::{Grant, Limiter, Not, Owner, Source, Taken, lock},
    ticket::refused,
};

// === impl Limiter ===

impl Limiter {
    /// Replaces what was taken from shared buckets by what is `actual`. Returns who is to be woken now; who waits for what goes back
    /// to Redis is woken when it is there.
    pub(crate) fn settle_shared(&self, store: &Store, taken: &Taken, actual: &Costs, now: Instant) -> Option<Waker> {
        let nanos = self.nanos(now);
        let key = taken.owner.key;
        let mut guard = self.shard(key);
        let shard = &mut *guard;
        if self.settle_by_itself(store, shard, taken, actual, nanos) {
            return shard.first(key);
        }
        let Some((mut kept, near)) = self.known(shard, taken.owner, nanos) else {
            drop(guard);
            self.settle_under(store, self.limits_of(taken.owner), taken, actual);
            return None;
        };
        let limits = kept.limits().clone();
        if let (Some(pot), Ok(exact)) = (&mut near.pot, limits.exact())
            && pot.limits.id() == taken.grant.limits
            && pot.settle(exact, &exact.change(&limits, &taken.costs, actual))
        {
            return shard.first(key);
        }
        kept.bucket.settle(&taken.reserved_under(&limits, actual), actual, nanos);
        near.believed_until = 0;
        drop(guard);
        self.settle_under(store, limits, taken, actual);
        None
    }

    fn settle_under(&self, store: &Store, limits: Limits, taken: &Taken, actual: &Costs) {
        let reserved = taken.reserved_under(&limits, actual);
        if let Ok(exact) = limits.exact() {
            let change = exact.change(&limits, &reserved, actual);
            store.outbox.settle(taken.owner.key, limits, change);
        }
    }

    /// Takes by what is known here, and charges it to Redis in the background.
    // Apart, so that who shares nothing does not make room for it.
    #[inline(never)]
    pub(crate) fn take_here(
        &self,
        store: &Store,
        owner: Owner,
        costs: &Costs,
        now: Instant,
    ) -> Result<Grant, Shortage> {
        let nanos = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let Some((mut kept, _)) = self.known(&mut shard, owner, nanos) else {
            drop(shard);
            return self.reserve_overflow(owner, costs, nanos);
        };
        kept.bucket.reserve(costs, nanos)?;
        let limits = kept.limits().clone();
        drop(shard);
        let grant = Grant::out_of(limits.id(), Source::Shared);
        if let Ok(exact) = limits.exact() {
            let needs = exact.needs(&limits, costs);
            store.outbox.settle(owner.key, limits, needs);
        }
        Ok(grant)
    }

    /// Lowers the levels in Redis to those that are known here.
    pub(crate) fn lower_there(&self, store: &Store, key: Fingerprint, now: Instant) {
        let nanos = self.nanos(now);
        let mut guard = self.shard(key);
        let Some(mut kept) = guard.kept.get(key) else { return };
        let limits = kept.limits().clone();
        let Ok(exact) = limits.exact() else { return };
        let missing = exact.share(kept.bucket.missing(nanos), 1);
        drop(guard);
        store.outbox.push(Due { key, limits, change: Change::Lower(missing), tried: None });
    }

    /// Fills the levels in Redis.
    pub(crate) fn fill_there(&self, store: &Store, owner: Owner) {
        let due = Due { key: owner.key, limits: self.limits_of(owner), change: Change::Fill, tried: None };
        store.outbox.push(due);
    }

    /// Gives back leases whose time is over.
    pub(crate) fn end_leases(&self, store: &Store, now: Instant) {
        let nanos = self.nanos(now);
        while let Some(key) = store.outbox.ended(nanos) {
            let owner = Owner { key, tier: 0 };
            let mut guard = self.shard(key);
            let Some(near) = guard.near.get_mut(&key) else { continue };
            let Some(limits) = near.pot.as_ref().map(|pot| pot.limits.id()) else { continue };
            near.end_lease(store, owner, nanos, limits);
            if let Some(pot) = &near.pot {
                store.outbox.leased(pot.until, key);
            }
        }
    }
}

impl Limiter {
    /// Gives back all that is leased.
    pub(crate) fn end_all_leases(&self, store: &Store) {
        for shard in &self.shards {
            for (key, near) in &mut lock(&shard.0).near {
                // No time is later, and no limits have this number.
                near.end_lease(store, Owner { key: *key, tier: 0 }, u64::MAX, 0);
            }
        }
    }
}

/// What was taken in advance goes back with the layer.
impl Drop for Limiter {
    fn drop(&mut self) {
        if let Some(store) = &self.shared {
            self.end_all_leases(store);
            store.outbox.close();
        }
    }
}

/// Takes `costs` by hand, as a call does.
pub(crate) async fn reserve(
    limiter: &Arc<Limiter>,
    owner: Owner,
    costs: Costs,
) -> Result<Reservation, Box<RateLimited>> {
    let now = Instant::now();
    let outcome = match &limiter.shared {
        None => {
            let mut owner = owner;
            let grant = limiter.take(&mut owner, &costs, now);
            grant.map(|grant| Taken::new(owner, costs, grant)).map_err(Not::Short)
        }
        Some(store) => match limiter.here_in_turn(store, owner, costs, now) {
            Here::Taken(taken) => Ok(taken),
            Here::Not(not) => Err(not),
            Here::Ask => limiter.ask(store, owner, costs).await,
        },
    };
    let now = Instant::now();
    let refuse = |reason, shortage: Option<Shortage>| {
        let wait = shortage.as_ref().and_then(Shortage::wait);
        Err(Box::new(refused(limiter, owner, reason, shortage, wait, now)))
    };
    match outcome {
        Ok(taken) => Ok(Reservation::new(Arc::clone(limiter), taken)),
        Err(Not::Short(shortage)) => refuse(Reason::Short, Some(shortage)),
        Err(Not::Behind) => refuse(Reason::Short, None),
        Err(Not::Away) => refuse(Reason::Away, None),
    }
}

/// Gives back what is leased, and waits until all is written, or Redis is away.
pub(crate) async fn hand_back(limiter: &Limiter) -> bool {
    let Some(store) = &limiter.shared else { return true };
    limiter.end_all_leases(store);
    loop {
        let mut tried = pin!(store.outbox.tried.notified());
        // Before one looks: what is written in between must not be missed.
        tried.as_mut().enable();
        if store.outbox.len() == 0 {
            return true;
        }
        if !store.levels.is_there() {
            return false;
        }
        tried.await;
    }
}
