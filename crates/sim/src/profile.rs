use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who answers where the path alone does not tell: many providers follow OpenAI's API, each with quirks of its own.
///
/// | Profile | Paths beside `/v1/…` | Errors | Quirks |
/// |---|---|---|---|
/// | `standard` | all others below | OpenAI's, and those of each path | |
/// | `groq` | `/openai/v1/…` | OpenAI's without `param` | 413 for one request over the token limit, 498 |
/// | `openrouter` | `/api/v1/…` | `code` an int, `metadata` | `: OPENROUTER PROCESSING`, `choices[0].error`, `x-generation-id` |
/// | `deepseek` | `/chat/completions`, `/beta/…` | `type` and `code` swapped | `: keep-alive`, blank lines before JSON |
/// | `mistral` | | flat; `detail` with 401 and 422 | |
/// | `vllm` | `/health` | `code` an int | an error, then `[DONE]`; no limits, no such headers |
/// | `ollama` | `/api/…`, `/` | `code` always null | errors in a stream are bare lines; no keys, no limits |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Profile {
    /// OpenAI, Azure, Anthropic, Gemini and Ollama, each by its path.
    #[default]
    Standard,
    /// Groq.
    Groq,
    /// OpenRouter.
    OpenRouter,
    /// DeepSeek.
    DeepSeek,
    /// Mistral.
    Mistral,
    /// A server of vLLM.
    Vllm,
    /// A server of Ollama.
    Ollama,
}

/// A name that no [`Profile`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile(String);

// === impl Profile ===

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 7] =
        [Self::Standard, Self::Groq, Self::OpenRouter, Self::DeepSeek, Self::Mistral, Self::Vllm, Self::Ollama];

    /// The name, as in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Groq => "groq",
            Self::OpenRouter => "openrouter",
            Self::DeepSeek => "deepseek",
            Self::Mistral => "mistral",
            Self::Vllm => "vllm",
            Self::Ollama => "ollama",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == name);
        found.ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

// === impl UnknownProfile ===

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Profile::ALL.map(Profile::name).join(", ");
        write!(f, "no profile `{}`, expected one of {names}", self.0)
    }
}

impl std::error::Error for UnknownProfile {}
