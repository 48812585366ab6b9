//! What is known of a target that simply serves, without a lock.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use crate::{
    latency::{faded_after, nanos},
    vitals::Vitals,
};

/// What is known of a target that simply serves, without a lock: almost always that is all there is to know.
///
/// Each figure is read for itself. Two that are of different moments, a request apart, make no other choice.
#[derive(Debug)]
pub(crate) struct Glance {
    /// From where times are counted: the first request.
    since: OnceLock<Instant>,
    /// The moving average of successes, as bits; 0 if there is more to know.
    score: AtomicU64,
    /// The measured latency in seconds, as bits; 0 if there is none.
    latency: AtomicU64,
    /// When that was measured, in nanoseconds.
    at: AtomicU64,
}

// === impl Glance ===

impl Glance {
    pub(crate) fn of(vitals: &Vitals) -> Self {
        let nothing = || AtomicU64::new(0);
        let glance = Self { since: OnceLock::new(), score: nothing(), latency: nothing(), at: nothing() };
        glance.show(vitals);
        glance
    }

    /// Shows what has become of `vitals`.
    #[inline]
    pub(crate) fn show(&self, vitals: &Vitals) {
        if !vitals.is_plain() {
            self.score.store(0, Ordering::Relaxed);
            return;
        }
        if let (Some((latency, at)), Some(since)) = (vitals.latency.measured(), vitals.since) {
            self.since.get_or_init(|| since);
            self.at.store(at, Ordering::Relaxed);
            self.latency.store(latency.max(f64::MIN_POSITIVE).to_bits(), Ordering::Relaxed);
        }
        self.score.store(vitals.health.score().to_bits(), Ordering::Relaxed);
    }

    /// Returns the moving average of successes, if that is all there is to know.
    #[inline]
    pub(crate) fn score(&self) -> Option<f64> {
        match self.score.load(Ordering::Relaxed) {
            0 => None,
            bits => Some(f64::from_bits(bits)),
        }
    }

    /// Returns the measured latency at `now` in seconds, if there is one.
    #[inline]
    pub(crate) fn latency(&self, now: Instant) -> Option<f64> {
        let bits = self.latency.load(Ordering::Relaxed);
        if bits == 0 {
            return None;
        }
        let at = self.at.load(Ordering::Relaxed);
        let now = nanos(now.saturating_duration_since(*self.since.get()?));
        Some(f64::from_bits(bits) * faded_after(now.saturating_sub(at)))
    }
}
