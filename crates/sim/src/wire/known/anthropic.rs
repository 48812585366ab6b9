//! In the words of Anthropic. The type follows from the status.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::limits::Exhausted;
use crate::provider_error::ProviderError;
use crate::wire::error::ApiError;

/// The status that Anthropic has made up for an overloaded API.
const OVERLOADED: u16 = 529;

pub(super) fn error(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let (status, message) = words(error, model);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let answer = ApiError::new(status, "", message);
    match error {
        ProviderError::RateLimit | ProviderError::InFlightBudget => answer.retry(retry, Some(Exhausted::Requests)),
        ProviderError::TokenLimit | ProviderError::ProvisionedThroughput => {
            answer.retry(retry, Some(Exhausted::Tokens))
        }
        ProviderError::SlowDown => answer.retry(retry, None),
        ProviderError::OrganizationSpendLimit
        | ProviderError::ProjectSpendLimit
        | ProviderError::OrganizationUsageLimit
        | ProviderError::DailyQuota
        | ProviderError::KeyLimit => answer.inner(json!({"error_code": "enforced_spend_limit_reached"})),
        _ => answer,
    }
}

fn words(error: ProviderError, model: &str) -> (u16, String) {
    let (status, message) = match error {
        ProviderError::InvalidRequest | ProviderError::Unprocessable => (400, "messages: the request is not valid"),
        ProviderError::ContextLengthExceeded => (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        ProviderError::ContentFilter => (400, "Output blocked by content filtering policy"),
        ProviderError::InsufficientQuota | ProviderError::CreditBalanceExhausted => {
            (400, "Your credit balance is too low to access the Anthropic API.")
        }
        ProviderError::InvalidApiKey => (401, "invalid x-api-key"),
        ProviderError::MissingApiKey => (401, "x-api-key header is required"),
        ProviderError::PaymentRequired => (402, "There is a problem with your billing."),
        ProviderError::Forbidden => (403, "Request not allowed"),
        ProviderError::ModelNotFound | ProviderError::ModelGone => return (404, format!("model: {model}")),
        ProviderError::Conflict => (409, "The resource was changed meanwhile."),
        ProviderError::RequestTooLarge => (413, "Request exceeds the maximum size"),
        ProviderError::RateLimit
        | ProviderError::TokenLimit
        | ProviderError::InFlightBudget
        | ProviderError::ProvisionedThroughput => (429, "This request would exceed your account's rate limit."),
        ProviderError::SlowDown => (429, "Your usage grew too fast: the acceleration limit is reached."),
        ProviderError::OrganizationSpendLimit
        | ProviderError::ProjectSpendLimit
        | ProviderError::OrganizationUsageLimit
        | ProviderError::DailyQuota
        | ProviderError::KeyLimit => {
            (429, "enforced_spend_limit_reached: the spend limit of this workspace is reached.")
        }
        ProviderError::ServerError | ProviderError::BadGateway => (500, "Internal server error"),
        ProviderError::Timeout | ProviderError::GatewayTimeout => (504, "The request timed out"),
        ProviderError::Overloaded | ProviderError::FlexUnavailable => (OVERLOADED, "Overloaded"),
    };
    (status, message.to_owned())
}
