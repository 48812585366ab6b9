//! What happens while Redis is away.

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tracing::debug;

use super::{
    near::{Near, Spent},
    store::Store,
};
use crate::{
    Bucket, Costs, Fingerprint, Limit, Limits, WhenAway,
    limiter::{Grant, Limiter, Not, Owner, Source, Taken, lock},
    shard::Shard,
    table::Kept,
};

// === impl Limiter ===

impl Limiter {
    /// Decides without Redis.
    pub(crate) fn by_itself(&self, store: &Store, owner: Owner, costs: Costs, now: Instant) -> Result<Taken, Not> {
        self.decide(store, owner, costs, now, |limiter, key, now| {
            let mut shard = limiter.shard(key);
            let (kept, near) = limiter.known(&mut shard, owner, now)?;
            near.spent(&kept, now).settle(&Costs::ZERO, &costs.times(store.replicas.get()), now);
            let epoch = store.epoch.load(Ordering::Acquire);
            store.spent.store(true, Ordering::Release);
            Some(Source::Away(epoch))
        })
    }

    /// Decides for a call for which Redis was asked in vain. A server that is frozen or slow does what it was asked for in the
    /// end, so that it is charged there.
    pub(crate) fn after_timeout(&self, store: &Store, owner: Owner, costs: Costs, now: Instant) -> Result<Taken, Not> {
        self.decide(store, owner, costs, now, |_, _, _| Some(Source::Shared))
    }

    fn decide(
        &self,
        store: &Store,
        owner: Owner,
        costs: Costs,
        now: Instant,
        charge: impl FnOnce(&Self, Fingerprint, u64) -> Option<Source>,
    ) -> Result<Taken, Not> {
        store.counters.away.fetch_add(1, Ordering::Relaxed);
        debug!(key = %owner.key, policy = ?store.away, "decided without redis");
        let nanos = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let Some((mut kept, near)) = self.known(&mut shard, owner, nanos) else {
            drop(shard);
            if store.is_closed(&self.limits_of(owner)) {
                return Err(Not::Away);
            }
            let grant = self.reserve_overflow(owner, &costs, nanos).map_err(Not::Short)?;
            return Ok(Taken::new(owner, costs, grant));
        };
        if store.is_closed(kept.limits()) {
            return Err(Not::Away);
        }
        if kept.limits().iter().any(|limit| store.is_local(limit)) {
            let (bucket, replicas) = (&mut kept.bucket, store.replicas.get());
            bucket.check_share(&costs, replicas, nanos, |limit| store.is_local(limit)).map_err(Not::Short)?;
            let taken = costs.times(replicas);
            bucket.settle_where(&Costs::ZERO, &taken, nanos, |limit| store.is_local(limit));
            // What is charged here as often as there are replicas says nothing once Redis is back.
            near.believed_until = 0;
        }
        let limits = kept.limits().id();
        drop(shard);
        let source = charge(self, owner.key, nanos).unwrap_or(Source::Shared);
        Ok(Taken::new(owner, costs, Grant::out_of(limits, source)))
    }

    /// Settles what was taken while Redis was away, if it still is.
    pub(crate) fn settle_by_itself(
        &self,
        store: &Store,
        shard: &mut Shard,
        taken: &Taken,
        actual: &Costs,
        now: u64,
    ) -> bool {
        let Source::Away(epoch) = taken.grant.source else { return false };
        if epoch != store.epoch.load(Ordering::Acquire) {
            return false;
        }
        let Some((mut kept, near)) = self.known(shard, taken.owner, now) else { return false };
        // What is not remembered is refilled: nothing comes back to it, and what is owed is owed.
        let spent = match &mut near.spent {
            Some(spent) => spent,
            None if kept.limits().id() == taken.grant.limits => near.spent(&kept, now),
            None => return false,
        };
        if spent.limits.id() != taken.grant.limits {
            return false;
        }
        store.spent.store(true, Ordering::Release);
        let [reserved, actual] = [taken.costs, *actual].map(|costs| costs.times(store.replicas.get()));
        spent.settle(&reserved, &actual, now);
        if kept.limits().id() == taken.grant.limits {
            kept.bucket.settle_where(&reserved, &actual, now, |limit| store.is_local(limit));
        }
        true
    }

    /// Takes out what was used while Redis was away, to be charged to it.
    pub(crate) fn collect_spent(&self, store: &Store, now: Instant) {
        if !store.spent.swap(false, Ordering::AcqRel) {
            return;
        }
        // First: who settles from now on does so in Redis.
        store.epoch.fetch_add(1, Ordering::AcqRel);
        let now = self.nanos(now);
        for shard in &self.shards {
            for (key, near) in &mut lock(&shard.0).near {
                let Some(mut spent) = near.spent.take() else { continue };
                if let Ok(exact) = spent.limits.exact() {
                    let missing = spent.bucket.view(&spent.limits).missing(now).collect::<Vec<_>>();
                    let share = exact.share(missing.into_iter(), store.replicas.get());
                    store.outbox.settle(*key, spent.limits.clone(), share);
                }
            }
        }
    }
}

// === impl Store ===

impl Store {
    /// Returns what holds of a limit while Redis is away.
    fn away_of(&self, limit: &Limit) -> WhenAway {
        limit.away().unwrap_or(self.away)
    }

    /// Returns whether nobody passes: one limit that cannot be asked for is enough.
    fn is_closed(&self, limits: &Limits) -> bool {
        limits.iter().any(|limit| self.away_of(limit) == WhenAway::FailClosed)
    }

    fn is_local(&self, limit: &Limit) -> bool {
        self.away_of(limit) == WhenAway::LocalShare
    }
}

// === impl Near ===

impl Near {
    fn spent(&mut self, kept: &Kept<'_>, now: u64) -> &mut Spent {
        let spent = self.spent.get_or_insert_with(|| {
            Box::new(Spent { bucket: Bucket::full(kept.limits(), now), limits: kept.limits().clone() })
        });
        if spent.limits.id() != kept.limits().id() {
            spent.bucket = spent.bucket.refit(&spent.limits, kept.limits(), now);
            spent.limits = kept.limits().clone();
        }
        spent
    }
}

// === impl Spent ===

impl Spent {
    fn settle(&mut self, reserved: &Costs, actual: &Costs, now: u64) {
        self.bucket.settle(&self.limits, reserved, actual, now);
    }
}
