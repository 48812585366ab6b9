//! From a result to a verdict.

use std::{any::Any, error::Error, fmt, time::SystemTime};

use http::{Response, StatusCode};

use crate::{BoxError, RetryHint, TransportError, TransportErrorKind, Verdict};

/// What a layer learns from one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// What the attempt says about its target.
    pub verdict: Verdict,
    /// How long the target asked to be left alone.
    pub hint: RetryHint,
    /// How the attempt ended, in the words of a log line.
    pub outcome: Outcome,
    /// Whether the target may have begun the work. `false` makes even a request repeatable that is not idempotent.
    ///
    /// A target that turns a request away (for its rate, its credential, its form) has not begun.
    pub begun: bool,
}

/// How an attempt ended: a status, or a word where there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The target answered with this status.
    Status(StatusCode),
    /// It did not, or its answer was not what it seemed: `connect`, `timeout`, `reset`.
    Word(&'static str),
    /// A layer refused, and no target was asked, or none more.
    Refused(&'static str),
}

/// Turns a result into a [`Class`]. Any `Fn(Result<&Res, &Err>) -> Class` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know what a `Result<&{Res}, &{Err}>` means",
    label = "not a classifier of this result",
    note = "`HttpClassify`, the default, judges a `Response<B>`; anything else is for a closure `|result: Result<&Response, &Error>| -> Class`, with the types of its argument written out"
)]
pub trait Classify<Res, Err> {
    /// Says what `result` means.
    fn classify(&self, result: Result<&Res, &Err>) -> Class;

    /// Returns whether `result` is a success, which is often cheaper to tell than all of its class.
    fn is_success(&self, result: Result<&Res, &Err>) -> bool {
        self.classify(result).verdict == Verdict::Success
    }
}

/// Classifies HTTP responses by status and standard headers, and transport errors by kind.
///
/// A [`Class`] that a layer further in left in the response's extensions is final: it may have read the body.
///
/// | status | verdict |
/// |---|---|
/// | 1xx to 3xx, and other 2xx | [`Success`](Verdict::Success) |
/// | 408, 425, 500, 502 to 504, 507, 509, 520 to 530 | [`Transient`](Verdict::Transient) |
/// | 429 | [`RateLimited`](Verdict::RateLimited) |
/// | 402 | [`QuotaExhausted`](Verdict::QuotaExhausted) |
/// | 401, 403, 407 | [`CredentialDead`](Verdict::CredentialDead) |
/// | 499 | [`Cancelled`](Verdict::Cancelled) |
/// | any other | [`CallerFault`](Verdict::CallerFault) |
///
/// An error without a [`TransportError`] among its causes is `Transient`, and the work may have begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpClassify;

// === impl Class ===

impl Class {
    /// The class of a plain success.
    pub const SUCCESS: Self = Self::new(Verdict::Success, Outcome::Status(StatusCode::OK));

    /// Creates a class without a hint. Whether the work may have begun follows from the verdict.
    #[must_use]
    pub const fn new(verdict: Verdict, outcome: Outcome) -> Self {
        let begun = matches!(
            verdict,
            Verdict::Success | Verdict::Transient | Verdict::Truncated | Verdict::Slow | Verdict::Cancelled
        );
        Self { verdict, hint: RetryHint::NONE, outcome, begun }
    }

    /// Returns whether the same target may be asked again: the server's own word, or else the verdict's.
    #[must_use]
    pub const fn retry_here(&self) -> bool {
        match self.hint.should_retry {
            Some(word) => word,
            None => self.verdict.retry_here(),
        }
    }

    /// Sets the hint.
    #[must_use]
    pub const fn with_hint(mut self, hint: RetryHint) -> Self {
        self.hint = hint;
        self
    }

    /// Says that the target did not begin the work.
    #[must_use]
    pub const fn not_begun(mut self) -> Self {
        self.begun = false;
        self
    }

    /// Creates the class of an attempt that ended without an answer.
    #[must_use]
    pub const fn transport(kind: TransportErrorKind) -> Self {
        let outcome = Outcome::Word(kind.as_str());
        match kind {
            TransportErrorKind::Connect => Self::new(Verdict::Transient, outcome).not_begun(),
            // No fault of the target's, and what is left of the body cannot be sent again.
            TransportErrorKind::RequestBody => Self::new(Verdict::Cancelled, outcome),
            _ => Self::new(Verdict::Transient, outcome),
        }
    }

    /// Creates the class of an HTTP status. See [`HttpClassify`] for the table.
    #[must_use]
    pub const fn status(status: StatusCode) -> Self {
        let verdict = match status.as_u16() {
            100..=399 => Verdict::Success,
            408 | 425 | 500 | 502..=504 | 507 | 509 | 520..=530 => Verdict::Transient,
            429 => Verdict::RateLimited,
            402 => Verdict::QuotaExhausted,
            401 | 403 | 407 => Verdict::CredentialDead,
            499 => Verdict::Cancelled,
            _ => Verdict::CallerFault,
        };
        Self::new(verdict, Outcome::Status(status))
    }
}

// === impl Outcome ===

impl Outcome {
    /// Returns whether it took too long: no answer came in time, a stream stood still, or somebody on the way says so (408, 504, and
    /// gRPC's `DEADLINE_EXCEEDED`).
    #[must_use]
    pub fn is_timeout(self) -> bool {
        match self {
            Self::Status(status) => matches!(status.as_u16(), 408 | 504),
            Self::Word(word) => word == "grpc-4" || word.ends_with("timeout"),
            Self::Refused(_) => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.write_str(status.as_str()),
            Self::Word(word) | Self::Refused(word) => f.write_str(word),
        }
    }
}

// === impl Classify ===

impl<F, Res, Err> Classify<Res, Err> for F
where
    F: Fn(Result<&Res, &Err>) -> Class,
{
    fn classify(&self, result: Result<&Res, &Err>) -> Class {
        self(result)
    }
}

// === impl HttpClassify ===

impl<B, E: 'static> Classify<Response<B>, E> for HttpClassify {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Class {
        match result {
            Ok(response) => response.extensions().get().copied().unwrap_or_else(|| by_status(response)),
            Err(error) => by_error(error),
        }
    }

    fn is_success(&self, result: Result<&Response<B>, &E>) -> bool {
        result.is_ok_and(|response| {
            let class = response.extensions().get().copied();
            class.unwrap_or_else(|| Class::status(response.status())).verdict == Verdict::Success
        })
    }
}

fn by_status<B>(response: &Response<B>) -> Class {
    let class = Class::status(response.status());
    if class.verdict == Verdict::Success {
        return class;
    }
    class.with_hint(RetryHint::from_headers(response.headers(), SystemTime::now()))
}

fn by_error<E: 'static>(error: &E) -> Class {
    let any = error as &dyn Any;
    let found = any.downcast_ref::<TransportError>().or_else(|| {
        let boxed = any.downcast_ref::<BoxError>()?;
        TransportError::find(boxed.as_ref() as &(dyn Error + 'static))
    });
    Class::transport(found.map_or(TransportErrorKind::Other, TransportError::kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, time::Duration};

    fn of(response: &Response<()>) -> Class {
        HttpClassify.classify(Ok::<_, &Infallible>(response))
    }

    fn status(code: u16) -> Verdict {
        of(&Response::builder().status(code).body(()).unwrap()).verdict
    }

    #[test]
    fn what_took_too_long_is_told_apart_from_what_failed() {
        let word = |kind: TransportErrorKind| Class::transport(kind).outcome;
        let status = |status: StatusCode| Outcome::Status(status);
        let [timeout, reset] = [TransportErrorKind::Timeout, TransportErrorKind::Reset].map(word);
        let [gateway, busy] = [StatusCode::GATEWAY_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE].map(status);
        let late = [timeout, gateway, Outcome::Word("ttft-timeout"), Outcome::Word("grpc-4")];
        let failed = [reset, busy, Outcome::Word("grpc-14"), Outcome::Refused("timeout")];
        assert_eq!(late.map(Outcome::is_timeout), [true; 4]);
        assert_eq!(failed.map(Outcome::is_timeout), [false; 4]);
    }

    #[test]
    fn statuses_are_classed_by_the_documented_table() {
        for (codes, verdict) in [
            (&[100, 200, 204, 206, 301, 304][..], Verdict::Success),
            (&[408, 500, 502, 503, 504, 524, 529], Verdict::Transient),
            (&[429], Verdict::RateLimited),
            (&[402], Verdict::QuotaExhausted),
            (&[401, 403], Verdict::CredentialDead),
            (&[499], Verdict::Cancelled),
            (&[400, 404, 405, 409, 413, 415, 422, 501, 505], Verdict::CallerFault),
        ] {
            for code in codes {
                assert_eq!(status(*code), verdict, "{code}");
            }
        }
    }

    #[test]
    fn a_class_left_by_an_inner_layer_is_final() {
        let inner = Class::new(Verdict::QuotaExhausted, Outcome::Word("quota"));
        for status in [200, 429] {
            let response = Response::builder().status(status).extension(inner).header("retry-after", "1");
            let response = response.body(()).unwrap();
            assert_eq!(of(&response), inner);
            assert!(!HttpClassify.is_success(Ok::<_, &Infallible>(&response)));
        }
    }

    #[test]
    fn the_short_way_to_tell_a_success_agrees_with_the_long_one() {
        for code in 100..600 {
            let response = Response::builder().status(code).body(()).unwrap();
            let short = HttpClassify.is_success(Ok::<_, &Infallible>(&response));
            assert_eq!(short, of(&response).verdict == Verdict::Success, "{code}");
        }
        assert!(!HttpClassify.is_success(Err::<&Response<()>, _>(&TransportError::new(TransportErrorKind::Connect))));
    }

    #[test]
    fn a_failure_carries_its_hint_and_a_success_none() {
        let response = |code| Response::builder().status(code).header("retry-after", "3").body(()).unwrap();
        assert_eq!(of(&response(503)).hint.after, Some(Duration::from_secs(3)));
        assert_eq!(of(&response(200)).hint, RetryHint::NONE);
    }

    #[test]
    fn a_transport_error_is_found_bare_and_boxed_and_below_other_errors() {
        let connect = TransportError::new(TransportErrorKind::Connect);
        let classify = |error: &BoxError| HttpClassify.classify(Err::<&Response<()>, _>(error));

        let bare = HttpClassify.classify(Err::<&Response<()>, _>(&connect));
        assert_eq!((bare.verdict, bare.begun, bare.outcome), (Verdict::Transient, false, Outcome::Word("connect")));
        assert_eq!(classify(&connect.clone().into()), bare);
        let deep = std::io::Error::other(TransportError::with_source(TransportErrorKind::Other, connect));
        assert_eq!(classify(&deep.into()).outcome, Outcome::Word("error"), "the outermost word is the truth");
        assert!(classify(&"unknown".into()).begun);
    }
}
