//! In the words of hosted providers that follow OpenAI's API.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::openai;
use crate::limits::Exhausted;
use crate::provider_error::ProviderError;
use crate::wire::Envelope;
use crate::wire::error::{ApiError, INVALID};
use crate::wire::headers::go_duration;

/// Groq's own status for a flexible tier without capacity.
const NO_CAPACITY: u16 = 498;

pub(super) fn groq(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let limited = |kind, unit: &str| {
        let wait = go_duration(retry);
        let message = format!(
            "Rate limit reached for model `{model}` in organization `org_sim` service tier `on_demand` on {unit}. \
             Please try again in {wait}."
        );
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message).code("rate_limit_exceeded")
    };
    match error {
        ProviderError::RateLimit | ProviderError::SlowDown | ProviderError::InFlightBudget => {
            limited("requests", "requests per minute (RPM)").retry(retry, Some(Exhausted::Requests))
        }
        ProviderError::TokenLimit | ProviderError::ProvisionedThroughput => {
            limited("tokens", "tokens per minute (TPM)").retry(retry, Some(Exhausted::Tokens))
        }
        ProviderError::DailyQuota => limited("tokens", "tokens per day (TPD)").retry(retry, Some(Exhausted::Tokens)),
        ProviderError::RequestTooLarge => {
            let message = format!(
                "Request too large for model `{model}` in organization `org_sim` service tier `on_demand` on tokens per \
                 minute (TPM): Limit 6000, Requested 9000, please reduce your message size and try again."
            );
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "tokens", message).code("rate_limit_exceeded")
        }
        ProviderError::FlexUnavailable => {
            let status = StatusCode::from_u16(NO_CAPACITY).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
            ApiError::new(status, "server_error", "Flex tier capacity exceeded. Please try again later.")
                .code("capacity_exceeded")
        }
        ProviderError::InvalidApiKey | ProviderError::MissingApiKey => {
            ApiError::new(StatusCode::UNAUTHORIZED, INVALID, "Invalid API Key").code("invalid_api_key")
        }
        ProviderError::Overloaded => {
            let message = format!("{model} is currently over capacity. Please try again and back off exponentially.");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "internal_server_error", message)
        }
        error => openai::error(error, model, retry),
    }
}

pub(super) fn openrouter(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let plain = |status, kind: &str, message: &str| {
        ApiError::new(status, "", message).inner(json!({"error_type": kind, "provider_code": null}))
    };
    let paid = |source: &str, message: &str| {
        let metadata = json!({"error_type": "payment_required", "limit_source": source});
        ApiError::new(StatusCode::PAYMENT_REQUIRED, "", message).inner(metadata)
    };
    match error {
        ProviderError::InFlightBudget => {
            paid("openrouter_in_flight_budget", "Requests in flight exceed your remaining budget.").retry(retry, None)
        }
        ProviderError::PaymentRequired
        | ProviderError::InsufficientQuota
        | ProviderError::CreditBalanceExhausted
        | ProviderError::OrganizationUsageLimit => {
            paid("openrouter_credits", "Insufficient credits. Add more using https://openrouter.ai/settings/credits")
        }
        ProviderError::KeyLimit | ProviderError::OrganizationSpendLimit | ProviderError::ProjectSpendLimit => {
            paid("openrouter_key_limit", "Key limit exceeded.")
        }
        ProviderError::RateLimit
        | ProviderError::TokenLimit
        | ProviderError::DailyQuota
        | ProviderError::SlowDown
        | ProviderError::FlexUnavailable
        | ProviderError::ProvisionedThroughput => {
            plain(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Provider returned error").retry(retry, None)
        }
        ProviderError::InvalidApiKey | ProviderError::MissingApiKey => {
            plain(StatusCode::UNAUTHORIZED, "unauthorized", "No auth credentials found")
        }
        ProviderError::ContentFilter => {
            let metadata = json!({"error_type": "moderation", "reasons": ["violence"], "flagged_input": "…"});
            ApiError::new(StatusCode::FORBIDDEN, "", "Input was flagged by moderation.").inner(metadata)
        }
        ProviderError::ModelNotFound | ProviderError::ModelGone => {
            plain(StatusCode::NOT_FOUND, "not_found", &format!("No endpoints found for {model}."))
        }
        ProviderError::BadGateway => {
            plain(StatusCode::BAD_GATEWAY, "provider_unavailable", "Provider returned an invalid response")
        }
        ProviderError::Overloaded => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "provider_overloaded", "No provider is available").retry(retry, None)
        }
        error => {
            let answer = openai::error(error, model, retry);
            plain(answer.status, "provider_error", &answer.message)
        }
    }
}

pub(super) fn deepseek(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    match error {
        ProviderError::MissingApiKey => {
            ApiError::new(StatusCode::UNAUTHORIZED, "", "Authentication Fails (governor)").shape(Envelope::Plain)
        }
        ProviderError::InvalidApiKey => {
            let message = "Authentication Fails, Your api key: ****0000 is invalid";
            ApiError::new(StatusCode::UNAUTHORIZED, INVALID, message).code("authentication_error")
        }
        ProviderError::PaymentRequired
        | ProviderError::InsufficientQuota
        | ProviderError::CreditBalanceExhausted
        | ProviderError::KeyLimit
        | ProviderError::InFlightBudget
        | ProviderError::DailyQuota
        | ProviderError::OrganizationSpendLimit
        | ProviderError::ProjectSpendLimit
        | ProviderError::OrganizationUsageLimit => {
            ApiError::new(StatusCode::PAYMENT_REQUIRED, INVALID, "Insufficient Balance").code("unknown_error")
        }
        ProviderError::RateLimit
        | ProviderError::TokenLimit
        | ProviderError::SlowDown
        | ProviderError::FlexUnavailable
        | ProviderError::ProvisionedThroughput => {
            let message = "Too many requests of yours are in progress. Please retry later.";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, INVALID, message).code("rate_limit_reached")
        }
        error => openai::error(error, model, retry).unhinted(),
    }
}

pub(super) fn mistral(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    match error {
        ProviderError::InvalidApiKey | ProviderError::MissingApiKey => {
            ApiError::new(StatusCode::UNAUTHORIZED, "", "Unauthorized").shape(Envelope::Detail)
        }
        ProviderError::Unprocessable | ProviderError::InvalidRequest => {
            let detail = json!([{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]);
            let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "", "Field required");
            error.inner(detail).shape(Envelope::Detail)
        }
        ProviderError::RateLimit
        | ProviderError::TokenLimit
        | ProviderError::SlowDown
        | ProviderError::FlexUnavailable
        | ProviderError::InFlightBudget
        | ProviderError::ProvisionedThroughput => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Rate limit exceeded").code("1300")
        }
        ProviderError::DailyQuota => {
            let message = "Monthly token limit exceeded";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message).code("1300")
        }
        ProviderError::ModelNotFound | ProviderError::ModelGone => {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_model", format!("Invalid model: {model}")).code("1500")
        }
        error => openai::error(error, model, retry).unhinted(),
    }
}
