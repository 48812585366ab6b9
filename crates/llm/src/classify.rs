//! From an answer to a verdict.

use std::time::SystemTime;

use buttress_core::{Class, Outcome, Verdict};
use http::{HeaderMap, StatusCode};

use crate::{Dialect, error_body::ErrorBody, hint, rules, status};

/// Says what an answer means: its verdict and its hint.
///
/// `body_prefix` is the body or its beginning, not compressed, whatever its content type; an empty one leaves status and
/// headers. `now` is what an absolute time in a hint is taken relative to, where the answer has no `Date`. Marks of billing,
/// models and credentials come before those of rate, and the bare status comes last.
///
/// | what | verdict |
/// |---|---|
/// | a name of spent quota, 402, a 403 or 429 that speaks of credit or spending, Gemini's quota of a day or of zero | [`QuotaExhausted`](Verdict::QuotaExhausted) |
/// | the name of an unknown or retired model or deployment, a 404 that says so, 410 | [`ModelGone`](Verdict::ModelGone) |
/// | the name of a filter, or a 400, 403 or 422 that speaks of one; Cohere's 498 of blocked words | [`ContentFiltered`](Verdict::ContentFiltered) |
/// | 401, 403, 407, a name of a dead key or account, or of a place where it is of no use | [`CredentialDead`](Verdict::CredentialDead) |
/// | `slow_down`, a flex tier without resources, Azure's provisioned throughput in full use, 498 | [`CapacityByDesign`](Verdict::CapacityByDesign) |
/// | any other 429, and a name of rate | [`RateLimited`](Verdict::RateLimited) |
/// | a name of length, a 400, 413 or 422 that speaks of the context's length, Anthropic's 413 | [`ContextTooLong`](Verdict::ContextTooLong) |
/// | 409, which the official clients repeat; Bedrock's conflicts and its models' errors | [`Transient`](Verdict::Transient) |
/// | anything else | as [`Class::status`] says |
///
/// A name is a `code`, a `type` or a `status` of the error or of its cause, or the header `x-amzn-errortype`, in any case of
/// letters. It counts under any status of failure. OpenRouter's 402 for what is in flight is a rate.
///
/// Azure gives a 429 of provisioned throughput no code of its own. It is told by the header of the deployment's utilization,
/// by that of a spill that failed, or by a message that speaks of provisioned throughput or utilization.
///
/// Words of a message count only with a status under which providers do not repeat the caller's words, or at its beginning,
/// or where being wrong harms the caller alone: nobody can spoil a credential for others by what they ask.
///
/// The hint is that of the standard headers; else what the body says, in a field or in words (`try again in 1m12s`); else,
/// for a rate, the reset of the limit that is used up. What does not parse or is negative is absent, what is past is zero,
/// what is too long is [`RetryHint::MAX`](buttress_core::RetryHint::MAX). A quota of a day lasts until midnight in
/// California. A 413 by rate is one request larger than what a minute allows: the same target need not be asked again.
#[must_use]
pub fn classify(
    dialect: Dialect,
    status: StatusCode,
    headers: &HeaderMap,
    body_prefix: &[u8],
    now: SystemTime,
) -> Class {
    let plain = Class::status(status);
    if plain.verdict == Verdict::Success {
        return plain;
    }
    let mut body = ErrorBody::read(body_prefix);
    body.call(headers.get("x-amzn-errortype").and_then(|name| name.to_str().ok()));
    judge(dialect, status, headers, &body, now)
}

/// Says what an error means that stands in an answer which began with 200, or nothing if it is none.
///
/// `data` is the JSON of an event, of a line, or of a whole answer. An error is an `error` that is an object or a text, at the
/// top or in `response` or `choices[0]`; a `type`, `event_type` or `object` that is `error`; and a `status` that is `failed`.
///
/// The status in the [`Outcome`] is the one that the error would have had before the 200: what it says itself as a number, or
/// what its name stands for (`overloaded_error` is 529), or 500. See [`classify`](fn@classify) for the rest.
///
/// ```
/// use std::time::SystemTime;
/// use buttress_core::{Outcome, Verdict};
/// use buttress_llm::{Dialect, classify_event};
/// use http::StatusCode;
///
/// let data = br#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow, please."}}"#;
/// let class = classify_event(Dialect::Anthropic, data, SystemTime::now()).expect("it is an error");
/// assert_eq!(class.verdict, Verdict::RateLimited);
/// assert_eq!(class.outcome, Outcome::Status(StatusCode::TOO_MANY_REQUESTS));
/// assert_eq!(classify_event(Dialect::Anthropic, br#"{"type":"ping"}"#, SystemTime::now()), None);
/// ```
#[must_use]
pub fn classify_event(dialect: Dialect, data: &[u8], now: SystemTime) -> Option<Class> {
    let body = ErrorBody::read_event(data)?;
    Some(judge(dialect, status::of(&body), &HeaderMap::new(), &body, now))
}

fn judge(dialect: Dialect, status: StatusCode, headers: &HeaderMap, body: &ErrorBody, now: SystemTime) -> Class {
    let by_marks = rules::verdict(dialect, status, headers, body);
    let verdict = by_marks.unwrap_or_else(|| Class::status(status).verdict);
    let mut hint = hint::read(headers, body, verdict, now);
    if status == StatusCode::PAYLOAD_TOO_LARGE && verdict == Verdict::RateLimited {
        hint.should_retry = hint.should_retry.or(Some(false));
    }
    Class::new(verdict, Outcome::Status(status)).with_hint(hint)
}
