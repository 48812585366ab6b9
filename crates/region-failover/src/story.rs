//! What a request carries, made only when there is something to tell.

use std::num::NonZeroU32;

use buttress_core::{Attempt, Bounds, CallContext, Criticality};
use tokio::time::Instant;

/// What a request carries: the context that came with it, or one of its own, which is made when something happens that it
/// must tell. A request without a head, whose first attempt is served, needs none.
#[derive(Debug)]
pub(crate) struct Story {
    context: Option<CallContext>,
    allowance: NonZeroU32,
    /// How much the request matters.
    pub(crate) class: Criticality,
}

// === impl Story ===

impl Story {
    pub(crate) const fn new(context: Option<CallContext>, allowance: NonZeroU32, class: Criticality) -> Self {
        Self { context, allowance, class }
    }

    /// Returns the context, and makes it if there is none.
    pub(crate) fn context(&mut self) -> &CallContext {
        self.context.get_or_insert_with(|| CallContext::new(self.allowance))
    }

    pub(crate) fn take_attempt(&mut self) -> bool {
        self.context().take_attempt()
    }

    pub(crate) fn record(&mut self, attempt: Attempt) {
        self.context().record(attempt);
    }

    /// Returns the context, if there is anything in it.
    pub(crate) const fn told(&self) -> Option<&CallContext> {
        self.context.as_ref()
    }

    #[inline]
    pub(crate) fn attempts_made(&self) -> u32 {
        self.told().map_or(0, CallContext::attempts_made)
    }

    #[inline]
    pub(crate) fn attempts_left(&self) -> u32 {
        self.told().map_or_else(|| self.allowance.get() - 1, CallContext::attempts_left)
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.told()?.deadline()
    }

    /// Returns what bounds the next attempt, in one look.
    #[inline]
    pub(crate) fn bounds(&self) -> Bounds {
        self.told().map(CallContext::bounds).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}
