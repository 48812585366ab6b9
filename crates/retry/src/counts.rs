//! What a layer has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a layer has done so far, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Retries that were begun.
    pub retries: u64,
    /// Calls that failed first and succeeded in the end.
    pub recovered: u64,
    /// Failures that were final because the server said that a retry cannot help.
    pub server_says_no: u64,
    /// … because the request is not idempotent and may have been served.
    pub not_idempotent: u64,
    /// … because the request came as somebody else's retry.
    pub marked_as_retry: u64,
    /// … because all attempts of this layer were made.
    pub attempts: u64,
    /// … because the server asked for a longer wait than is allowed.
    pub hint_too_long: u64,
    /// … because the retry would have come after the deadline.
    pub deadline: u64,
    /// … because the allowance that all layers share was spent.
    pub allowance: u64,
    /// … because a budget had no retry left.
    pub budget: u64,
    /// … because the body is too large to be kept, or the request cannot be copied.
    pub not_replayable: u64,
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A retry would not help.
    Verdict,
    /// The policy is to send nothing twice.
    Never,
    ServerSaysNo,
    NotIdempotent,
    MarkedAsRetry,
    Attempts,
    HintTooLong,
    Deadline,
    Allowance,
    Budget,
    NotReplayable,
}

/// The counters behind [`Counts`]. Nothing is counted for a call that succeeds at once.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    retries: AtomicU64,
    recovered: AtomicU64,
    stops: [AtomicU64; Stop::COUNT],
}

// === impl Stop ===

impl Stop {
    const COUNT: usize = Self::NotReplayable as usize + 1;

    /// The name in events.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Never => "never",
            Self::ServerSaysNo => "server-says-no",
            Self::NotIdempotent => "not-idempotent",
            Self::MarkedAsRetry => "marked-as-retry",
            Self::Attempts => "attempts",
            Self::HintTooLong => "hint-too-long",
            Self::Deadline => "deadline",
            Self::Allowance => "allowance",
            Self::Budget => "budget",
            Self::NotReplayable => "not-replayable",
        }
    }

    /// Whether the caller should be told that its own retries cannot help either: what could be tried was tried, or there
    /// is too much of it already.
    pub(crate) const fn is_giving_up(self) -> bool {
        matches!(self, Self::Attempts | Self::Deadline | Self::Allowance | Self::Budget)
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn recovered(&self) {
        self.recovered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self, stop: Stop) {
        self.stops[stop as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let stops = |stop: Stop| self.stops[stop as usize].load(Ordering::Relaxed);
        Counts {
            retries: self.retries.load(Ordering::Relaxed),
            recovered: self.recovered.load(Ordering::Relaxed),
            server_says_no: stops(Stop::ServerSaysNo),
            not_idempotent: stops(Stop::NotIdempotent),
            marked_as_retry: stops(Stop::MarkedAsRetry),
            attempts: stops(Stop::Attempts),
            hint_too_long: stops(Stop::HintTooLong),
            deadline: stops(Stop::Deadline),
            allowance: stops(Stop::Allowance),
            budget: stops(Stop::Budget),
            not_replayable: stops(Stop::NotReplayable),
        }
    }
}
