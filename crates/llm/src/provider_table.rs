//! The table of providers.

use crate::{
    CredentialStyle, Dialect, Provider, StreamUsage,
    provider::{Probe, Row},
};

// === impl Provider ===

impl Provider {
    /// OpenAI.
    pub const OPENAI: Self = Self(&Row {
        name: "openai",
        base: Some("https://api.openai.com/v1"),
        stream_usage: StreamUsage::OnRequest,
        notes: "",
        source: "https://platform.openai.com/docs/api-reference/chat/create",
        ..Row::OPENAI_LIKE
    });

    /// Azure OpenAI with deployments in the path. Each resource has an address of its own.
    pub const AZURE: Self = Self(&Row {
        name: "azure",
        dialect: Dialect::Azure,
        base: None,
        style: CredentialStyle::ApiKey,
        stream_usage: StreamUsage::OnRequest,
        notes: "The model in the body is ignored. `responses` needs an api-version of 2025 or later.",
        source: "https://learn.microsoft.com/azure/ai-services/openai/reference",
        ..Row::OPENAI_LIKE
    });

    /// Azure OpenAI under `/openai/v1`. Each resource has an address of its own.
    pub const AZURE_V1: Self = Self(&Row {
        name: "azure_v1",
        dialect: Dialect::AzureV1,
        base: None,
        style: CredentialStyle::ApiKey,
        stream_usage: StreamUsage::OnRequest,
        notes: "The model is the name of a deployment.",
        source: "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        ..Row::OPENAI_LIKE
    });

    /// Anthropic.
    pub const ANTHROPIC: Self = Self(&Row {
        name: "anthropic",
        dialect: Dialect::Anthropic,
        base: Some("https://api.anthropic.com"),
        style: CredentialStyle::XApiKey,
        stream_usage: StreamUsage::Always,
        notes: "Usage is in `message_start` and, cumulative, in `message_delta`. A request is refused above 32 MB.",
        source: "https://docs.anthropic.com/en/api/messages",
        ..Row::OPENAI_LIKE
    });

    /// Gemini, in its own dialect.
    pub const GEMINI: Self = Self(&Row {
        name: "gemini",
        dialect: Dialect::Gemini,
        base: Some("https://generativelanguage.googleapis.com/v1beta"),
        style: CredentialStyle::XGoogApiKey,
        stream_usage: StreamUsage::Always,
        notes: "A stream is events only if asked with `alt=sse`, and one JSON array otherwise. No `Retry-After`.",
        source: "https://ai.google.dev/api/generate-content",
        ..Row::OPENAI_LIKE
    });

    /// Gemini at its address that follows OpenAI's API.
    pub const GEMINI_OPENAI: Self = Self(&Row {
        name: "gemini_openai",
        base: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        stream_usage: StreamUsage::Undocumented,
        notes: "",
        source: "https://ai.google.dev/gemini-api/docs/openai",
        ..Row::OPENAI_LIKE
    });

    /// Ollama, in its own dialect.
    pub const OLLAMA: Self = Self(&Row {
        name: "ollama",
        dialect: Dialect::Ollama,
        base: Some("http://localhost:11434"),
        needs_credential: false,
        probe: Probe::Root("/api/version"),
        stream_usage: StreamUsage::Always,
        notes: "Streams unless told not to. A model that is not loaded may take minutes to begin.",
        source: "https://docs.ollama.com/api",
        ..Row::OPENAI_LIKE
    });

    /// Ollama at its address that follows OpenAI's API.
    pub const OLLAMA_OPENAI: Self = Self(&Row {
        name: "ollama_openai",
        base: Some("http://localhost:11434/v1"),
        needs_credential: false,
        probe: Probe::Root("/api/version"),
        stream_usage: StreamUsage::OnRequest,
        notes: "An error in a stream is a line of JSON, not an event.",
        source: "https://docs.ollama.com/api/openai-compatibility",
        ..Row::OPENAI_LIKE
    });

    /// vLLM's server.
    pub const VLLM: Self = Self(&Row {
        name: "vllm",
        base: Some("http://localhost:8000/v1"),
        needs_credential: false,
        probe: Probe::Root("/health"),
        stream_usage: StreamUsage::OnRequest,
        notes: "Queues without a bound, and answers neither 429 nor 503 for load.",
        source: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        ..Row::OPENAI_LIKE
    });

    /// Groq.
    pub const GROQ: Self = Self(&Row {
        name: "groq",
        base: Some("https://api.groq.com/openai/v1"),
        stream_usage: StreamUsage::Undocumented,
        refuses: &["logprobs", "logit_bias", "top_logprobs", "messages[].name", "n > 1"],
        notes: "413 with `rate_limit_exceeded` means that one request is above the tokens of a minute.",
        source: "https://console.groq.com/docs/openai",
        ..Row::OPENAI_LIKE
    });

    /// OpenRouter.
    pub const OPENROUTER: Self = Self(&Row {
        name: "openrouter",
        base: Some("https://openrouter.ai/api/v1"),
        stream_usage: StreamUsage::Always,
        notes: "Its list of models is public: the probe tells nothing of the key.",
        source: "https://openrouter.ai/docs/use-cases/usage-accounting",
        ..Row::OPENAI_LIKE
    });

    /// `DeepSeek`.
    pub const DEEPSEEK: Self = Self(&Row {
        name: "deepseek",
        base: Some("https://api.deepseek.com"),
        stream_usage: StreamUsage::OnRequest,
        notes: "While a request is queued, it sends comments or blank lines.",
        source: "https://api-docs.deepseek.com/api/create-chat-completion",
        ..Row::OPENAI_LIKE
    });

    /// Mistral.
    pub const MISTRAL: Self = Self(&Row {
        name: "mistral",
        base: Some("https://api.mistral.ai/v1"),
        stream_usage: StreamUsage::AlwaysUnasked,
        refuses: &["stream_options.include_usage", "max_completion_tokens"],
        notes: "Answers 422 to fields it does not know. A 429 may be about the tokens of a month.",
        source: "https://docs.mistral.ai/api; github.com/openai/openai-agents-python/issues/442; \
                 github.com/editor-code-assistant/eca/issues/231",
        ..Row::OPENAI_LIKE
    });

    /// The whole table.
    pub const ALL: [Self; 13] = [
        Self::OPENAI,
        Self::AZURE,
        Self::AZURE_V1,
        Self::ANTHROPIC,
        Self::GEMINI,
        Self::GEMINI_OPENAI,
        Self::OLLAMA,
        Self::OLLAMA_OPENAI,
        Self::VLLM,
        Self::GROQ,
        Self::OPENROUTER,
        Self::DEEPSEEK,
        Self::MISTRAL,
    ];
}

// === impl Row ===

impl Row {
    /// What most rows have in common.
    const OPENAI_LIKE: Self = Self {
        name: "",
        dialect: Dialect::OpenAi,
        base: None,
        style: CredentialStyle::Bearer,
        needs_credential: true,
        probe: Probe::Models,
        stream_usage: StreamUsage::Undocumented,
        refuses: &[],
        notes: "",
        source: "",
    };
}
