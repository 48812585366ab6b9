//! The circuits of a layer, by key: bounded, and never forgotten while somebody needs them.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use crate::{
    Key,
    breaker::Idle,
    circuit::{Circuit, Shared},
    settings::Settings,
};

/// The circuits of a layer.
///
/// A circuit that is known is found under a shared lock. One that is not takes the place of one that nobody needs, found
/// by a hand that goes round as in the CLOCK algorithm (Corbató, 1968): what was used since it last came by is passed over.
pub(crate) struct Registry {
    shared: Arc<Shared>,
    own_key: Key,
    /// Made with the first call that has no key, so that it does not count in a group where all have one.
    own: OnceLock<Arc<Circuit>>,
    shards: Box<[RwLock<Shard>]>,
    per_shard: usize,
    evicted: AtomicU64,
    overflow: AtomicU64,
}

#[derive(Default)]
struct Shard {
    places: HashMap<Key, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

struct Slot {
    circuit: Arc<Circuit>,
    used: AtomicBool,
}

// === impl Registry ===

impl Registry {
    const SHARDS: usize = 16;
    /// With fewer keys to a shard, chance would decide which are remembered.
    const LEAST: usize = 256;

    pub(crate) fn new(settings: Settings) -> Self {
        let max = settings.max_keys as usize;
        let shards = (max / Self::LEAST).clamp(1, Self::SHARDS);
        let own_key = Key::new(settings.name.clone());
        Self {
            shared: Arc::new(Shared::new(settings, Instant::now())),
            own_key,
            own: OnceLock::new(),
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
            Some(key) => self.keyed(key),
        }
    }

    fn own(&self) -> &Arc<Circuit> {
        self.own.get_or_init(|| Arc::new(self.make(self.own_key.clone())))
    }

    pub(crate) fn keyed(&self, key: Key) -> Arc<Circuit> {
        if key == self.own_key {
            return Arc::clone(self.own());
        }
        let shard = &self.shards[self.shard_of(&key)];
        if let Some(circuit) = shard.read().unwrap_or_else(PoisonError::into_inner).find(&key) {
            return circuit;
        }
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        match shard.find(&key) {
            Some(circuit) => circuit,
            None => self.insert(&mut shard, key),
        }
    }

    /// Returns the circuit of `key` if there is one.
    pub(crate) fn known(&self, key: &Key) -> Option<Arc<Circuit>> {
        if *key == self.own_key {
            return self.own.get().cloned();
        }
        self.shards[self.shard_of(key)].read().unwrap_or_else(PoisonError::into_inner).find(key)
    }

    /// Returns all circuits, the layer's own first.
    pub(crate) fn all(&self) -> Vec<Arc<Circuit>> {
        let mut all: Vec<_> = self.own.get().cloned().into_iter().collect();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.slots.iter().map(|slot| Arc::clone(&slot.circuit)));
        }
        all
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    fn insert(&self, shard: &mut Shard, key: Key) -> Arc<Circuit> {
        let now = Instant::now();
        let place = if shard.slots.len() < self.per_shard {
            None
        } else if let Some(place) = shard.evict(now) {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            Some(place)
        } else {
            // All are needed. This one is forgotten when the call is over.
            self.overflow.fetch_add(1, Ordering::Relaxed);
            return Arc::new(self.make(key));
        };
        let circuit = Arc::new(self.make(key.clone()));
        let slot = Slot { circuit: Arc::clone(&circuit), used: AtomicBool::new(true) };
        match place {
            Some(place) => shard.slots[place] = slot,
            None => shard.slots.push(slot),
        }
        shard.places.insert(key, place.unwrap_or(shard.slots.len() - 1));
        circuit
    }

    fn make(&self, key: Key) -> Circuit {
        Circuit::new(key, Arc::clone(&self.shared), Instant::now())
    }

    /// Spreads keys over the shards. It need not be hard to foresee: a shard that is full only forgets sooner.
    fn shard_of(&self, key: &Key) -> usize {
        let mix = |seed: u64, text: &str| {
            let tail = text.as_bytes().iter().rev().take(8);
            tail.fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
        };
        let hash = mix(0xcbf2_9ce4_8422_2325, key.target().as_str());
        let hash = key.model().map_or(hash, |model| mix(hash, model.as_str()));
        (hash >> 32) as usize % self.shards.len()
    }
}

// === impl Shard ===

impl Shard {
    fn find(&self, key: &Key) -> Option<Arc<Circuit>> {
        let slot = &self.slots[*self.places.get(key)?];
        // Read first: a word that is only read stays with all who read it.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&slot.circuit))
    }

    /// Frees a place: of a circuit that is closed and idle, or else of one that is idle on its way back.
    fn evict(&mut self, now: Instant) -> Option<usize> {
        let place = self.sweep(now, Idle::Closed).or_else(|| self.sweep(now, Idle::Other))?;
        let key = self.slots[place].circuit.key().clone();
        self.places.remove(&key);
        Some(place)
    }

    fn sweep(&mut self, now: Instant, idle: Idle) -> Option<usize> {
        // Twice round: the first time, what was used is spared.
        for _ in 0..self.slots.len() * 2 {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[place];
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
        Arc::strong_count(&self.circuit) == 1
            && self.circuit.with(now, |breaker, _| (breaker.is_idle(now), None)) == idle
    }
}
