//! What a candidate is judged by.

use crate::text::{Guard, Guards, Overlap};

/// How many there are.
pub(crate) const COUNT: usize = 20;

/// The measurements of one candidate. Only numbers: nothing of a text can be told from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Features(pub(crate) [f32; COUNT]);

/// What is known of a group of questions with one answer, seen from a question.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Candidate {
    /// The similarity of its nearest question.
    pub(crate) best: f32,
    /// How many of its questions are among the neighbours.
    pub(crate) count: u32,
    /// The weight of these together.
    pub(crate) vote: f32,
    /// How many questions it has.
    pub(crate) size: u32,
    /// How often its answer was judged right and wrong.
    pub(crate) record: Record,
    /// The same, of its nearest question alone.
    pub(crate) nearest: Record,
    pub(crate) guards: Guards,
    pub(crate) overlap: Overlap,
}

/// How often something was judged right and wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) right: u32,
    pub(crate) wrong: u32,
}

/// The neighbours of a question, all groups together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    /// How many neighbours there are.
    pub(crate) count: u32,
    /// In how many groups.
    pub(crate) groups: u32,
    /// The weight of all.
    pub(crate) votes: f32,
    /// The similarity of the last.
    pub(crate) last: f32,
}

/// The best of the other groups.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rival {
    pub(crate) best: Option<f32>,
    pub(crate) vote: f32,
}

/// What a neighbour of some similarity weighs when groups are compared: one at 0.9 as much as e at 0.8.
pub(crate) fn vote(similarity: f32) -> f32 {
    (10.0 * (similarity - 1.0)).exp()
}

// === impl Features ===

impl Features {
    /// Nothing measured yet.
    pub(crate) const NONE: Self = Self([0.0; COUNT]);

    pub(crate) fn of(candidate: &Candidate, rival: Rival, around: &Surroundings) -> Self {
        let Candidate { best, guards, overlap, .. } = *candidate;
        // No share is taken for certain: a thousandth is left to what was not seen.
        let ratio =
            |mine: f32, other: f32| ((mine + 1e-3 * around.votes) / (other.max(0.0) + 1e-3 * around.votes)).ln();
        let union = overlap.shared + overlap.added + overlap.missing;
        let flag = |guard| f32::from(u8::from(guards.contains(guard)));
        let others = |guard: &Guard| {
            !matches!(guard, Guard::Slot | Guard::Number | Guard::Polarity | Guard::Order | Guard::Language)
        };
        Self([
            best,
            best * best,
            best - rival.best.unwrap_or(around.last),
            real(candidate.count).ln(),
            candidate.record.odds(),
            candidate.vote / around.votes,
            ratio(candidate.vote, around.votes - candidate.vote),
            candidate.vote.max(1e-12).ln(),
            ratio(candidate.vote, rival.vote),
            real(candidate.size.max(1)).ln(),
            around.last,
            real(around.groups) / real(around.count),
            if union == 0 { 1.0 } else { small(overlap.shared) / small(union) },
            flag(Guard::Slot),
            flag(Guard::Number),
            flag(Guard::Polarity),
            flag(Guard::Order),
            small(guards.iter().filter(others).count()).min(3.0),
            (1.0 + small(overlap.added)).ln(),
            candidate.nearest.odds(),
        ])
    }
}

// === impl Record ===

impl Record {
    pub(crate) const fn add(&mut self, right: bool) {
        if right {
            self.right = self.right.saturating_add(1);
        } else {
            self.wrong = self.wrong.saturating_add(1);
        }
    }

    pub(crate) const fn join(&mut self, other: Self) {
        self.right = self.right.saturating_add(other.right);
        self.wrong = self.wrong.saturating_add(other.wrong);
    }

    /// Returns how often it was judged.
    pub(crate) const fn count(self) -> u32 {
        self.right.saturating_add(self.wrong)
    }

    fn odds(self) -> f32 {
        ((real(self.right) + 1.0) / (real(self.wrong) + 0.5)).ln()
    }
}

/// Counts are far below what a float holds exactly, and need not be exact beyond.
#[expect(clippy::cast_precision_loss, reason = "a logarithm is taken of it")]
const fn real(count: u32) -> f32 {
    count as f32
}

#[expect(clippy::cast_precision_loss, reason = "at most the words of a text")]
const fn small(count: usize) -> f32 {
    count as f32
}
