//! When to serve what was answered to a similar question.

mod bound;
mod budget;
mod evidence;
mod features;
mod fit;
mod learner;
mod risk;
mod snapshot;

use std::{error, fmt};

use crate::text::{Guard, Guards};

pub use self::risk::Risk;
pub use self::snapshot::SnapshotError;

pub(crate) use self::features::{Candidate, Features, Record, Rival, Surroundings, vote};
pub(crate) use self::fit::chance;
pub(crate) use self::learner::{DOUBTFUL, EXPLORED, Fitted, Learner, Refit};

/// When an answer is served again to a question that is not the same.
///
/// No similarity is right for every model and every traffic: at 0.8, one answer in ten to one in sixty was wrong on the streams
/// that were measured. So there are two ways. [`Policy::threshold`] needs no judge, is strict, and trusts the guards of
/// [`Text`](crate::Text) to see what vectors do not. [`Policy::error_bound`] is told what share of requests may be answered
/// wrongly, and learns from judged answers whom to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(crate) mode: Mode,
    /// How many principals must have had an answer before others have it.
    pub(crate) principals: usize,
}

/// The two ways.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mode {
    Threshold { similarity: f32, vetoes: Guards },
    ErrorBound(ErrorBound),
}

/// How [`Policy::error_bound`] learns. [`ErrorBound::new`] has defaults for everything but the target.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorBound {
    pub(crate) target: f64,
    pub(crate) per_hit: bool,
    pub(crate) audits: f64,
    pub(crate) comparisons: f64,
    pub(crate) vetoes: Guards,
    pub(crate) window: usize,
    pub(crate) share: f64,
}

/// A setting of a [`Policy`] is out of its range.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyError {
    setting: &'static str,
    least: f64,
    most: f64,
}

/// The similarity that [`Policy::threshold`] asks for by default, and that a policy without experience asks for.
pub(crate) const CAUTIOUS: f32 = 0.95;

// === impl Policy ===

impl Policy {
    /// Serves at a `similarity` (cosine) of 0.8 to 1 and more, if no guard sees a difference.
    ///
    /// # Errors
    ///
    /// Refuses a similarity below 0.8, above 1, and one that is no number.
    pub fn threshold(similarity: f32) -> Result<Self, PolicyError> {
        in_range("similarity", f64::from(similarity), 0.8, 1.0)?;
        Ok(Self::of(Mode::Threshold { similarity, vetoes: Guards::ALL }))
    }

    /// Sets of how many principals the own answers must have been equal before a principal that is none of them is given the answer:
    /// 2, of 1 to 16. One is enough means that whoever asks first speaks for all.
    ///
    /// It holds where a question says [who asks](crate::Question::principal). A principal is always given what its own answer
    /// was equal to.
    ///
    /// # Errors
    ///
    /// Refuses none, and more than 16.
    pub fn min_principals(self, principals: usize) -> Result<Self, PolicyError> {
        in_range("min_principals", f64::from(u32::try_from(principals).unwrap_or(u32::MAX)), 1.0, 16.0)?;
        Ok(Self { principals, ..self })
    }

    const fn of(mode: Mode) -> Self {
        Self { mode, principals: 2 }
    }

    /// The guards that forbid to serve.
    pub(crate) const fn vetoes(&self) -> Guards {
        match &self.mode {
            Mode::Threshold { vetoes, .. } => *vetoes,
            Mode::ErrorBound(settings) => settings.vetoes,
        }
    }

    /// Serves so that at most a share of requests is answered wrongly, as far as judged answers can tell.
    #[must_use]
    pub const fn error_bound(error_bound: ErrorBound) -> Self {
        Self::of(Mode::ErrorBound(error_bound))
    }
}

impl Default for Policy {
    /// A threshold of 0.95.
    fn default() -> Self {
        Self::of(Mode::Threshold { similarity: CAUTIOUS, vetoes: Guards::ALL })
    }
}

// === impl ErrorBound ===

impl ErrorBound {
    /// The guards that forbid to serve, whatever was learned: number, unit, polarity and order.
    pub const VETOES: Guards = Guards::of(&[Guard::Number, Guard::Unit, Guard::Polarity, Guard::Order, Guard::Length]);

    /// Allows at most `max_error_rate` wrong answers per request, of 0.001 to 0.2.
    ///
    /// # Errors
    ///
    /// Refuses a rate out of that range.
    pub fn new(max_error_rate: f64) -> Result<Self, PolicyError> {
        in_range("max_error_rate", max_error_rate, 0.001, 0.2)?;
        Ok(Self {
            target: max_error_rate,
            per_hit: false,
            audits: 0.05,
            comparisons: 0.5,
            vetoes: Self::VETOES,
            window: 12_000,
            share: 0.25,
        })
    }

    /// Counts wrong answers per answer that is served, instead of per request. It is stricter, the more so the fewer are served.
    #[must_use]
    pub const fn per_hit(self) -> Self {
        Self { per_hit: true, ..self }
    }

    /// Sets the share of served answers that are checked, about: 0.05. What was served with less confidence is checked more often.
    ///
    /// A check costs a call to the model. With fewer the policy knows less, and serves less.
    ///
    /// # Errors
    ///
    /// Refuses a share below 0.01 and above 0.5.
    pub fn audits(self, share: f64) -> Result<Self, PolicyError> {
        in_range("audits", share, 0.01, 0.5)?;
        Ok(Self { audits: share, ..self })
    }

    /// Sets how many answers are compared per request, at most on average: 0.5. Fresh answers are compared with those of similar
    /// questions, the likeliest first, and served ones with fresh ones when they are checked.
    ///
    /// Some 2000 more are compared at the beginning. With fewer the policy gathers more slowly what belongs together.
    ///
    /// # Errors
    ///
    /// Refuses less than 0.05 and more than 3.
    pub fn comparisons(self, per_request: f64) -> Result<Self, PolicyError> {
        in_range("comparisons", per_request, 0.05, 3.0)?;
        Ok(Self { comparisons: per_request, ..self })
    }

    /// Sets the guards that forbid to serve, whatever was learned: [`ErrorBound::VETOES`]. The others are evidence.
    #[must_use]
    pub const fn vetoes(self, vetoes: Guards) -> Self {
        Self { vetoes, ..self }
    }

    /// Sets how many requests are remembered: 12,000. What is older is forgotten, so that the policy follows its traffic.
    ///
    /// # Errors
    ///
    /// Refuses less than 500 and more than 100,000.
    pub fn window(self, requests: usize) -> Result<Self, PolicyError> {
        in_range("window", f64::from(u32::try_from(requests).unwrap_or(u32::MAX)), 500.0, 100_000.0)?;
        Ok(Self { window: requests, ..self })
    }
}

// === impl PolicyError ===

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, least, most } = self;
        write!(formatter, "`{setting}` must be between {least} and {most}")
    }
}

impl error::Error for PolicyError {}

fn in_range(setting: &'static str, value: f64, least: f64, most: f64) -> Result<(), PolicyError> {
    // Written so that what is no number is refused.
    if (least..=most).contains(&value) { Ok(()) } else { Err(PolicyError { setting, least, most }) }
}
