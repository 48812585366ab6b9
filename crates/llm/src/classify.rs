//! From an answer to a verdict.

use std::time::SystemTime;

use buttress_core::{Class, Outcome, Verdict};
use http::{HeaderMap, StatusCode};

use crate::{Dialect, error_body::ErrorBody, hint};

const QUOTA: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];
const QUOTA_TEXT: [&str; 4] = ["credit balance", "spend limit", "credits are depleted", "key limit exceeded"];
const CREDENTIAL: [&str; 3] = ["invalid_api_key", "account_deactivated", "billing_not_active"];
const MODEL: [&str; 4] = ["model_not_found", "DeploymentNotFound", "unknown_model", "model_decommissioned"];
const CONTEXT: [&str; 2] = ["context_length_exceeded", "request_too_large"];
const CONTEXT_TEXT: [&str; 3] = ["prompt is too long", "maximum context length", "input is too long"];
const FILTER: [&str; 3] = ["content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"];
const PROVISIONED_TEXT: [&str; 2] = ["provisioned", "utilization"];

/// Says what an answer means: its verdict and its hint.
///
/// `body_prefix` is the body or its beginning; what is not JSON counts little, and an empty one leaves status and headers.
/// `now` is what an absolute time in a hint is taken relative to. Marks of billing and credentials come before those of
/// rate, and the bare status comes last.
///
/// | what | verdict |
/// |---|---|
/// | a code of spent quota, 402, or a 403 or 429 that speaks of credit or spending | [`QuotaExhausted`](Verdict::QuotaExhausted) |
/// | the code of an unknown or retired model or deployment, a 404 that says so, 410 | [`ModelGone`](Verdict::ModelGone) |
/// | a code of a filter with 400, 403 or 422 | [`ContentFiltered`](Verdict::ContentFiltered) |
/// | 401, 403, a code of a dead key or account | [`CredentialDead`](Verdict::CredentialDead) |
/// | a code of length, or a 400, 413 or 422 that speaks of the context's length | [`ContextTooLong`](Verdict::ContextTooLong) |
/// | `slow_down`, a flex tier without resources, Azure's provisioned throughput in full use, 498 | [`CapacityByDesign`](Verdict::CapacityByDesign) |
/// | any other 429, and a 413 by rate | [`RateLimited`](Verdict::RateLimited) |
/// | 409, which the official clients repeat | [`Transient`](Verdict::Transient) |
/// | anything else | as [`Class::status`] says |
///
/// Azure gives a 429 of provisioned throughput no code of its own. It is told by the header of the deployment's utilization,
/// by that of a spill that failed, or by a message that speaks of provisioned throughput or utilization.
///
/// Words of a message count only with a status under which providers do not repeat the caller's words, or where being
/// wrong harms the caller alone: nobody can spoil a credential for others by what they ask.
///
/// The hint is that of the standard headers; else what the body says, in a field or in words (`try again in 1m12s`); else,
/// for a rate, the reset of the limit that is used up. What does not parse or is negative is absent, what is too long is
/// [`RetryHint::MAX`](buttress_core::RetryHint::MAX).
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
    let body = ErrorBody::read(body_prefix);
    let verdict = verdict(dialect, status, headers, &body).unwrap_or(plain.verdict);
    let hint = hint::read(headers, &body, verdict, now);
    Class::new(verdict, Outcome::Status(status)).with_hint(hint)
}

fn verdict(dialect: Dialect, status: StatusCode, headers: &HeaderMap, body: &ErrorBody) -> Option<Verdict> {
    if status.is_client_error() {
        by_account(status, body)
            .or_else(|| by_request(status, body))
            .or_else(|| by_load(dialect, status, headers, body))
    } else {
        body.is_named(&["slow_down"]).then_some(Verdict::CapacityByDesign)
    }
}

/// Marks of money, models and credentials. A refusal of one model or one prompt says nothing against the credential.
fn by_account(status: StatusCode, body: &ErrorBody) -> Option<Verdict> {
    let code = status.as_u16();
    if code == 402 && body.is_limited_by("openrouter_in_flight_budget") {
        return Some(Verdict::RateLimited);
    }
    if code == 402 || body.is_named(&QUOTA) || (matches!(code, 403 | 429) && body.says(&QUOTA_TEXT)) {
        return Some(Verdict::QuotaExhausted);
    }
    let unknown = body.says(&["model"]) && body.says(&["does not exist", "not found"]);
    if code == 410 || body.is_named(&MODEL) || (code == 404 && unknown) {
        return Some(Verdict::ModelGone);
    }
    if code == 403 && is_filtered(body) {
        return Some(Verdict::ContentFiltered);
    }
    let inactive = matches!(code, 403 | 429) && body.says(&["account is not active"]);
    (matches!(code, 401 | 403 | 407) || body.is_named(&CREDENTIAL) || inactive).then_some(Verdict::CredentialDead)
}

/// Marks of what this request holds.
fn by_request(status: StatusCode, body: &ErrorBody) -> Option<Verdict> {
    if !matches!(status.as_u16(), 400 | 413 | 422) {
        return None;
    }
    if body.is_named(&CONTEXT) || body.says(&CONTEXT_TEXT) {
        return Some(Verdict::ContextTooLong);
    }
    is_filtered(body).then_some(Verdict::ContentFiltered)
}

/// Marks of how busy the target is.
fn by_load(dialect: Dialect, status: StatusCode, headers: &HeaderMap, body: &ErrorBody) -> Option<Verdict> {
    match status.as_u16() {
        413 => body.is_named(&["rate_limit_exceeded"]).then_some(Verdict::RateLimited),
        409 => Some(Verdict::Transient),
        498 => Some(Verdict::CapacityByDesign),
        429 => {
            let full = body.is_named(&["slow_down", "resource_unavailable"]) || body.says(&["resource unavailable"]);
            let by_design = full || (dialect.is_azure() && is_provisioned(headers, body));
            Some(if by_design { Verdict::CapacityByDesign } else { Verdict::RateLimited })
        }
        _ => None,
    }
}

fn is_filtered(body: &ErrorBody) -> bool {
    body.flagged || body.is_named(&FILTER)
}

/// Azure has no code for it: only provisioned deployments tell their utilization, and only they can spill over.
fn is_provisioned(headers: &HeaderMap, body: &ErrorBody) -> bool {
    headers.contains_key("azure-openai-deployment-utilization")
        || headers.contains_key("x-ms-spillover-error")
        || body.says(&PROVISIONED_TEXT)
}
