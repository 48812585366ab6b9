//! What each tenant has in the cache.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::{Mark, store::Ticket};

/// What each tenant has in the cache, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tallies(HashMap<Mark, Tally, RandomState>);

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bytes: usize,
    entries: usize,
    /// Some of them may be gone.
    queue: VecDeque<Ticket>,
}

// === impl Tallies ===

impl Tallies {
    pub(crate) fn bytes(&self, tenant: &Mark) -> usize {
        self.0.get(tenant).map_or(0, |tally| tally.bytes)
    }

    /// Returns what the tenant has had for longest, which may be gone.
    pub(crate) fn oldest(&mut self, tenant: &Mark) -> Option<Ticket> {
        self.0.get_mut(tenant)?.queue.pop_front()
    }

    pub(crate) fn put_back(&mut self, tenant: &Mark, ticket: Ticket) {
        if let Some(tally) = self.0.get_mut(tenant) {
            tally.queue.push_back(ticket);
        }
    }

    pub(crate) fn add(&mut self, tenant: Mark, bytes: usize, ticket: Ticket, is_there: impl Fn(Ticket) -> bool) {
        let tally = self.0.entry(tenant).or_default();
        tally.bytes += bytes;
        tally.entries += 1;
        tally.queue.push_back(ticket);
        if tally.queue.len() > 2 * tally.entries + 16 {
            tally.queue.retain(|ticket| is_there(*ticket));
        }
    }

    pub(crate) fn remove(&mut self, tenant: &Mark, bytes: usize) {
        let Some(tally) = self.0.get_mut(tenant) else { return };
        tally.bytes -= bytes;
        tally.entries -= 1;
        if tally.entries == 0 {
            self.0.remove(tenant);
        }
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.0.values().map(|tally| tally.queue.len()).sum()
    }
}
