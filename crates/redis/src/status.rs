//! How Redis stands, and what has been counted.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

/// How Redis stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It is there.
    Connected {
        /// Since when.
        since: Instant,
    },
    /// It is not: calls are answered at once with [`ErrorKind::Away`](crate::ErrorKind::Away).
    Away {
        /// Since when.
        since: Instant,
        /// What was last found out about it.
        reason: AwayReason,
    },
}

/// Why Redis counts as away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AwayReason {
    /// No connection has been tried yet.
    Starting,
    /// No connection could be made: nobody listens, no such host, TLS failed.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// The connection broke, or what came over it was no Redis.
    Broken,
    /// It does not accept the credentials, or wants some.
    Credentials,
    /// It is there and cannot serve: it loads its data, runs an endless script, or its cluster is down.
    NotReady,
    /// It is a replica, which takes no writes, or no primary is known.
    NotPrimary,
    /// The [`Worker`](crate::Worker) is gone. Redis stays away.
    Stopped,
}

/// What one client has counted since it was made. Each call that ended is in exactly one of the first seven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls with a result.
    pub answered: u64,
    /// Calls answered at once because Redis was away.
    pub away: u64,
    /// Calls answered at once because too many were under way.
    pub overloaded: u64,
    /// Calls with no answer in time.
    pub timed_out: u64,
    /// Calls whose connection broke.
    pub broken: u64,
    /// Calls that the server or a script answered with an error.
    pub refused: u64,
    /// Calls with an answer of another type.
    pub wrong_data: u64,
    /// Scripts that were sent in full, since the server did not know them.
    pub scripts_loaded: u64,
    /// Connections that were made.
    pub connected: u64,
    /// Attempts to reach Redis, in the background, that failed.
    pub probes_failed: u64,
    /// Times that Redis went away.
    pub went_away: u64,
}

/// [`Counts`], being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) answered: AtomicU64,
    pub(crate) away: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) wrong_data: AtomicU64,
    pub(crate) scripts_loaded: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) probes_failed: AtomicU64,
    pub(crate) went_away: AtomicU64,
}

// === impl Status ===

impl Status {
    /// Returns whether Redis is there.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Returns since when Redis is away; nothing if it is there.
    #[must_use]
    pub const fn away_since(&self) -> Option<Instant> {
        match self {
            Self::Connected { .. } => None,
            Self::Away { since, .. } => Some(*since),
        }
    }
}

// === impl AwayReason ===

impl AwayReason {
    /// Returns the word used in events and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Broken => "broken",
            Self::Credentials => "credentials",
            Self::NotReady => "not-ready",
            Self::NotPrimary => "not-primary",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for AwayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "no connection has been tried yet",
            Self::Unreachable => "no connection can be made",
            Self::TimedOut => "it did not answer in time",
            Self::Broken => "the connection broke",
            Self::Credentials => "it does not accept the credentials",
            Self::NotReady => "it cannot serve now",
            Self::NotPrimary => "it is not the primary",
            Self::Stopped => "its worker was stopped",
        })
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn snapshot(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            answered: read(&self.answered),
            away: read(&self.away),
            overloaded: read(&self.overloaded),
            timed_out: read(&self.timed_out),
            broken: read(&self.broken),
            refused: read(&self.refused),
            wrong_data: read(&self.wrong_data),
            scripts_loaded: read(&self.scripts_loaded),
            connected: read(&self.connected),
            probes_failed: read(&self.probes_failed),
            went_away: read(&self.went_away),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
