//! In the words of OpenAI.

use std::time::Duration;

use http::StatusCode;

use crate::limits::Exhausted;
use crate::provider_error::ProviderError;
use crate::wire::error::{ApiError, INVALID};
use crate::wire::headers::{ORGANIZATION_NAME, go_duration};

pub(super) fn error(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    match error {
        ProviderError::InvalidRequest => ApiError::invalid("The request is not valid.").code("invalid_value"),
        ProviderError::ContextLengthExceeded => ApiError::invalid(
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens. \
             Please reduce the length of the messages.",
        )
        .code("context_length_exceeded")
        .param("messages"),
        ProviderError::ContentFilter => {
            ApiError::invalid("Your request was rejected by the safety system.").code("content_policy_violation")
        }
        ProviderError::InvalidApiKey => {
            ApiError::new(StatusCode::UNAUTHORIZED, INVALID, "Incorrect API key provided: sk-sim-0****0000.")
                .code("invalid_api_key")
        }
        ProviderError::MissingApiKey => ApiError::new(
            StatusCode::UNAUTHORIZED,
            INVALID,
            "You didn't provide an API key. Provide it in an Authorization header: Authorization: Bearer YOUR_KEY.",
        ),
        ProviderError::Forbidden => {
            let message = "Country, region, or territory not supported";
            ApiError::new(StatusCode::FORBIDDEN, "request_forbidden", message)
                .code("unsupported_country_region_territory")
        }
        ProviderError::ModelNotFound => {
            let message = format!("The model `{model}` does not exist or you do not have access to it.");
            ApiError::new(StatusCode::NOT_FOUND, INVALID, message).code("model_not_found")
        }
        ProviderError::ModelGone => {
            let message = format!("The model `{model}` has been deprecated.");
            ApiError::new(StatusCode::NOT_FOUND, INVALID, message).code("model_not_found")
        }
        ProviderError::Conflict => ApiError::new(StatusCode::CONFLICT, INVALID, "The resource was changed meanwhile."),
        ProviderError::RequestTooLarge => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "The request is too large.")
        }
        ProviderError::Unprocessable => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, INVALID, "The request cannot be processed.")
        }
        ProviderError::Timeout => ApiError::new(StatusCode::REQUEST_TIMEOUT, "server_error", "Request timed out."),
        ProviderError::ServerError => ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "The server had an error while processing your request. Sorry about that!",
        ),
        ProviderError::BadGateway => {
            ApiError::new(StatusCode::BAD_GATEWAY, "server_error", "The gateway got no valid answer.")
        }
        ProviderError::GatewayTimeout => {
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "The gateway got no answer in time.")
        }
        ProviderError::Overloaded => {
            let message = "The engine is currently overloaded, please try again later.";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("overloaded")
        }
        error => limit(error, model, retry),
    }
}

/// What is refused for how much was asked for, or is left.
fn limit(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let wait = go_duration(retry);
    let limited = |kind, unit: &str| {
        let message = format!(
            "Rate limit reached for {model} in organization {ORGANIZATION_NAME} on {unit}. \
             Please try again in {wait}."
        );
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message).code("rate_limit_exceeded")
    };
    match error {
        ProviderError::RateLimit | ProviderError::InFlightBudget => {
            limited("requests", "requests per min (RPM)").retry(retry, Some(Exhausted::Requests))
        }
        ProviderError::TokenLimit => limited("tokens", "tokens per min (TPM)").retry(retry, Some(Exhausted::Tokens)),
        ProviderError::ProvisionedThroughput => {
            limited("tokens", "provisioned throughput").retry(retry, Some(Exhausted::Tokens))
        }
        ProviderError::PaymentRequired | ProviderError::CreditBalanceExhausted => quota("credit_balance_exhausted"),
        ProviderError::OrganizationSpendLimit => quota("organization_spend_limit_exceeded"),
        ProviderError::ProjectSpendLimit | ProviderError::KeyLimit => quota("project_spend_limit_exceeded"),
        ProviderError::OrganizationUsageLimit => quota("organization_usage_limit_exceeded"),
        ProviderError::FlexUnavailable => {
            let message = "Resource Unavailable: no capacity in the flex tier. Please try again later.";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "resource_unavailable", message)
        }
        ProviderError::SlowDown => {
            let message = "Your request rate has increased too quickly. Please ramp up slowly.";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "requests", message).code("slow_down").retry(retry, None)
        }
        _ => quota("insufficient_quota"),
    }
}

/// The account is out of something that waiting does not bring back.
fn quota(code: &'static str) -> ApiError {
    let message = "You exceeded your current quota, please check your plan and billing details.";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", message).code(code)
}
