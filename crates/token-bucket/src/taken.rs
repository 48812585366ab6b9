//! What was taken, and from where.

use crate::{Costs, Fingerprint, Limits};

/// Whose bucket a call takes from.
// Whole words: what is moved in pieces of odd sizes is not there yet when it is moved on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) key: Fingerprint,
    /// The number of a tier: 16 bits.
    pub(crate) tier: u64,
}

/// What was taken, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) owner: Owner,
    pub(crate) costs: Costs,
    pub(crate) grant: Grant,
}

/// From where something was taken. It is what a decision comes to: what was asked for is known to who asked, and to hand it around would
/// cost as much as the decision does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// Under which limits.
    pub(crate) limits: u64,
    pub(crate) source: Source,
}

/// Which buckets something was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Source {
    /// The key's own.
    Own,
    /// What keys share for which there was no room.
    Overflow,
    /// Those in Redis.
    #[cfg(feature = "redis")]
    Shared,
    /// The key's own, for lack of Redis, which had been away so many times.
    #[cfg(feature = "redis")]
    Away(u32),
}

// === impl Owner ===

impl Owner {
    #[inline]
    pub(crate) fn new(key: Fingerprint, tier: usize) -> Self {
        Self { key, tier: u64::from(u16::try_from(tier).unwrap_or(0)) }
    }
}

// === impl Taken ===

impl Taken {
    #[inline]
    pub(crate) const fn new(owner: Owner, costs: Costs, grant: Grant) -> Self {
        Self { owner, costs, grant }
    }

    /// Returns what counts as reserved under `limits`. Under other limits than those it was taken under, only what was too little is
    /// taken: it may be that nothing was taken from these buckets, and then nothing can come back to them.
    pub(crate) fn reserved_under(&self, limits: &Limits, actual: &Costs) -> Costs {
        if limits.id() == self.grant.limits { self.costs } else { self.costs.at_most(actual) }
    }
}

// === impl Grant ===

impl Grant {
    /// Something was taken from the key's own buckets.
    #[inline]
    pub(crate) const fn own(limits: u64) -> Self {
        Self { limits, source: Source::Own }
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn out_of(limits: u64, source: Source) -> Self {
        Self { limits, source }
    }
}
