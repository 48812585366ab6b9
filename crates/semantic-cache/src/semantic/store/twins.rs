//! Groups that turn out to have one answer.

use std::hash::Hash;

use super::{Group, Store};

/// No more pairs of groups are kept in view.
const TWINS: usize = 4096;
/// So many fresh answers equal to both leave no doubt.
const CERTAIN: usize = 3;

impl<A: Clone + Eq + Hash> Store<A> {
    /// Notes whether an answer that is equal to that of `first` is equal to that of `second` too. When that was seen often enough, the
    /// groups become one: as often as each has questions, but no more than thrice.
    pub(in crate::semantic) fn compared(&mut self, first: u64, second: u64, equal: bool) {
        let pair = (first.min(second), first.max(second));
        if !equal {
            self.twins.remove(&pair);
            return;
        }
        let (Some(one), Some(other)) = (self.groups.get(&first), self.groups.get(&second)) else { return };
        let (size, sum) = (one.slots.len().min(other.slots.len()), one.slots.len() + other.slots.len());
        if sum > self.bounds.per_answer || one.scope != other.scope {
            return;
        }
        if self.twins.len() >= TWINS {
            self.twins.clear();
        }
        let seen = self.twins.entry(pair).or_default();
        *seen += 1;
        if *seen >= size.min(CERTAIN) {
            self.twins.remove(&pair);
            let (kept, gone) = if one.slots.len() >= other.slots.len() { (first, second) } else { (second, first) };
            self.merge(kept, gone);
        }
    }

    /// Makes the questions of one group ways to ask for the answer of another one.
    fn merge(&mut self, kept: u64, gone: u64) {
        let Some(Group { answer, scope, slots, record, principals, quarantined, .. }) = self.groups.remove(&gone)
        else {
            return;
        };
        self.by_answer.remove(&answer);
        for &slot in &slots {
            if let Some(entry) = self.entry_mut(&scope, slot) {
                entry.group = kept;
            }
        }
        if let Some(group) = self.groups.get_mut(&kept) {
            group.slots.extend(slots);
            group.record.join(record);
            group.quarantined |= quarantined;
        }
        principals.into_iter().for_each(|principal| self.vouch(kept, principal));
    }
}
