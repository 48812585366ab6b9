//! What one attempt says about its target.

use std::fmt;

/// What one attempt says about the target that made it.
///
/// Each class answers four questions: may the same target be asked again ([`retry_here`](Self::retry_here)), is another
/// target worth asking ([`try_elsewhere`](Self::try_elsewhere)), does a circuit breaker count it
/// ([`breaker_counts`](Self::breaker_counts)), and should the target rest ([`cools_target`](Self::cools_target)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The target did its work.
    Success,
    /// A failure that may well be gone next time: 5xx, connection lost, no answer in time.
    Transient,
    /// Too many requests; the target says, or implies, when to come back.
    RateLimited,
    /// Full by design, such as provisioned capacity at its ceiling; not a fault, spill elsewhere.
    CapacityByDesign,
    /// The money or the quota behind this credential is spent.
    QuotaExhausted,
    /// The credential is wrong, revoked or not allowed here.
    CredentialDead,
    /// This target does not serve the model, or no longer does.
    ModelGone,
    /// The request is longer than this target can hold.
    ContextTooLong,
    /// The request or its answer was held back by a content filter.
    ContentFiltered,
    /// The request is wrong and will be wrong everywhere.
    CallerFault,
    /// The caller went away.
    Cancelled,
    /// An answer began and broke off.
    Truncated,
    /// An answer came, but too late to be called healthy.
    Slow,
}

// === impl Verdict ===

impl Verdict {
    /// Returns whether the same target may be asked again, after a wait and within budget and hint.
    #[must_use]
    pub const fn retry_here(self) -> bool {
        matches!(self, Self::Transient | Self::RateLimited | Self::CapacityByDesign)
    }

    /// Returns whether another target may do better, at once.
    ///
    /// [`ContextTooLong`](Self::ContextTooLong) answers no: only a target that is known to hold more would help, and that
    /// is for the layer to know which has such targets.
    #[must_use]
    pub const fn try_elsewhere(self) -> bool {
        matches!(
            self,
            Self::Transient
                | Self::RateLimited
                | Self::CapacityByDesign
                | Self::QuotaExhausted
                | Self::CredentialDead
                | Self::ModelGone
        )
    }

    /// Returns whether a circuit breaker counts this as a failure of the target.
    #[must_use]
    pub const fn breaker_counts(self) -> bool {
        matches!(self, Self::Transient | Self::Truncated)
    }

    /// Returns whether the target should be left alone for a while, by its hint or by default.
    #[must_use]
    pub const fn cools_target(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::CapacityByDesign | Self::QuotaExhausted | Self::CredentialDead | Self::ModelGone
        )
    }

    /// Returns the name used in events, metrics and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Transient => "transient",
            Self::RateLimited => "rate-limited",
            Self::CapacityByDesign => "capacity-by-design",
            Self::QuotaExhausted => "quota-exhausted",
            Self::CredentialDead => "credential-dead",
            Self::ModelGone => "model-gone",
            Self::ContextTooLong => "context-too-long",
            Self::ContentFiltered => "content-filtered",
            Self::CallerFault => "caller-fault",
            Self::Cancelled => "cancelled",
            Self::Truncated => "truncated",
            Self::Slow => "slow",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, *};

    const ALL: [Verdict; 13] = [
        Success,
        Transient,
        RateLimited,
        CapacityByDesign,
        QuotaExhausted,
        CredentialDead,
        ModelGone,
        ContextTooLong,
        ContentFiltered,
        CallerFault,
        Cancelled,
        Truncated,
        Slow,
    ];

    /// retry here, try elsewhere, breaker counts, cools target
    const fn answers(verdict: Verdict) -> (bool, bool, bool, bool) {
        (verdict.retry_here(), verdict.try_elsewhere(), verdict.breaker_counts(), verdict.cools_target())
    }

    #[test]
    fn every_class_answers_the_four_questions_as_documented() {
        let table = ALL.map(answers);
        let (y, n) = (true, false);
        assert_eq!(
            table,
            [
                (n, n, n, n), // success
                (y, y, y, n), // transient
                (y, y, n, y), // rate-limited
                (y, y, n, y), // capacity-by-design
                (n, y, n, y), // quota-exhausted
                (n, y, n, y), // credential-dead
                (n, y, n, y), // model-gone
                (n, n, n, n), // context-too-long
                (n, n, n, n), // content-filtered
                (n, n, n, n), // caller-fault
                (n, n, n, n), // cancelled
                (n, n, y, n), // truncated
                (n, n, n, n), // slow
            ]
        );
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::HashSet<_> = ALL.iter().map(|v| v.as_str()).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
