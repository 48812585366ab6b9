//! Additive increase, multiplicative decrease.

use std::time::Duration;

use crate::{
    Algorithm, Bounds, Heard, Sample,
    limit::{Steps, whole},
};

/// Goes up by one for each good call while the limit is in use, and down by a tenth at an overload.
///
/// It looks at failures alone, unless [`slow_after`](Self::slow_after) says when an answer is too slow.
/// As in Netflix' concurrency-limits (`AIMDLimit`); that all calls of one overload count once is our own.
#[derive(Clone, Debug)]
pub struct Aimd {
    bounds: Bounds,
    limit: f64,
    ratio: f64,
    slow_after: Option<Duration>,
    steps: Steps,
}

// === impl Aimd ===

impl Aimd {
    /// Creates the algorithm, which begins at `initial`.
    #[must_use]
    pub fn new(initial: u32, bounds: Bounds) -> Self {
        Self { bounds, limit: bounds.clamp(initial.into()), ratio: 0.9, slow_after: None, steps: Steps::default() }
    }

    /// Sets what remains of the limit after an overload: 0.9 by default, within 0.5 and 0.99.
    #[must_use]
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = if ratio.is_nan() { 0.9 } else { ratio.clamp(0.5, 0.99) };
        self
    }

    /// Counts an answer that takes longer than this as an overload.
    #[must_use]
    pub const fn slow_after(mut self, latency: Duration) -> Self {
        self.slow_after = Some(latency);
        self
    }
}

impl Algorithm for Aimd {
    fn limit(&self) -> u32 {
        whole(self.limit)
    }

    fn on_sample(&mut self, sample: &Sample) {
        let overload = match sample.heard {
            Heard::Overload { .. } => true,
            Heard::Latency(latency) => self.slow_after.is_some_and(|slow| latency > slow),
        };
        if overload {
            if self.steps.step(sample) {
                self.limit = self.bounds.clamp((self.limit * self.ratio).floor());
            }
        } else if !sample.is_application_limited(self.limit) {
            self.limit = self.bounds.clamp(self.limit + 1.0);
        }
    }

    fn restart(&mut self, limit: u32) {
        *self = Self { limit: self.bounds.clamp(limit.into()), steps: Steps::default(), ..self.clone() };
    }
}
