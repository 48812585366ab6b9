//! The buckets of some keys, and who waits for them.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Mutex,
    task::Waker,
};

use crate::{Fingerprint, queue::Line, table::Table};

/// A lock and what is under it, apart from those of others: what one thread does slows no other one down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Locked(pub(crate) Mutex<Shard>);

/// The buckets of some keys, under one lock.
// In this order, so that a decision finds the lock and where the buckets are in one line of the cache.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Shard {
    pub(crate) kept: Table,
    /// So many new keys may come before full buckets are looked for again: there were few.
    skip: usize,
    pub(crate) lines: HashMap<Fingerprint, Line, BuildHasherDefault<AsItIs>>,
    /// What is known here of levels that are kept elsewhere: of some of the keys above, and of no others.
    #[cfg(feature = "redis")]
    pub(crate) near: HashMap<Fingerprint, crate::shared::Near, BuildHasherDefault<AsItIs>>,
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
        let waiting = |key: &Fingerprint| self.lines.contains_key(key);
        self.kept.retain(|mut kept| waiting(&kept.key) || busy(&kept.key) || !kept.bucket.is_full(now));
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

    /// Returns whether calls wait for the buckets of `key`.
    #[inline]
    pub(crate) fn is_waited_for(&self, key: Fingerprint) -> bool {
        !self.lines.is_empty() && self.lines.contains_key(&key)
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
        None
    }

    pub(crate) fn all_first(&mut self) -> Vec<Waker> {
        self.lines.values_mut().filter_map(Line::first).collect()
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
    fn a_lock_and_the_way_to_the_buckets_take_a_line_of_the_cache() {
        let lock = size_of::<Mutex<()>>().next_multiple_of(8);
        let used = std::mem::offset_of!(Shard, kept) + std::mem::offset_of!(Table, len);
        assert!(lock + used <= 64 && align_of::<Locked>() == 64, "{lock} {used}");
    }
}
