//! What was taken, and from where.

use crate::{Costs, Fingerprint, Limits};

/// Whose bucket a call takes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) key: Fingerprint,
    pub(crate) tier: u16,
}

/// What was taken, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) owner: Owner,
    pub(crate) costs: Costs,
    pub(crate) source: Source,
    /// Under which limits.
    pub(crate) limits: u64,
}

/// Which buckets something was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

// === impl Taken ===

impl Taken {
    #[inline]
    pub(crate) const fn new(owner: Owner, costs: Costs, limits: u64) -> Self {
        Self { owner, costs, source: Source::Own, limits }
    }

    #[cfg(feature = "redis")]
    pub(crate) const fn out_of(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Returns what counts as reserved under `limits`. Under other limits than those it was taken under, only what was too little is
    /// taken: it may be that nothing was taken from these buckets, and then nothing can come back to them.
    pub(crate) fn reserved_under(&self, limits: &Limits, actual: &Costs) -> Costs {
        if limits.id() == self.limits { self.costs } else { self.costs.at_most(actual) }
    }
}
