//! A look at buckets, and a hand on them.

use std::{hash::Hash, sync::Arc, time::Duration};

use buttress_core::Room;
use tokio::time::Instant;

use crate::{
    Costs, Dimension, Fingerprint, Limits, Reservation, Secret, Shortage, Standing,
    limiter::{Limiter, Owner, Taken},
};

/// Reads buckets, changes their limits while they are in use, and takes from them by hand. Clones are one.
///
/// Keys are told by their [fingerprints](Fingerprint): see [`fingerprint`](Self::fingerprint).
#[derive(Clone, Debug)]
pub struct LimitsHandle {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) secret: Secret,
}

// === impl LimitsHandle ===

impl LimitsHandle {
    /// Returns the fingerprint of the key that hashes as `value` does: a `str` for what is read from a header, an
    /// [address](crate::network) for [`ByIp`](crate::ByIp), the value itself otherwise.
    pub fn fingerprint(&self, value: &(impl Hash + ?Sized)) -> Fingerprint {
        self.secret.of(value)
    }

    /// Asks whether `costs` could be taken now from the buckets of `key`, and takes nothing.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    pub fn check(&self, key: Fingerprint, costs: &Costs, now: Instant) -> Result<(), Shortage> {
        self.limiter.shortage(owner(key), costs, now).map_or(Ok(()), Err)
    }

    /// Takes `costs` from the buckets of `key`, or nothing. Calls that wait for them are not asked. Of shared limits it takes by what is
    /// known here, and charges it in the background; `reserve_shared` asks.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    #[inline]
    pub fn reserve(&self, key: Fingerprint, costs: Costs, now: Instant) -> Result<Reservation, Shortage> {
        let mut owner = owner(key);
        match self.limiter.take(&mut owner, &costs, now) {
            Ok(grant) => Ok(Reservation::new(Arc::clone(&self.limiter), Taken::new(owner, costs, grant))),
            Err(shortage) => Err(shortage),
        }
    }

    /// Takes `costs` from the buckets of `key` for good, or nothing: as [`reserve`](Self::reserve) does, for what costs no more and no
    /// less than is known before. It is the cheapest way to decide.
    ///
    /// # Errors
    ///
    /// Returns which limits are short, and for how long.
    #[inline]
    pub fn take(&self, key: Fingerprint, costs: &Costs, now: Instant) -> Result<(), Shortage> {
        self.limiter.take(&mut owner(key), costs, now).map(drop)
    }

    /// Takes `costs` from the [shared](crate::SharedLimits) buckets of `key`, or nothing, as a call does. Calls that wait for them are
    /// not asked.
    ///
    /// # Errors
    ///
    /// Returns why nothing was taken.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while Redis is asked, `costs` may stay charged.
    #[cfg(feature = "redis")]
    pub async fn reserve_shared(&self, key: Fingerprint, costs: Costs) -> Result<Reservation, Box<crate::RateLimited>> {
        crate::shared::reserve(&self.limiter, self.limiter.last_seen(key), costs).await
    }

    /// Returns the work that [shared limits](crate::SharedLimits) need in the background, once for each layer. It has nothing to do
    /// where limits are not shared.
    #[cfg(feature = "redis")]
    pub fn sharing(&self) -> crate::Sharing {
        crate::Sharing::new(&self.limiter)
    }

    /// Gives back what is leased of [shared limits](crate::SharedLimits), and waits until all that waits has been written: for a process
    /// that is about to end. The [work in the background](Self::sharing) must go on meanwhile. Returns whether all was written, and
    /// not while Redis is away, which nobody waits for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting. What is left is still written, as long as the work goes on.
    #[cfg(feature = "redis")]
    pub async fn hand_back(&self) -> bool {
        crate::shared::hand_back(&self.limiter).await
    }

    /// Returns how calls under [shared limits](crate::SharedLimits) were decided, or `None` where limits are not shared.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn shared_counts(&self) -> Option<crate::SharedCounts> {
        self.limiter.shared.as_ref().map(crate::shared::Store::counts)
    }

    /// Returns how the limits of a key stand. Those of a key that is not known are full.
    #[must_use]
    pub fn standings(&self, key: Fingerprint, now: Instant) -> Vec<Standing> {
        self.limiter.stand(owner(key), now).standings().collect()
    }

    /// Returns how the limits of a key stand that comes under the [tier](crate::TokenBucketLayer::tiered) of this number: those of
    /// a key that is not known are full.
    #[must_use]
    pub fn standings_under(&self, tier: usize, key: Fingerprint, now: Instant) -> Vec<Standing> {
        self.limiter.stand(Owner::new(key, tier), now).standings().collect()
    }

    /// Returns up to `most` of the keys that are known, in no order, and how they stand.
    #[must_use]
    pub fn list(&self, most: usize, now: Instant) -> Vec<(Fingerprint, Vec<Standing>)> {
        self.limiter.list(most, now)
    }

    /// Sets the limits of a tier; `default` is the name of the one that is there without tiers. What keys have used of a limit
    /// stays used of the new one of the same name. Returns whether there is such a tier.
    #[must_use = "a misspelt tier changes nothing"]
    pub fn set_tier(&self, name: &str, limits: impl Into<Limits>) -> bool {
        self.limiter.set_tier(name, limits.into())
    }

    /// Gives a key limits of its own, whatever its tier. Returns whether there was room: 65,536 keys can have them.
    ///
    /// What was used of a limit that is not among them is forgotten, and so is what is deeper than the debt of one that is.
    #[must_use = "there may be no room"]
    pub fn set_override(&self, key: Fingerprint, limits: impl Into<Limits>) -> bool {
        self.limiter.set_override(key, Some(limits.into()))
    }

    /// Puts a key back under the limits of its tier. Returns whether it had its own.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn clear_override(&self, key: Fingerprint) -> bool {
        self.limiter.set_override(key, None)
    }

    /// Fills the buckets of a key. Calls that are under way are settled as if they had not been filled.
    pub fn reset(&self, key: Fingerprint, now: Instant) {
        self.limiter.reset(key, now);
    }

    /// Lowers the level of `dimension` to what somebody else says is left: the provider, in the headers of an answer, where the
    /// layer stands before its target, unless the layer [heeds](crate::TokenBucketLayer::heed_headroom) them by itself. `full_in` is after which time the provider's own bucket is full again; it counts where
    /// nothing is left. No level is ever raised.
    pub fn observe(&self, key: Fingerprint, dimension: Dimension, left: u64, full_in: Duration, now: Instant) {
        self.limiter.observe(owner(key), dimension, Room::new(left, None, full_in), now, now);
    }

    /// Forgets the keys whose buckets are full, and returns how many there were. Nothing depends on it: it gives memory back
    /// sooner.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn sweep(&self, now: Instant) -> usize {
        self.limiter.sweep(now)
    }

    /// Returns how many keys are known.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.limiter.keys()
    }

    /// Returns how many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.limiter.waiting()
    }

    /// Returns how many keys have been forgotten so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.limiter.evicted()
    }

    /// Returns how many calls so far came with a key for which there was no room.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.limiter.overflowed()
    }
}

const fn owner(key: Fingerprint) -> Owner {
    Owner { key, tier: 0 }
}
