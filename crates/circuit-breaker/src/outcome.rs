//! How a call ended, and what that adds to the counts.

use std::time::Duration;

use crate::window::Mark;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) slow: bool,
    /// How long the server asked to be left alone.
    pub(crate) hint: Option<Duration>,
    /// Whether [`Breaker::note_answer`] was told of it.
    pub(crate) answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Success,
    Failure,
    /// It says nothing about the target. What was slow is counted as slow if it was dropped, and not otherwise.
    Neutral,
    Dropped,
    /// Opens at once.
    Sticky(Duration),
}

// === impl Outcome ===

impl Outcome {
    pub(crate) const fn new(kind: Kind, slow: bool) -> Self {
        Self { kind, slow, hint: None, answered: false }
    }

    /// Returns what the outcome adds to the counts, if anything.
    pub(crate) const fn mark(self) -> Option<Mark> {
        match self.kind {
            Kind::Success => Some(Mark { failed: false, slow: self.slow }),
            Kind::Failure => Some(Mark { failed: true, slow: self.slow }),
            Kind::Dropped if self.slow => Some(Mark { failed: false, slow: true }),
            Kind::Dropped | Kind::Neutral | Kind::Sticky(_) => None,
        }
    }
}
