//! How long a target takes, with a memory for the worst.

use std::time::Duration;

/// The peak-sensitive moving average of a latency, after Finagle's
/// [`PeakEwma`](https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded): a slower sample
/// counts at once and whole, faster ones only as time goes by. Where nothing comes, it fades, so that a target that was slow
/// is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PeakEwma {
    /// In seconds.
    value: f64,
    /// When the last sample came, in nanoseconds.
    at: Option<u64>,
}

/// How long a target takes: as measured, and no less than is known by attempts that lagged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// In seconds, if anything is known.
    pub(crate) latency: Option<f64>,
    pub(crate) in_doubt: bool,
}

// === impl PeakEwma ===

impl PeakEwma {
    /// How fast the past fades: to a part of 1/e in this time.
    const TAU: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { value: 0.0, at: None }
    }

    /// Takes a sample at `now`, in nanoseconds from wherever times are counted.
    #[inline]
    pub(crate) fn observe(&mut self, sample: Duration, now: u64) {
        let sample = nanos(sample) as f64 * 1e-9;
        let faded = self.fade(now);
        // At least as much as there would be by fading alone: two samples at one time are no reason to forget the slower.
        self.value = if sample >= self.value { sample } else { self.value * faded + sample * (1.0 - faded) };
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }

    /// Returns the average at `now`, in seconds, or `None` before the first sample.
    #[inline]
    pub(crate) fn value(&self, now: u64) -> Option<f64> {
        self.at.map(|_| self.value * self.fade(now))
    }

    /// Returns the average, as it was when the last sample came, and when that was.
    pub(crate) fn measured(&self) -> Option<(f64, u64)> {
        self.at.map(|at| (self.value, at))
    }

    fn fade(&self, now: u64) -> f64 {
        faded_after(self.at.map_or(0, |at| now.saturating_sub(at)))
    }
}

/// Returns what part is left of what was known so long ago.
pub(crate) fn faded(elapsed: Duration) -> f64 {
    faded_after(nanos(elapsed))
}

/// Returns what part is left of what was known so many nanoseconds ago.
#[inline]
pub(crate) fn faded_after(nanos: u64) -> f64 {
    // To divide takes ten times as long as to multiply.
    const RATE: f64 = 1e-9 / PeakEwma::TAU.as_secs() as f64;
    let part = nanos as f64 * RATE;
    // Most are asked again within 300 ms, where five terms of the series are as good, and cost a tenth.
    if part < 0.03 { 1.0 - part * (1.0 - part * (0.5 - part * (1.0 / 6.0 - part / 24.0))) } else { (-part).exp() }
}

/// Returns `time` in nanoseconds, for 584 years.
#[inline]
pub(crate) const fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// In nanoseconds.
    const TAU: u64 = nanos(PeakEwma::TAU);
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_peak_counts_at_once_and_fades_with_time() {
        let (now, mut latency) = (SECOND, PeakEwma::new());
        assert_eq!(latency.value(now), None);
        latency.observe(ms(100), now);
        latency.observe(ms(2000), now);
        latency.observe(ms(100), now);
        assert_eq!(latency.value(now), Some(2.0), "a peak is not talked away at the same moment");
        let later = now + TAU;
        let faded = latency.value(later).unwrap();
        assert!((faded - 2.0 / std::f64::consts::E).abs() < 1e-9, "{faded}");
        latency.observe(ms(100), later);
        let mixed = latency.value(later).unwrap();
        assert!(mixed > 0.1 && mixed < 2.0, "{mixed}");
    }

    #[test]
    fn the_short_way_is_as_good_as_the_long_one() {
        let (now, mut latency) = (SECOND, PeakEwma::new());
        latency.observe(ms(1000), now);
        for micros in [0, 1, 100, 9_999, 10_000, 299_999, 300_000, 300_001] {
            let time = Duration::from_micros(micros);
            let exact = (-time.as_secs_f64() / PeakEwma::TAU.as_secs_f64()).exp();
            assert!((latency.value(now + nanos(time)).unwrap() - exact).abs() < 1e-9, "{micros} µs");
            assert_eq!(faded(time), faded_after(nanos(time)));
        }
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_does_no_harm() {
        let (now, mut latency) = (5 * SECOND, PeakEwma::new());
        latency.observe(ms(10), now);
        latency.observe(ms(5), now - 4 * SECOND);
        let value = latency.value(now - SECOND).unwrap();
        assert!((value - 0.01).abs() < 1e-9, "{value}");
        latency.observe(Duration::MAX, now);
        assert!(latency.value(now).is_some_and(f64::is_finite) && latency.value(u64::MAX) == Some(0.0));
    }
}
