//! Which calls are under way.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Key, counts::Counters, flight::Flight};

/// The calls that can be joined, of all services of one layer.
///
/// A layer does not know what it will be put around, so a call's type is part of its place.
#[derive(Default)]
pub(crate) struct Registry {
    flights: Mutex<Flights>,
    pub(crate) counters: Counters,
}

#[derive(Default)]
struct Flights {
    by_key: HashMap<Place, Entry>,
    made: u64,
}

type Place = (Key, TypeId);

struct Entry {
    number: u64,
    flight: Arc<dyn Any + Send + Sync>,
}

/// Keeps a call where it can be joined. To drop it takes the call out.
///
/// Never to be dropped under the lock of a call.
pub struct Leash {
    registry: Arc<Registry>,
    place: Place,
    number: u64,
}

/// What there is for a request.
pub(crate) enum Entered<F: Future, A> {
    /// A call under way, or one that is to be begun, and a seat in it.
    Flight(Arc<Flight<F, A>>, usize),
    /// Nothing that could be shared: there are too many already.
    Full,
}

/// How much there may be at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) flights: usize,
    pub(crate) followers: usize,
    pub(crate) bytes: usize,
}

// === impl Registry ===

impl Registry {
    /// Finds the call under way for `key`, or makes one.
    pub(crate) fn enter<F, A>(self: &Arc<Self>, key: Key, bounds: Bounds) -> Entered<F, A>
    where
        F: Future<Output: Send> + Send + 'static,
        A: crate::Joinable + Send + 'static,
    {
        let place = (key, TypeId::of::<Flight<F, A>>());
        let mut flights = self.flights();
        if let Some(entry) = flights.by_key.get(&place)
            && let Ok(flight) = Arc::clone(&entry.flight).downcast::<Flight<F, A>>()
        {
            match flight.join(bounds.followers) {
                Ok(seat) => return Entered::Flight(flight, seat),
                Err(over) if !over => return Entered::Full,
                Err(_) => {}
            }
        }
        if flights.by_key.len() >= bounds.flights {
            return Entered::Full;
        }
        flights.made += 1;
        let number = flights.made;
        let (flight, seat) = Flight::new(Leash { registry: Arc::clone(self), place, number });
        let old = flights.by_key.insert(place, Entry { number, flight: flight.clone() });
        drop(flights);
        // Whatever it holds is dropped without a lock.
        drop(old);
        Entered::Flight(flight, seat)
    }

    pub(crate) fn under_way(&self) -> usize {
        self.flights().by_key.len()
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("under_way", &self.under_way()).finish_non_exhaustive()
    }
}

// === impl Leash ===

impl Leash {
    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let mut flights = self.registry.flights();
        let mine = flights.by_key.get(&self.place).is_some_and(|entry| entry.number == self.number);
        let removed = if mine { flights.by_key.remove(&self.place) } else { None };
        drop(flights);
        drop(removed);
    }
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leash").field("key", &self.place.0).finish_non_exhaustive()
    }
}
