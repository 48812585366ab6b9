//! All buckets, and who may take from them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use buttress_core::Label;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Bucket, Costs, Fingerprint, Limits, Queue, Settling, Shortage,
    arithmetic::BucketMut,
    shard::{Locked, Shard},
    table::{Kept, Table},
    terms::Ruling,
};

pub(crate) use crate::taken::{Grant, Owner, Source, Taken};

/// How the limiter is set up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) tiers: Vec<(Label, Limits)>,
    pub(crate) max_keys: usize,
    pub(crate) queue: Queue,
    pub(crate) settling: Settling,
    #[cfg(feature = "redis")]
    pub(crate) shared: Option<crate::SharedLimits>,
}

/// The buckets of all keys.
///
/// A call takes from several levels at once, or from none, so what it changes is no one word: each shard has a short lock, under
/// which nothing is allocated for a key that is known, and nothing of a caller's is run.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) rules: RwLock<Rules>,
    /// Counts the changes to the rules.
    pub(crate) version: AtomicU32,
    pub(crate) shards: Box<[Locked]>,
    pub(crate) max_per_shard: usize,
    /// What all keys share for which there is no room.
    pub(crate) overflow: Mutex<Shard>,
    pub(crate) queue: Queue,
    pub(crate) settling: Settling,
    pub(crate) waiting: AtomicUsize,
    pub(crate) evicted: AtomicU64,
    pub(crate) overflowed: AtomicU64,
    /// Where levels are, if they are not here. Then the buckets here are what is known of them.
    #[cfg(feature = "redis")]
    pub(crate) shared: Option<crate::shared::Store>,
    epoch: Instant,
}

#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) tiers: Vec<(Label, Limits)>,
    pub(crate) overrides: HashMap<Fingerprint, Limits>,
}

/// Why nothing was taken.
#[derive(Debug)]
pub(crate) enum Not {
    Short(Shortage),
    /// Others wait.
    Behind,
    /// Redis is away, and nobody passes without it.
    #[cfg(feature = "redis")]
    Away,
}

/// More keys than this need more than one lock.
const KEYS_OF_A_SHARD: usize = 512;
const MOST_SHARDS: usize = 64;

// === impl Limiter ===

impl Limiter {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        let most = (settings.max_keys / KEYS_OF_A_SHARD).clamp(1, MOST_SHARDS);
        // A power of two, and no more.
        let shards = 1 << most.ilog2();
        let tiers = settings.tiers.clone();
        Arc::new(Self {
            rules: RwLock::new(Rules { tiers, overrides: HashMap::new() }),
            version: AtomicU32::new(0),
            shards: (0..shards).map(|_| Locked::default()).collect(),
            max_per_shard: (settings.max_keys / shards).min(Table::MOST),
            overflow: Mutex::default(),
            queue: settings.queue,
            settling: settings.settling.clone(),
            waiting: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            #[cfg(feature = "redis")]
            shared: settings.shared.as_ref().map(crate::shared::Store::new),
            epoch: Instant::now(),
        })
    }

    /// Takes `costs`, unless there is too little, or others wait.
    // To hand around what it returns costs more than most of what it does.
    #[inline(always)]
    pub(crate) fn reserve(&self, owner: Owner, costs: &Costs, now: Instant) -> Result<Grant, Not> {
        let now = self.nanos(now);
        let mut shard = self.shard(owner.key);
        if shard.is_waited_for(owner.key) {
            return Err(Not::Behind);
        }
        let Some(mut kept) = self.kept(&mut shard, owner, now) else {
            drop(shard);
            return self.reserve_overflow(owner, costs, now).map_err(Not::Short);
        };
        kept.bucket.reserve(costs, now).map_err(Not::Short)?;
        Ok(Grant::own(kept.limits().id()))
    }

    /// Takes `costs`, whoever waits, under the tier that the key was last seen under. Leaves in `owner` which that is.
    #[inline(always)] // As above.
    pub(crate) fn take(&self, owner: &mut Owner, costs: &Costs, now: Instant) -> Result<Grant, Shortage> {
        #[cfg(feature = "redis")]
        if let Some(store) = &self.shared {
            *owner = self.last_seen(owner.key);
            return self.take_here(store, *owner, costs, now);
        }
        let now = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let version = self.version.load(Ordering::Acquire);
        let place = match shard.kept.find(owner.key) {
            Some(place) if shard.kept.is_current(place, version) => Some(place),
            found => {
                owner.tier = found.map_or(owner.tier, |place| shard.kept.at(place).tier.into());
                self.make_or_refit(&mut shard, found, *owner, now)
            }
        };
        let Some(place) = place else {
            drop(shard);
            return self.reserve_overflow(*owner, costs, now);
        };
        let mut kept = shard.kept.at(place);
        owner.tier = kept.tier.into();
        kept.bucket.reserve(costs, now)?;
        Ok(Grant::own(kept.limits().id()))
    }

    #[cold]
    pub(crate) fn reserve_overflow(&self, owner: Owner, costs: &Costs, now: u64) -> Result<Grant, Shortage> {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        debug!(key = %owner.key, "no room for the key");
        let mut shard = lock(&self.overflow);
        let mut kept = self.overflowing(&mut shard, now);
        kept.bucket.reserve(costs, now)?;
        Ok(Grant { source: Source::Overflow, limits: kept.limits().id() })
    }

    /// Returns the buckets that keys share for which there is no room.
    pub(crate) fn overflowing<'a>(&self, overflow: &'a mut Shard, now: u64) -> Kept<'a> {
        self.kept(overflow, Owner { key: Fingerprint::NO_KEY, tier: 0 }, now).expect("there is room for one")
    }

    /// Replaces what was taken by what is `actual`. Returns who is to be woken.
    pub(crate) fn settle(&self, taken: &Taken, actual: &Costs, now: Instant) -> Option<Waker> {
        if *actual == taken.costs {
            return None;
        }
        if taken.grant.source == Source::Overflow {
            self.settle_overflow(taken, actual, self.nanos(now));
            return None;
        }
        #[cfg(feature = "redis")]
        if let Some(store) = &self.shared {
            return self.settle_shared(store, taken, actual, now);
        }
        let now = self.nanos(now);
        let key = taken.owner.key;
        let mut shard = self.shard(key);
        // A key that is not known has full buckets, and can only owe.
        let Some(kept) = self.kept(&mut shard, taken.owner, now) else {
            drop(shard);
            let owed = Taken { costs: taken.costs.at_most(actual), ..*taken };
            self.settle_overflow(&owed, actual, now);
            return None;
        };
        Self::settle_in(kept, taken, actual, now);
        shard.first(key)
    }

    fn settle_in(mut kept: Kept<'_>, taken: &Taken, actual: &Costs, now: u64) {
        let reserved = taken.reserved_under(kept.limits(), actual);
        kept.bucket.settle(&reserved, actual, now);
    }

    fn settle_overflow(&self, taken: &Taken, actual: &Costs, now: u64) {
        Self::settle_in(self.overflowing(&mut lock(&self.overflow), now), taken, actual, now);
    }

    /// Finds or makes the buckets of a key, or returns `None` if there is no room.
    #[inline(always)]
    pub(crate) fn kept<'a>(&self, shard: &'a mut Shard, owner: Owner, now: u64) -> Option<Kept<'a>> {
        let version = self.version.load(Ordering::Acquire);
        let place = match shard.kept.find(owner.key) {
            Some(place) if shard.kept.is_current(place, version) && shard.kept.at(place).tier == owner.tier as u16 => {
                place
            }
            found => self.make_or_refit(shard, found, owner, now)?,
        };
        Some(shard.kept.at(place))
    }

    /// Makes the buckets of a key, or fits them to what the rules say now, and returns their place, or `None` if there is no room.
    #[cold]
    #[inline(never)]
    fn make_or_refit(&self, shard: &mut Shard, found: Option<usize>, owner: Owner, now: u64) -> Option<usize> {
        if found.is_none() && shard.kept.len() >= self.max_per_shard && !self.make_room(shard, owner, now) {
            return None;
        }
        // Read before the limits: a change in between makes them stale, not unnoticed.
        let version = self.version.load(Ordering::Acquire);
        let ruling = Ruling { limits: self.limits_of(owner), tier: owner.tier as u16, version };
        match found {
            Some(place) => Some(shard.kept.refit(place, ruling, now)),
            None => shard.kept.insert(owner.key, ruling, now),
        }
    }

    #[cold]
    fn make_room(&self, shard: &mut Shard, owner: Owner, now: u64) -> bool {
        let evicted = shard.make_room(now);
        self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        // What an operator has named has room in any case: there are only so many.
        shard.kept.len() < self.max_per_shard || self.rules().overrides.contains_key(&owner.key)
    }

    /// Looks at buckets as they are under the rules that hold now, and changes no more of them than time does.
    pub(crate) fn look<T>(&self, mut kept: Kept<'_>, now: u64, f: impl FnOnce(&mut BucketMut<'_>) -> T) -> T {
        if kept.version != self.version.load(Ordering::Acquire) {
            let limits = self.limits_of(Owner { key: kept.key, tier: kept.tier.into() });
            if limits.id() != kept.limits().id() {
                return f(&mut kept.bucket.refit(&limits, now).view(&limits));
            }
        }
        f(&mut kept.bucket)
    }

    pub(crate) fn limits_of(&self, owner: Owner) -> Limits {
        let rules = self.rules();
        let tier = || rules.tiers.get(owner.tier as usize).unwrap_or(&rules.tiers[0]).1.clone();
        rules.overrides.get(&owner.key).cloned().unwrap_or_else(tier)
    }

    #[inline]
    pub(crate) fn shard(&self, key: Fingerprint) -> MutexGuard<'_, Shard> {
        // The upper half tells the shard, the lower half the place in it.
        let number = key.upper() as usize & (self.shards.len() - 1);
        lock(&self.shards[number].0)
    }

    #[inline]
    pub(crate) fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
    }

    fn rules(&self) -> std::sync::RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is missing of `costs`.
    pub(crate) fn shortage(&self, owner: Owner, costs: &Costs, now: Instant) -> Option<Shortage> {
        let now = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let Some(kept) = shard.kept.get(owner.key) else {
            let limits = self.limits_of(owner);
            return Bucket::full(&limits, now).reserve(&limits, costs, now).err();
        };
        self.look(kept, now, |bucket| bucket.check(costs, now).err())
    }

    /// Counts one more who waits, if there may be one.
    pub(crate) fn begin_to_wait(&self) -> bool {
        let one_more = |waiting| (waiting < self.queue.total).then(|| waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(crate) fn end_to_wait(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
