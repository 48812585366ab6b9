//! When a target is out, and how it comes back.

use std::time::Duration;

use crate::health::Health;

/// When a target is out, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    pub(crate) outage_after: u32,
    pub(crate) probe_every: Duration,
    pub(crate) hysteresis: Duration,
    pub(crate) slow_start: Duration,
}

// === impl HealthPolicy ===

impl HealthPolicy {
    /// Five failures in a row, a first probe after 5 s, 30 s without a failure to return, 60 s to take up the load.
    pub const DEFAULT: Self = Self {
        outage_after: 5,
        probe_every: Duration::from_secs(5),
        hysteresis: Duration::from_secs(30),
        slow_start: Duration::from_secs(60),
    };

    /// Sets how many failures in a row are an outage. One at least.
    #[must_use]
    pub const fn outage_after(mut self, failures: u32) -> Self {
        self.outage_after = if failures == 0 { 1 } else { failures };
        self
    }

    /// Sets how long a target that is out is left alone before one request is sent to see how it is. Each that fails
    /// doubles it, up to 12 times as long.
    #[must_use]
    pub const fn probe_every(mut self, interval: Duration) -> Self {
        self.probe_every = interval;
        self
    }

    /// Sets how long a target must serve single requests without a failure before it counts again.
    #[must_use]
    pub const fn hysteresis(mut self, time: Duration) -> Self {
        self.hysteresis = time;
        self
    }

    /// Sets how long a target that counts again takes to take up its whole load, from a tenth of it.
    #[must_use]
    pub const fn slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time;
        self
    }

    pub(crate) fn patience(&self, probes: u32) -> Duration {
        self.probe_every.saturating_mul(1_u32.checked_shl(probes).unwrap_or(12).min(12))
    }

    /// The part of its load that a target takes `time` after it began to: Envoy's slow start with an aggression of 1.
    pub(crate) fn ramp(&self, time: Duration) -> f64 {
        if self.slow_start.is_zero() {
            return 1.0;
        }
        (time.as_secs_f64().max(1e-9) / self.slow_start.as_secs_f64()).clamp(Health::RAMP_FROM, 1.0)
    }
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
