//! How often answers are wrong that are served, as far as is known.

use super::learner::Learner;

/// How often answers are wrong that a policy serves, as it was known when it learned last.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Risk {
    /// The share that is wrong, by the best guess: of requests, or [of what is served](crate::ErrorBound::per_hit).
    pub estimate: f64,
    /// What it is at most, with a certainty of 95 %.
    pub upper_bound: f64,
    /// What it may be.
    pub budget: f64,
    /// How many requests are in the window.
    pub requests: u64,
    /// Of these, how many had a candidate that was judged.
    pub judged: u64,
    /// The least score that is served; infinite where nothing is.
    pub cut: f64,
}

// === impl Learner ===

impl Learner {
    /// Returns how often it is wrong, once something was learned.
    pub(crate) fn risk(&self) -> Option<Risk> {
        let (boundary, settings) = (self.fitted()?.boundary(), self.settings());
        let (wrong, most) = boundary.expected;
        let (right_ones, wrong_ones) = self.evidence.judged();
        Some(Risk {
            estimate: wrong / boundary.of.max(1.0),
            upper_bound: most / boundary.of.max(1.0),
            budget: settings.target,
            requests: self.evidence.senders.len() as u64,
            judged: (right_ones + wrong_ones) as u64,
            cut: boundary.cut,
        })
    }
}
