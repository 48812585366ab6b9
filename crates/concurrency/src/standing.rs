//! What a permit bears, in whole words.
//!
//! A permit is written by one function and read by the next at once, and a part of a word that is written alone and read with
//! its neighbours stalls the processor for longer than all the rest takes.

use std::{num::NonZeroU64, time::Duration};

use crate::Criticality;

/// The class of a call, and how many were under way with it when it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing(u64);

/// When a call began: nanoseconds since its limiter did, and one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(NonZeroU64);

// === impl Standing ===

impl Standing {
    const CLASSES: [Criticality; 4] =
        [Criticality::Sheddable, Criticality::SheddablePlus, Criticality::Critical, Criticality::CriticalPlus];

    #[inline]
    pub(crate) const fn new(class: Criticality, in_flight: u32) -> Self {
        Self((in_flight as u64) << 2 | class as u64)
    }

    #[inline]
    pub(crate) const fn class(self) -> Criticality {
        Self::CLASSES[(self.0 & 3) as usize]
    }

    pub(crate) const fn in_flight(self) -> u32 {
        (self.0 >> 2) as u32
    }
}

// === impl Moment ===

impl Moment {
    /// It is exact for 584 years.
    #[inline]
    pub(crate) const fn new(since_base: Duration) -> Self {
        let nanos = since_base.as_secs().saturating_mul(1_000_000_000).saturating_add(since_base.subsec_nanos() as u64);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    pub(crate) const fn since_base(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }
}
