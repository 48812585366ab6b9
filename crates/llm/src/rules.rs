//! What an error means: the marks by which it is told, in the order in which they count.

use buttress_core::Verdict::{self, *};
use http::{HeaderMap, StatusCode};

use crate::{
    Dialect,
    error_body::{ErrorBody, Quota},
};

/// One line of the table: under these statuses, what is so marked means this.
struct Rule(At, When, Verdict);

/// Under which statuses a rule counts.
enum At {
    Any,
    Of(&'static [u16]),
}

/// The mark that a rule looks for.
enum When {
    Always,
    By(Dialect),
    Named(&'static [&'static str]),
    Says(&'static [&'static str]),
    SaysBoth(&'static [&'static str], &'static [&'static str]),
    NamedAndSays(&'static [&'static str], &'static [&'static str]),
    Begins(&'static [&'static str]),
    LimitedBy(&'static str),
    Flagged,
    NoneToday,
    /// Azure has no code for it: only provisioned deployments tell their utilization, and only they can spill over.
    Provisioned,
}

use {At::*, When::*};

/// Names, which a provider chooses and no caller can, count under any status: a broker may pass on an error under another
/// one. Words count only under statuses where providers do not repeat the caller's, or at the very beginning of a message,
/// or where being wrong harms the caller alone.
const RULES: &[Rule] = &[
    // Money.
    Rule(Of(&[402]), LimitedBy("openrouter_in_flight_budget"), RateLimited),
    Rule(Any, Named(QUOTA), QuotaExhausted),
    Rule(Of(&[402]), Always, QuotaExhausted),
    Rule(Of(&[403, 429]), Says(QUOTA_WORDS), QuotaExhausted),
    Rule(Of(&[400]), Begins(&["your credit balance is too low"]), QuotaExhausted),
    Rule(Of(&[429]), NoneToday, QuotaExhausted),
    // Models. A refusal of one of them says nothing against the credential.
    Rule(Any, Named(MODEL), ModelGone),
    Rule(Of(&[410]), Always, ModelGone),
    Rule(Of(&[404]), SaysBoth(&["model"], &["does not exist", "not found"]), ModelGone),
    Rule(Of(&[404]), Begins(&["model: ", "no endpoints found for "]), ModelGone),
    Rule(Of(&[403]), Says(&["access to the model"]), ModelGone),
    // Requests. Nor does a refusal of one prompt, and what some refuse so has the status of a credential.
    Rule(Any, Named(FILTER), ContentFiltered),
    Rule(Of(&[400, 403, 422]), Flagged, ContentFiltered),
    Rule(Of(&[400, 403, 422]), Says(FILTER_WORDS), ContentFiltered),
    Rule(Of(&[498]), Says(&["blocked", "deny-list", "denylist"]), ContentFiltered),
    // Credentials.
    Rule(Any, Named(CREDENTIAL), CredentialDead),
    Rule(Of(&[403, 429]), Says(&["account is not active"]), CredentialDead),
    Rule(Of(&[400]), Begins(&["api key not valid", "api key expired"]), CredentialDead),
    Rule(Of(&[400]), NamedAndSays(&["FAILED_PRECONDITION"], PRECONDITION_WORDS), CredentialDead),
    // Load. A 413 may be one request that is larger than a minute's tokens.
    Rule(Any, Named(&["slow_down"]), CapacityByDesign),
    Rule(Of(&[429]), Named(&["resource_unavailable"]), CapacityByDesign),
    Rule(Of(&[429]), Says(&["resource unavailable"]), CapacityByDesign),
    Rule(Of(&[429]), Provisioned, CapacityByDesign),
    Rule(Of(&[498]), Always, CapacityByDesign),
    Rule(Any, Named(RATE), RateLimited),
    // Length.
    Rule(Any, Named(&["context_length_exceeded", "request_too_large"]), ContextTooLong),
    Rule(Of(&[400, 413, 422]), Says(LENGTH_WORDS), ContextTooLong),
    Rule(Of(&[500, 504]), Says(&["context is too long", "prompt is too long", "input is too long"]), ContextTooLong),
    Rule(Of(&[413]), By(Dialect::Anthropic), ContextTooLong),
    // Failures under a status that does not look like one. The official clients repeat a conflict.
    Rule(Of(&[400, 424]), Named(FAILURE), Transient),
    Rule(Of(&[409]), Always, Transient),
];

const QUOTA: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
    "billing_error",
    "billing_hard_limit_reached",
    "insufficient_balance",
    "insufficient_credits",
    "ServiceQuotaExceededException",
];

const QUOTA_WORDS: &[&str] = &[
    "credit balance",
    "spend limit",
    "spending limit",
    "spending cap",
    "credits are depleted",
    "key limit exceeded",
    "enforced_spend_limit_reached",
    "insufficient balance",
    // A rate of a month is a quota.
    "calls / month",
    "calls per month",
    "requests per month",
    "tokens per month",
    "monthly limit",
    "monthly quota",
    "monthly usage",
];

const MODEL: &[&str] = &[
    "model_not_found",
    "DeploymentNotFound",
    "unknown_model",
    "model_decommissioned",
    "model_deprecated",
    "ModelDeprecated",
    "invalid_model",
    "ResourceNotFoundException",
];

const FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "image_content_policy_violation",
    "ResponsibleAIPolicyViolation",
    "moderation_blocked",
    "data_inspection_failed",
    "invalid_prompt",
    "bio_policy",
];

const FILTER_WORDS: &[&str] = &["content filtering policy", "violates usage guidelines", "content exists risk"];

const CREDENTIAL: &[&str] = &[
    "invalid_api_key",
    "API_KEY_INVALID",
    "account_deactivated",
    "billing_not_active",
    "authentication_error",
    "unsupported_country_region_territory",
    "data_residency_mismatch",
    "UNAUTHENTICATED",
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
];

/// A credential may be of a place where it is of no use. The same name has other meanings, such as a file not yet ready.
const PRECONDITION_WORDS: &[&str] = &["billing", "location", "country", "region"];

const RATE: &[&str] = &[
    "rate_limit_exceeded",
    "rate_limit_error",
    "ThrottlingException",
    "TooManyRequestsException",
    "RESOURCE_EXHAUSTED",
];

const LENGTH_WORDS: &[&str] = &[
    "prompt is too long",
    "maximum context length",
    "maximum model length",
    "input is too long",
    "exceed context limit",
    "exceeds the context window",
    "exceeds the maximum number of tokens",
    "context length exceeded",
    "too many tokens",
    "`max_new_tokens` must be <=",
];

const FAILURE: &[&str] = &["ModelStreamErrorException", "ModelErrorException", "ConflictException"];

/// Returns what the error means by its marks, if it has any.
pub(crate) fn verdict(dialect: Dialect, status: StatusCode, headers: &HeaderMap, body: &ErrorBody) -> Option<Verdict> {
    let fits = |Rule(at, when, _): &&Rule| {
        let at = match at {
            Any => true,
            Of(statuses) => statuses.contains(&status.as_u16()),
        };
        at && when.is_so(dialect, headers, body)
    };
    RULES.iter().find(fits).map(|Rule(_, _, verdict)| *verdict)
}

// === impl When ===

impl When {
    fn is_so(&self, dialect: Dialect, headers: &HeaderMap, body: &ErrorBody) -> bool {
        match self {
            Always => true,
            By(own) => *own == dialect,
            Named(names) => body.is_named(names),
            Says(marks) => body.says(marks),
            SaysBoth(some, others) => body.says(some) && body.says(others),
            NamedAndSays(names, marks) => body.is_named(names) && body.says(marks),
            Begins(marks) => body.begins(marks),
            LimitedBy(source) => body.is_limited_by(source),
            Flagged => body.is_flagged(),
            NoneToday => body.quota() != Quota::Other,
            Provisioned => {
                dialect.is_azure()
                    && (headers.contains_key("azure-openai-deployment-utilization")
                        || headers.contains_key("x-ms-spillover-error")
                        || body.says(&["provisioned", "utilization"]))
            }
        }
    }
}
