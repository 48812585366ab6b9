//! How much is judged at a time, and for how long.

use std::{num::NonZeroUsize, time::Duration};

/// How much a [`ServiceJudge`](crate::ServiceJudge) does at a time, and how long each comparison may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeLimits {
    pub(super) timeout: Duration,
    pub(super) at_once: NonZeroUsize,
    pub(super) queue: NonZeroUsize,
    pub(super) text: usize,
}

// === impl JudgeLimits ===

impl JudgeLimits {
    /// Creates the usual limits: 10 s, 4 at once, 32 in the queue, 16 KiB of both texts together.
    #[must_use]
    pub const fn new() -> Self {
        const AT_ONCE: NonZeroUsize = NonZeroUsize::new(4).expect("it is not zero");
        const QUEUE: NonZeroUsize = NonZeroUsize::new(32).expect("it is not zero");
        Self { timeout: Duration::from_secs(10), at_once: AT_ONCE, queue: QUEUE, text: 16 * 1024 }
    }

    /// Sets how long a comparison may take, its wait included. A question is compared with three others at most, one after another,
    /// within the time that the layer has in the [background](crate::SemanticCacheLayer::background).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many comparisons are under way at the same time.
    #[must_use]
    pub const fn at_once(mut self, comparisons: NonZeroUsize) -> Self {
        self.at_once = comparisons;
        self
    }

    /// Sets how many wait. Fewer than what the layer does in the background, so that a judge that hangs does not keep it from
    /// everything else.
    #[must_use]
    pub const fn queue(mut self, comparisons: NonZeroUsize) -> Self {
        self.queue = comparisons;
        self
    }

    /// Sets how many bytes both texts of a comparison have at most. What is longer is not judged: the part that is cut off may be what
    /// differs.
    #[must_use]
    pub const fn text(mut self, bytes: usize) -> Self {
        self.text = bytes;
        self
    }
}

impl Default for JudgeLimits {
    fn default() -> Self {
        Self::new()
    }
}
