//! What a circuit can be, and how it came to be that.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::Key;

/// What a circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// All calls pass, and are counted.
    Closed,
    /// No call passes until its time is over.
    Open,
    /// A few calls find out whether the target is well again.
    HalfOpen,
    /// It is; load comes back in steps.
    Ramping,
    /// No call passes until somebody says otherwise.
    ForcedOpen,
    /// All calls pass, and nothing is counted.
    Disabled,
    /// All calls pass and are counted, and the circuit never opens.
    MetricsOnly,
}

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Too many failures in a row.
    Consecutive,
    /// Too many failures in the window.
    FailureRate,
    /// Too many slow calls in the window.
    SlowRate,
    /// A probe, or a call of the ramp, failed.
    Probe,
    /// A probe did not come back in time.
    MaxWait,
    /// A verdict that opens at once. See [`Settings::sticky`](crate::Settings::sticky).
    Sticky,
    /// The word of others, alone or with a failure. See [`Handle::advise`](crate::Handle::advise).
    Advice,
    /// The open time was over.
    Elapsed,
    /// The probes, or the calls of the ramp, went well.
    Recovered,
    /// Somebody said so. See [`Handle`](crate::Handle).
    Operator,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The circuit.
    pub key: Key,
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// For how long it is open, if it is [open](State::Open) and there is an end to it.
    pub open_for: Option<Duration>,
    /// Which state of this circuit it is, counted from the first. Two threads may report out of order; this tells.
    pub generation: u64,
    /// When.
    pub at: Instant,
}

/// Hears of changes. Any `Fn(&Change)` does.
///
/// It is called by whoever caused the change, in the midst of a call, after all locks are released. It should be quick, as
/// sending into a channel is that never blocks; and it should not panic: if it does, that is caught and forgotten.
///
/// To tell other processes, publish those whose [cause is the circuit's own](Cause::is_evidence) with
/// [`open_for`](Change::open_for), and hand what comes from others to [`Handle::advise`](crate::Handle::advise). What was
/// opened on advice is not evidence, so it does not echo.
pub trait OnChange: Send + Sync {
    /// Called after each change.
    fn on_change(&self, change: &Change);
}

/// A change within a breaker, which does not know its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) cause: Cause,
    pub(crate) open_for: Option<Duration>,
    pub(crate) generation: u64,
    pub(crate) at: Instant,
}

// === impl State ===

impl State {
    /// Returns the name used in events and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Ramping => "ramping",
            Self::ForcedOpen => "forced-open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics-only",
        }
    }

    /// Returns whether the circuit is out of service, or not yet back in it.
    pub(crate) const fn is_ejected(self) -> bool {
        matches!(self, Self::Open | Self::HalfOpen | Self::ForcedOpen)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Cause ===

impl Cause {
    /// Returns the name used in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::FailureRate => "failure-rate",
            Self::SlowRate => "slow-rate",
            Self::Probe => "probe",
            Self::MaxWait => "max-wait",
            Self::Sticky => "sticky",
            Self::Advice => "advice",
            Self::Elapsed => "elapsed",
            Self::Recovered => "recovered",
            Self::Operator => "operator",
        }
    }

    /// Returns whether calls of this process showed it, and not a clock, a person or another process.
    #[must_use]
    pub const fn is_evidence(self) -> bool {
        !matches!(self, Self::Advice | Self::Elapsed | Self::Operator)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl OnChange ===

impl<F: Fn(&Change) + Send + Sync> OnChange for F {
    fn on_change(&self, change: &Change) {
        self(change);
    }
}
