//! What can be asked of a model server.

use std::fmt;

use http::Method;

/// What can be asked of a model server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// OpenAI's answer to a conversation: `chat/completions`.
    ChatCompletions,
    /// OpenAI's older continuation of a text: `completions`.
    Completions,
    /// OpenAI's vectors for texts: `embeddings`.
    Embeddings,
    /// OpenAI's newer answer to a conversation: `responses`.
    Responses,
    /// The list of models: `models`, alike at OpenAI, Azure and Anthropic.
    Models,
    /// What is known of one model: `models/{model}`, alike at OpenAI, Azure and Anthropic.
    Model,
    /// Anthropic's answer to a conversation: `messages`.
    Messages,
    /// Anthropic's count of the tokens of a conversation: `messages/count_tokens`.
    CountMessageTokens,
    /// Gemini's answer to a conversation: `:generateContent`.
    GenerateContent,
    /// The same as a stream: `:streamGenerateContent`.
    StreamGenerateContent,
    /// Gemini's count of the tokens of a conversation: `:countTokens`.
    CountTokens,
    /// Gemini's vector for a text: `:embedContent`.
    EmbedContent,
    /// Ollama's answer to a conversation: `/api/chat`.
    OllamaChat,
    /// Ollama's continuation of a text: `/api/generate`.
    OllamaGenerate,
    /// Ollama's vectors for texts: `/api/embed`.
    OllamaEmbed,
    /// Ollama's list of models: `/api/tags`.
    OllamaTags,
    /// Ollama's version: `/api/version`.
    OllamaVersion,
}

/// Where a request names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Body,
    Path,
    Nowhere,
}

// === impl Operation ===

impl Operation {
    const OPENAI: [Self; 5] =
        [Self::ChatCompletions, Self::Completions, Self::Embeddings, Self::Responses, Self::Models];
    const MESSAGES: [Self; 2] = [Self::Messages, Self::CountMessageTokens];
    const GEMINI: [Self; 4] =
        [Self::GenerateContent, Self::StreamGenerateContent, Self::CountTokens, Self::EmbedContent];
    const OLLAMA: [Self; 5] =
        [Self::OllamaChat, Self::OllamaGenerate, Self::OllamaEmbed, Self::OllamaTags, Self::OllamaVersion];

    /// Returns the method that the operation is asked for with.
    #[must_use]
    pub const fn method(self) -> Method {
        if self.has_body() { Method::POST } else { Method::GET }
    }

    /// Returns whether a request for it has a JSON body.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::Models | Self::Model | Self::OllamaTags | Self::OllamaVersion)
    }

    /// Returns the name used in events and metrics, after OpenTelemetry's `gen_ai.operation.name` where it has one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::OllamaChat => "chat",
            Self::Completions | Self::OllamaGenerate => "text_completion",
            Self::Embeddings | Self::EmbedContent | Self::OllamaEmbed => "embeddings",
            Self::Responses => "responses",
            Self::Models | Self::OllamaTags => "models",
            Self::Model => "model",
            Self::Messages => "messages",
            Self::CountMessageTokens | Self::CountTokens => "count_tokens",
            Self::GenerateContent | Self::StreamGenerateContent => "generate_content",
            Self::OllamaVersion => "version",
        }
    }

    /// Returns whether the answer is a stream, where a body asks for one as `asked` says.
    ///
    /// Gemini says it in the path; Ollama streams unless told not to.
    #[must_use]
    pub const fn streams(self, asked: Option<bool>) -> bool {
        match (self, asked) {
            (Self::StreamGenerateContent, _) => true,
            (Self::OllamaChat | Self::OllamaGenerate, None) => true,
            (Self::GenerateContent | Self::CountTokens | Self::EmbedContent, _) => false,
            (_, asked) => matches!(asked, Some(true)),
        }
    }

    /// The end of the path: what follows the version, the deployment or the name of the model.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Responses => "/responses",
            Self::Models | Self::Model => "/models",
            Self::Messages => "/messages",
            Self::CountMessageTokens => "/messages/count_tokens",
            Self::GenerateContent => ":generateContent",
            Self::StreamGenerateContent => ":streamGenerateContent",
            Self::CountTokens => ":countTokens",
            Self::EmbedContent => ":embedContent",
            Self::OllamaChat => "/chat",
            Self::OllamaGenerate => "/generate",
            Self::OllamaEmbed => "/embed",
            Self::OllamaTags => "/tags",
            Self::OllamaVersion => "/version",
        }
    }

    pub(crate) const fn named(self) -> Named {
        match self {
            Self::Model => Named::Path,
            _ if self.is_gemini() => Named::Path,
            _ if self.has_body() => Named::Body,
            _ => Named::Nowhere,
        }
    }

    /// Returns whether Azure wants it asked of a deployment, where it is asked by deployment.
    pub(crate) const fn wants_deployment(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions | Self::Embeddings)
    }

    /// Returns whether it is asked with turns, around which a model is told who speaks.
    pub(crate) const fn is_conversation(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Responses
                | Self::Messages
                | Self::CountMessageTokens
                | Self::GenerateContent
                | Self::StreamGenerateContent
                | Self::CountTokens
                | Self::OllamaChat
        )
    }

    pub(crate) const fn is_openai(self) -> bool {
        self.wants_deployment() || matches!(self, Self::Responses | Self::Models | Self::Model)
    }

    pub(crate) const fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::CountMessageTokens | Self::Models | Self::Model)
    }

    pub(crate) const fn is_gemini(self) -> bool {
        matches!(self, Self::GenerateContent | Self::StreamGenerateContent | Self::CountTokens | Self::EmbedContent)
    }

    pub(crate) const fn is_ollama(self) -> bool {
        matches!(
            self,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed | Self::OllamaTags | Self::OllamaVersion
        )
    }

    pub(crate) fn of_openai(path: &str) -> Option<Self> {
        Self::OPENAI.into_iter().find(|o| o.path().strip_prefix('/') == Some(path))
    }

    pub(crate) fn of_messages(path: &str) -> Option<Self> {
        Self::MESSAGES.into_iter().find(|o| o.path().strip_prefix('/') == Some(path))
    }

    pub(crate) fn of_gemini(method: &str) -> Option<Self> {
        Self::GEMINI.into_iter().find(|o| o.path().strip_prefix(':') == Some(method))
    }

    pub(crate) fn of_ollama(path: &str) -> Option<Self> {
        Self::OLLAMA.into_iter().find(|o| o.path().strip_prefix('/') == Some(path))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
