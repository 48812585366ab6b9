//! What is known of a target that simply serves, without a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use buttress_core::Target;
use tokio::time::Instant;

use crate::{epoch::Epoch, latency::faded_after, load::Load, vitals::Vitals, weight::Weight};

/// What is known of a target that simply serves, without a lock: almost always that is all there is to know. It is all in one
/// line of the processor's cache: of a thousand targets most are in no cache.
///
/// Each figure is read for itself. Two that are of different moments, a request apart, make no other choice.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Glance {
    epoch: Epoch,
    /// The moving average of successes, as bits; 0 if there is more to know.
    score: AtomicU64,
    /// The measured latency in seconds, as bits; 0 if there is none.
    latency: AtomicU64,
    /// When that was measured, in nanoseconds from the epoch.
    at: AtomicU64,
    pub(crate) weight: Weight,
    pub(crate) under_way: Load,
    /// Whether it has said how many requests it can take, so that nothing is locked where it has not.
    pub(crate) is_measured: AtomicBool,
    /// Whether requests have lagged there, so that nothing is locked where none has.
    pub(crate) has_lagged: AtomicBool,
}

// === impl Glance ===

impl Glance {
    pub(crate) fn of(target: &Target, vitals: &Vitals) -> Self {
        let nothing = || AtomicU64::new(0);
        let glance = Self {
            epoch: vitals.epoch.clone(),
            score: nothing(),
            latency: nothing(),
            at: nothing(),
            weight: Weight::of(target),
            under_way: Load::new(),
            is_measured: AtomicBool::new(vitals.spare.is_some()),
            has_lagged: AtomicBool::new(vitals.doubt.is_any()),
        };
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
        if let Some((latency, at)) = vitals.latency.measured() {
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
    pub(crate) fn latency(&self, now: Instant) -> Option<f64> {
        self.latency_at(self.epoch.nanos(now))
    }

    /// Returns the measured latency at `nanos` from the epoch, in seconds, if there is one.
    #[inline]
    fn latency_at(&self, nanos: u64) -> Option<f64> {
        let bits = self.latency.load(Ordering::Relaxed);
        let at = self.at.load(Ordering::Relaxed);
        (bits != 0).then(|| f64::from_bits(bits) * faded_after(nanos.saturating_sub(at)))
    }

    /// Returns what a request more would cost there at `nanos` from the epoch, if the target simply serves.
    #[inline]
    pub(crate) fn cost_at(&self, nanos: u64) -> Option<f64> {
        Some(self.cost(self.score()?, self.latency_at(nanos)))
    }

    /// Returns what a request more would cost there: its latency, times what is under way, by the part of its weight that
    /// counts. A target that was never measured costs nothing while nothing is under way, so that it is measured, and much as
    /// soon as something is.
    #[inline]
    pub(crate) fn cost(&self, factor: f64, latency: Option<f64>) -> f64 {
        const UNKNOWN: f64 = 1e3;
        let pending = f64::from(self.under_way.all());
        let weight = f64::from(self.weight.get().get()) * factor.max(1e-3);
        match latency {
            Some(latency) => (latency + 1e-6) * (pending + 1.0) / weight,
            None if pending == 0.0 => 0.0,
            None => UNKNOWN * pending / weight,
        }
    }
}
