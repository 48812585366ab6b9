//! In the words of Azure.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::openai;
use crate::limits::Exhausted;
use crate::provider_error::ProviderError;
use crate::wire::error::ApiError;
use crate::wire::headers::whole_seconds;

pub(super) fn error(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let seconds = whole_seconds(retry);
    let limited = |what: &str, exhausted| {
        let message =
            format!("Requests to this deployment have exceeded {what}. Please retry after {seconds} seconds.");
        ApiError::front_door(StatusCode::TOO_MANY_REQUESTS, "429", message).retry(retry, Some(exhausted))
    };
    match error {
        ProviderError::ContentFilter => content_filter(),
        ProviderError::InvalidApiKey | ProviderError::MissingApiKey => ApiError::front_door(
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
        ProviderError::ModelGone => {
            let message = format!("The model '{model}' of this deployment was retired.");
            ApiError::front_door(StatusCode::GONE, "ModelDeprecated", message)
        }
        // The model's API answers the others itself, as it does elsewhere.
        error => openai::error(error, model, retry),
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
