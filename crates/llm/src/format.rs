//! How an answer is written.

use crate::{Dialect, Operation};

/// How an answer is written: what its events or its JSON look like.
///
/// [`LlmRewrite`](crate::LlmRewrite) leaves it in the request's extensions, next to the [`Dialect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// OpenAI's chat completions, also by the many servers that follow them.
    Chat,
    /// OpenAI's older completions of a text.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Gemini's `generateContent` and `streamGenerateContent`.
    Gemini,
    /// Ollama's `/api/chat` and `/api/generate`.
    Ollama,
    /// Anything else in JSON: vectors, counts, lists of models.
    Json,
}

// === impl Format ===

impl Format {
    /// Returns how `dialect` answers `operation`.
    #[must_use]
    pub const fn of(_dialect: Dialect, operation: Operation) -> Self {
        match operation {
            Operation::ChatCompletions => Self::Chat,
            Operation::Completions => Self::Completions,
            Operation::Responses => Self::Responses,
            Operation::Messages => Self::Messages,
            Operation::GenerateContent | Operation::StreamGenerateContent => Self::Gemini,
            Operation::OllamaChat | Operation::OllamaGenerate => Self::Ollama,
            Operation::Embeddings
            | Operation::Models
            | Operation::Model
            | Operation::CountMessageTokens
            | Operation::CountTokens
            | Operation::EmbedContent
            | Operation::OllamaEmbed
            | Operation::OllamaTags
            | Operation::OllamaVersion => Self::Json,
        }
    }
}
