//! Questions by scope, and the answers they belong to. Bounded.

mod elsewhere;
mod group;
mod neighbours;
mod twins;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::num::NonZeroUsize;

pub(super) use self::group::Group;
use self::neighbours::Neighbours;
use super::Bounds;
use super::known::Name;
use crate::index::{Neighbour, Slot};
use crate::policy::Record;
use crate::text::Text;

pub(super) type Scope = [u8; 32];

/// All that is remembered of questions and answers.
#[derive(Debug)]
pub(super) struct Store<A> {
    bounds: Bounds,
    partitions: HashMap<Scope, Partition>,
    groups: HashMap<u64, Group<A>>,
    by_answer: HashMap<A, u64>,
    by_sender: HashMap<u64, usize>,
    /// Entries in the order in which they are looked at for eviction. May name some that are gone.
    order: VecDeque<(Scope, Slot)>,
    entries: usize,
    bytes: usize,
    next_group: u64,
    /// Whether the nearest questions are found elsewhere.
    elsewhere: bool,
    /// Groups whose answers were both equal to a fresh one, and how often.
    twins: HashMap<(u64, u64), usize>,
    pub(super) evicted: u64,
    pub(super) refused: u64,
}

/// The questions of one scope.
#[derive(Debug)]
struct Partition {
    neighbours: Neighbours,
    entries: HashMap<Slot, Entry>,
}

/// One question.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) text: Text,
    pub(super) group: u64,
    pub(super) record: Record,
    sender: u64,
    bytes: usize,
    /// Whether it was of use since it was looked at for eviction.
    used: bool,
}

/// No more principals are remembered of an answer.
const PRINCIPALS: usize = 16;

/// What the maps take for an entry, about.
const OVERHEAD: usize = 160;

// === impl Store ===

impl<A: Clone + Eq + Hash> Store<A> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            partitions: HashMap::new(),
            groups: HashMap::new(),
            by_answer: HashMap::new(),
            by_sender: HashMap::new(),
            order: VecDeque::new(),
            entries: 0,
            bytes: 0,
            next_group: 0,
            elsewhere: false,
            twins: HashMap::new(),
            evicted: 0,
            refused: 0,
        }
    }

    /// Adds a question. It joins `group`, or that of `answer`, or makes one. Returns whether there was room.
    pub(super) fn insert(&mut self, group: Option<u64>, answer: Option<A>, question: &super::Question<'_>) -> bool {
        let Some(group) = group.or_else(|| answer.map(|answer| self.group_of(answer, question.scope))) else {
            return false;
        };
        let inserted = self.remember(group, question).is_some();
        if !inserted {
            self.refused += 1;
        } else if let Some(principal) = question.principal {
            self.vouch(group, principal);
        }
        self.remove_if_empty(group);
        inserted
    }

    pub(super) fn nearest(&self, scope: &Scope, vector: &[f32], count: usize, found: &mut Vec<Neighbour>) {
        found.clear();
        if let Some(partition) = self.partitions.get(scope) {
            partition.neighbours.nearest(vector, count, found);
        }
    }

    pub(super) fn entry(&self, scope: &Scope, slot: Slot) -> Option<&Entry> {
        self.partitions.get(scope)?.entries.get(&slot)
    }

    pub(super) fn group(&self, group: u64) -> Option<&Group<A>> {
        self.groups.get(&group)
    }

    /// Notes that an entry was of use.
    pub(super) fn used(&mut self, scope: &Scope, slot: Slot) {
        if let Some(entry) = self.entry_mut(scope, slot) {
            entry.used = true;
        }
    }

    /// Notes that the answer of a group was right or wrong for a question near to an entry.
    pub(super) fn judged(&mut self, group: u64, scope: &Scope, slot: Slot, right: bool, served: bool) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.record.add(right);
            group.quarantined = if right { false } else { group.quarantined || served };
        }
        if let Some(entry) = self.entry_mut(scope, slot) {
            entry.record.add(right);
        }
    }

    /// Notes what somebody else found of an answer. Returns whether it is known.
    pub(super) fn told(&mut self, answer: &A, right: bool, served: bool) -> bool {
        let group = self.by_answer.get(answer).and_then(|group| self.groups.get_mut(group));
        group.is_some_and(|group| {
            group.record.add(right);
            group.quarantined = if right { false } else { group.quarantined || served };
            true
        })
    }

    /// Notes that a principal had the answer of a group of its own.
    pub(super) fn vouch(&mut self, group: u64, principal: u64) {
        if let Some(Group { principals, .. }) = self.groups.get_mut(&group)
            && principals.len() < PRINCIPALS
            && !principals.contains(&principal)
        {
            principals.push(principal);
        }
    }

    /// Notes that somebody says an answer is bad. Returns whether it is known.
    pub(super) fn mark_bad(&mut self, answer: &A) -> bool {
        let group = self.by_answer.get(answer).and_then(|group| self.groups.get_mut(group));
        group.is_some_and(|group| {
            group.record.add(false);
            group.quarantined = true;
            true
        })
    }

    /// Forgets an answer and all its questions. Returns how many there were.
    pub(super) fn remove(&mut self, answer: &A) -> usize {
        let Some(group) = self.by_answer.get(answer).and_then(|group| self.groups.get(group)) else { return 0 };
        let (scope, slots) = (group.scope, group.slots.clone());
        slots.iter().filter(|&&slot| self.remove_entry(&scope, slot)).count()
    }

    pub(super) fn clear(&mut self) {
        let Self { evicted, refused, next_group, elsewhere, .. } = *self;
        *self = Self { evicted, refused, next_group, elsewhere, ..Self::new(self.bounds) };
    }

    pub(super) const fn len(&self) -> usize {
        self.entries
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn group_of(&mut self, answer: A, scope: Scope) -> u64 {
        let next = self.next_group;
        let id = *self.by_answer.entry(answer.clone()).or_insert(next);
        if id == next {
            self.next_group += 1;
            let record = Record::default();
            let (slots, principals) = (Vec::new(), Vec::new());
            let group = Group { answer, scope, slots, record, quarantined: false, elsewhere: 0, principals };
            self.groups.insert(id, group);
        }
        id
    }

    fn add(&mut self, id: u64, scope: Scope, text: Text, sender: u64, vector: &[f32], name: Name) -> Option<Slot> {
        let Bounds { entries, bytes, per_answer, per_sender } = self.bounds;
        let group = self.groups.get_mut(&id)?;
        let of_sender = self.by_sender.get(&sender).copied().unwrap_or(0);
        let size = text.bytes() + vector.len() * 2 + OVERHEAD;
        let full = group.slots.len() >= per_answer || of_sender >= per_sender || size > bytes || entries == 0;
        if full || group.scope != scope {
            return None;
        }
        let neighbours = if self.elsewhere { None } else { Some(NonZeroUsize::new(vector.len())?) };
        let new = || Partition {
            neighbours: neighbours.map_or_else(Neighbours::elsewhere, Neighbours::here),
            entries: HashMap::new(),
        };
        let partition = self.partitions.entry(scope).or_insert_with(new);
        let slot = partition.neighbours.insert(vector, name)?;
        let record = Record::default();
        partition.entries.insert(slot, Entry { text, group: id, record, sender, bytes: size, used: false });
        group.slots.push(slot);
        *self.by_sender.entry(sender).or_default() += 1;
        self.order.push_back((scope, slot));
        self.entries += 1;
        self.bytes += size;
        self.make_room();
        Some(slot)
    }

    /// Evicts what was of no use the longest, until the bounds hold.
    fn make_room(&mut self) {
        while self.entries > self.bounds.entries || self.bytes > self.bounds.bytes {
            let Some((scope, slot)) = self.order.pop_front() else { return };
            match self.entry_mut(&scope, slot) {
                None => {}
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back((scope, slot));
                }
                Some(_) => {
                    self.remove_entry(&scope, slot);
                    self.evicted += 1;
                }
            }
        }
        // Names of what is gone must not pile up.
        if self.order.len() > 2 * self.entries + 64 {
            let partitions = &self.partitions;
            self.order
                .retain(|(scope, slot)| partitions.get(scope).is_some_and(|part| part.entries.contains_key(slot)));
        }
    }

    fn remove_entry(&mut self, scope: &Scope, slot: Slot) -> bool {
        let Some(partition) = self.partitions.get_mut(scope) else { return false };
        let Some(entry) = partition.entries.remove(&slot) else { return false };
        partition.neighbours.remove(slot);
        if partition.entries.is_empty() {
            self.partitions.remove(scope);
        }
        self.entries -= 1;
        self.bytes -= entry.bytes;
        if let Some(count) = self.by_sender.get_mut(&entry.sender) {
            *count -= 1;
            if *count == 0 {
                self.by_sender.remove(&entry.sender);
            }
        }
        if let Some(group) = self.groups.get_mut(&entry.group) {
            group.slots.retain(|&other| other != slot);
        }
        self.remove_if_empty(entry.group);
        true
    }

    fn remove_if_empty(&mut self, id: u64) {
        if self.groups.get(&id).is_some_and(|group| group.slots.is_empty())
            && let Some(group) = self.groups.remove(&id)
        {
            self.by_answer.remove(&group.answer);
        }
    }

    fn entry_mut(&mut self, scope: &Scope, slot: Slot) -> Option<&mut Entry> {
        self.partitions.get_mut(scope)?.entries.get_mut(&slot)
    }
}
