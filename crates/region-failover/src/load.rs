//! How many requests are under way at a target.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests are under way at a target, and how many of them wait for their answer to begin: in one word, so that a
/// request costs one step at its beginning and one at its end.
#[derive(Debug)]
pub(crate) struct Load(AtomicU64);

// === impl Load ===

impl Load {
    const UNANSWERED: u64 = 1 << 32;

    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn began(&self) {
        self.0.fetch_add(Self::UNANSWERED + 1, Ordering::Relaxed);
    }

    /// Notes that an answer has begun, and goes on.
    pub(crate) fn answered(&self) {
        self.0.fetch_sub(Self::UNANSWERED, Ordering::Relaxed);
    }

    /// Notes that an answer that had begun is over.
    pub(crate) fn left(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn left_unanswered(&self) {
        self.0.fetch_sub(Self::UNANSWERED + 1, Ordering::Relaxed);
    }

    /// Returns how many are under way.
    #[inline]
    pub(crate) fn all(&self) -> u32 {
        // The lower half.
        self.0.load(Ordering::Relaxed) as u32
    }

    /// Returns how many of them wait for their answer to begin.
    pub(crate) fn unanswered(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_is_counted_until_it_is_over_in_whatever_order_it_ends() {
        let load = Load::new();
        (0..3).for_each(|_| load.began());
        assert_eq!((load.all(), load.unanswered()), (3, 3));
        // The end of a body may be heard of before its head is passed on.
        load.left();
        assert_eq!((load.all(), load.unanswered()), (2, 3));
        load.answered();
        load.left_unanswered();
        load.answered();
        assert_eq!((load.all(), load.unanswered()), (1, 0));
        load.left();
        assert_eq!((load.all(), load.unanswered()), (0, 0));
    }
}
