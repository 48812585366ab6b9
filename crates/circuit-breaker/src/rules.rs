//! What one breaker goes by, and what it cannot go by.

use std::{error::Error, fmt, num::NonZeroU32, time::Duration};

use buttress_core::Verdict;

use crate::{OpenTime, State};

/// What one breaker goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) span: Span,
    pub(crate) minimum: u32,
    pub(crate) consecutive: Option<NonZeroU32>,
    pub(crate) failure_rate: Option<u32>,
    pub(crate) slow: Option<Slow>,
    pub(crate) probes: u32,
    pub(crate) decide_early: bool,
    pub(crate) max_wait: Duration,
    pub(crate) wait_ends_closed: bool,
    pub(crate) ramp: u32,
    pub(crate) open_time: OpenTime,
    pub(crate) max_hint: Duration,
    pub(crate) initial: State,
    pub(crate) trust_advice: bool,
    pub(crate) max_advice: Duration,
    pub(crate) sticky: Sticky,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Span {
    Count(NonZeroU32),
    Time(Duration),
}

/// When a call is slow, and how many of the calls may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    pub(crate) after: Duration,
    pub(crate) percent: u32,
    /// To the end of the answer; otherwise to its first byte, or its first token where that is known.
    pub(crate) total: bool,
}

/// For how long verdicts open a circuit that are no failures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sticky {
    pub(crate) quota_exhausted: Option<Duration>,
    pub(crate) credential_dead: Option<Duration>,
    pub(crate) model_gone: Option<Duration>,
}

/// A setting that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    allowed: &'static str,
}

// === impl Rules ===

impl Rules {
    /// Returns whether calls must be timed.
    pub(crate) const fn time_calls(&self) -> bool {
        self.slow.is_some()
    }
}

// === impl Sticky ===

impl Sticky {
    /// Returns for how long `verdict` opens a circuit whose key names a model, or does not.
    pub(crate) const fn opens(self, verdict: Verdict, by_model: bool) -> Option<Duration> {
        match verdict {
            Verdict::QuotaExhausted => self.quota_exhausted,
            Verdict::CredentialDead => self.credential_dead,
            Verdict::ModelGone if by_model => self.model_gone,
            _ => None,
        }
    }
}

// === impl ConfigError ===

impl ConfigError {
    pub(crate) const fn new(field: &'static str, allowed: &'static str) -> Self {
        Self { field, allowed }
    }

    /// Returns the name of the setting.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circuit breaker: `{}` must be {}", self.field, self.allowed)
    }
}

impl Error for ConfigError {}
