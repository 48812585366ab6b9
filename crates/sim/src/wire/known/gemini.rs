//! In the words of Google. The status text follows from the status, unless a code is given.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::provider_error::ProviderError;
use crate::wire::error::ApiError;
use crate::wire::headers::exact_seconds;

pub(super) fn error(error: ProviderError, model: &str, retry: Duration) -> ApiError {
    let answer = |status: u16, message: &str| {
        ApiError::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "", message)
    };
    match error {
        ProviderError::InvalidRequest | ProviderError::ContentFilter | ProviderError::Unprocessable => {
            answer(400, "Request contains an invalid argument.")
        }
        ProviderError::ContextLengthExceeded | ProviderError::RequestTooLarge => {
            answer(400, "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).")
        }
        ProviderError::InvalidApiKey => answer(400, "API key not valid. Please pass a valid API key.").inner(json!([
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
        ])),
        ProviderError::MissingApiKey => {
            answer(403, "Method doesn't allow unregistered callers (callers without established identity).")
        }
        ProviderError::Forbidden => {
            answer(400, "User location is not supported for the API use.").code("FAILED_PRECONDITION")
        }
        ProviderError::PaymentRequired => answer(402, "This API method requires billing to be enabled."),
        ProviderError::ModelNotFound | ProviderError::ModelGone => {
            answer(404, &format!("models/{model} is not found for API version v1beta."))
        }
        ProviderError::Conflict => answer(409, "The operation was aborted."),
        ProviderError::RateLimit | ProviderError::InFlightBudget | ProviderError::SlowDown => {
            limited("GenerateRequestsPerMinutePerProjectPerModel", "10", retry, true)
        }
        ProviderError::TokenLimit | ProviderError::ProvisionedThroughput | ProviderError::FlexUnavailable => {
            limited("GenerateContentInputTokensPerModelPerMinute", "250000", retry, true)
        }
        ProviderError::DailyQuota => limited("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "50", retry, true),
        ProviderError::InsufficientQuota => {
            limited("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "0", retry, false)
        }
        ProviderError::CreditBalanceExhausted
        | ProviderError::OrganizationSpendLimit
        | ProviderError::ProjectSpendLimit
        | ProviderError::OrganizationUsageLimit
        | ProviderError::KeyLimit => answer(429, "Your project has exceeded its spend limit."),
        ProviderError::ServerError => answer(500, "An internal error has occurred."),
        ProviderError::BadGateway => answer(502, "Bad gateway."),
        ProviderError::Overloaded => answer(503, "The model is overloaded. Please try again later."),
        ProviderError::Timeout | ProviderError::GatewayTimeout => {
            answer(504, "The request timed out. Please try again.")
        }
    }
}

/// Over a quota. The hint is in the body alone.
fn limited(quota: &str, value: &str, retry: Duration, hinted: bool) -> ApiError {
    let mut message = format!(
        "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: \
         {METRIC}, limit: {value}"
    );
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": METRIC, "quotaId": quota, "quotaValue": value}],
    })];
    if hinted {
        message.push_str(&format!("\nPlease retry in {}s.", exact_seconds(retry)));
        details.push(retry_info(retry));
    }
    let answer = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "", message).inner(Value::from(details));
    if hinted { answer.retry(retry, None) } else { answer }
}

/// The hint as Google writes it, with a protobuf duration.
pub(in crate::wire) fn retry_info(retry: Duration) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": format!("{}s", exact_seconds(retry)),
    })
}

const METRIC: &str = "generativelanguage.googleapis.com/generate_content_requests";
