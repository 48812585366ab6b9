//! Why a call was not let in.

use std::{error::Error, fmt, time::Duration};

use buttress_core::{Refusal, RefusalKind};

/// Why a call was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    reason: Reason,
    retry_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Full,
    TooLong,
    Deadline,
    Keys,
}

// === impl NotAdmitted ===

impl NotAdmitted {
    pub(crate) const fn new(reason: Reason, retry_after: Duration) -> Self {
        Self { reason, retry_after }
    }

    /// Returns whether the call's own deadline passed before there was a place.
    #[must_use]
    pub const fn is_deadline(&self) -> bool {
        matches!(self.reason, Reason::Deadline)
    }

    /// Returns whether the call was let into the queue and had waited there for too long.
    #[must_use]
    pub const fn is_wait_too_long(&self) -> bool {
        matches!(self.reason, Reason::TooLong)
    }

    /// Returns after how long the caller should come back.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }

    const fn message(self) -> &'static str {
        match self.reason {
            Reason::Full => "too many calls are under way",
            Reason::TooLong => "too many calls are under way, and none ended in time",
            Reason::Deadline => "the deadline passed before there was a place for the call",
            Reason::Keys => "calls are under way for too many keys",
        }
    }
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for NotAdmitted {}

impl From<NotAdmitted> for Refusal {
    fn from(error: NotAdmitted) -> Self {
        let refusal = match error.reason {
            // The deadline is that of the whole call, so no layer of this process can help by asking again.
            Reason::Deadline => Self::new(RefusalKind::DeadlineExceeded, error.message()).hopeless(),
            _ => Self::new(RefusalKind::Overloaded, error.message()).retryable(),
        };
        refusal.with_guessed_retry_after(error.retry_after)
    }
}
