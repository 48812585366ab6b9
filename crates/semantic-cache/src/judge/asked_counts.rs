//! What a judge did that is asked through a service.

use std::sync::atomic::{AtomicU64, Ordering};

use buttress_core::Usage;

/// What a [`ServiceJudge`](crate::ServiceJudge) did since it was made, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JudgeCounts {
    /// Comparisons that were to be judged.
    pub asked: u64,
    /// Of these, those that come to the same.
    pub yes: u64,
    /// … and those that do not.
    pub no: u64,
    /// … of which the service could not tell.
    pub unsure: u64,
    /// … that were dropped, because too many waited.
    pub dropped: u64,
    /// … that had no opinion in time.
    pub late: u64,
    /// … that were too long.
    pub too_long: u64,
    /// … whose service failed, panicked, or is not there any more.
    pub failed: u64,
    /// Calls of the service.
    pub calls: u64,
    /// Tokens that it read, as far as it told.
    pub input_tokens: u64,
    /// Tokens that it made, as far as it told.
    pub output_tokens: u64,
}

/// The counters behind [`JudgeCounts`].
#[derive(Debug, Default)]
pub(super) struct Tally([AtomicU64; 11]);

/// Which of the counts.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Asked,
    Yes,
    No,
    Unsure,
    Dropped,
    Late,
    TooLong,
    Failed,
    Calls,
    Input,
    Output,
}

// === impl Of ===

impl Of {
    pub(super) const fn opinion(equal: Option<bool>) -> Self {
        match equal {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unsure,
        }
    }

    /// Returns why something was not judged, in a word for events.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Late => "late",
            Self::TooLong => "too-long",
            _ => "failed",
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&self, which: Of) {
        self.0[which as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn spend(&self, usage: Usage) {
        self.0[Of::Input as usize].fetch_add(usage.input, Ordering::Relaxed);
        self.0[Of::Output as usize].fetch_add(usage.output, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> JudgeCounts {
        let of = |which: Of| self.0[which as usize].load(Ordering::Relaxed);
        JudgeCounts {
            asked: of(Of::Asked),
            yes: of(Of::Yes),
            no: of(Of::No),
            unsure: of(Of::Unsure),
            dropped: of(Of::Dropped),
            late: of(Of::Late),
            too_long: of(Of::TooLong),
            failed: of(Of::Failed),
            calls: of(Of::Calls),
            input_tokens: of(Of::Input),
            output_tokens: of(Of::Output),
        }
    }
}
