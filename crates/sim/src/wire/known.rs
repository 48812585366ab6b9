//! The errors a provider is known for, in the words of each dialect.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::error::{ApiError, INVALID};
use super::headers::{ORGANIZATION_NAME, go_duration, whole_seconds};
use crate::fault::ProviderError;
use crate::limits::Exhausted;

pub(super) fn openai(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let wait = go_duration(retry);
    let limited = |kind, unit: &str| {
        let message = format!(
            "Rate limit reached for {model} in organization {ORGANIZATION_NAME} on {unit}. \
             Please try again in {wait}."
        );
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message).code("rate_limit_exceeded")
    };
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
        ProviderError::Forbidden => {
            let message = "Country, region, or territory not supported";
            ApiError::new(StatusCode::FORBIDDEN, "request_forbidden", message)
                .code("unsupported_country_region_territory")
        }
        ProviderError::ModelNotFound => {
            let message = format!("The model `{model}` does not exist or you do not have access to it.");
            ApiError::new(StatusCode::NOT_FOUND, INVALID, message).code("model_not_found")
        }
        ProviderError::Timeout => ApiError::new(StatusCode::REQUEST_TIMEOUT, "server_error", "Request timed out."),
        ProviderError::RateLimit => {
            limited("requests", "requests per min (RPM)").retry(retry, Some(Exhausted::Requests))
        }
        ProviderError::TokenLimit => limited("tokens", "tokens per min (TPM)").retry(retry, Some(Exhausted::Tokens)),
        ProviderError::ProvisionedThroughput => {
            limited("tokens", "provisioned throughput").retry(retry, Some(Exhausted::Tokens))
        }
        ProviderError::InsufficientQuota => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        )
        .code("insufficient_quota"),
        ProviderError::SlowDown => {
            let message = "Your request rate has increased too quickly. Please ramp up slowly.";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "requests", message).code("slow_down").retry(retry, None)
        }
        ProviderError::ServerError => ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "The server had an error while processing your request. Sorry about that!",
        ),
        ProviderError::Overloaded => {
            let message = "The engine is currently overloaded, please try again later.";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("overloaded")
        }
    }
}

pub(super) fn azure(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let seconds = whole_seconds(retry);
    let limited = |what: &str, exhausted| {
        let message =
            format!("Requests to this deployment have exceeded {what}. Please retry after {seconds} seconds.");
        ApiError::front_door(StatusCode::TOO_MANY_REQUESTS, "429", message).retry(retry, Some(exhausted))
    };
    match error {
        ProviderError::ContentFilter => content_filter(),
        ProviderError::InvalidApiKey => ApiError::front_door(
            StatusCode::UNAUTHORIZED,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for \
             an active subscription and use a correct regional API endpoint for your resource.",
        ),
        ProviderError::Forbidden => {
            let message = "Access denied due to Virtual Network/Firewall rules.";
            ApiError::front_door(StatusCode::FORBIDDEN, "403", message)
        }
        ProviderError::ModelNotFound => ApiError::front_door(
            StatusCode::NOT_FOUND,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last \
             5 minutes, please wait a moment and try again.",
        ),
        ProviderError::Timeout => {
            ApiError::front_door(StatusCode::REQUEST_TIMEOUT, "Timeout", "The operation was timeout.")
        }
        ProviderError::RateLimit => limited("the call rate limit of your pricing tier", Exhausted::Requests),
        ProviderError::TokenLimit => limited("the token rate limit of your pricing tier", Exhausted::Tokens),
        ProviderError::ProvisionedThroughput => limited("the provisioned throughput utilization", Exhausted::Tokens),
        ProviderError::ServerError => {
            let message = "The server had an error processing your request. Sorry about that!";
            ApiError::front_door(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
        }
        ProviderError::Overloaded => {
            let message = "The service is temporarily unable to process your request. Please try again later.";
            ApiError::front_door(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
        }
        // The model's API answers these itself, as it does elsewhere.
        ProviderError::InvalidRequest
        | ProviderError::ContextLengthExceeded
        | ProviderError::InsufficientQuota
        | ProviderError::SlowDown => openai(error, model, retry),
    }
}

fn content_filter() -> ApiError {
    let message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. \
                   Please modify your prompt and retry.";
    ApiError::invalid(message).code("content_filter").param("prompt").inner(json!({
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {
            "hate": {"filtered": true, "severity": "high"},
            "jailbreak": {"filtered": false, "detected": false},
            "self_harm": {"filtered": false, "severity": "safe"},
            "sexual": {"filtered": false, "severity": "safe"},
            "violence": {"filtered": false, "severity": "safe"},
        },
    }))
}
