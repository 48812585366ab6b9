//! What share of requests takes how long, in fixed memory.

use std::time::Duration;

/// A histogram of times of late, in fixed memory: each of its places is 9 % wider than the one before (2 to the power of an
/// eighth), as in an [HDR histogram](https://hdrhistogram.github.io/HdrHistogram/) or a
/// [DDSketch](https://arxiv.org/abs/1908.10693), from 1 ms to 18 minutes.
///
/// When it holds [`FULL`](Self::FULL) times, all counts are halved, so that the past fades.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    counts: [u16; Self::PLACES],
    total: u32,
}

// === impl Sketch ===

impl Sketch {
    const PLACES: usize = 161;
    /// Places to a doubling.
    const TO_DOUBLE: f64 = 8.0;
    pub(crate) const FULL: u32 = 2_000;

    pub(crate) const fn new() -> Self {
        Self { counts: [0; Self::PLACES], total: 0 }
    }

    /// Returns how many times it holds.
    pub(crate) const fn len(&self) -> u32 {
        self.total
    }

    pub(crate) fn add(&mut self, time: Duration) {
        if self.total >= Self::FULL {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        let millis = time.as_secs_f64() * 1e3;
        let place = (millis.max(1.0).log2() * Self::TO_DOUBLE).ceil() as usize;
        self.counts[place.min(Self::PLACES - 1)] += 1;
        self.total += 1;
    }

    /// Returns a time that no less than `percent` of the times are within, and by no more than 9 % too long.
    pub(crate) fn percentile(&self, percent: u8) -> Duration {
        let rank = (u64::from(self.total) * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        let millis = (place.unwrap_or(Self::PLACES - 1) as f64 / Self::TO_DOUBLE).exp2();
        Duration::from_secs_f64(millis / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_past_fades_and_nothing_overflows() {
        let mut sketch = Sketch::new();
        (0..100_000).for_each(|_| sketch.add(Duration::from_millis(100)));
        assert!(sketch.len() <= Sketch::FULL);
        (0..4_000).for_each(|_| sketch.add(Duration::from_secs(10)));
        assert!(sketch.percentile(50) >= Duration::from_secs(10));
        sketch.add(Duration::MAX);
        sketch.add(Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_percentile_is_never_too_short_and_hardly_too_long(
            mut times in proptest::collection::vec(1..1_000_000_u64, 1..500), percent in 1..=100_u8,
        ) {
            let mut sketch = Sketch::new();
            times.iter().for_each(|ms| sketch.add(Duration::from_millis(*ms)));
            times.sort_unstable();
            let exact = times[(times.len() * usize::from(percent)).div_ceil(100) - 1] as f64;
            let got = sketch.percentile(percent).as_secs_f64() * 1e3;
            prop_assert!(got > exact * 0.999 && got < exact * 1.0906, "{got} for {exact}");
        }
    }
}
