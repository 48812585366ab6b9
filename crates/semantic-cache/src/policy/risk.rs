//! How often answers are wrong that are served, as far as is known.

use super::bound;
use super::learner::Learner;

/// How often answers are wrong that a policy serves, as far as is known of the requests in its window.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Risk {
    /// The share of requests that is answered wrongly, by the best guess.
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
    /// Returns how often it is wrong, once something was learned. Takes about a millisecond.
    pub(crate) fn risk(&self) -> Option<Risk> {
        let (fitted, evidence, settings) = (self.fitted()?, &self.evidence, self.settings());
        let weights = evidence.weights(settings.share);
        let mut scored = evidence.scored(fitted.model(), &weights);
        let cut = fitted.cut(0);
        let (wrong, most) = bound::wrong_from(&mut scored, cut);
        let requests = evidence.requests(&weights).max(1.0);
        let (right_ones, wrong_ones) = evidence.judged();
        Some(Risk {
            estimate: wrong / requests,
            upper_bound: most / requests,
            budget: settings.target,
            requests: evidence.senders.len() as u64,
            judged: (right_ones + wrong_ones) as u64,
            cut,
        })
    }
}
