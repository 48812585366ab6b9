//! Where the buckets of keys lie.

use crate::{Fingerprint, shard::Kept};

/// The buckets of keys, side by side, and an index of them.
///
/// Each key takes one line of the cache, and 4 bytes for each of at most 4/3 places of an index (linear probing: [Knuth], *The art of
/// computer programming*, volume 3, 6.4). Both grow by an eighth: so little is ever empty, and a key that is looked for costs
/// two lines. In the index is a part of the hash, so that hardly ever another key's line is looked at; what is found is compared
/// by all 128 bits of its fingerprint. Nobody who does not know the secret can choose keys that fall together.
///
/// [Knuth]: https://www-cs-faculty.stanford.edu/~knuth/taocp.html
#[derive(Debug, Default)]
pub(crate) struct Slab {
    /// Zero where there is nothing; else the place of a key, counted from one, below a part of its hash.
    index: Vec<u32>,
    slots: Vec<Kept>,
}

const PLACE_BITS: u32 = 24;
const PLACE: u32 = (1 << PLACE_BITS) - 1;

// === impl Slab ===

impl Slab {
    /// How many keys there can be.
    pub(crate) const MOST: usize = PLACE as usize;

    /// Finds where a key lies, as long as none is added or forgotten.
    #[inline]
    pub(crate) fn find(&self, key: Fingerprint) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let mark = mark(key);
        // Some place is always free.
        let mut at = home(key, self.index.len());
        loop {
            let entry = self.index[at];
            if entry == 0 {
                return None;
            }
            if (entry ^ mark) >> PLACE_BITS == 0 {
                let slot = (entry & PLACE) as usize - 1;
                if self.slots[slot].key == key {
                    return Some(slot);
                }
            }
            at += 1;
            if at == self.index.len() {
                at = 0;
            }
        }
    }

    /// Returns what lies at a place that was [found](Self::find).
    #[inline]
    pub(crate) fn at(&mut self, slot: usize) -> &mut Kept {
        &mut self.slots[slot]
    }

    pub(crate) fn get(&self, key: Fingerprint) -> Option<&Kept> {
        self.find(key).map(|slot| &self.slots[slot])
    }

    pub(crate) fn get_mut(&mut self, key: Fingerprint) -> Option<&mut Kept> {
        self.find(key).map(|slot| &mut self.slots[slot])
    }

    /// Adds a key that is not there, and returns its place, or `None` if there is none.
    pub(crate) fn insert(&mut self, kept: Kept) -> Option<usize> {
        if self.slots.len() >= Self::MOST {
            return None;
        }
        let slot = self.slots.len();
        if slot == self.slots.capacity() {
            self.slots.reserve_exact(slot / 8 + 1);
        }
        let key = kept.key;
        self.slots.push(kept);
        if self.index.len() < places(self.slots.len()) {
            self.index_all();
        } else {
            put(&mut self.index, key, slot);
        }
        Some(slot)
    }

    /// Forgets all but some. Gives memory back of which little is used.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&mut Kept) -> bool) {
        self.slots.retain_mut(keep);
        if self.slots.len() < self.slots.capacity() / 2 {
            self.slots.shrink_to(self.slots.len() + self.slots.len() / 8);
        }
        self.index_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.slots.iter_mut()
    }

    /// Makes the index anew, for as many as there is room for.
    fn index_all(&mut self) {
        let places = places(self.slots.capacity().min(Self::MOST));
        if self.index.len() == places {
            self.index.fill(0);
        } else {
            self.index = vec![0; places];
        }
        self.slots.iter().enumerate().for_each(|(slot, kept)| put(&mut self.index, kept.key, slot));
    }
}

/// Returns how many places the index of so many keys has: one is free in any case.
const fn places(keys: usize) -> usize {
    keys + keys / 3 + 1
}

#[inline]
const fn mark(key: Fingerprint) -> u32 {
    (key.lower() as u32) << PLACE_BITS
}

/// The place goes by the upper bits of a half of the fingerprint, the mark by its lowest ones: they say different things.
#[inline]
const fn home(key: Fingerprint, places: usize) -> usize {
    ((key.lower() as u128 * places as u128) >> 64) as usize
}

fn put(index: &mut [u32], key: Fingerprint, slot: usize) {
    let mut at = home(key, index.len());
    while index[at] != 0 {
        at += 1;
        if at == index.len() {
            at = 0;
        }
    }
    let place = u32::try_from(slot + 1).expect("no more than `Slab::MOST`");
    index[at] = mark(key) | place;
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{Dimension, Limit, Limits, Secret};

    fn limits() -> Limits {
        Limit::try_new("a", Dimension::REQUESTS, 1, Duration::from_secs(1)).expect("it makes sense").into()
    }

    proptest! {
        /// Whatever comes and goes: what was added is found, with what was added, and nothing else is.
        #[test]
        fn it_knows_what_a_map_knows(
            seed in any::<[u8; 16]>(),
            ops in prop::collection::vec((any::<u8>(), prop::option::weighted(0.05, 1..8u32)), 1..600),
        ) {
            // Some keys lie at the ends of the index, and some have the same mark.
            let key = |number: u8| match number {
                0..4 => Fingerprint::new(u128::from(number)),
                4..8 => Fingerprint::new(u128::from(u64::MAX) - u128::from(number)),
                8..16 => Fingerprint::new(u128::from(number) << 64 | 7),
                _ => Secret::new(seed).of(&number),
            };
            let (limits, mut slab, mut map) = (limits(), Slab::default(), BTreeMap::new());
            for (number, forget) in ops {
                if let Some(forget) = forget {
                    slab.retain(|kept| kept.version % forget != 0);
                    map.retain(|_, version| *version % forget != 0);
                } else if slab.find(key(number)).is_none() {
                    let slot = slab.insert(Kept::new(key(number), &limits, number.into(), 0, 0));
                    prop_assert_eq!(slot, Some(slab.len() - 1));
                    map.insert(number, u32::from(number));
                }
                for number in 0..=u8::MAX {
                    let found = slab.get(key(number)).map(|kept| kept.version);
                    prop_assert_eq!(found, map.get(&number).copied());
                }
                prop_assert_eq!(slab.len(), map.len());
            }
        }
    }

    #[test]
    fn memory_is_used_well_and_given_back() {
        let (limits, secret, mut slab) = (limits(), Secret::new([1; 16]), Slab::default());
        for number in 0..20_000_u32 {
            slab.insert(Kept::new(secret.of(&number), &limits, number, 0, 0));
            if number >= 1_000 {
                let bytes = slab.slots.capacity() * size_of::<Kept>() + slab.index.capacity() * 4;
                assert!(bytes / slab.len() <= 80, "{bytes} bytes for {}", slab.len());
            }
        }
        slab.retain(|kept| kept.version < 100);
        assert!(slab.len() == 100 && slab.slots.capacity() < 200 && slab.index.capacity() < 300);
        assert!((0..100_u32).all(|number| slab.get(secret.of(&number)).is_some_and(|kept| kept.version == number)));
    }
}
