//! One limit for all calls, or one for each key.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::limiter::{Limiter, Settings};

/// Which limit a call comes under. Sealed by its private type: [`Shared`] and [`Keyed`] are the two ways.
pub trait Select<Req> {
    /// Returns the limit of `request`, or `None` if there are too many.
    fn select(&self, request: &Req) -> Option<Selected>;
}

/// A limit that was [selected](Select).
#[derive(Clone, Debug)]
pub struct Selected(pub(crate) Arc<Limiter>);

/// One limit for all calls. See [`Select`].
#[derive(Clone, Debug)]
pub struct Shared(pub(crate) Arc<Limiter>);

/// A limit for each key, such as a target, a model or a tenant. See [`Select`].
///
/// No more keys are kept than was said. For a new one, those go that have no call under way and were not asked for the
/// longest: a quarter of all at a time, so that the search for them costs little. What their limits had learned goes with
/// them. If each key has a call under way, calls of new keys are refused.
pub struct Keyed<F, K> {
    key: F,
    limiters: Arc<Mutex<Limiters<K>>>,
}

struct Limiters<K> {
    settings: Settings,
    max: NonZeroUsize,
    known: HashMap<K, Known>,
    /// The number of this call, in place of a clock.
    calls: u64,
    /// No idle key will be looked for before that many calls: there was none.
    not_before: u64,
}

struct Known {
    limiter: Arc<Limiter>,
    last: u64,
}

// === impl Shared ===

impl<Req> Select<Req> for Shared {
    #[inline]
    fn select(&self, _: &Req) -> Option<Selected> {
        Some(Selected(Arc::clone(&self.0)))
    }
}

// === impl Keyed ===

impl<F, K> Keyed<F, K> {
    pub(crate) fn new(key: F, max: NonZeroUsize, settings: Settings) -> Self {
        let limiters = Limiters { settings, max, known: HashMap::new(), calls: 0, not_before: 0 };
        Self { key, limiters: Arc::new(Mutex::new(limiters)) }
    }

    pub(crate) fn limiters(&self) -> usize {
        self.lock().known.len()
    }

    fn lock(&self) -> MutexGuard<'_, Limiters<K>> {
        self.limiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, K: Hash + Eq> Keyed<F, K> {
    pub(crate) fn find(&self, key: &K) -> Option<Arc<Limiter>> {
        self.lock().known.get(key).map(|known| Arc::clone(&known.limiter))
    }
}

impl<F, K, Req> Select<Req> for Keyed<F, K>
where
    F: Fn(&Req) -> K,
    K: Hash + Eq,
{
    fn select(&self, request: &Req) -> Option<Selected> {
        let key = (self.key)(request);
        self.lock().of(key).map(Selected)
    }
}

impl<F: Clone, K> Clone for Keyed<F, K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), limiters: Arc::clone(&self.limiters) }
    }
}

impl<F, K> fmt::Debug for Keyed<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the keys: they may be somebody's name.
        f.debug_struct("Keyed").field("keys", &self.limiters()).finish_non_exhaustive()
    }
}

// === impl Limiters ===

impl<K: Hash + Eq> Limiters<K> {
    fn of(&mut self, key: K) -> Option<Arc<Limiter>> {
        self.calls += 1;
        let last = self.calls;
        if let Some(known) = self.known.get_mut(&key) {
            known.last = last;
            return Some(Arc::clone(&known.limiter));
        }
        if self.known.len() >= self.max.get() && !self.make_room() {
            return None;
        }
        let limiter = Limiter::new(&self.settings);
        self.known.insert(key, Known { limiter: Arc::clone(&limiter), last });
        Some(limiter)
    }

    fn make_room(&mut self) -> bool {
        if self.calls < self.not_before {
            return false;
        }
        // All who use a limiter have a handle of it, and get it under the lock of this map.
        let mut idle: Vec<u64> = self.known.values().filter(|known| known.is_idle()).map(|known| known.last).collect();
        let quarter = self.max.get().div_ceil(4);
        if idle.is_empty() {
            self.not_before = self.calls.saturating_add(quarter as u64);
            return false;
        }
        let last = quarter.min(idle.len()) - 1;
        let (_, &mut newest_to_go, _) = idle.select_nth_unstable(last);
        self.known.retain(|_, known| known.last > newest_to_go || !known.is_idle());
        true
    }
}

// === impl Known ===

impl Known {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.limiter) == 1
    }
}

#[cfg(all(test, not(buttress_loom)))]
mod tests {
    use super::*;
    use crate::{Queue, Shares, limiter::Limit};

    #[test]
    fn a_million_keys_take_the_room_of_a_thousand_and_busy_ones_stay() {
        let settings = Settings { limit: Limit::Fixed(1), queue: Queue::NONE, shares: Shares::default() };
        let max = NonZeroUsize::new(1_000).expect("not zero");
        let keyed = Keyed::new(|request: &u32| *request, max, settings);
        let busy: Vec<_> = (0..100).map(|key| keyed.select(&key).expect("there is room")).collect();
        for key in 100..1_000_000 {
            assert!(keyed.select(&key).is_some(), "{key}");
            assert!(key % 100 > 0 || keyed.limiters() <= 1_000);
        }
        let same = |(key, selected): (u32, &Selected)| Arc::ptr_eq(&keyed.find(&key).expect("it stays"), &selected.0);
        assert!((0..).zip(&busy).all(same));
        assert!(keyed.find(&999_999).is_some() && keyed.find(&100).is_none());
    }

    #[test]
    fn where_all_keys_are_busy_nobody_looks_for_an_idle_one_at_each_call() {
        let settings = Settings { limit: Limit::Fixed(1), queue: Queue::NONE, shares: Shares::default() };
        let keyed = Keyed::new(|request: &u32| *request, NonZeroUsize::new(80).expect("not zero"), settings);
        let mut busy: Vec<_> = (0..80).map(|key| keyed.select(&key)).collect();
        assert!((80..85).all(|key| keyed.select(&key).is_none()));
        busy.pop();
        assert!(keyed.select(&90).is_none(), "not yet");
        assert!((100..130).any(|key| keyed.select(&key).is_some()), "and soon");
    }
}
