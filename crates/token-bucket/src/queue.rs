//! Who waits for a bucket, and who is next.

use std::{
    collections::{BTreeMap, HashMap},
    num::{NonZeroU32, NonZeroUsize},
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use crate::{Costs, Fingerprint, Limits};

/// How many calls may wait, and how long.
///
/// Calls that take from one bucket wait in one queue. Whose turn it is goes by start-time fair queueing ([Goyal, Vin and Cheng],
/// 1996): each [flow](crate::Share) gets its share by weight of what is refilled, whatever the others ask for. Within a flow calls
/// are served as they came. Nobody passes the one whose turn it is, so that a large call is not starved by small ones.
///
/// When a queue is full, a call of a flow that has few in it takes the room of the latest call of the flow that has most
/// ([McKenney], *Stochastic fairness queueing*, 1990). A call that could not be served in time is refused at once.
///
/// [Goyal, Vin and Cheng]: https://doi.org/10.1145/248157.248171
/// [McKenney]: https://doi.org/10.1109/INFCOM.1990.91316
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub(crate) length: usize,
    pub(crate) total: usize,
    pub(crate) max_wait: Duration,
}

/// The calls that wait for one bucket. A pure core.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: BTreeMap<Place, Waiter>,
    flows: HashMap<Fingerprint, Flow>,
    /// The start tag of who was served last.
    virtual_time: u128,
    next: u64,
}

/// A place in a [`Line`]: by start tag, then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    start: u128,
    number: u64,
}

#[derive(Debug)]
struct Waiter {
    flow: Fingerprint,
    costs: Costs,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Flow {
    finish: u128,
    waiting: usize,
}

/// Flows are remembered that have nobody waiting, up to so many.
const MOST_IDLE_FLOWS: usize = 256;

// === impl Queue ===

impl Queue {
    /// Lets nobody wait: who does not find enough is refused.
    pub const NONE: Self = Self { length: 0, total: 0, max_wait: Duration::ZERO };

    /// Lets `length` calls wait for each bucket, for ten seconds at most; 64 times as many for all buckets together.
    #[must_use]
    pub const fn of(length: NonZeroU32) -> Self {
        let length = length.get() as usize;
        Self { length, total: length.saturating_mul(64), max_wait: Duration::from_secs(10) }
    }

    /// Sets how many may wait for all buckets together.
    #[must_use]
    pub const fn total(mut self, total: NonZeroUsize) -> Self {
        self.total = total.get();
        self
    }

    /// Sets how long a call may wait. Its own deadline holds in any case. More than a day counts as a day.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait.min(Duration::from_secs(86_400));
        self
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn until(&self, now: Instant, deadline: Option<Instant>) -> Instant {
        let until = now.checked_add(self.max_wait).unwrap_or(now);
        deadline.map_or(until, |deadline| deadline.min(until))
    }
}

// === impl Line ===

impl Line {
    /// Returns where a call of `flow` would stand.
    pub(crate) fn place(&self, flow: Fingerprint) -> Place {
        let finish = self.flows.get(&flow).map_or(0, |flow| flow.finish);
        Place { start: finish.max(self.virtual_time), number: self.next }
    }

    /// Returns what those take who stand before `place`.
    pub(crate) fn before(&self, place: Place) -> impl Iterator<Item = &Costs> + Clone {
        self.waiting.range(..place).map(|(_, waiter)| &waiter.costs)
    }

    /// Takes a call in at a [`place`](Self::place).
    pub(crate) fn enter(&mut self, place: Place, flow: Fingerprint, weight: NonZeroU32, costs: Costs, limits: &Limits) {
        self.next += 1;
        let length = service_time(limits, &costs) / u128::from(weight.get());
        let known = self.flows.entry(flow).or_default();
        known.finish = place.start.saturating_add(length.max(1));
        self.come_back(place, flow, costs);
    }

    /// Takes a call in again that had left, where it was.
    pub(crate) fn come_back(&mut self, place: Place, flow: Fingerprint, costs: Costs) {
        self.flows.entry(flow).or_default().waiting += 1;
        self.waiting.insert(place, Waiter { flow, costs, waker: None });
    }

    /// Takes a call out, and returns whether it was there.
    pub(crate) fn leave(&mut self, place: Place) -> bool {
        let Some(waiter) = self.waiting.remove(&place) else { return false };
        if let Some(flow) = self.flows.get_mut(&waiter.flow) {
            flow.waiting -= 1;
        }
        if self.flows.len() > self.waiting.len() + MOST_IDLE_FLOWS {
            // Who is behind the virtual time begins anew in any case.
            let now = self.virtual_time;
            self.flows.retain(|_, flow| flow.waiting > 0 || flow.finish > now);
            if self.flows.len() > self.waiting.len() + MOST_IDLE_FLOWS {
                self.flows.retain(|_, flow| flow.waiting > 0);
            }
        }
        true
    }

    /// Takes out who has been served.
    pub(crate) fn served(&mut self, place: Place) {
        self.virtual_time = self.virtual_time.max(place.start);
        self.leave(place);
    }

    /// Takes out the latest call of the flow that has most, if it has more than `flow` would have. Returns whom to tell.
    pub(crate) fn make_room(&mut self, flow: Fingerprint) -> Option<Option<Waker>> {
        let mine = self.flows.get(&flow).map_or(0, |flow| flow.waiting);
        let (&longest, most) = self.flows.iter().max_by_key(|(id, flow)| (flow.waiting, **id))?;
        if most.waiting <= mine + 1 {
            return None;
        }
        let (&place, _) = self.waiting.iter().rev().find(|(_, waiter)| waiter.flow == longest)?;
        let waker = self.waiting.get_mut(&place)?.waker.take();
        self.leave(place);
        Some(waker)
    }

    pub(crate) fn is_known(&self, place: Place) -> bool {
        self.waiting.contains_key(&place)
    }

    pub(crate) fn is_first(&self, place: Place) -> bool {
        self.waiting.first_key_value().is_some_and(|(first, _)| *first == place)
    }

    /// Remembers whom to wake.
    pub(crate) fn remember(&mut self, place: Place, waker: &Waker) {
        if let Some(waiter) = self.waiting.get_mut(&place) {
            match &mut waiter.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// Returns who is to be told that it is first, or that there is more than there was.
    pub(crate) fn first(&mut self) -> Option<Waker> {
        self.waiting.first_entry()?.get_mut().waker.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Returns how much of a bucket `costs` are, where they are most of it: 2³² for all of it. (The *dominant share* of Ghodsi et al.,
/// NSDI 2011.)
fn service_time(limits: &Limits, costs: &Costs) -> u128 {
    let share =
        |limit: &crate::Limit| (u128::from(costs.amount(limit.dimension())) << 32) / u128::from(limit.capacity());
    limits.iter().map(share).max().unwrap_or(0)
}
