//! A call that a circuit let pass.

use std::{fmt, sync::Arc, time::Duration};

use buttress_core::{AnswerReport, BodyEnd, Class, Verdict};
use tokio::time::Instant;

use crate::{
    CircuitOpen, Key, State,
    breaker::{Kind, Outcome},
    circuit::{Circuit, Gate},
};

/// A call that a circuit let pass, and that it wants to hear of.
///
/// Dropping it without a word gives its place back and counts nothing, unless the call was slow by then.
pub struct Permit {
    circuit: Arc<Circuit>,
    gate: Gate,
    /// When the call began, if that matters.
    started: Option<Instant>,
    /// When the head of its answer came.
    head: Option<Instant>,
    /// Whether the breaker was told of it.
    answered: bool,
    reported: bool,
}

// === impl Permit ===

impl Permit {
    #[inline]
    pub(crate) fn acquire(circuit: Arc<Circuit>) -> Result<Self, CircuitOpen> {
        let started = circuit.shared().rules.time_calls().then(Instant::now);
        let gate = circuit.acquire(|| started.unwrap_or_else(Instant::now))?;
        Ok(Self { circuit, gate, started, head: None, answered: false, reported: false })
    }

    /// Returns the key of the circuit.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.circuit.key()
    }

    /// Reports what a result says: see [`Verdict`].
    ///
    /// What the breaker counts is a failure; a success is one; and everything else says nothing about the target and only
    /// gives the place back, save for the verdicts of [`Settings::sticky`](crate::Settings::sticky).
    #[inline]
    pub fn conclude(self, class: &Class) {
        if class.verdict == Verdict::Success {
            return self.report(Kind::Success, None, || None);
        }
        let kind = self.kind(class.verdict);
        self.report(kind, class.hint.after, || None);
    }

    /// Notes that the head of an answer has come: the call has not hung, but has not ended.
    #[must_use]
    pub fn answered(mut self) -> Self {
        self.head = self.started.map(|_| Instant::now());
        if matches!(self.gate.state(), State::HalfOpen | State::Ramping) {
            let now = *self.head.get_or_insert_with(Instant::now);
            self.circuit.note_answer(self.gate, now);
            self.answered = true;
        }
        self
    }

    /// Reports how the body of an answer ended, with what the layer that read it found.
    pub(crate) fn end(mut self, end: BodyEnd, report: Option<&AnswerReport>) {
        let verdict = end.verdict(report);
        let kind = if verdict == Verdict::Cancelled { Kind::Dropped } else { self.kind(verdict) };
        if kind == Kind::Dropped && end.bytes == 0 {
            // Only a head came, so far: the first byte of the answer is still awaited.
            self.head = None;
        }
        self.report(kind, None, || report.and_then(AnswerReport::first_content));
    }

    fn kind(&self, verdict: Verdict) -> Kind {
        let sticky = self.circuit.shared().rules.sticky;
        match sticky.opens(verdict, self.key().model().is_some()) {
            _ if verdict == Verdict::Success => Kind::Success,
            _ if verdict.breaker_counts() => Kind::Failure,
            Some(time) => Kind::Sticky(time),
            None => Kind::Neutral,
        }
    }

    #[inline]
    fn report(mut self, kind: Kind, hint: Option<Duration>, first: impl FnOnce() -> Option<Instant>) {
        self.reported = true;
        self.tell(kind, hint, first);
    }

    #[inline]
    fn tell(&self, kind: Kind, hint: Option<Duration>, first: impl FnOnce() -> Option<Instant>) {
        let mut outcome = Outcome { answered: self.answered, hint, ..Outcome::new(kind, false) };
        let mut now = None;
        if let (Some(started), Some(slow)) = (self.started, self.circuit.shared().rules.slow) {
            let first = if slow.total { None } else { first().or(self.head) };
            let until = first.unwrap_or_else(|| *now.insert(Instant::now()));
            outcome.slow = until.saturating_duration_since(started) > slow.after;
        }
        self.circuit.record(self.gate, outcome, || now.unwrap_or_else(Instant::now));
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if !self.reported {
            self.tell(Kind::Dropped, None, || None);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("key", self.key()).field("gate", &self.gate).finish_non_exhaustive()
    }
}
