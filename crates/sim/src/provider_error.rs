use serde::{Deserialize, Serialize};

/// The errors a provider is known for, for [`Fault::Provider`](crate::Fault::Provider).
///
/// The status is OpenAI's. A dialect that does not know an error answers with the nearest it knows: Ollama, which has no
/// limits, is busy instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderError {
    /// 400: the request is not valid.
    InvalidRequest,
    /// 400: the prompt is longer than the model's context.
    ContextLengthExceeded,
    /// 400: the content filter stopped the prompt.
    ContentFilter,
    /// 401: the key is wrong.
    InvalidApiKey,
    /// 401: there is no key.
    MissingApiKey,
    /// 402: billing. OpenRouter: the credits are used up.
    PaymentRequired,
    /// 402 at OpenRouter: too much in flight for the budget; passes by itself.
    InFlightBudget,
    /// 402 at OpenRouter: the limit of the key is reached.
    KeyLimit,
    /// 403: no access from here.
    Forbidden,
    /// 404: no such model; on Azure, no such deployment.
    ModelNotFound,
    /// 410: the model was retired; 404 where a provider keeps no memory of it.
    ModelGone,
    /// 408: the request timed out.
    Timeout,
    /// 409: a conflict.
    Conflict,
    /// 413: the request is too large. Groq: larger than the token limit.
    RequestTooLarge,
    /// 422: the request cannot be processed.
    Unprocessable,
    /// 429: too many requests per minute.
    RateLimit,
    /// 429: too many tokens per minute.
    TokenLimit,
    /// 429: the account has run out of credit.
    InsufficientQuota,
    /// 429: `credit_balance_exhausted`.
    CreditBalanceExhausted,
    /// 429: `organization_spend_limit_exceeded`; Anthropic: `enforced_spend_limit_reached`.
    OrganizationSpendLimit,
    /// 429: `project_spend_limit_exceeded`.
    ProjectSpendLimit,
    /// 429: `organization_usage_limit_exceeded`.
    OrganizationUsageLimit,
    /// 429: the quota of the day is used up. Gemini: a `quotaId` with `PerDay`.
    DailyQuota,
    /// 429: the load grew too fast.
    SlowDown,
    /// 429: provisioned throughput is used up.
    ProvisionedThroughput,
    /// 429: no capacity in the flexible tier; Groq: 498.
    FlexUnavailable,
    /// 500: the server failed.
    ServerError,
    /// 502: what stands behind the server failed.
    BadGateway,
    /// 503: the server is overloaded; Anthropic: 529.
    Overloaded,
    /// 504: it took too long.
    GatewayTimeout,
}

// === impl ProviderError ===

impl ProviderError {
    /// Every error.
    pub const ALL: [Self; 30] = [
        Self::InvalidRequest,
        Self::ContextLengthExceeded,
        Self::ContentFilter,
        Self::InvalidApiKey,
        Self::MissingApiKey,
        Self::PaymentRequired,
        Self::InFlightBudget,
        Self::KeyLimit,
        Self::Forbidden,
        Self::ModelNotFound,
        Self::ModelGone,
        Self::Timeout,
        Self::Conflict,
        Self::RequestTooLarge,
        Self::Unprocessable,
        Self::RateLimit,
        Self::TokenLimit,
        Self::InsufficientQuota,
        Self::CreditBalanceExhausted,
        Self::OrganizationSpendLimit,
        Self::ProjectSpendLimit,
        Self::OrganizationUsageLimit,
        Self::DailyQuota,
        Self::SlowDown,
        Self::ProvisionedThroughput,
        Self::FlexUnavailable,
        Self::ServerError,
        Self::BadGateway,
        Self::Overloaded,
        Self::GatewayTimeout,
    ];
}
