//! What a target counts for beside the others.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use buttress_core::Target;

/// What a target counts for beside the others: its capacity, or what an operator has set. Where a choice finds it without a
/// look at the target's other facts, which for one of a thousand are in no cache.
#[derive(Debug)]
pub(crate) struct Weight(AtomicU64);

// === impl Weight ===

impl Weight {
    /// An operator has set it.
    const SET: u64 = 1 << 32;

    pub(crate) fn of(target: &Target) -> Self {
        Self(AtomicU64::new(u64::from(target.capacity().get())))
    }

    /// Returns the weight of the same target with other facts: what an operator has set stays.
    pub(crate) fn renewed(&self, target: &Target) -> Self {
        let known = self.0.load(Ordering::Relaxed);
        if known & Self::SET == 0 { Self::of(target) } else { Self(AtomicU64::new(known)) }
    }

    pub(crate) fn set(&self, weight: NonZeroU32) {
        self.0.store(Self::SET | u64::from(weight.get()), Ordering::Relaxed);
    }

    /// Takes back what an operator has set.
    pub(crate) fn reset(&self, target: &Target) {
        self.0.store(u64::from(target.capacity().get()), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> NonZeroU32 {
        // The lower half.
        NonZeroU32::new(self.0.load(Ordering::Relaxed) as u32).unwrap_or(NonZeroU32::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_has_set_outlives_other_facts_until_it_is_taken_back() {
        let n = |n| NonZeroU32::new(n).unwrap();
        let target = |capacity| Target::named("east").unwrap().with_capacity(n(capacity));
        let weight = Weight::of(&target(3));
        assert_eq!((weight.get(), weight.renewed(&target(5)).get()), (n(3), n(5)));
        weight.set(n(u32::MAX));
        assert_eq!(weight.renewed(&target(5)).get(), n(u32::MAX));
        weight.reset(&target(5));
        assert_eq!(weight.get(), n(5));
    }
}
