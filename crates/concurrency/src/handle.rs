//! A look at a limit, and a hand on it.

use std::{num::NonZeroU32, sync::Arc};

use crate::limiter::Limiter;

/// Reads a limit, and changes it while it is in use. Clones are one.
#[derive(Clone, Debug)]
pub struct LimitHandle(pub(crate) Arc<Limiter>);

// === impl LimitHandle ===

impl LimitHandle {
    /// Returns how many calls may be under way.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.0.limit()
    }

    /// Returns how many calls are under way, to the ends of their bodies. It is more than the limit for a while after that was
    /// lowered.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.0.in_flight()
    }

    /// Returns how many calls wait for a place.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    /// Sets the limit. An adaptive one begins anew from there, within its bounds.
    ///
    /// Calls that wait get the places that are new. Calls under way keep theirs: where there are too many, a place that is
    /// given back is nobody's until there are fewer.
    pub fn set_limit(&self, limit: NonZeroU32) {
        self.0.set_limit(limit.get());
    }
}
