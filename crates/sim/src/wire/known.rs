//! The errors a provider is known for, in the words of each dialect.

use std::time::Duration;

use super::Dialect;
use super::error::ApiError;
use crate::provider_error::ProviderError;

mod anthropic;
mod azure;
mod followers;
mod gemini;
mod openai;
mod served;

pub(super) use gemini::retry_info;

pub(super) fn of(error: ProviderError, dialect: Dialect, model: &str, retry: Duration) -> ApiError {
    match dialect {
        Dialect::OpenAi => openai::error(error, model, retry),
        Dialect::Azure => azure::error(error, model, retry),
        Dialect::Anthropic => anthropic::error(error, model, retry),
        Dialect::Gemini | Dialect::GeminiOpenAi => gemini::error(error, model, retry),
        Dialect::Ollama | Dialect::OllamaOpenAi => served::ollama(error, model),
        Dialect::Vllm => served::vllm(error, model),
        Dialect::Groq => followers::groq(error, model, retry),
        Dialect::OpenRouter => followers::openrouter(error, model, retry),
        Dialect::DeepSeek => followers::deepseek(error, model, retry),
        Dialect::Mistral => followers::mistral(error, model, retry),
    }
}
