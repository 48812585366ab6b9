//! The circuits of a layer, by key: bounded, and never forgotten while somebody needs them.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, BuildHasherDefault, Hasher},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use crate::{
    Key, State,
    breaker::Idle,
    circuit::{Circuit, Shared},
    settings::Settings,
};

/// The circuits of a layer.
///
/// A circuit that is known is found under a shared lock. One that is not takes the place of one that nobody needs, found
/// by a hand that goes round as in the CLOCK algorithm (Corbató, 1968): what was used since it last came by is passed over.
///
/// A key is hashed once, with a secret of this layer, and looked up by its hash: that keeps the tables small, and what a
/// look costs is memory. Two keys with one hash, should they ever meet, are not mixed up: the later has no place.
pub(crate) struct Registry {
    shared: Arc<Shared>,
    own_key: Key,
    /// Made with the first call that has no key, so that it does not count in a group where all have one.
    own: OnceLock<Arc<Circuit>>,
    secret: RandomState,
    shards: Box<[RwLock<Shard>]>,
    per_shard: usize,
    evicted: AtomicU64,
    overflow: AtomicU64,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<u64, Slot, BuildHasherDefault<Hashed>>,
    /// The hashes of all that have a slot, in the order in which the hand comes by.
    round: Vec<u64>,
    hand: usize,
}

struct Slot {
    circuit: Arc<Circuit>,
    used: AtomicBool,
}

/// The hash of what is a hash already.
#[derive(Default)]
struct Hashed(u64);

// === impl Registry ===

impl Registry {
    const SHARDS: usize = 16;
    /// With fewer keys to a shard, chance would decide which are remembered.
    const LEAST: usize = 256;

    pub(crate) fn new(settings: Settings) -> Self {
        let max = settings.max_keys;
        let shards = (max / Self::LEAST).clamp(1, Self::SHARDS);
        let own_key = Key::new(settings.name.clone());
        Self {
            shared: Arc::new(Shared::new(settings, Instant::now())),
            own_key,
            own: OnceLock::new(),
            secret: RandomState::default(),
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            per_shard: max / shards,
            evicted: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
        }
    }

    /// Returns the circuit of `key`, or the layer's own.
    #[inline]
    pub(crate) fn circuit(&self, key: Option<Key>) -> Arc<Circuit> {
        match key {
            None => Arc::clone(self.own()),
            Some(key) => self.keyed(&key),
        }
    }

    #[inline]
    fn own(&self) -> &Arc<Circuit> {
        self.own.get_or_init(|| Arc::new(self.make(self.own_key.clone())))
    }

    pub(crate) fn keyed(&self, key: &Key) -> Arc<Circuit> {
        let hash = self.secret.hash_one(key);
        let shard = self.shard(hash);
        if let Some(circuit) = shard.read().unwrap_or_else(PoisonError::into_inner).find(hash, key) {
            return circuit;
        }
        if *key == self.own_key {
            return Arc::clone(self.own());
        }
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        match shard.find(hash, key) {
            Some(circuit) => circuit,
            None => self.insert(&mut shard, hash, key),
        }
    }

    /// Returns the circuit of `key` if there is one.
    pub(crate) fn known(&self, key: &Key) -> Option<Arc<Circuit>> {
        if *key == self.own_key {
            return self.own.get().cloned();
        }
        let hash = self.secret.hash_one(key);
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner).find(hash, key)
    }

    /// Returns all circuits, the layer's own first.
    pub(crate) fn all(&self) -> Vec<Arc<Circuit>> {
        let mut all: Vec<_> = self.own.get().cloned().into_iter().collect();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.slots.values().map(|slot| Arc::clone(&slot.circuit)));
        }
        all
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    fn insert(&self, shard: &mut Shard, hash: u64, key: &Key) -> Arc<Circuit> {
        let circuit = Arc::new(self.make(key.clone()));
        let slot = || Slot { circuit: Arc::clone(&circuit), used: AtomicBool::new(true) };
        if shard.slots.contains_key(&hash) {
            // A collision.
            self.overflow.fetch_add(1, Ordering::Relaxed);
        } else if shard.round.len() < self.per_shard {
            shard.round.push(hash);
            shard.slots.insert(hash, slot());
        } else if let Some(place) = shard.evict(Instant::now()) {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            shard.round[place] = hash;
            shard.slots.insert(hash, slot());
        } else {
            // All are needed. This one is forgotten when the call is over.
            self.overflow.fetch_add(1, Ordering::Relaxed);
        }
        circuit
    }

    fn make(&self, key: Key) -> Circuit {
        Circuit::new(key, Arc::clone(&self.shared), Instant::now())
    }

    /// Spreads keys over the shards by bits of the hash that the table of a shard does not look at.
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        let share = u64::from((hash >> 16) as u32) * self.shards.len() as u64;
        &self.shards[(share >> 32) as usize]
    }
}

// === impl Shard ===

impl Shard {
    fn find(&self, hash: u64, key: &Key) -> Option<Arc<Circuit>> {
        let slot = self.slots.get(&hash).filter(|slot| slot.circuit.key() == key)?;
        // Read first: a word that is only read stays with all who read it.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&slot.circuit))
    }

    /// Frees a place: of a circuit that is closed and idle, or else of one that is idle on its way back.
    fn evict(&mut self, now: Instant) -> Option<usize> {
        let place = self.sweep(now, Idle::Closed).or_else(|| self.sweep(now, Idle::Other))?;
        self.slots.remove(&self.round[place]);
        Some(place)
    }

    fn sweep(&mut self, now: Instant, idle: Idle) -> Option<usize> {
        // Twice round: the first time, what was used is spared.
        for _ in 0..self.round.len() * 2 {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.round.len();
            let slot = self.slots.get_mut(&self.round[place])?;
            if !std::mem::take(slot.used.get_mut()) && slot.is(idle, now) {
                return Some(place);
            }
        }
        None
    }
}

// === impl Slot ===

impl Slot {
    /// Nobody can take a permit meanwhile: that needs the shard, which is locked.
    fn is(&self, idle: Idle, now: Instant) -> bool {
        let circuit = &self.circuit;
        Arc::strong_count(circuit) == 1
            && match circuit.gate().state() {
                State::Closed => idle == Idle::Closed,
                _ => circuit.with(now, |breaker, _| (breaker.is_idle(now), None)) == idle,
            }
    }
}

// === impl Hashed ===

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a hash is one word");
    }
}
