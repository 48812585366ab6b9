//! The buckets of some keys, and who waits for them.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Mutex,
    task::Waker,
};

use crate::{Bucket, Costs, Fingerprint, Limits, Shortage, queue::Line, slab::Slab};

/// A lock and what is under it, apart from those of others: what one thread does slows no other one down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Locked(pub(crate) Mutex<Shard>);

/// The buckets of some keys, under one lock.
// In this order, so that a decision finds the lock and where the buckets are in one line of the cache.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Shard {
    pub(crate) kept: Slab,
    /// So many new keys may come before full buckets are looked for again: there were few.
    skip: usize,
    pub(crate) lines: HashMap<Fingerprint, Line, BuildHasherDefault<AsItIs>>,
    /// What is known here of levels that are kept elsewhere: of some of the keys above, and of no others.
    #[cfg(feature = "redis")]
    pub(crate) near: HashMap<Fingerprint, crate::shared::Near, BuildHasherDefault<AsItIs>>,
}

/// The buckets of one key: one line of the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Kept {
    pub(crate) key: Fingerprint,
    pub(crate) bucket: Bucket,
    pub(crate) limits: Limits,
    pub(crate) version: u32,
    pub(crate) tier: u16,
    /// There is a line of calls that wait.
    pub(crate) waiting: bool,
}

/// Hashes what is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsItIs(u64);

// === impl Shard ===

impl Shard {
    /// Forgets keys whose buckets are full: a bucket that is made anew is full, so nothing is lost. Returns how many.
    pub(crate) fn sweep(&mut self, now: u64) -> usize {
        let before = self.kept.len();
        #[cfg(feature = "redis")]
        let mut busy = |key: &Fingerprint| self.near.get_mut(key).is_some_and(|near| near.is_busy(now));
        #[cfg(not(feature = "redis"))]
        let busy = |_: &Fingerprint| false;
        self.kept.retain(|kept| kept.waiting || busy(&kept.key) || !kept.bucket.is_full(&kept.limits, now));
        #[cfg(feature = "redis")]
        self.near.retain(|key, _| self.kept.find(*key).is_some());
        before - self.kept.len()
    }

    /// [Sweeps](Self::sweep), unless that was done a moment ago and brought little: so the search costs each new key about four
    /// looks, and never more.
    pub(crate) fn make_room(&mut self, now: u64) -> usize {
        if self.skip > 0 {
            self.skip -= 1;
            return 0;
        }
        let quarter = self.kept.len() / 4;
        let swept = self.sweep(now);
        self.skip = if swept < quarter { quarter } else { 0 };
        swept
    }

    /// Returns whom to wake who waits for the buckets of `key`.
    pub(crate) fn first(&mut self, key: Fingerprint) -> Option<Waker> {
        if self.lines.is_empty() { None } else { self.lines.get_mut(&key)?.first() }
    }

    /// Forgets a line that has become empty, or returns whom to wake in it.
    pub(crate) fn left(&mut self, key: Fingerprint) -> Option<Waker> {
        let line = self.lines.get_mut(&key)?;
        if line.len() > 0 {
            return line.first();
        }
        self.lines.remove(&key);
        if let Some(kept) = self.kept.get_mut(key) {
            kept.waiting = false;
        }
        None
    }

    pub(crate) fn all_first(&mut self) -> Vec<Waker> {
        self.lines.values_mut().filter_map(Line::first).collect()
    }
}

// === impl Kept ===

impl Kept {
    pub(crate) fn new(key: Fingerprint, limits: &Limits, version: u32, tier: u64, now: u64) -> Self {
        let tier = tier as u16;
        Self { key, bucket: Bucket::full(limits, now), limits: limits.clone(), version, tier, waiting: false }
    }

    #[inline]
    pub(crate) fn reserve(&mut self, costs: &Costs, now: u64) -> Result<(), Shortage> {
        self.bucket.reserve(&self.limits, costs, now)
    }

    pub(crate) fn settle(&mut self, reserved: &Costs, actual: &Costs, now: u64) {
        self.bucket.settle(&self.limits, reserved, actual, now);
    }

    pub(crate) fn refit(&mut self, limits: Limits, version: u32, tier: u64, now: u64) {
        (self.version, self.tier) = (version, tier as u16);
        if limits.id() != self.limits.id() {
            self.bucket = self.bucket.refit(&self.limits, &limits, now);
            self.limits = limits;
        }
    }
}

// === impl AsItIs ===

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_a_line_of_the_cache() {
        assert_eq!((size_of::<Kept>(), align_of::<Kept>()), (64, 64));
    }

    #[test]
    fn a_lock_and_the_way_to_the_buckets_take_another() {
        let lock = size_of::<Mutex<()>>().next_multiple_of(8);
        assert!(lock + std::mem::offset_of!(Shard, lines) <= 64 && align_of::<Locked>() == 64);
    }
}
