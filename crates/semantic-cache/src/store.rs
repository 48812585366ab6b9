//! What is kept: a pure core.

use std::{collections::HashMap, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::{
    Asked, Gone, Key, Mark, Stored,
    epochs::Epochs,
    freshness::Span,
    queue::{Ghosts, Queue},
    tally::Tallies,
};

/// Answers by key, within bounds.
///
/// What goes first is decided as in S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023),
/// counted in bytes: what is new stands in a small queue and goes soon, unless it was asked for again; what was stands in the main
/// queue, and each time its turn to go comes, it may stay once more for each time it was asked for, up to three. What went from the
/// small queue is remembered by its key, and comes to the main one if it comes again.
#[derive(Debug)]
pub(crate) struct Store {
    bounds: Bounds,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, RandomState>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    tallies: Tallies,
    pub(crate) epochs: Epochs,
    pub(crate) gone: Gone,
    made: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
    pub(crate) entry_bytes: usize,
    pub(crate) tenant_bytes: usize,
    pub(crate) marks: usize,
}

/// A place in a queue. What it stands for may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    slot: u32,
    number: u64,
}

#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    entry: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    answer: Arc<Stored>,
    marks: Box<[Mark]>,
    born: u64,
    came: Instant,
    span: Span,
    weight: usize,
    uses: u8,
    is_main: bool,
    /// Until when somebody fetches a new one.
    renewed_until: Option<Instant>,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) answer: Arc<Stored>,
    pub(crate) age: Duration,
    pub(crate) span: Span,
}

/// Why an answer was not kept, though it was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    TooLarge,
    /// It was forgotten while it came.
    Forgotten,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::default(),
            small: Queue::default(),
            main: Queue::default(),
            ghosts: Ghosts::default(),
            tallies: Tallies::default(),
            epochs: Epochs::new(bounds.marks),
            gone: Gone::default(),
            made: 0,
        }
    }

    /// Keeps an answer whose call began at the epoch `born`. Returns how many others went for it.
    pub(crate) fn insert(
        &mut self,
        question: &Asked,
        answer: Arc<Stored>,
        born: u64,
        span: Span,
        now: Instant,
    ) -> Result<u64, NotKept> {
        self.keep(question.key, question.marks.clone().into(), answer, born, (now, span))
    }

    pub(crate) fn keep(
        &mut self,
        key: Key,
        marks: Box<[Mark]>,
        answer: Arc<Stored>,
        born: u64,
        (came, span): (Instant, Span),
    ) -> Result<u64, NotKept> {
        let weight = answer.weight() + size_of::<Entry>() + size_of_val(&*marks) + 4 * size_of::<Ticket>();
        let tenant = marks[0];
        if weight > self.bounds.entry_bytes.min(self.bounds.bytes).min(self.bounds.tenant_bytes) {
            return Err(NotKept::TooLarge);
        }
        if !self.epochs.is_valid(born, &marks) {
            return Err(NotKept::Forgotten);
        }
        if let Some(&old) = self.by_key.get(&key) {
            self.remove(old);
            self.gone.replaced += 1;
        }
        let mut gone = 0;
        // Where a tenant may have all there is, what goes is for all to bear.
        while self.bounds.tenant_bytes < self.bounds.bytes
            && self.tallies.bytes(&tenant) + weight > self.bounds.tenant_bytes
        {
            gone += u64::from(self.evict_of(&tenant));
        }
        self.gone.for_tenant += gone;
        while self.bytes() + weight > self.bounds.bytes || self.len() >= self.bounds.entries {
            self.evict();
            self.gone.for_room += 1;
            gone += 1;
        }
        let is_main = self.ghosts.take(&key);
        self.put(Entry { key, answer, marks, born, came, span, weight, uses: 0, is_main, renewed_until: None });
        Ok(gone)
    }

    /// Finds an answer, as long as it is good for anything.
    pub(crate) fn find(&mut self, key: &Key, now: Instant) -> Option<Found> {
        let slot = *self.by_key.get(key)?;
        let epochs = &self.epochs;
        let entry = self.slots[slot as usize].entry.as_mut().expect("a key has an entry");
        let age = now.saturating_duration_since(entry.came);
        let (expired, valid) = (age >= entry.span.longest(), epochs.is_valid(entry.born, &entry.marks));
        if expired || !valid {
            self.gone.expired += u64::from(valid);
            self.gone.forgotten += u64::from(!valid);
            self.remove(slot);
            return None;
        }
        entry.uses = (entry.uses + 1).min(3);
        Some(Found { key: entry.key, answer: Arc::clone(&entry.answer), age, span: entry.span })
    }

    /// Returns an answer, whatever it is good for, without its being asked for.
    pub(crate) fn peek(&self, key: &Key) -> Option<Arc<Stored>> {
        let slot = self.by_key.get(key)?;
        self.slots[*slot as usize].entry.as_ref().map(|entry| Arc::clone(&entry.answer))
    }

    /// Returns whether the caller is to fetch a new answer in place of one that is fresh no more: one at a time is.
    pub(crate) fn renews(&mut self, key: &Key, until: Instant, now: Instant) -> bool {
        let Some(slot) = self.by_key.get(key) else { return false };
        let entry = self.slots[*slot as usize].entry.as_mut().expect("a key has an entry");
        let free = entry.renewed_until.is_none_or(|at| at <= now);
        if free {
            entry.renewed_until = Some(until);
        }
        free
    }

    /// Lets another one fetch.
    pub(crate) fn renewed(&mut self, key: &Key) {
        if let Some(slot) = self.by_key.get(key)
            && let Some(entry) = &mut self.slots[*slot as usize].entry
        {
            entry.renewed_until = None;
        }
    }

    /// Forgets one answer. Returns whether it was there.
    pub(crate) fn forget(&mut self, key: &Key) -> bool {
        let there = self.by_key.get(key).copied().map(|slot| self.remove(slot)).is_some();
        self.gone.forgotten += u64::from(there);
        there
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    fn put(&mut self, entry: Entry) {
        self.made += 1;
        let (key, weight, tenant, is_main) = (entry.key, entry.weight, entry.marks[0], entry.is_main);
        let slot = Slot { number: self.made, entry: Some(entry) };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("the number of entries is bounded")
            }
        };
        let ticket = Ticket { slot: at, number: self.made };
        self.by_key.insert(key, at);
        let slots = &self.slots;
        let queue = if is_main { &mut self.main } else { &mut self.small };
        queue.add(ticket, weight, slots);
        self.tallies.add(tenant, weight, ticket, |ticket| is_there(slots, ticket));
    }

    fn remove(&mut self, slot: u32) {
        let Some(entry) = self.slots[slot as usize].entry.take() else { return };
        self.free.push(slot);
        self.by_key.remove(&entry.key);
        self.tallies.remove(&entry.marks[0], entry.weight);
        let queue = if entry.is_main { &mut self.main } else { &mut self.small };
        queue.bytes -= entry.weight;
        queue.entries -= 1;
    }

    /// Removes one. There is one.
    fn evict(&mut self) {
        loop {
            let small = self.small.bytes * 10 > self.bounds.bytes || self.main.entries == 0;
            let queue = if small && self.small.entries > 0 { &mut self.small } else { &mut self.main };
            let ticket = queue.tickets.pop_front().expect("each entry has its ticket");
            let slot = &mut self.slots[ticket.slot as usize];
            let Some(entry) = slot.entry.as_mut().filter(|_| slot.number == ticket.number) else { continue };
            if entry.is_main && entry.uses > 0 {
                entry.uses -= 1;
                self.main.tickets.push_back(ticket);
                continue;
            }
            if !entry.is_main && entry.uses > 0 {
                (entry.is_main, entry.uses) = (true, 0);
                let weight = entry.weight;
                self.small.bytes -= weight;
                self.small.entries -= 1;
                self.main.add(ticket, weight, &self.slots);
                continue;
            }
            if !entry.is_main {
                let key = entry.key;
                self.ghosts.add(key, self.by_key.len().max(1_024));
            }
            return self.remove(ticket.slot);
        }
    }

    /// Looks at what a tenant has had for longest, and removes it unless it was asked for since the last look. Returns whether it
    /// did.
    fn evict_of(&mut self, tenant: &Mark) -> bool {
        let ticket = self.tallies.oldest(tenant).expect("what a tenant has is in its queue");
        let slot = &mut self.slots[ticket.slot as usize];
        let Some(entry) = slot.entry.as_mut().filter(|_| slot.number == ticket.number) else { return false };
        if entry.uses > 0 {
            entry.uses -= 1;
            self.tallies.put_back(tenant, ticket);
            return false;
        }
        self.remove(ticket.slot);
        true
    }
}

pub(crate) fn is_there(slots: &[Slot], ticket: Ticket) -> bool {
    slots.get(ticket.slot as usize).is_some_and(|slot| slot.number == ticket.number && slot.entry.is_some())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
