//! What became of questions that were sought by their meaning.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Reason;

/// What became of questions that were sought by their meaning, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeaningCounts {
    /// Questions with too few words to mean anything by themselves.
    pub too_short: u64,
    /// Questions of which there was no vector, or not in time.
    pub not_embedded: u64,
    /// Questions whose nearest ones are known elsewhere, and were not found, or not in time.
    pub not_searched: u64,
    /// Answers that were served and are checked behind their caller's back.
    pub audits: u64,
    /// Of these, those that a judge found right.
    pub audits_right: u64,
    /// Of these, those that a judge found wrong.
    pub audits_wrong: u64,
    /// Fresh answers that were compared with what was not served, and were the same.
    pub compared_right: u64,
    /// … and were not.
    pub compared_wrong: u64,
    /// Comparisons of which a judge could tell nothing.
    pub not_judged: u64,
    /// How often something was learned.
    pub learned: u64,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    decided: [AtomicU64; REASONS],
    others: [AtomicU64; 10],
}

/// Which of the other counts.
#[derive(Clone, Copy)]
pub(super) enum Of {
    TooShort,
    NotEmbedded,
    NotSearched,
    Audits,
    AuditsRight,
    AuditsWrong,
    ComparedRight,
    ComparedWrong,
    NotJudged,
    Learned,
}

/// More than there are.
const REASONS: usize = 16;

// === impl Of ===

impl Of {
    /// Returns why nothing was decided, in words for a trusted caller.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "reason=too-short",
            Self::NotSearched => "reason=not-searched",
            _ => "reason=not-embedded",
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn decided(&self, why: Reason) {
        if let Some(count) = self.decided.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn judged(&self, served: bool, equal: Option<bool>) {
        self.add(match (served, equal) {
            (true, Some(true)) => Of::AuditsRight,
            (true, Some(false)) => Of::AuditsWrong,
            (false, Some(true)) => Of::ComparedRight,
            (false, Some(false)) => Of::ComparedWrong,
            (_, None) => Of::NotJudged,
        });
    }

    pub(super) fn add(&self, which: Of) {
        self.others[which as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn decided_for(&self, why: Reason) -> u64 {
        self.decided.get(why as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn read(&self) -> MeaningCounts {
        let of = |which: Of| self.others[which as usize].load(Ordering::Relaxed);
        MeaningCounts {
            too_short: of(Of::TooShort),
            not_embedded: of(Of::NotEmbedded),
            not_searched: of(Of::NotSearched),
            audits: of(Of::Audits),
            audits_right: of(Of::AuditsRight),
            audits_wrong: of(Of::AuditsWrong),
            compared_right: of(Of::ComparedRight),
            compared_wrong: of(Of::ComparedWrong),
            not_judged: of(Of::NotJudged),
            learned: of(Of::Learned),
        }
    }
}
