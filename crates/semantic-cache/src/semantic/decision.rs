//! What is decided of a question, and why.

use std::fmt;

use crate::index::Slot;
use crate::text::Guards;

/// Why a question is answered from the cache, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Served: similar enough, and no guard objects.
    Similar,
    /// Served: experience says that it is right.
    Learned,
    /// Nothing like it is known in its scope.
    Unknown,
    /// What is known is not similar enough.
    TooFar,
    /// Experience says that it may be wrong.
    Uncertain,
    /// A guard objects.
    Vetoed,
    /// The answer was judged wrong lately, and not right since.
    Quarantined,
    /// The caller asked for more similarity.
    BelowCaller,
    /// Too few principals had this answer of their own.
    Unvouched,
    /// As many answers as are allowed were wrong already, as far as can be told.
    Spent,
}

/// What is decided of a question. Its `Display` is made for a header that a trusted caller may see, and holds no text.
#[derive(Clone, Debug)]
pub struct Decision<A> {
    pub(super) reason: Reason,
    pub(super) answer: Option<A>,
    pub(super) compare: Vec<A>,
    pub(super) similarity: Option<f32>,
    pub(super) score: Option<f64>,
    pub(super) cut: Option<f64>,
    pub(super) guards: Guards,
    pub(super) ticket: Ticket,
}

/// Names a decision when its outcome is reported: see [`Semantic::settle`](crate::Semantic::settle).
#[derive(Clone, Debug)]
#[must_use = "what is not settled is not learned"]
pub struct Ticket {
    pub(super) scope: [u8; 32],
    pub(super) class: u64,
    pub(super) number: u64,
    pub(super) served: bool,
    pub(super) compared: Vec<Compared>,
    /// For how many requests a judgement of the first candidate stands.
    pub(super) stands_for: f32,
    /// Whether it is served without experience of how often that is wrong.
    pub(super) untried: bool,
    /// Whether it is likely another way to ask for a known answer that it is not compared with.
    pub(super) doubtful: bool,
}

/// A candidate that a fresh answer is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared {
    pub(super) group: u64,
    pub(super) slot: Slot,
    /// Whether the policy learns of it; the others only gather what belongs together.
    pub(super) is_evidence: bool,
}

// === impl Reason ===

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Similar,
        Self::Learned,
        Self::Unknown,
        Self::TooFar,
        Self::Uncertain,
        Self::Vetoed,
        Self::Quarantined,
        Self::BelowCaller,
        Self::Unvouched,
        Self::Spent,
    ];

    /// Returns its name, for labels of metrics and fields of events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Similar => "similar",
            Self::Learned => "learned",
            Self::Unknown => "unknown",
            Self::TooFar => "too-far",
            Self::Uncertain => "uncertain",
            Self::Vetoed => "vetoed",
            Self::Quarantined => "quarantined",
            Self::BelowCaller => "below-caller",
            Self::Unvouched => "unvouched",
            Self::Spent => "spent",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

// === impl Decision ===

impl<A> Decision<A> {
    /// Returns the answer to serve; `None` is a miss.
    #[must_use]
    pub const fn answer(&self) -> Option<&A> {
        self.answer.as_ref()
    }

    /// Returns the answers that a fresh one is to be compared with, in this order. Answers that are both equal to fresh ones become one
    /// in time.
    ///
    /// Of a miss, those of the likeliest candidates. Of an answer that is served, this one, if it is to be checked behind the
    /// caller's back; nothing if not.
    #[must_use]
    pub fn compare(&self) -> &[A] {
        &self.compare
    }

    /// Returns why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the similarity of the nearest question of the candidate, if there is one.
    #[must_use]
    pub const fn similarity(&self) -> Option<f32> {
        self.similarity
    }

    /// Returns the logarithm of the odds that the candidate is right, as far as was learned.
    #[must_use]
    pub const fn score(&self) -> Option<f64> {
        self.score
    }

    /// Returns the least score that is served, as far as was learned. Infinite where nothing can be.
    #[must_use]
    pub const fn cut(&self) -> Option<f64> {
        self.cut
    }

    /// Returns the differences that guards see between the question and the candidate's.
    #[must_use]
    pub const fn guards(&self) -> Guards {
        self.guards
    }

    /// Returns what names this decision when its outcome is reported.
    pub fn into_ticket(self) -> Ticket {
        self.ticket
    }
}

impl<A> fmt::Display for Decision<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "reason={}", self.reason)?;
        if let Some(similarity) = self.similarity {
            write!(formatter, "; similarity={similarity:.3}")?;
        }
        if let (Some(score), Some(cut)) = (self.score, self.cut) {
            write!(formatter, "; score={score:.2}; cut={cut:.2}")?;
        }
        if !self.guards.is_empty() {
            write!(formatter, "; guards={}", self.guards)?;
        }
        Ok(())
    }
}
