//! The limit from how much slower answers are than they used to be.

use crate::{
    Algorithm, Bounds, Heard, Sample,
    limit::{Steps, seconds, whole},
};

/// Compares each latency with a long average, and takes the limit down as far as answers have become slower.
///
/// As in Netflix' concurrency-limits (`Gradient2Limit`): `gradient = clamp(tolerance · long / short, 0.5, 1)`, and the
/// limit goes a fifth of the way to `limit · gradient + queue`. The long average is of 600 samples; when it is more than
/// twice the latency it decays by 5 % a sample, so that the end of a bad hour is noticed. That an overload takes a tenth
/// off, once for all calls that met it, is our own: theirs goes by latency alone, and a target that fails quickly would look
/// healthy.
///
/// What stays slow for hundreds of calls becomes the long average, and so the measure: give it a `max` that the target can bear.
#[derive(Clone, Debug)]
pub struct Gradient2 {
    bounds: Bounds,
    limit: f64,
    tolerance: f64,
    queue: f64,
    long: LongAverage,
    steps: Steps,
}

#[derive(Clone, Copy, Debug, Default)]
struct LongAverage {
    value: f64,
    samples: u32,
}

// === impl Gradient2 ===

impl Gradient2 {
    const SMOOTHING: f64 = 0.2;

    /// Creates the algorithm, which begins at `initial`.
    #[must_use]
    pub fn new(initial: u32, bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: bounds.clamp(initial.into()),
            tolerance: 1.5,
            queue: 4.0,
            long: LongAverage::default(),
            steps: Steps::default(),
        }
    }

    /// Sets how many times slower than its average an answer may be before the limit goes down: 1.5 by default, within 1
    /// and 10.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = if tolerance.is_nan() { 1.5 } else { tolerance.clamp(1.0, 10.0) };
        self
    }

    /// Sets how many calls the target may have in its queue, which is also how fast the limit grows: 4 by default.
    #[must_use]
    pub fn queue(mut self, calls: u32) -> Self {
        self.queue = calls.into();
        self
    }
}

impl Algorithm for Gradient2 {
    fn limit(&self) -> u32 {
        whole(self.limit)
    }

    fn on_sample(&mut self, sample: &Sample) {
        let Heard::Latency(latency) = sample.heard else {
            if self.steps.step(sample) {
                self.limit = self.bounds.clamp(self.limit * 0.9);
            }
            return;
        };
        let short = seconds(latency);
        let long = self.long.add(short);
        if long > 2.0 * short {
            self.long.value *= 0.95;
        }
        if sample.is_application_limited(self.limit) {
            return;
        }
        let gradient = (self.tolerance * long / short).clamp(0.5, 1.0);
        let target = self.limit.mul_add(gradient, self.queue);
        self.limit = self.bounds.clamp((target - self.limit).mul_add(Self::SMOOTHING, self.limit));
    }

    fn restart(&mut self, limit: u32) {
        let (limit, long) = (self.bounds.clamp(limit.into()), LongAverage::default());
        *self = Self { limit, long, steps: Steps::default(), ..self.clone() };
    }
}

// === impl LongAverage ===

impl LongAverage {
    const WINDOW: f64 = 600.0;
    /// So many samples are averaged evenly, before the first of them has too much to say.
    const WARM_UP: u32 = 10;

    fn add(&mut self, sample: f64) -> f64 {
        self.samples = self.samples.saturating_add(1);
        let weight =
            if self.samples <= Self::WARM_UP { 1.0 / f64::from(self.samples) } else { 2.0 / (Self::WINDOW + 1.0) };
        self.value += (sample - self.value) * weight;
        self.value
    }
}
