//! In the words of servers that people run themselves. They know few errors, and no limits.

use http::StatusCode;

use crate::provider_error::ProviderError;
use crate::wire::Envelope;
use crate::wire::error::{ApiError, INVALID};

pub(super) fn ollama(error: ProviderError, model: &str) -> ApiError {
    match error {
        ProviderError::InvalidRequest
        | ProviderError::ContentFilter
        | ProviderError::RequestTooLarge
        | ProviderError::Unprocessable
        | ProviderError::Conflict => ApiError::invalid("invalid request"),
        ProviderError::ContextLengthExceeded => ApiError::invalid("the input length exceeds the context length"),
        ProviderError::InvalidApiKey | ProviderError::MissingApiKey | ProviderError::Forbidden => {
            ApiError::new(StatusCode::UNAUTHORIZED, "api_error", "unauthorized")
        }
        ProviderError::ModelNotFound | ProviderError::ModelGone => {
            let message = format!("model '{model}' not found");
            ApiError::new(StatusCode::NOT_FOUND, "not_found_error", message)
        }
        ProviderError::ServerError | ProviderError::BadGateway => {
            let message = "llama runner process has terminated: exit status 2";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", message)
        }
        ProviderError::Timeout | ProviderError::GatewayTimeout => {
            let message = "timed out waiting for llama runner to start";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", message)
        }
        _ => {
            let message = "server busy, please try again.  maximum pending requests exceeded";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", message)
        }
    }
}

pub(super) fn vllm(error: ProviderError, model: &str) -> ApiError {
    match error {
        ProviderError::InvalidRequest | ProviderError::ContentFilter | ProviderError::Conflict => {
            ApiError::invalid("The request is not valid.")
        }
        ProviderError::ContextLengthExceeded | ProviderError::RequestTooLarge => ApiError::invalid(
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens in the messages. \
             Please reduce the length of the messages.",
        ),
        ProviderError::InvalidApiKey | ProviderError::MissingApiKey | ProviderError::Forbidden => {
            ApiError::new(StatusCode::UNAUTHORIZED, INVALID, "Unauthorized").shape(Envelope::Text)
        }
        ProviderError::ModelNotFound | ProviderError::ModelGone => {
            let message = format!("The model `{model}` does not exist.");
            ApiError::new(StatusCode::NOT_FOUND, INVALID, message).param("model")
        }
        ProviderError::Unprocessable => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, INVALID, "The request cannot be processed.")
        }
        ProviderError::ServerError | ProviderError::BadGateway => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "EngineCore encountered an issue.")
        }
        ProviderError::Timeout | ProviderError::GatewayTimeout => {
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "The engine did not answer in time.")
        }
        _ => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "The engine is not ready."),
    }
}
