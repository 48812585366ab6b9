//! The refusal.

use std::{error::Error, fmt, time::Duration};

use buttress_core::{Refusal, RefusalKind};

use crate::{Key, State};

/// A circuit did not let a call pass: which one, what it is, and how long until the next probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitOpen {
    key: Key,
    state: State,
    after: Option<(Duration, bool)>,
}

// === impl CircuitOpen ===

impl CircuitOpen {
    pub(crate) const fn new(key: Key, state: State, after: Option<(Duration, bool)>) -> Self {
        Self { key, state, after }
    }

    /// Returns the key of the circuit.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the state: open, forced open, or half-open or ramping with all places taken.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Returns the time until the next call may pass: exact if the circuit is open, a guess if other calls must end first,
    /// and unknown if somebody must close it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.after.map(|(after, _)| after)
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the circuit to {} is {}", self.key, self.state)?;
        match self.after {
            Some((after, true)) => write!(f, "; the next probe is in {} ms", after.as_nanos().div_ceil(1_000_000)),
            Some((_, false)) => f.write_str("; all probes are out"),
            None => f.write_str(" until somebody closes it"),
        }
    }
}

impl Error for CircuitOpen {}

impl From<CircuitOpen> for Refusal {
    fn from(open: CircuitOpen) -> Self {
        let refusal = Self::new(RefusalKind::CircuitOpen, open.to_string()).retryable();
        match open.after {
            Some((after, true)) => refusal.with_retry_after(after),
            Some((after, false)) => refusal.with_guessed_retry_after(after),
            None => refusal,
        }
    }
}
