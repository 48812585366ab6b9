//! How long a target takes, with a memory for the worst.

use std::time::Duration;

use tokio::time::Instant;

/// The peak-sensitive moving average of a latency, after Finagle's
/// [`PeakEwma`](https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded): a slower sample
/// counts at once and whole, faster ones only as time goes by. Where nothing comes, it fades, so that a target that was slow
/// is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PeakEwma {
    /// In seconds.
    value: f64,
    at: Option<Instant>,
}

/// How long a target takes: as measured, and no less than is known by attempts that lagged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) measured: PeakEwma,
    /// In seconds. `None` if it is not in doubt.
    pub(crate) at_least: Option<f64>,
}

// === impl PeakEwma ===

impl PeakEwma {
    /// How fast the past fades: to a part of 1/e in this time.
    const TAU: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { value: 0.0, at: None }
    }

    pub(crate) fn observe(&mut self, sample: Duration, now: Instant) {
        let sample = sample.as_secs_f64();
        let faded = self.fade(now);
        // At least as much as there would be by fading alone: two samples at one time are no reason to forget the slower.
        self.value = if sample >= self.value { sample } else { self.value * faded + sample * (1.0 - faded) };
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }

    /// Returns the average at `now`, in seconds, or `None` before the first sample.
    pub(crate) fn value(&self, now: Instant) -> Option<f64> {
        self.at.map(|_| self.value * self.fade(now))
    }

    fn fade(&self, now: Instant) -> f64 {
        faded(self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at)))
    }
}

// === impl Pace ===

impl Pace {
    /// Returns how long it takes at `now`, in seconds, or `None` if nothing is known.
    pub(crate) fn latency(&self, now: Instant) -> Option<f64> {
        let measured = self.measured.value(now);
        self.at_least.map_or(measured, |at_least| Some(measured.unwrap_or(0.0).max(at_least)))
    }

    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.at_least.is_some()
    }
}

/// Returns what part is left of what was known so long ago.
pub(crate) fn faded(elapsed: Duration) -> f64 {
    let part = elapsed.as_secs_f64() / PeakEwma::TAU.as_secs_f64();
    // Most are asked again within milliseconds, where three terms of the series are as good, and cost a tenth.
    if part < 1e-3 { 1.0 - part + part * part / 2.0 } else { (-part).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_peak_counts_at_once_and_fades_with_time() {
        let (now, mut latency) = (Instant::now(), PeakEwma::new());
        assert_eq!(latency.value(now), None);
        latency.observe(ms(100), now);
        latency.observe(ms(2000), now);
        latency.observe(ms(100), now);
        assert_eq!(latency.value(now), Some(2.0), "a peak is not talked away at the same moment");
        let later = now + PeakEwma::TAU;
        let faded = latency.value(later).unwrap();
        assert!((faded - 2.0 / std::f64::consts::E).abs() < 1e-9, "{faded}");
        latency.observe(ms(100), later);
        let mixed = latency.value(later).unwrap();
        assert!(mixed > 0.1 && mixed < 2.0, "{mixed}");
    }

    #[test]
    fn the_short_way_is_as_good_as_the_long_one() {
        let (now, mut latency) = (Instant::now(), PeakEwma::new());
        latency.observe(ms(1000), now);
        for micros in [0, 1, 100, 9_999, 10_000, 10_001] {
            let time = Duration::from_micros(micros);
            let exact = (-time.as_secs_f64() / PeakEwma::TAU.as_secs_f64()).exp();
            assert!((latency.value(now + time).unwrap() - exact).abs() < 1e-9, "{micros} µs");
        }
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_does_no_harm() {
        let (now, mut latency) = (Instant::now() + ms(5000), PeakEwma::new());
        latency.observe(ms(10), now);
        latency.observe(ms(5), now - ms(4000));
        assert_eq!(latency.value(now - ms(1000)), Some(0.01));
        latency.observe(Duration::MAX, now);
        assert!(latency.value(now).is_some_and(f64::is_finite));
    }
}
