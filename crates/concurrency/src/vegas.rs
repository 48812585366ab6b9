//! The limit from how many calls wait inside the target.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    Algorithm, Bounds, Heard, Sample,
    limit::{Steps, seconds, whole},
};

/// Estimates from latencies how many calls wait inside the target, and keeps them few.
///
/// As in Netflix' concurrency-limits (`VegasLimit`), after TCP Vegas (Brakmo and Peterson, 1995): with the least latency
/// seen as that of an idle target, `queue = ceil(limit · (1 − least / latency))`. The limit goes up while the queue is
/// shorter than `3 · log10(limit)`, faster while it is next to nothing, and down when it is longer than `6 · log10(limit)`.
/// Every `30 · limit` samples, more or less, the least latency is measured anew.
#[derive(Clone, Debug)]
pub struct Vegas {
    bounds: Bounds,
    limit: f64,
    smoothing: f64,
    decrease: fn(f64) -> f64,
    /// In seconds.
    least: Option<f64>,
    since_probe: f64,
    probe_jitter: f64,
    seed: u64,
    probes: u64,
    steps: Steps,
}

// === impl Vegas ===

impl Vegas {
    const PROBE_EVERY: f64 = 30.0;

    /// Creates the algorithm, which begins at `initial`.
    #[must_use]
    pub fn new(initial: u32, bounds: Bounds) -> Self {
        let limit = bounds.clamp(initial.into());
        let mut vegas = Self {
            bounds,
            limit,
            smoothing: 1.0,
            decrease: |limit| limit - log10(limit),
            least: None,
            since_probe: 0.0,
            probe_jitter: 1.0,
            seed: rand::rng().random(),
            probes: 0,
            steps: Steps::default(),
        };
        vegas.draw();
        vegas
    }

    /// Sets how far the limit goes towards what was found: 1 by default, all the way; 0.01 at least.
    #[must_use]
    pub fn smoothing(mut self, smoothing: f64) -> Self {
        self.smoothing = if smoothing.is_nan() { 1.0 } else { smoothing.clamp(0.01, 1.0) };
        self
    }

    /// Sets what a limit becomes that is too high. By default it goes down by its logarithm.
    #[must_use]
    pub const fn decrease(mut self, decrease: fn(f64) -> f64) -> Self {
        self.decrease = decrease;
        self
    }

    /// Makes the times of the probes the same in each run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        (self.seed, self.probes) = (seed, 0);
        self.draw();
        self
    }

    fn draw(&mut self) {
        self.since_probe = 0.0;
        self.probes = self.probes.wrapping_add(1);
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(self.probes));
        self.probe_jitter = rng.random_range(0.5..=1.0);
    }

    /// Returns whether `latency` is all that is known of an idle target.
    fn measures_anew(&mut self, latency: f64) -> bool {
        self.since_probe += 1.0;
        let probe = self.since_probe >= Self::PROBE_EVERY * self.probe_jitter * self.limit;
        if probe {
            self.draw();
        }
        let anew = probe || self.least.is_none_or(|least| latency < least);
        if anew {
            self.least = Some(latency);
        }
        anew
    }

    fn found(&self, latency: f64) -> f64 {
        let least = self.least.unwrap_or(latency);
        let queue = (self.limit * (1.0 - least / latency)).ceil();
        let step = log10(self.limit);
        if queue <= step {
            self.limit + 6.0 * step
        } else if queue < 3.0 * step {
            self.limit + step
        } else if queue > 6.0 * step {
            (self.decrease)(self.limit)
        } else {
            self.limit
        }
    }

    fn go_to(&mut self, found: f64) {
        let found = self.bounds.clamp(found);
        self.limit = self.bounds.clamp((1.0 - self.smoothing).mul_add(self.limit, self.smoothing * found));
    }
}

impl Algorithm for Vegas {
    fn limit(&self) -> u32 {
        whole(self.limit)
    }

    fn on_sample(&mut self, sample: &Sample) {
        let Heard::Latency(latency) = sample.heard else {
            if self.steps.step(sample) {
                self.go_to((self.decrease)(self.limit));
            }
            return;
        };
        let latency = seconds(latency);
        if !self.measures_anew(latency) && !sample.is_application_limited(self.limit) {
            self.go_to(self.found(latency));
        }
    }

    fn restart(&mut self, limit: u32) {
        let limit = self.bounds.clamp(limit.into());
        *self = Self { limit, least: None, steps: Steps::default(), ..self.clone() };
        self.draw();
    }
}

/// Returns the logarithm in whole steps, and one at least.
fn log10(limit: f64) -> f64 {
    limit.max(1.0).log10().floor().max(1.0)
}
