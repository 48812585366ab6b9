//! The error of a deadline that passed.

use std::{error::Error, fmt, time::Duration};

use buttress_core::{Refusal, RefusalKind};

/// The error of a deadline that passed. It is the error that a body ends with which was not complete by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineExceeded(Stage);

/// How far the call had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Call,
    Attempt,
    Head,
    Body,
}

// === impl DeadlineExceeded ===

impl DeadlineExceeded {
    /// Nobody knows when asking again can help. The layers of this process go by their own back-off.
    const GUESS: Duration = Duration::from_secs(1);

    pub(crate) const fn before(stage: Stage) -> Self {
        Self(stage)
    }

    const fn message(self) -> &'static str {
        match self.0 {
            Stage::Call => "the deadline passed before the call began",
            Stage::Attempt => "too little time is left before the deadline",
            Stage::Head => "the deadline passed before an answer came",
            Stage::Body => "the deadline passed before the answer ended",
        }
    }
}

impl fmt::Display for DeadlineExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for DeadlineExceeded {}

impl From<DeadlineExceeded> for Refusal {
    fn from(error: DeadlineExceeded) -> Self {
        // The deadline is that of the whole call, so no layer of this process can help by asking again.
        let refusal = Self::new(RefusalKind::DeadlineExceeded, error.message()).hopeless();
        refusal.with_guessed_retry_after(DeadlineExceeded::GUESS)
    }
}
