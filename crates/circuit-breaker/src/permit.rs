//! A call that a circuit let pass.

use std::{fmt, sync::Arc, time::Duration};

use buttress_core::{AnswerReport, BodyEnd, Class, Verdict};
use tokio::time::Instant;

use crate::{
    CircuitOpen, Key,
    circuit::{Circuit, Gate},
    moment::Moment,
    outcome::{Kind, Outcome},
};

/// A call that a circuit let pass, and that it wants to hear of.
///
/// Dropping it without a word gives its place back and counts nothing, unless the call was slow by then.
pub struct Permit(
    /// There until it is reported, or taken by who reports it.
    Option<Call>,
);

/// What is told of by a permit.
///
/// It is taken apart by who reports it and is whole words: as one piece with a destructor it would be copied from place to
/// place, which takes longer than all the rest does.
struct Call {
    circuit: Arc<Circuit>,
    gate: Gate,
    /// When it began, if that matters.
    started: Option<Moment>,
    /// When the head of its answer came, if that matters.
    head: Option<Moment>,
}

/// How a call ended.
struct Ending {
    kind: Kind,
    hint: Option<Duration>,
    /// When its answer, or the head of it, came, if it did.
    first: Option<Moment>,
}

// === impl Permit ===

impl Permit {
    /// Of nothing, in the place of one that was taken.
    pub(crate) const NONE: Self = Self(None);

    // Always: as a call of its own it hands the permit over in memory, and that is the larger part of its cost.
    #[inline(always)]
    pub(crate) fn acquire(circuit: Arc<Circuit>) -> Result<Self, CircuitOpen> {
        let shared = circuit.shared();
        let started = shared.rules.time_calls().then(|| shared.moment(Instant::now()));
        let gate = circuit.acquire(Instant::now)?;
        Ok(Self(Some(Call { circuit, gate, started, head: None })))
    }

    /// Returns the key of the circuit.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.0.as_ref().expect("who reports it takes it").circuit.key()
    }

    /// Reports what a result says: see [`Verdict`].
    ///
    /// What the breaker counts is a failure; a success is one; and everything else says nothing about the target and only
    /// gives the place back, save for the verdicts of [`Settings::sticky`](crate::Settings::sticky).
    pub fn conclude(mut self, class: &Class) {
        if class.verdict == Verdict::Success {
            return self.succeed();
        }
        if let Some(call) = self.0.take() {
            call.tell(Ending { kind: call.kind(class.verdict), hint: class.hint.after, first: call.head });
        }
    }

    /// Reports a success: [`conclude`](Self::conclude) for what nearly all calls do, small enough to be one with its caller.
    #[inline(always)]
    pub(crate) fn succeed(mut self) {
        if let Some(call) = self.0.take() {
            call.succeed();
        }
    }

    /// Notes that the head of an answer has come: the call has not hung, but has not ended.
    #[must_use]
    pub fn answered(mut self) -> Self {
        if let Some(call) = &mut self.0 {
            call.answered();
        }
        self
    }

    /// Reports how the body of an answer ended, with what the layer that read it found.
    pub(crate) fn end(mut self, end: BodyEnd, report: Option<&AnswerReport>) {
        if let Some(call) = self.0.take() {
            call.end(end, report);
        }
    }

    #[inline]
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Takes it out of its place, if there is one.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Self> {
        self.0.take().map(|call| Self(Some(call)))
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.dropped();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.0.as_ref().map(|call| (call.circuit.key(), call.gate));
        f.debug_tuple("Permit").field(&call).finish()
    }
}

// === impl Call ===

impl Call {
    #[inline(always)]
    fn succeed(self) {
        if self.started.is_some() {
            return self.succeed_timed();
        }
        let Self { circuit, gate, .. } = self;
        circuit.succeed(gate);
    }

    #[inline(never)]
    fn succeed_timed(self) {
        self.tell(Ending { kind: Kind::Success, hint: None, first: self.head });
    }

    #[inline(never)]
    fn dropped(self) {
        self.tell(Ending { kind: Kind::Dropped, hint: None, first: self.head });
    }

    fn answered(&mut self) {
        if self.started.is_some() || self.gate.is_trial() {
            let now = Instant::now();
            self.head = Some(self.circuit.shared().moment(now));
            if self.gate.is_trial() {
                self.circuit.note_answer(self.gate, now);
            }
        }
    }

    fn end(self, end: BodyEnd, report: Option<&AnswerReport>) {
        let verdict = end.verdict(report);
        let kind = if verdict == Verdict::Cancelled { Kind::Dropped } else { self.kind(verdict) };
        let first = match report.and_then(AnswerReport::first_content) {
            Some(at) => Some(self.circuit.shared().moment(at)),
            // Only a head came, so far: the first byte of the answer is still awaited.
            None if kind == Kind::Dropped && end.bytes == 0 => None,
            None => self.head,
        };
        self.tell(Ending { kind, hint: None, first });
    }

    fn kind(&self, verdict: Verdict) -> Kind {
        let sticky = self.circuit.shared().rules.sticky;
        match sticky.opens(verdict, self.circuit.key().model().is_some()) {
            _ if verdict == Verdict::Success => Kind::Success,
            _ if verdict.breaker_counts() => Kind::Failure,
            Some(time) => Kind::Sticky(time),
            None => Kind::Neutral,
        }
    }

    fn tell(&self, ending: Ending) {
        let (shared, Ending { kind, hint, first }) = (self.circuit.shared(), ending);
        // The circuit was told of the head of an answer if it is on trial, and only then.
        let answered = self.gate.is_trial() && self.head.is_some();
        let mut outcome = Outcome { answered, hint, ..Outcome::new(kind, false) };
        let mut now = None;
        if let (Some(started), Some(slow)) = (self.started, shared.rules.slow) {
            let first = if slow.total { None } else { first };
            let until = first.unwrap_or_else(|| shared.moment(*now.insert(Instant::now())));
            outcome.slow = until.since(started) > slow.after;
        }
        self.circuit.record(self.gate, outcome, || now.unwrap_or_else(Instant::now));
    }
}
