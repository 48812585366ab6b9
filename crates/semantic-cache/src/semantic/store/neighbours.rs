//! Where the questions nearest to one are found.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use crate::index::{Index, Neighbour, Slot, Slots};
use crate::semantic::known::Name;

/// Where the questions of one scope nearest to one are found.
#[derive(Debug)]
pub(super) enum Neighbours {
    /// Here, by their vectors.
    Here(Box<Index>),
    /// Elsewhere: here are names only.
    Elsewhere(Names),
}

/// What questions are called that are found elsewhere.
#[derive(Debug, Default)]
pub(super) struct Names {
    slots: Slots,
    by_name: HashMap<Name, Slot>,
    by_slot: HashMap<Slot, Name>,
}

// === impl Neighbours ===

impl Neighbours {
    pub(super) fn here(dimensions: NonZeroUsize) -> Self {
        Self::Here(Box::new(Index::new(dimensions)))
    }

    pub(super) fn elsewhere() -> Self {
        Self::Elsewhere(Names::default())
    }

    pub(super) fn insert(&mut self, vector: &[f32], name: Name) -> Option<Slot> {
        match self {
            Self::Here(index) => index.insert(vector).ok(),
            Self::Elsewhere(names) => names.insert(name),
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        match self {
            Self::Here(index) => drop(index.remove(slot)),
            Self::Elsewhere(names) => names.remove(slot),
        }
    }

    pub(super) fn nearest(&self, vector: &[f32], count: usize, found: &mut Vec<Neighbour>) {
        if let Self::Here(index) = self {
            index.nearest(vector, count, 0.0, found);
        }
    }

    /// Returns the question of this name, if it was met.
    pub(super) fn named(&self, name: &Name) -> Option<Slot> {
        match self {
            Self::Here(_) => None,
            Self::Elsewhere(names) => names.by_name.get(name).copied(),
        }
    }
}

// === impl Names ===

impl Names {
    fn insert(&mut self, name: Name) -> Option<Slot> {
        // No row belongs to it.
        let slot = self.slots.claim(0)?;
        if let Some(before) = self.by_name.insert(name, slot) {
            self.by_slot.remove(&before);
        }
        self.by_slot.insert(slot, name);
        Some(slot)
    }

    fn remove(&mut self, slot: Slot) {
        self.slots.release(slot);
        if let Some(name) = self.by_slot.remove(&slot) {
            self.by_name.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_found_elsewhere_has_a_name_here_until_it_goes() {
        let mut neighbours = Neighbours::elsewhere();
        let slot = neighbours.insert(&[], [1; 16]).expect("there is room");
        assert_eq!((neighbours.named(&[1; 16]), neighbours.named(&[2; 16])), (Some(slot), None));
        let mut found = Vec::new();
        neighbours.nearest(&[1.0], 9, &mut found);
        assert!(found.is_empty(), "nothing is searched for here");
        neighbours.remove(slot);
        neighbours.remove(slot);
        assert_eq!(neighbours.named(&[1; 16]), None);
        assert_ne!(neighbours.insert(&[], [1; 16]), Some(slot), "names are not used again");
    }

    #[test]
    fn what_is_found_here_needs_no_name() {
        let mut neighbours = Neighbours::here(NonZeroUsize::MIN);
        let slot = neighbours.insert(&[2.0], [1; 16]).expect("it is a vector");
        assert_eq!((neighbours.named(&[1; 16]), neighbours.insert(&[1.0, 2.0], [2; 16])), (None, None));
        let mut found = Vec::new();
        neighbours.nearest(&[1.0], 9, &mut found);
        assert_eq!(found.iter().map(|near| near.slot).collect::<Vec<_>>(), [slot]);
    }
}
