//! What an operator does with the buckets.

use std::{
    sync::{PoisonError, atomic::Ordering},
    task::Waker,
};

use buttress_core::{Headroom, Measure, Room};
use tokio::time::Instant;

use crate::{
    Bucket, Dimension, Fingerprint, Limits, Standing,
    limiter::{Limiter, Owner, Rules, lock},
    shard::Locked,
    shortage::Stand,
    table::Kept,
};

const MOST_OVERRIDES: usize = 65_536;

// === impl Limiter ===

impl Limiter {
    pub(crate) fn set_tier(&self, name: &str, limits: Limits) -> bool {
        #[cfg(feature = "redis")]
        if !self.can_keep(&limits) {
            return false;
        }
        self.change(|rules| match rules.tiers.iter_mut().find(|(tier, _)| tier.as_str() == name) {
            Some((_, known)) => {
                *known = limits;
                true
            }
            None => false,
        })
    }

    pub(crate) fn set_override(&self, key: Fingerprint, limits: Option<Limits>) -> bool {
        #[cfg(feature = "redis")]
        if limits.as_ref().is_some_and(|limits| !self.can_keep(limits)) {
            return false;
        }
        let done = self.change(|rules| match limits {
            Some(limits) if rules.overrides.len() < MOST_OVERRIDES || rules.overrides.contains_key(&key) => {
                rules.overrides.insert(key, limits);
                true
            }
            Some(_) => false,
            None => rules.overrides.remove(&key).is_some(),
        });
        self.touch(key, |_| {});
        done
    }

    /// Returns whether levels under `limits` can be kept where they are to be kept.
    #[cfg(feature = "redis")]
    fn can_keep(&self, limits: &Limits) -> bool {
        self.shared.is_none() || limits.exact().is_ok()
    }

    /// Fills the buckets of a key.
    pub(crate) fn reset(&self, key: Fingerprint, now: Instant) {
        let nanos = self.nanos(now);
        self.touch(key, |mut kept| kept.bucket.fill(nanos));
        #[cfg(feature = "redis")]
        if let Some(store) = &self.shared {
            self.fill_there(store, self.last_seen(key));
        }
    }

    fn change(&self, f: impl FnOnce(&mut Rules) -> bool) -> bool {
        let done = f(&mut self.rules.write().unwrap_or_else(PoisonError::into_inner));
        self.version.fetch_add(1, Ordering::Release);
        // Whoever waits may find that there is enough under the new rules.
        let first = |shard: &Locked| lock(&shard.0).all_first();
        self.shards.iter().flat_map(first).for_each(Waker::wake);
        done
    }

    /// Returns a key under the tier that it was last seen under.
    #[cfg(feature = "redis")]
    pub(crate) fn last_seen(&self, key: Fingerprint) -> Owner {
        let tier = self.shard(key).kept.get(key).map_or(0, |kept| kept.tier.into());
        Owner { key, tier }
    }

    /// Changes the buckets of a key, if it is known.
    pub(crate) fn touch<T>(&self, key: Fingerprint, f: impl FnOnce(Kept<'_>) -> T) -> Option<T> {
        let mut shard = self.shard(key);
        let done = shard.kept.get(key).map(f);
        let first = shard.first(key);
        drop(shard);
        first.into_iter().for_each(Waker::wake);
        done
    }

    /// Lowers levels by what the answer to a call has told at `then` of what is left.
    pub(crate) fn heed(&self, owner: Owner, headroom: &Headroom, then: Instant, now: Instant) {
        let dimensions = [
            (Measure::Requests, Dimension::REQUESTS),
            (Measure::Tokens, Dimension::TOKENS),
            (Measure::InputTokens, Dimension::INPUT_TOKENS),
            (Measure::OutputTokens, Dimension::OUTPUT_TOKENS),
        ];
        for (measure, dimension) in dimensions {
            if let Some(room) = headroom.measured(measure) {
                self.observe(owner, dimension, room, then, now);
            }
        }
    }

    pub(crate) fn observe(&self, owner: Owner, dimension: Dimension, room: Room, then: Instant, now: Instant) {
        let (nanos, then) = (self.nanos(now), self.nanos(then));
        let mut shard = self.shard(owner.key);
        let tier = shard.kept.get(owner.key).map_or(owner.tier, |kept| u64::from(kept.tier));
        if let Some(mut kept) = self.kept(&mut shard, Owner { tier, ..owner }, nanos) {
            let lowered = kept.bucket.observe(dimension, room.left, room.returns, then, nanos);
            drop(shard);
            #[cfg(feature = "redis")]
            if let Some(store) = self.shared.as_ref().filter(|_| lowered) {
                self.lower_there(store, owner.key, now);
            }
            #[cfg(not(feature = "redis"))]
            let _ = lowered;
        }
    }

    /// Returns how the limits of a key stand; those of a key that is not known are all full.
    pub(crate) fn stand(&self, owner: Owner, now: Instant) -> Stand {
        let now = self.nanos(now);
        let mut shard = self.shard(owner.key);
        let full = shard.kept.len() >= self.max_per_shard;
        match shard.kept.get(owner.key) {
            Some(kept) => self.look(kept, now, |bucket| bucket.stand(now)),
            // A key for which there is no room takes from what all such keys share.
            None if full => self.overflowing(&mut lock(&self.overflow), now).bucket.stand(now),
            None => {
                let limits = self.limits_of(owner);
                Bucket::full(&limits, now).view(&limits).stand(now)
            }
        }
    }

    pub(crate) fn list(&self, most: usize, now: Instant) -> Vec<(Fingerprint, Vec<Standing>)> {
        let now = self.nanos(now);
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(&shard.0);
            let standing =
                |kept: Kept<'_>| (kept.key, self.look(kept, now, |bucket| bucket.stand(now).standings().collect()));
            all.extend(shard.kept.iter().take(most - all.len()).map(standing));
        }
        all
    }

    pub(crate) fn sweep(&self, now: Instant) -> usize {
        let now = self.nanos(now);
        let swept = self.shards.iter().map(|shard| lock(&shard.0).sweep(now)).sum();
        self.evicted.fetch_add(swept as u64, Ordering::Relaxed);
        swept
    }

    pub(crate) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(&shard.0).kept.len()).sum()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }
}
