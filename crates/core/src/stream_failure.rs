//! How an answer that began with 200 fails.

use std::{error::Error, fmt};

use bytes::Bytes;
use http::StatusCode;

use crate::{Class, Outcome, Verdict};

/// Why an answer that began as a success is none, and what its target said of it.
///
/// Its text never repeats what the target said: that may echo a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFailure {
    class: Class,
    report: Option<Bytes>,
}

// === impl StreamFailure ===

impl StreamFailure {
    /// The target reported an error in the midst of its answer: `report`, the error in its own format. `class` is what the
    /// same error would mean with its true status.
    #[must_use]
    pub const fn reported(class: Class, report: Bytes) -> Self {
        Self { class, report: Some(report) }
    }

    /// The answer ended before any content, and without an end of its own.
    #[must_use]
    pub const fn empty() -> Self {
        Self::of(Verdict::Transient, "empty")
    }

    /// The answer ended after content without an end of its own.
    #[must_use]
    pub const fn truncated() -> Self {
        Self::of(Verdict::Truncated, "truncated")
    }

    /// The answer, or a part of it, is not what its format allows, or is longer than what is read of it.
    #[must_use]
    pub const fn malformed() -> Self {
        Self::of(Verdict::Transient, "malformed")
    }

    /// The connection broke.
    #[must_use]
    pub const fn broken() -> Self {
        Self::of(Verdict::Transient, "reset")
    }

    /// No content came in time.
    #[must_use]
    pub const fn late() -> Self {
        Self::of(Verdict::Transient, "ttft-timeout")
    }

    /// After content, no more came for too long.
    #[must_use]
    pub const fn idle() -> Self {
        Self::of(Verdict::Truncated, "idle-timeout")
    }

    /// The whole answer took too long.
    #[must_use]
    pub const fn overlong() -> Self {
        Self::of(Verdict::Truncated, "total-timeout")
    }

    /// Content came more slowly than allowed.
    #[must_use]
    pub const fn too_slow() -> Self {
        Self::of(Verdict::Truncated, "too-slow")
    }

    const fn of(verdict: Verdict, word: &'static str) -> Self {
        Self { class: Class::new(verdict, Outcome::Word(word)), report: None }
    }

    /// Says that content had gone out before: what could have been repeated before cannot be now.
    #[must_use]
    pub const fn after_content(mut self) -> Self {
        self.class.verdict = Verdict::Truncated;
        self
    }

    /// Returns what the failure means.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Returns the error as the target reported it.
    #[must_use]
    pub const fn report(&self) -> Option<&Bytes> {
        self.report.as_ref()
    }

    /// Returns the failure in one word: that of its cause, or `error` where the target reported one.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.class.outcome {
            Outcome::Word(word) | Outcome::Refused(word) => word,
            Outcome::Status(_) => "error",
        }
    }

    /// Returns the status of an answer that tells of the failure: the true one where the target reported it, 504 if time ran
    /// out, and 502 otherwise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.class.outcome {
            Outcome::Status(status) => status,
            Outcome::Word("ttft-timeout" | "idle-timeout" | "total-timeout" | "too-slow") => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Outcome::Word(_) | Outcome::Refused(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for StreamFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.word() {
            "empty" => "the answer ended before any content",
            "truncated" => "the answer ended before it was complete",
            "malformed" => "the answer could not be understood",
            "reset" => "the connection was lost within the answer",
            "ttft-timeout" => "the answer did not begin in time",
            "idle-timeout" => "the answer stopped for too long",
            "total-timeout" => "the answer took too long",
            "too-slow" => "the answer came too slowly",
            _ => "the answer ended with an error",
        })
    }
}

impl Error for StreamFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_status_of_its_error_or_that_of_a_gateway() {
        let overloaded = StatusCode::from_u16(529).expect("529 is a status");
        let reported = StreamFailure::reported(Class::status(overloaded), Bytes::from_static(b"a secret prompt"));
        assert_eq!((reported.status(), reported.word()), (overloaded, "error"));
        assert_eq!(reported.to_string(), "the answer ended with an error");
        assert_eq!(StreamFailure::late().status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(StreamFailure::empty().status(), StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn what_could_be_repeated_cannot_be_after_content() {
        let before = StreamFailure::malformed();
        assert!(before.class().verdict.try_elsewhere());
        let after = before.after_content();
        assert_eq!(after.class().verdict, Verdict::Truncated);
        assert!(!after.class().verdict.try_elsewhere() && after.class().verdict.breaker_counts());
    }
}
