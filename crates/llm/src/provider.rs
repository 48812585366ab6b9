//! What is particular to each provider, as a table.

use std::fmt;

use crate::{Credential, Dialect, EndpointError};

/// What is particular to a provider: facts from its documentation, in a table.
///
/// [`Endpoint::provider`](crate::Endpoint::provider) begins an endpoint with them. A provider that is not in the table is
/// reached through [`Endpoint::builder`](crate::Endpoint::builder); nothing else depends on being in it.
#[derive(Clone, Copy)]
pub struct Provider(&'static Row);

/// One row of the table.
struct Row {
    name: &'static str,
    dialect: Dialect,
    base: Option<&'static str>,
    style: CredentialStyle,
    needs_credential: bool,
    probe: Probe,
    stream_usage: StreamUsage,
    refuses: &'static [&'static str],
    notes: &'static str,
    source: &'static str,
}

/// How a provider wants to be shown a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialStyle {
    /// `authorization: Bearer …`
    Bearer,
    /// `api-key: …`, as at Azure.
    ApiKey,
    /// `x-api-key: …`, as at Anthropic.
    XApiKey,
    /// `x-goog-api-key: …`, as at Gemini.
    XGoogApiKey,
}

/// Whether a provider tells in a stream what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamUsage {
    /// It always does; `stream_options.include_usage` changes nothing, or is not there.
    Always,
    /// Only if the request holds `stream_options.include_usage`.
    OnRequest,
    /// It always does, and refuses a request that holds `stream_options.include_usage`.
    AlwaysUnasked,
    /// Its documentation does not say.
    Undocumented,
}

/// Where a provider tells, without a token, that it is there.
#[derive(Clone, Copy)]
pub(crate) enum Probe {
    /// At its list of models.
    Models,
    /// At a path of the server, beside the version.
    Root(&'static str),
}

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

    /// Finds a provider by its [`name`](Self::name).
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Returns the name, in lower case, by which settings may call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns what it speaks.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        self.0.dialect
    }

    /// Returns its usual base address, where all its customers have the same one.
    #[must_use]
    pub const fn base(self) -> Option<&'static str> {
        self.0.base
    }

    /// Returns how it wants to be shown a credential.
    #[must_use]
    pub const fn credential_style(self) -> CredentialStyle {
        self.0.style
    }

    /// Returns whether it lets nobody in without a credential.
    #[must_use]
    pub const fn needs_credential(self) -> bool {
        self.0.needs_credential
    }

    /// Creates the credential that holds `secret` as this provider wants it.
    ///
    /// # Errors
    ///
    /// Fails if `secret` is empty or holds anything but visible ASCII.
    pub fn credential(self, secret: &str) -> Result<Credential, EndpointError> {
        match self.credential_style() {
            CredentialStyle::Bearer => Credential::bearer(secret),
            CredentialStyle::ApiKey => Credential::api_key(secret),
            CredentialStyle::XApiKey => Credential::x_api_key(secret),
            CredentialStyle::XGoogApiKey => Credential::x_goog_api_key(secret),
        }
    }

    /// Returns whether it tells in a stream what it used.
    #[must_use]
    pub const fn stream_usage(self) -> StreamUsage {
        self.0.stream_usage
    }

    /// Returns the fields of OpenAI's API that it answers with an error.
    #[must_use]
    pub const fn refuses(self) -> &'static [&'static str] {
        self.0.refuses
    }

    /// Returns what else is to be known of it, in a sentence or two, or nothing.
    #[must_use]
    pub const fn notes(self) -> &'static str {
        self.0.notes
    }

    /// Returns where these facts are from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        self.0.source
    }

    pub(crate) const fn probe_at(self) -> Probe {
        self.0.probe
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Provider").field(&self.name()).finish()
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

// === impl StreamUsage ===

impl StreamUsage {
    /// Returns whether to ask for usage brings it and does no harm.
    #[must_use]
    pub const fn can_be_asked(self) -> bool {
        matches!(self, Self::OnRequest)
    }
}
