//! One walk over the targets.

use std::time::Duration;

use buttress_core::{Class, Label, Refusal, RefusalKind, Verdict};

/// One walk over the targets: whom it may not ask, and what its failures have in common.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The targets that could not take the request.
    pub(crate) passed: Vec<Label>,
    /// The request is known not to fit into so many tokens.
    pub(crate) context_over: u64,
    all_throttled: bool,
    all_model_gone: bool,
    /// One of the failed targets may be asked again.
    hope: bool,
    soonest: Soonest,
}

/// When the first of the failed targets is worth asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Soonest {
    /// No failure yet.
    Unknown,
    /// One of them gave no hint: by the caller's own back-off.
    ByBackoff,
    After(Duration),
}

/// What becomes of a failed attempt when no further one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdicts {
    /// The attempt's own answer is the truth.
    AsItCame,
    /// Several failed, and this sums them up.
    Sum(Refusal),
}

// === impl Walk ===

impl Walk {
    /// What a caller is told when no target gave a hint.
    pub(crate) const GUESS: Duration = Duration::from_secs(1);

    pub(crate) const fn new() -> Self {
        Self {
            passed: Vec::new(),
            context_over: 0,
            all_throttled: true,
            all_model_gone: true,
            hope: false,
            soonest: Soonest::Unknown,
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, class: Class) {
        self.all_throttled &= matches!(class.verdict, Verdict::RateLimited | Verdict::CapacityByDesign);
        self.all_model_gone &= class.verdict == Verdict::ModelGone;
        self.hope |= class.retry_here();
        self.soonest = match (self.soonest, class.hint.after) {
            (Soonest::ByBackoff, _) => Soonest::ByBackoff,
            // What is dead for long is no reason to come back soon.
            (soonest, _) if !class.retry_here() => soonest,
            (_, None) => Soonest::ByBackoff,
            (Soonest::Unknown, Some(after)) => Soonest::After(after),
            (Soonest::After(before), Some(after)) => Soonest::After(before.min(after)),
        };
    }

    /// Returns whether all that was tried had too much to do.
    pub(crate) const fn all_throttled(&self) -> bool {
        self.all_throttled
    }

    /// Says what the failures come to. `answered` tells whether the last one was an answer of its target, and `only`
    /// whether no other target was tried.
    pub(crate) fn sum(&self, answered: bool, only: bool) -> Verdicts {
        if answered && (only || self.all_model_gone) {
            return Verdicts::AsItCame;
        }
        let refusal = if self.all_throttled {
            Refusal::new(RefusalKind::RateLimited, "every target is over its rate")
        } else {
            Refusal::new(RefusalKind::Unavailable, "no target could serve the request")
        };
        let refusal = if self.hope { refusal } else { refusal.hopeless() };
        Verdicts::Sum(match self.soonest {
            Soonest::After(after) => refusal.with_retry_after(after),
            Soonest::Unknown | Soonest::ByBackoff => refusal.with_guessed_retry_after(Self::GUESS),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::{Outcome, RetryHint};

    const WORD: Outcome = Outcome::Word("test");

    fn after_failures(classes: &[Class]) -> Walk {
        let mut walk = Walk::new();
        classes.iter().for_each(|class| walk.failed(*class));
        walk
    }

    const fn throttled(secs: u64) -> Class {
        Class::new(Verdict::RateLimited, WORD).with_hint(RetryHint::after(Duration::from_secs(secs)))
    }

    fn sum(classes: &[Class]) -> Refusal {
        match after_failures(classes).sum(true, false) {
            Verdicts::Sum(refusal) => refusal,
            Verdicts::AsItCame => panic!("several failures should be summed up"),
        }
    }

    #[test]
    fn throttling_everywhere_is_told_with_the_soonest_hint() {
        let refusal = sum(&[throttled(30), throttled(7), throttled(12)]);
        assert_eq!(refusal.kind(), RefusalKind::RateLimited);
        assert_eq!(refusal.class().hint.after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_failure_without_a_hint_leaves_the_wait_to_the_callers_back_off() {
        let refusal = sum(&[throttled(30), Class::new(Verdict::Transient, WORD)]);
        assert_eq!(refusal.kind(), RefusalKind::Unavailable);
        assert_eq!((refusal.retry_after(), refusal.class().hint.after), (Some(Walk::GUESS), None));
    }

    #[test]
    fn a_dead_credential_is_no_reason_to_come_back_sooner_than_a_hint() {
        let refusal = sum(&[Class::new(Verdict::CredentialDead, WORD), throttled(9)]);
        assert_eq!(refusal.class().hint.after, Some(Duration::from_secs(9)));
    }

    #[test]
    fn where_no_target_can_ever_serve_it_nobody_is_told_to_ask_again() {
        let dead = Class::new(Verdict::CredentialDead, WORD);
        assert_eq!(sum(&[dead, dead]).class().hint.should_retry, Some(false));
        assert_eq!(sum(&[dead, throttled(9)]).class().hint.should_retry, None);
        let no = RetryHint { after: None, should_retry: Some(false) };
        let unwilling = Class::new(Verdict::Transient, WORD).with_hint(no);
        assert_eq!(sum(&[unwilling, unwilling]).class().hint.should_retry, Some(false));
    }

    #[test]
    fn one_answer_or_one_opinion_is_returned_as_it_came() {
        let gone = Class::new(Verdict::ModelGone, WORD);
        assert_eq!(after_failures(&[throttled(3)]).sum(true, true), Verdicts::AsItCame);
        assert_eq!(after_failures(&[gone, gone]).sum(true, false), Verdicts::AsItCame);
        assert_ne!(
            after_failures(&[throttled(3)]).sum(false, true),
            Verdicts::AsItCame,
            "no answer came that could be returned"
        );
    }
}
