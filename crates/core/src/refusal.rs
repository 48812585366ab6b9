//! A layer's own *no*, and what it becomes.

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::{Class, Outcome, RetryHint, TransportError, Verdict, http_refusal::response};

/// A layer's own *no*: why, for how long, and whether asking again can help.
///
/// It goes into the extensions of the response it becomes, so that callers in the same process need not parse it.
/// Its message is for people; it must never hold a prompt, an answer or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// How long the layers of this process should wait, if they may act on the refusal.
    hint: Option<Duration>,
    /// No layer of this process can help by asking again.
    hopeless: bool,
    should_retry: bool,
}

/// Why a layer refused. See [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The request cannot be understood.
    BadRequest,
    /// The request's body is longer than allowed.
    TooLarge,
    /// There is no such route, or no such model.
    NotFound,
    /// The caller is over its rate.
    RateLimited,
    /// The caller has used up its quota.
    QuotaExhausted,
    /// The deadline passed, or would pass before an answer could come.
    DeadlineExceeded,
    /// The circuit to the target is open.
    CircuitOpen,
    /// There is too much to do at the moment.
    Overloaded,
    /// The service is about to stop.
    Draining,
    /// Every target was tried, or none could be.
    Unavailable,
    /// The caller wanted an answer from the cache only, and it is not there.
    NotCached,
}

/// Makes of a refusal what the service returns.
///
/// [`HttpRefusal`] makes a response. For a service without HTTP, any `Fn(R) -> Result<Res, Err>` does: it returns the
/// service's own answer, or its own error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot refuse with a `Result<{Res}, {Err}>`",
    label = "no way to refuse",
    note = "`HttpRefusal`, the default, answers with a `Response<B>` where `B` is `From<Bytes>`, as `buttress_core::Body` and axum's are. The body of a client cannot be made: wrap hyper-util's client in `buttress_core::Client`, or turn the body into a `buttress_core::Body` beneath the layer",
    note = "without HTTP, give the layer a closure `Fn({R}) -> Result<{Res}, {Err}>`"
)]
pub trait Refuse<R, Res, Err> {
    /// Makes the result that tells the caller of `refusal`.
    ///
    /// # Errors
    ///
    /// Returns the service's own error if that is how the service refuses.
    fn refuse(&self, refusal: R) -> Result<Res, Err>;
}

/// Makes an HTTP response of a refusal: status, `Retry-After` (rounded up), `retry-after-ms`, `x-should-retry`, and the
/// JSON error that OpenAI's clients parse. The refusal and its [`Class`] are in the response's extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpRefusal;

// === impl Refusal ===

impl Refusal {
    /// Creates a refusal that no retry can help.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), retry_after: None, hint: None, hopeless: false, should_retry: false }
    }

    /// Sets how long the caller should stay away.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self.hint = Some(after);
        self
    }

    /// Sets how long the *caller* should stay away, where nobody has said so and it is a guess. The layers of this process
    /// go by their own back-off.
    #[must_use]
    pub const fn with_guessed_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says that no layer of this process can help by asking again, whatever the kind suggests.
    #[must_use]
    pub const fn hopeless(mut self) -> Self {
        self.hopeless = true;
        self
    }

    /// Says that the caller may well try again.
    #[must_use]
    pub const fn retryable(mut self) -> Self {
        self.should_retry = true;
        self
    }

    /// Returns why the layer refused.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// Returns the reason in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns how long the caller should stay away.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns whether asking again can help.
    #[must_use]
    pub const fn should_retry(&self) -> bool {
        self.should_retry
    }

    /// Returns what the refusal means to the layers further out.
    ///
    /// [`Unavailable`](RefusalKind::Unavailable) and [`DeadlineExceeded`](RefusalKind::DeadlineExceeded) may follow
    /// attempts, so the work may have begun; what is refused for any other reason was never begun.
    #[must_use]
    pub const fn class(&self) -> Class {
        let verdict = match self.kind {
            RefusalKind::BadRequest | RefusalKind::TooLarge | RefusalKind::NotFound | RefusalKind::NotCached => {
                Verdict::CallerFault
            }
            RefusalKind::RateLimited => Verdict::RateLimited,
            RefusalKind::QuotaExhausted => Verdict::QuotaExhausted,
            RefusalKind::Overloaded | RefusalKind::CircuitOpen => Verdict::CapacityByDesign,
            RefusalKind::Draining | RefusalKind::Unavailable => Verdict::Transient,
            // Whoever runs out of time has no time for another target, and none of them is to blame.
            RefusalKind::DeadlineExceeded => Verdict::Slow,
        };
        // The word is for the caller's client. Layers of this process have the verdict, and the allowance they share.
        let should_retry = if self.hopeless { Some(false) } else { None };
        let hint = RetryHint { after: self.hint, should_retry };
        let class = Class::new(verdict, Outcome::Refused(self.kind.code())).with_hint(hint);
        match self.kind {
            RefusalKind::DeadlineExceeded | RefusalKind::Unavailable => class,
            _ => class.not_begun(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Refusal {}

/// Says that the one target there was gave no answer; for the edge of a stack, where an error must become a response.
impl From<TransportError> for Refusal {
    fn from(error: TransportError) -> Self {
        Self::new(RefusalKind::Unavailable, error.to_string())
    }
}

// === impl RefusalKind ===

impl RefusalKind {
    /// Returns the HTTP status of a refusal of this kind.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::QuotaExhausted => StatusCode::FORBIDDEN,
            // RFC 9111, section 5.2.1.7, has the latter so.
            Self::DeadlineExceeded | Self::NotCached => StatusCode::GATEWAY_TIMEOUT,
            Self::CircuitOpen | Self::Overloaded | Self::Draining | Self::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Returns the machine-readable code: `error.code` of the JSON error.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "invalid_request",
            Self::TooLarge => "request_too_large",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limit_exceeded",
            Self::QuotaExhausted => "insufficient_quota",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::CircuitOpen => "circuit_open",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Unavailable => "upstream_unavailable",
            Self::NotCached => "not_cached",
        }
    }

    /// Returns the family of the error: `error.type` of the JSON error.
    pub(crate) const fn family(self) -> &'static str {
        match self {
            Self::BadRequest | Self::TooLarge | Self::NotFound | Self::NotCached => "invalid_request_error",
            Self::RateLimited => "requests",
            Self::QuotaExhausted => "insufficient_quota",
            _ => "server_error",
        }
    }
}

// === impl Refuse ===

impl<F, R, Res, Err> Refuse<R, Res, Err> for F
where
    F: Fn(R) -> Result<Res, Err>,
{
    fn refuse(&self, refusal: R) -> Result<Res, Err> {
        self(refusal)
    }
}

// === impl HttpRefusal ===

impl<R: Into<Refusal>, B: From<Bytes>, E> Refuse<R, Response<B>, E> for HttpRefusal {
    fn refuse(&self, refusal: R) -> Result<Response<B>, E> {
        Ok(response(refusal.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn http(refusal: Refusal) -> Response<Bytes> {
        let result: Result<_, Infallible> = HttpRefusal.refuse(refusal);
        result.unwrap()
    }

    #[test]
    fn a_refusal_says_why_and_for_how_long() {
        let refusal =
            Refusal::new(RefusalKind::Unavailable, "all targets failed").with_retry_after(Duration::from_millis(1_200));
        let response = http(refusal.clone());

        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2", "rounded up, never down");
        assert_eq!(response.headers()["retry-after-ms"], "1200");
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert_eq!(
            response.body(),
            r#"{"error":{"message":"all targets failed","type":"server_error","param":null,"code":"upstream_unavailable"}}"#
        );
        assert_eq!(response.extensions().get(), Some(&refusal));
    }

    #[test]
    fn layers_further_out_see_a_class_and_not_the_word_for_the_client() {
        let class = |kind| *http(Refusal::new(kind, "")).extensions().get::<Class>().unwrap();
        let (spent, full) = (class(RefusalKind::Unavailable), class(RefusalKind::Overloaded));
        assert_eq!((spent.verdict, spent.begun, spent.hint.should_retry), (Verdict::Transient, true, None));
        assert_eq!((full.verdict, full.begun), (Verdict::CapacityByDesign, false));
    }

    #[test]
    fn a_message_cannot_break_out_of_the_json() {
        let refusal = Refusal::new(RefusalKind::BadRequest, "a \"quoted\" \\ path\nand \u{1} more, é");
        let response = http(refusal);
        let text = std::str::from_utf8(response.body()).unwrap();
        assert!(text.contains(r#""message":"a \"quoted\" \\ path\nand \u0001 more, é""#), "{text}");
    }

    #[test]
    fn a_service_without_http_refuses_in_its_own_words() {
        let maker = |refusal: Refusal| -> Result<u32, String> { Err(refusal.to_string()) };
        assert_eq!(maker.refuse(Refusal::new(RefusalKind::Overloaded, "busy")), Err("busy".to_owned()));
    }

    #[test]
    fn the_longest_wait_is_written_without_overflow() {
        let response = http(Refusal::new(RefusalKind::RateLimited, "").with_retry_after(Duration::MAX));
        assert_eq!(response.headers()["retry-after"], u64::MAX.to_string());
        assert_eq!(response.headers()["retry-after-ms"], u64::MAX.to_string());
    }
}
