//! A point in time in one word.

use std::{num::NonZeroU64, time::Duration};

/// Nanoseconds since a layer was made, and one. An `Instant` is twice as large, and a permit bears two.
///
/// It is exact for 584 years. What was before the layer is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    #[inline]
    pub(crate) const fn new(since_base: Duration) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos(since_base)))
    }

    #[inline]
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

pub(crate) const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}
