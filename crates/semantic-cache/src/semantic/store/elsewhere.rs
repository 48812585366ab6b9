//! Questions that are found elsewhere.
//!
//! What is here of them is what was met lately: what they say, which answer they share, and what was judged.

use std::hash::Hash;

use super::{Name, Scope, Store};
use crate::index::{Neighbour, Slot};
use crate::semantic::Question;
use crate::semantic::known::{Known, name};

// === impl Store ===

impl<A: Clone + Eq + Hash> Store<A> {
    /// Forgets everything, and finds the nearest questions elsewhere from now on, or here again.
    pub(in crate::semantic) fn search_elsewhere(&mut self, elsewhere: bool) {
        self.clear();
        self.elsewhere = elsewhere;
    }

    /// Takes in what is known elsewhere. Returns it as neighbours, those with a place here.
    pub(in crate::semantic) fn meet(&mut self, scope: &Scope, known: &[Known<A>]) -> Vec<Neighbour> {
        let known = if self.elsewhere { known } else { &[] };
        let met = |known: &Known<A>| Some(Neighbour { slot: self.know(scope, known)?, similarity: known.similarity });
        known.iter().filter_map(met).collect()
    }

    /// Gives a question a place.
    pub(super) fn remember(&mut self, group: u64, question: &Question<'_>) -> Option<Slot> {
        let Question { scope, sender, text, vector, said, .. } = *question;
        if !self.elsewhere {
            return self.add(group, scope, text.clone(), sender, vector, Name::default());
        }
        let name = name(&self.groups.get(&group)?.answer, said);
        let met = self.partitions.get(&scope).and_then(|partition| partition.neighbours.named(&name));
        // The vector is kept elsewhere.
        met.or_else(|| self.add(group, scope, text.clone(), sender, &[], name))
    }

    fn know(&mut self, scope: &Scope, known: &Known<A>) -> Option<Slot> {
        let met = self.partitions.get(scope).and_then(|partition| partition.neighbours.named(&known.name));
        let slot = match met {
            Some(slot) => slot,
            None => {
                let id = self.group_of(known.answer.clone(), *scope);
                let slot = self.add(id, *scope, known.read(), known.sender, &[], known.name);
                self.remove_if_empty(id);
                slot?
            }
        };
        // One that was joined to another here has its standing there.
        let group = self.by_answer.get(&known.answer).and_then(|group| self.groups.get_mut(group));
        if let Some(group) = group {
            group.stands(known.standing);
        }
        Some(slot)
    }
}
