//! What all algorithms have in common: bounds, samples, and how to step back once.

use std::{error::Error, fmt, num::NonZeroU32, time::Duration};

use buttress_core::{Class, Outcome, Verdict};
use tokio::time::Instant;

/// Finds out how many calls a target can serve at a time.
///
/// A pure core: it has no clock of its own. [`Aimd`](crate::Aimd), [`Gradient2`](crate::Gradient2),
/// [`Vegas`](crate::Vegas) and [`Cubic`](crate::Cubic) are the ones that come with the crate.
pub trait Algorithm: Send + 'static {
    /// Returns the limit as it stands. Zero counts as one.
    fn limit(&self) -> u32;

    /// Hears of one call.
    fn on_sample(&mut self, sample: &Sample);

    /// Begins anew from `limit`, which a person has set.
    fn restart(&mut self, limit: u32);
}

/// What one call tells about the load of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "algorithms of other crates make samples in their tests")]
pub struct Sample {
    /// When the call was let in.
    pub started: Instant,
    /// When it was heard of.
    pub now: Instant,
    /// How many calls were under way when this one was let in, itself included.
    pub in_flight: u32,
    /// What was heard.
    pub heard: Heard,
}

/// What was heard of a call. See [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// It took so long: to its first content, or for each token.
    Latency(Duration),
    /// The target had too much to do.
    Overload {
        /// How it said so.
        verdict: Verdict,
        /// How long it asked to be left alone.
        after: Option<Duration>,
    },
}

/// The least and the most that a limit can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    min: NonZeroU32,
    max: NonZeroU32,
}

/// The error of bounds whose least is more than their most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundsError {
    min: NonZeroU32,
    max: NonZeroU32,
}

/// Steps back once for all the calls that were let in before the last step.
///
/// They all met one and the same overload. To step back for each would end at the bottom whenever many calls are under
/// way. TCP does the same: one reduction for a window (RFC 5681, section 3.1; RFC 6582).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    last: Option<Instant>,
}

// === impl Sample ===

impl Sample {
    /// Returns whether so few calls were under way that the limit `limit` was not what held them back.
    ///
    /// Such a call says nothing about whether the target could serve more. Half is the measure of Netflix'
    /// concurrency-limits.
    #[must_use]
    pub fn is_application_limited(&self, limit: f64) -> bool {
        f64::from(self.in_flight) * 2.0 < limit
    }
}

// === impl Heard ===

impl Heard {
    /// Returns what a failure of this class tells about the load of its target, or `None` if it tells nothing.
    ///
    /// A fault of the caller's, a dead credential or a call that somebody ended says nothing. Nor does the refusal of
    /// another layer of this process: it is no word of the target's.
    #[must_use]
    pub const fn of_failure(class: &Class) -> Option<Self> {
        if matches!(class.outcome, Outcome::Refused(_)) {
            return None;
        }
        match class.verdict {
            Verdict::Transient | Verdict::RateLimited | Verdict::CapacityByDesign | Verdict::Slow => {
                Some(Self::Overload { verdict: class.verdict, after: class.hint.after })
            }
            _ => None,
        }
    }
}

// === impl Bounds ===

impl Bounds {
    /// From 1 to 1000.
    pub const DEFAULT: Self = match NonZeroU32::new(1_000) {
        Some(max) => Self { min: NonZeroU32::MIN, max },
        None => unreachable!(),
    };

    /// Creates bounds.
    ///
    /// # Errors
    ///
    /// Fails if `min` is more than `max`.
    pub const fn try_new(min: NonZeroU32, max: NonZeroU32) -> Result<Self, BoundsError> {
        if min.get() > max.get() { Err(BoundsError { min, max }) } else { Ok(Self { min, max }) }
    }

    /// Returns the least that a limit can be.
    #[must_use]
    pub const fn min(&self) -> NonZeroU32 {
        self.min
    }

    /// Returns the most that a limit can be.
    #[must_use]
    pub const fn max(&self) -> NonZeroU32 {
        self.max
    }

    /// Brings `limit` within the bounds. What is no number becomes the least: the safe side.
    #[must_use]
    pub fn clamp(&self, limit: f64) -> f64 {
        let (min, max) = (f64::from(self.min.get()), f64::from(self.max.get()));
        if limit.is_nan() { min } else { limit.clamp(min, max) }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for BoundsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        write!(f, "the least limit, min, is {min}: it must not be more than the most, max, which is {max}")
    }
}

impl Error for BoundsError {}

// === impl Steps ===

impl Steps {
    /// Returns whether this overload is news, and notes it if so.
    pub(crate) fn step(&mut self, sample: &Sample) -> bool {
        let news = self.last.is_none_or(|last| sample.started >= last);
        if news {
            self.last = Some(sample.now.max(sample.started));
        }
        news
    }
}

/// Returns a limit as a whole number. It is rounded down, and never zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and makes zero of what is no number"
)]
pub(crate) fn whole(limit: f64) -> u32 {
    (limit as u32).max(1)
}

/// Returns a time that can be divided by: not zero, and no longer than a day.
pub(crate) fn seconds(latency: Duration) -> f64 {
    latency.as_secs_f64().clamp(1e-9, 86_400.0)
}
