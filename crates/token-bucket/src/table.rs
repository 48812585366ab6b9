//! Where the buckets of keys lie.

use std::mem;

use crate::{
    Bucket, Fingerprint, Limits,
    arithmetic::BucketMut,
    terms::{Mark, Ruling, Terms},
};

/// The buckets of keys, in one array (linear probing: [Knuth], *The art of computer programming*, volume 3, 6.4).
///
/// A key takes four words and one for each of its limits. Where it should lie is known from its hash, so that a key that is looked for
/// costs one way to memory: what is beside the place comes with it. At most four in five places are taken, and there are an
/// eighth more when these are. What is found is compared by all 128 bits of its fingerprint, and nobody who does not know the secret
/// can choose keys that fall together.
///
/// [Knuth]: https://www-cs-faculty.stanford.edu/~knuth/taocp.html
// In this order, so that what a decision reads of it is in one line of the cache with the lock.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Table {
    /// Places of `stride` words each: the fingerprint, a [mark](Mark), and the words of a [`Bucket`].
    words: Box<[u64]>,
    places: usize,
    stride: usize,
    terms: Terms,
    pub(crate) len: usize,
}

/// What is kept of a key.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) key: Fingerprint,
    pub(crate) tier: u16,
    pub(crate) version: u32,
    pub(crate) bucket: BucketMut<'a>,
}

/// The fingerprint and the mark.
const HEAD: usize = 3;
const MARK: usize = 2;

// === impl Table ===

impl Table {
    /// How many keys there can be.
    pub(crate) const MOST: usize = 1 << 24;

    /// Finds where a key lies, as long as none is added, forgotten or put under other limits.
    #[inline(always)] // As in `Limiter::reserve`.
    pub(crate) fn find(&self, key: Fingerprint) -> Option<usize> {
        if self.words.is_empty() {
            return None;
        }
        let mut place = home(key, self.places) * self.stride;
        // Some place is always free.
        loop {
            match self.words[place..].first_chunk::<HEAD>() {
                Some([.., 0]) => return None,
                Some([upper, lower, _]) if Fingerprint::of_words(*upper, *lower) == key => return Some(place),
                _ => place = self.next(place),
            }
        }
    }

    /// Returns what lies at a place that was [found](Self::find).
    #[inline(always)]
    pub(crate) fn at(&mut self, place: usize) -> Kept<'_> {
        Kept::of(&mut self.words[place..][..self.stride], &self.terms)
    }

    /// Returns whether the key at a place is under what this version of the rules says.
    #[inline(always)]
    pub(crate) fn is_current(&self, place: usize, version: u32) -> bool {
        Mark(self.words[place + MARK]).version() == version
    }

    pub(crate) fn get(&mut self, key: Fingerprint) -> Option<Kept<'_>> {
        self.find(key).map(|place| self.at(place))
    }

    /// Adds a key that is not there, with full buckets, and returns its place, or `None` if there is none.
    pub(crate) fn insert(&mut self, key: Fingerprint, ruling: Ruling, now: u64) -> Option<usize> {
        if self.len >= Self::MOST {
            return None;
        }
        let stride = self.stride.max(stride_for(&ruling.limits));
        if stride > self.stride || places_for(self.len + 1) > self.places {
            self.rebuild(stride, self.len + 1 + self.len / 8);
        }
        let place = self.free_place(key);
        let bucket = Bucket::full(&ruling.limits, now);
        let mark = self.terms.enter(ruling);
        self.len += 1;
        self.words[place..][..HEAD].copy_from_slice(&[key.upper(), key.lower(), mark.0]);
        self.write(place, &bucket);
        Some(place)
    }

    /// Goes by what the rules say now of the key at a place, and returns its place.
    pub(crate) fn refit(&mut self, place: usize, ruling: Ruling, now: u64) -> usize {
        let mark = Mark(self.words[place + MARK]);
        if self.terms.under(mark).is_of(&ruling) {
            // As it is for most keys, whenever the rules of one change: nothing has to be looked for.
            self.words[place + MARK] = mark.at(ruling.version).0;
            return place;
        }
        let Kept { key, mut bucket, .. } = self.at(place);
        let fitted = (bucket.limits.id() != ruling.limits.id()).then(|| bucket.refit(&ruling.limits, now));
        let stride = stride_for(&ruling.limits);
        self.terms.leave(mark);
        self.words[place + MARK] = self.terms.enter(ruling).0;
        let Some(fitted) = fitted else { return place };
        let mut place = place;
        if stride > self.stride {
            self.rebuild(stride, self.len);
            place = self.find(key).expect("it was there a moment ago");
        }
        self.write(place, &fitted);
        place
    }

    /// Forgets all but some. Gives memory back of which little is used.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Kept<'_>) -> bool) {
        let before = self.len;
        for place in (0..self.words.len()).step_by(self.stride.max(1)) {
            if self.words[place + MARK] != 0 && !keep(self.at(place)) {
                self.terms.leave(Mark(self.words[place + MARK]));
                self.words[place + MARK] = 0;
                self.len -= 1;
            }
        }
        // Whoever lies behind one that is gone would not be found.
        if self.len < before {
            let little = places_for(self.len) < self.places / 2;
            let room = if little { self.len + self.len / 8 } else { self.places / 5 * 4 };
            self.rebuild(self.stride, room.max(self.len));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&mut self) -> impl Iterator<Item = Kept<'_>> {
        let terms = &self.terms;
        let taken = |place: &&mut [u64]| place[MARK] != 0;
        self.words.chunks_exact_mut(self.stride.max(1)).filter(taken).map(|place| Kept::of(place, terms))
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        let next = place + self.stride;
        if next < self.words.len() { next } else { 0 }
    }

    fn free_place(&self, key: Fingerprint) -> usize {
        let mut place = home(key, self.places) * self.stride;
        while self.words[place + MARK] != 0 {
            place = self.next(place);
        }
        place
    }

    /// Puts all keys where there is room for so many.
    #[cold]
    fn rebuild(&mut self, stride: usize, keys: usize) {
        self.places = places_for(keys);
        let words = vec![0; self.places * stride].into_boxed_slice();
        let (old, width) = (mem::replace(&mut self.words, words), mem::replace(&mut self.stride, stride));
        for kept in old.chunks_exact(width.max(1)).filter(|place| place[MARK] != 0) {
            let place = self.free_place(Fingerprint::of_words(kept[0], kept[1]));
            self.words[place..][..width].copy_from_slice(kept);
        }
    }

    fn write(&mut self, place: usize, bucket: &Bucket) {
        self.words[place + HEAD..][..bucket.words().len()].copy_from_slice(bucket.words());
    }
}

/// Returns how many places there are for so many keys: one in five is free.
const fn places_for(keys: usize) -> usize {
    keys + keys / 4 + 1
}

fn stride_for(limits: &Limits) -> usize {
    HEAD + 1 + limits.width()
}

#[inline]
const fn home(key: Fingerprint, places: usize) -> usize {
    ((key.lower() as u128 * places as u128) >> 64) as usize
}

// === impl Kept ===

impl<'a> Kept<'a> {
    #[inline(always)]
    fn of(place: &'a mut [u64], terms: &'a Terms) -> Self {
        let [upper, lower, mark, last, levels @ ..] = place else { unreachable!("a place has a head and a bucket") };
        let terms = terms.under(Mark(*mark));
        let bucket = BucketMut::new(last, levels, &terms.limits);
        Self { key: Fingerprint::of_words(*upper, *lower), tier: terms.tier, version: Mark(*mark).version(), bucket }
    }

    #[inline]
    pub(crate) const fn limits(&self) -> &'a Limits {
        self.bucket.limits
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{Costs, Dimension, Limit, Secret};

    fn limits(number: u64) -> Limits {
        let limit = |name: u64| {
            let dimension = if name == 0 { Dimension::REQUESTS } else { Dimension::TOKENS };
            Limit::try_new(&name.to_string(), dimension, 1_000, Duration::from_secs(1)).expect("it makes sense")
        };
        Limits::try_new((0..number).map(limit)).expect("they make sense")
    }

    fn ruling(limits: &Limits, tier: u16, version: u32) -> Ruling {
        Ruling { limits: limits.clone(), tier, version }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Take(u8),
        Refit(u8, usize, u16),
        Forget(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            12 => any::<u8>().prop_map(Op::Take),
            3 => (any::<u8>(), 0..4_usize, 0..3_u16).prop_map(|(key, limits, tier)| Op::Refit(key, limits, tier)),
            1 => (1..8_u64).prop_map(Op::Forget),
        ];
        prop::collection::vec(op, 1..500)
    }

    proptest! {
        /// Whatever comes and goes and changes its limits: what was taken of each key is known, by which tier and version too, and
        /// nothing else is.
        #[test]
        fn it_knows_what_a_map_knows(seed in any::<[u8; 16]>(), ops in ops()) {
            // Some keys lie at the ends of the array, and some have one place.
            let key = |number: u8| match number {
                0..4 => Fingerprint::new(u128::from(number)),
                4..8 => Fingerprint::new(u128::from(u64::MAX) - u128::from(number)),
                8..16 => Fingerprint::new(u128::from(number) << 64 | 7),
                _ => Secret::new(seed).of(&number),
            };
            let all = [limits(1), limits(2), limits(5), limits(2).widened()];
            let (mut table, mut map) = (Table::default(), BTreeMap::<u8, (Bucket, usize, u16, u32)>::new());
            for (op, version) in ops.into_iter().zip(1..) {
                match op {
                    Op::Take(number) => {
                        let found = table.find(key(number));
                        prop_assert_eq!(found.is_some(), map.contains_key(&number));
                        let new = || table.insert(key(number), ruling(&all[1], 0, version), 0).expect("there is room");
                        let place = found.unwrap_or_else(new);
                        let (bucket, of, ..) =
                            map.entry(number).or_insert_with(|| (Bucket::full(&all[1], 0), 1, 0, version));
                        prop_assert!(table.at(place).bucket.reserve(&Costs::request(), 0).is_ok());
                        prop_assert!(bucket.reserve(&all[*of], &Costs::request(), 0).is_ok());
                    }
                    Op::Refit(number, to, tier) => {
                        if let (Some(place), Some(known)) = (table.find(key(number)), map.get_mut(&number)) {
                            let place = table.refit(place, ruling(&all[to], tier, version), 0);
                            prop_assert_eq!(Some(place), table.find(key(number)));
                            *known = (known.0.refit(&all[known.1], &all[to], 0), to, tier, version);
                        }
                    }
                    Op::Forget(part) => {
                        let part = u128::from(part);
                        table.retain(|kept| u128::from(kept.key.lower() ^ kept.key.upper()) % part != 0);
                        map.retain(|number, _| u128::from(key(*number).lower() ^ key(*number).upper()) % part != 0);
                    }
                }
                for (number, (bucket, of, tier, version)) in &mut map {
                    let place = table.find(key(*number)).expect("it is there");
                    prop_assert!(table.is_current(place, *version) && table.at(place).tier == *tier);
                    let kept = table.at(place);
                    prop_assert!(kept.key == key(*number) && kept.limits().id() == all[*of].id());
                    prop_assert!(kept.bucket.levels().eq(bucket.view(&all[*of]).levels()));
                }
                prop_assert!(table.len() == map.len() && table.iter().count() == map.len());
                prop_assert_eq!(table.terms.keys(), map.len());
                prop_assert!(table.terms.len() <= 12, "as many as can be in use at once: {}", table.terms.len());
            }
        }
    }

    #[test]
    fn memory_is_used_well_and_given_back() {
        for (number, most) in [(1, 62), (2, 73), (3, 84)] {
            let (limits, secret, mut table) = (limits(number), Secret::new([1; 16]), Table::default());
            for number in 0..20_000_u32 {
                table.insert(secret.of(&number), ruling(&limits, 0, number), 0);
                let bytes = table.words.len() * 8;
                assert!(number < 1_000 || bytes / table.len() <= most, "{bytes} bytes for {}", table.len());
            }
            table.retain(|kept| (0..100_u32).any(|number| secret.of(&number) == kept.key));
            assert!(table.len() == 100 && table.places < 200 && table.terms.len() == 1);
            let is_as_it_was =
                |number: u32| table.find(secret.of(&number)).is_some_and(|at| table.is_current(at, number));
            assert!((0..100).all(is_as_it_was));
        }
    }
}
