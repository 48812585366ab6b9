//! For how long a circuit stays open.

use std::time::Duration;

/// For how long a circuit stays open: longer each time it opens again, and shorter again for each time that it was well.
///
/// The `k`-th time in a row takes `base · growthᵏ⁻¹`, or `base · k` if [linear](Self::linear), up to a cap; jitter comes on
/// top. `k` falls by one for each interval that the circuit stays closed, as in Envoy's outlier detection, so that a target
/// that comes and goes is left alone for longer and longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenTime {
    base: Duration,
    growth: Growth,
    cap: Duration,
    jitter: u32,
    decay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Growth {
    Linear,
    Exponential(f64),
}

// === impl OpenTime ===

impl Default for OpenTime {
    /// 5 seconds, doubled up to 120 seconds, ±10 %, and one step back for each 30 seconds closed.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(5), 2.0)
    }
}

impl OpenTime {
    /// Multiplies by `growth` each time: 1 at least.
    #[must_use]
    pub const fn exponential(base: Duration, growth: f64) -> Self {
        Self::growing(base, Growth::Exponential(growth))
    }

    /// Adds `base` each time, as Envoy does.
    #[must_use]
    pub const fn linear(base: Duration) -> Self {
        Self::growing(base, Growth::Linear)
    }

    /// Takes the same time each time.
    #[must_use]
    pub const fn fixed(time: Duration) -> Self {
        Self::exponential(time, 1.0).with_cap(time)
    }

    /// Sets the longest time, before jitter: 120 seconds by default.
    #[must_use]
    pub const fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Draws each time evenly from so many percent less to so many percent more: 10 by default, 100 at most.
    #[must_use]
    pub const fn with_jitter(mut self, percent: u32) -> Self {
        self.jitter = percent;
        self
    }

    /// Takes one step back for each `interval` that the circuit stays closed: 30 seconds by default.
    #[must_use]
    pub const fn with_decay(mut self, interval: Duration) -> Self {
        self.decay = interval;
        self
    }

    const fn growing(base: Duration, growth: Growth) -> Self {
        Self { base, growth, cap: Duration::from_secs(120), jitter: 10, decay: Duration::from_secs(30) }
    }

    pub(crate) const fn check(&self) -> Result<(), &'static str> {
        if self.base.is_zero() || self.cap.is_zero() {
            return Err("a time longer than zero");
        }
        if let Growth::Exponential(growth) = self.growth
            && !(growth >= 1.0 && growth.is_finite())
        {
            return Err("multiplied by a finite number of at least 1");
        }
        if self.jitter > 100 {
            return Err("jittered by 100 percent at most");
        }
        if self.decay.is_zero() {
            return Err("with a decay interval longer than zero");
        }
        Ok(())
    }

    /// Returns the time of the `k`-th opening in a row. `unit` is drawn from 0 to 1.
    pub(crate) fn draw(&self, k: u32, unit: f64) -> Duration {
        let times = match self.growth {
            Growth::Linear => f64::from(k.max(1)),
            Growth::Exponential(growth) => growth.powi(k.saturating_sub(1).min(10_000) as i32),
        };
        let cap = self.cap.as_secs_f64();
        let time = (self.base.as_secs_f64() * times).min(cap);
        let jitter = f64::from(self.jitter) / 100.0 * unit.mul_add(2.0, -1.0);
        Duration::try_from_secs_f64(time * (1.0 + jitter)).unwrap_or(self.cap)
    }

    /// Returns how many steps `closed` takes back.
    pub(crate) fn steps_back(&self, closed: Duration) -> u32 {
        u32::try_from(closed.as_nanos() / self.decay.as_nanos().max(1)).unwrap_or(u32::MAX)
    }
}
