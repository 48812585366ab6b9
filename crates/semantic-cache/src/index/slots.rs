//! Names of rows that outlive the rows' moves, and never name a later row.

/// Names a vector of an [`Index`](super::Index) until it is removed. It never names another one.
///
/// Slots of two indexes have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    index: u32,
    generation: u32,
}

/// Which row each slot names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    entries: Vec<Entry>,
    /// The first of the free entries, which are chained by their `row`.
    free: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Odd while the entry names a row; counted up by every claim and release.
    generation: u32,
    row: u32,
}

/// Ends the chain of free entries. No entry has this index: there are at most `u32::MAX` of them.
const NONE: u32 = u32::MAX;
/// An entry of this generation has named all the rows it can.
const SPENT: u32 = u32::MAX - 1;

// === impl Slot ===

impl Slot {
    pub(super) const fn index(self) -> u32 {
        self.index
    }
}

// === impl Slots ===

impl Slots {
    /// Names `row`, unless there are no names left.
    pub(crate) fn claim(&mut self, row: u32) -> Option<Slot> {
        if let Some(index) = self.free {
            let entry = &mut self.entries[index as usize];
            self.free = (entry.row != NONE).then_some(entry.row);
            *entry = Entry { generation: entry.generation + 1, row };
            return Some(Slot { index, generation: entry.generation });
        }
        let index = u32::try_from(self.entries.len()).ok().filter(|index| *index != NONE)?;
        self.entries.push(Entry { generation: 1, row });
        Some(Slot { index, generation: 1 })
    }

    /// Ends the name, and returns the row that it named.
    pub(crate) fn release(&mut self, slot: Slot) -> Option<u32> {
        let row = self.row(slot)?;
        self.free_entry(slot.index);
        Some(row)
    }

    pub(super) fn release_all(&mut self) {
        for index in 0..u32::try_from(self.entries.len()).unwrap_or(NONE) {
            if self.entries[index as usize].generation % 2 == 1 {
                self.free_entry(index);
            }
        }
    }

    /// Notes that the row of the entry `index` is now `row`.
    pub(super) fn moved(&mut self, index: u32, row: u32) {
        self.entries[index as usize].row = row;
    }

    pub(super) fn row(&self, slot: Slot) -> Option<u32> {
        let entry = self.entries.get(slot.index as usize)?;
        // Slots are odd: a free entry equals none.
        (entry.generation == slot.generation).then_some(entry.row)
    }

    /// Returns the slot that the entry `index` is the name of.
    pub(super) fn named(&self, index: u32) -> Slot {
        Slot { index, generation: self.entries[index as usize].generation }
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    fn free_entry(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation += 1;
        // A spent entry stays out of use: going round would give its old names new rows.
        if entry.generation != SPENT {
            entry.row = self.free.unwrap_or(NONE);
            self.free = Some(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_entry_is_never_used_again() {
        let mut slots = Slots { entries: vec![Entry { generation: SPENT - 2, row: NONE }], free: Some(0) };
        let last = slots.claim(7).expect("one name is left");
        assert_eq!((last.index, last.generation, slots.row(last)), (0, SPENT - 1, Some(7)));
        assert_eq!(slots.release(last), Some(7));
        let next = slots.claim(8).expect("another entry");
        assert_eq!((next.index, next.generation), (1, 1));
        assert_eq!(slots.row(last), None);
    }

    #[test]
    fn released_entries_are_used_again_under_other_names() {
        let mut slots = Slots::default();
        let first = slots.claim(0).expect("names are left");
        assert_eq!(slots.release(first), Some(0));
        assert_eq!(slots.release(first), None, "once");
        let second = slots.claim(0).expect("names are left");
        assert_eq!(first.index, second.index);
        assert_ne!(first, second);
        assert_eq!((slots.row(first), slots.row(second)), (None, Some(0)));
        slots.release_all();
        assert_eq!(slots.row(second), None);
    }
}
