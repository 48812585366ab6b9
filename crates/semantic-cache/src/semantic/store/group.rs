//! Questions with one answer.

use super::Scope;
use crate::index::Slot;
use crate::policy::Record;
use crate::semantic::known::Standing;

/// Questions with one answer.
#[derive(Debug)]
pub(in crate::semantic) struct Group<A> {
    pub(in crate::semantic) answer: A,
    pub(in crate::semantic) scope: Scope,
    pub(in crate::semantic) slots: Vec<Slot>,
    pub(in crate::semantic) record: Record,
    pub(in crate::semantic) quarantined: bool,
    /// How many questions it has elsewhere.
    pub(super) elsewhere: u32,
    /// Who had this answer of its own, as many as matter.
    pub(super) principals: Vec<u64>,
}

// === impl Group ===

impl<A> Group<A> {
    /// Whether a principal may have an answer that so many, or itself, had of their own.
    pub(in crate::semantic) fn is_vouched_for(&self, principal: Option<u64>, least: usize) -> bool {
        principal.is_none_or(|principal| self.principals.len() >= least || self.principals.contains(&principal))
    }

    /// Returns how many questions it has.
    pub(in crate::semantic) fn size(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX).max(self.elsewhere)
    }

    /// Takes up what is known of it elsewhere, unless more is known here: that is on its way there.
    pub(super) fn stands(&mut self, standing: Standing) {
        let Standing { questions, record, quarantined } = standing;
        self.elsewhere = questions;
        if record.count() >= self.record.count() {
            (self.record, self.quarantined) = (record, quarantined);
        }
    }
}
