//! The attempts of one request.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::{Class, Outcome, Target, Verdict};

/// One attempt that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The target, where the layer that made the attempt knew one.
    pub target: Option<Target>,
    /// What the attempt said about it.
    pub verdict: Verdict,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took to the head of the answer, or to its failure.
    pub elapsed: Duration,
    pub(crate) bars: Bars,
}

/// Whether the target may be asked again by the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bars {
    Not,
    Until(Instant),
    ForGood,
}

/// The attempts of one request, oldest first.
///
/// Displays as `eastus;503;12ms, westeurope;200;61ms`. Holds the first [`CAPACITY`](Self::CAPACITY) and counts them all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trail {
    /// In place: most requests make one attempt, which so costs no allocation.
    first: Option<Attempt>,
    /// Those after it, as many as the capacity allows.
    more: Vec<Attempt>,
    made: u32,
}

// === impl Attempt ===

impl Attempt {
    /// Creates an attempt at `target`.
    #[must_use]
    pub const fn new(target: Option<Target>, verdict: Verdict, outcome: Outcome, elapsed: Duration) -> Self {
        let bars = if verdict.retry_here() { Bars::Not } else { Bars::ForGood };
        Self { target, verdict, outcome, elapsed, bars }
    }

    /// Creates an attempt at `target` that ended with `class` at `now`. The request will not go there again before the time
    /// that the target asked for, or not at all if it cannot be served there.
    #[must_use]
    pub fn ended(target: Target, class: Class, elapsed: Duration, now: Instant) -> Self {
        let bars = match class.hint.after.and_then(|after| now.checked_add(after)) {
            _ if !class.retry_here() => Bars::ForGood,
            Some(until) => Bars::Until(until),
            None => Bars::Not,
        };
        Self { target: Some(target), verdict: class.verdict, outcome: class.outcome, elapsed, bars }
    }

    /// Returns whether it says nothing of the target itself, nor of its other credentials.
    pub(crate) fn blames_credential(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.blames_credential(self.verdict))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.target.as_ref().map_or("-", |target| target.name().as_str());
        // Piece by piece, and the time in 64 bits: most answers carry this in a header.
        f.write_str(name)?;
        f.write_str(";")?;
        self.outcome.fmt(f)?;
        let millis = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        write!(f, ";{millis}ms")
    }
}

// === impl Trail ===

impl Trail {
    /// How many attempts are kept word for word.
    pub const CAPACITY: usize = 8;

    /// Iterates over the attempts that were kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }

    /// Returns how many attempts were made, kept or not.
    #[must_use]
    pub const fn made(&self) -> u32 {
        self.made
    }

    pub(crate) fn push(&mut self, attempt: Attempt) {
        if self.first.is_none() {
            self.first = Some(attempt);
        } else if self.more.len() + 1 < Self::CAPACITY {
            self.more.push(attempt);
        }
        self.made = self.made.saturating_add(1);
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            attempt.fmt(f)?;
        }
        match self.made as usize {
            made @ 0..=Self::CAPACITY => {
                debug_assert_eq!(self.iter().count(), made, "what was made within the capacity was kept");
                Ok(())
            }
            made => write!(f, ", and {} more", made - Self::CAPACITY),
        }
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trail({self})")
    }
}
