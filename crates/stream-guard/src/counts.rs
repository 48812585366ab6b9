//! How many streams broke, and why.

use std::sync::atomic::{AtomicU64, Ordering};

use buttress_core::StreamFailure;

/// How many streams broke so far, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Streams that told of an error of their own.
    pub reported: u64,
    /// … that ended without content.
    pub empty: u64,
    /// … that ended before they were complete.
    pub truncated: u64,
    /// … whose connection broke.
    pub reset: u64,
    /// … that could not be understood.
    pub malformed: u64,
    /// … whose first content came too late.
    pub late: u64,
    /// … that were silent for too long.
    pub idle: u64,
    /// … that took too long.
    pub overlong: u64,
    /// … that came too slowly.
    pub too_slow: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; Self::WORDS.len()]);

// === impl Counters ===

impl Counters {
    /// The words of the failures, in the order of [`Counts`].
    const WORDS: [&'static str; 9] = [
        "error",
        "empty",
        "truncated",
        "reset",
        "malformed",
        "ttft-timeout",
        "idle-timeout",
        "total-timeout",
        "too-slow",
    ];

    pub(crate) fn failed(&self, failure: &StreamFailure) {
        let place = Self::WORDS.iter().position(|word| *word == failure.word());
        self.0[place.unwrap_or(0)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let mut counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let mut next = || counts.next().expect("there is a counter for each word");
        Counts {
            reported: next(),
            empty: next(),
            truncated: next(),
            reset: next(),
            malformed: next(),
            late: next(),
            idle: next(),
            overlong: next(),
            too_slow: next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_counted_as_what_it_is() {
        let counters = Counters::default();
        for (times, failure) in [
            StreamFailure::empty(),
            StreamFailure::truncated(),
            StreamFailure::broken(),
            StreamFailure::malformed(),
            StreamFailure::late(),
            StreamFailure::idle(),
            StreamFailure::overlong(),
            StreamFailure::too_slow(),
        ]
        .into_iter()
        .enumerate()
        {
            (0..=times).for_each(|_| counters.failed(&failure));
        }
        let expected = Counts {
            reported: 0,
            empty: 1,
            truncated: 2,
            reset: 3,
            malformed: 4,
            late: 5,
            idle: 6,
            overlong: 7,
            too_slow: 8,
        };
        assert_eq!(counters.read(), expected);
    }
}
