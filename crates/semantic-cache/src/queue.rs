//! Who goes next.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::RandomState;

use crate::{
    Key,
    store::{Slot, Ticket, is_there},
};

/// Entries in the order in which their turn to go comes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) tickets: VecDeque<Ticket>,
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
}

/// The keys of what went not long ago.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    pub(crate) order: VecDeque<Key>,
    pub(crate) keys: HashSet<Key, RandomState>,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn add(&mut self, ticket: Ticket, weight: usize, slots: &[Slot]) {
        self.bytes += weight;
        self.entries += 1;
        if self.tickets.len() > 2 * self.entries + 64 {
            // Those that went out of turn left their tickets.
            self.tickets.retain(|ticket| is_there(slots, *ticket));
        }
        self.tickets.push_back(ticket);
    }
}

// === impl Ghosts ===

impl Ghosts {
    pub(crate) fn add(&mut self, key: Key, most: usize) {
        while self.order.len() >= most {
            let oldest = self.order.pop_front().expect("there is one");
            self.keys.remove(&oldest);
        }
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
    }

    pub(crate) fn take(&mut self, key: &Key) -> bool {
        // Its place in the order stays, and is nobody's until it goes.
        self.keys.remove(key)
    }
}
