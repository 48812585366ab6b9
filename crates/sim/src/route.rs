//! Which endpoint a request is for.

use http::Method;

use crate::profile::Profile;
use crate::stats::Operations;
use crate::wire::Dialect;

/// A request's path, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) dialect: Dialect,
    /// The deployment of a deployment path. Elsewhere the body names the model.
    pub(crate) deployment: Option<&'a str>,
    pub(crate) endpoint: Endpoint<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    Chat,
    Completions,
    Responses,
    Embeddings,
    Models,
    Model(&'a str),
    Messages,
    CountTokens,
    /// Gemini, with the model of the path.
    Generate(&'a str),
    StreamGenerate(&'a str),
    GeminiCount(&'a str),
    GeminiModels,
    GeminiModel(&'a str),
    OllamaChat,
    OllamaGenerate,
    OllamaTags,
    OllamaVersion,
    OllamaRunning,
    OllamaRoot,
    Health,
    Unknown,
}

// === impl Route ===

impl<'a> Route<'a> {
    pub(crate) fn of(profile: Profile, path: &'a str) -> Self {
        let route = |dialect, endpoint| Self { dialect, deployment: None, endpoint };
        if let Some(endpoint) = Endpoint::of_gemini(path) {
            return route(Dialect::Gemini, endpoint);
        }
        if let Some(rest) = path.strip_prefix("/v1beta/openai/") {
            return route(Dialect::GeminiOpenAi, Endpoint::of(rest));
        }
        match path {
            "/v1/messages" | "/anthropic/v1/messages" => return route(Dialect::Anthropic, Endpoint::Messages),
            "/v1/messages/count_tokens" => return route(Dialect::Anthropic, Endpoint::CountTokens),
            _ => {}
        }
        if let Some(endpoint) = Endpoint::of_server(profile, path) {
            let vllm = endpoint == Endpoint::Health;
            return route(if vllm { Dialect::Vllm } else { Dialect::Ollama }, endpoint);
        }
        if let Some(rest) = follower_path(profile, path) {
            return route(follower(profile), Endpoint::of(rest));
        }
        Self::of_azure(path).unwrap_or_else(|| {
            let azure = path.starts_with("/openai/");
            route(if azure { Dialect::Azure } else { follower(profile) }, Endpoint::Unknown)
        })
    }

    fn of_azure(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/openai/v1/") {
            return Some(Self { dialect: Dialect::Azure, deployment: None, endpoint: Endpoint::of(rest) });
        }
        let (deployment, rest) = path.strip_prefix("/openai/deployments/")?.split_once('/')?;
        let endpoint = match Endpoint::of(rest) {
            endpoint @ (Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings) => endpoint,
            _ => Endpoint::Unknown,
        };
        Some(Self { dialect: Dialect::Azure, deployment: Some(deployment), endpoint })
    }
}

/// Who answers where the path is that of OpenAI.
fn follower(profile: Profile) -> Dialect {
    match profile {
        Profile::Standard => Dialect::OpenAi,
        Profile::Groq => Dialect::Groq,
        Profile::OpenRouter => Dialect::OpenRouter,
        Profile::DeepSeek => Dialect::DeepSeek,
        Profile::Mistral => Dialect::Mistral,
        Profile::Vllm => Dialect::Vllm,
        Profile::Ollama => Dialect::OllamaOpenAi,
    }
}

/// What follows the base path of OpenAI's API, where the profile has it.
fn follower_path(profile: Profile, path: &str) -> Option<&str> {
    let own: &[&str] = match profile {
        Profile::Groq => &["/openai/v1/"],
        Profile::OpenRouter => &["/api/v1/"],
        Profile::DeepSeek => &["/beta/", "/"],
        Profile::Standard | Profile::Mistral | Profile::Vllm | Profile::Ollama => &[],
    };
    let rest = |base: &&str| path.strip_prefix(*base);
    path.strip_prefix("/v1/").or_else(|| own.iter().find_map(rest))
}

// === impl Endpoint ===

impl<'a> Endpoint<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            "chat/completions" => Self::Chat,
            "completions" => Self::Completions,
            "responses" => Self::Responses,
            "embeddings" => Self::Embeddings,
            "models" => Self::Models,
            _ => match path.strip_prefix("models/") {
                Some(id) if !id.is_empty() => Self::Model(id),
                _ => Self::Unknown,
            },
        }
    }

    /// Gemini's own paths, and those of Vertex, which end alike.
    fn of_gemini(path: &'a str) -> Option<Self> {
        if let Some((before, verb)) = path.rsplit_once(':') {
            let model = before.rsplit_once("/models/")?.1;
            return match verb {
                "generateContent" => Some(Self::Generate(model)),
                "streamGenerateContent" => Some(Self::StreamGenerate(model)),
                "countTokens" => Some(Self::GeminiCount(model)),
                _ => None,
            };
        }
        match path.strip_prefix("/v1beta/models")? {
            "" => Some(Self::GeminiModels),
            rest => Some(rest.strip_prefix('/').map_or(Self::Unknown, Self::GeminiModel)),
        }
    }

    /// What servers have that people run themselves.
    fn of_server(profile: Profile, path: &str) -> Option<Self> {
        if matches!(profile, Profile::Standard | Profile::Vllm) && path == "/health" {
            return Some(Self::Health);
        }
        if !matches!(profile, Profile::Standard | Profile::Ollama) {
            return None;
        }
        match path {
            "/" => Some(Self::OllamaRoot),
            "/api/chat" => Some(Self::OllamaChat),
            "/api/generate" => Some(Self::OllamaGenerate),
            "/api/tags" => Some(Self::OllamaTags),
            "/api/version" => Some(Self::OllamaVersion),
            "/api/ps" => Some(Self::OllamaRunning),
            _ => None,
        }
    }

    pub(crate) fn method(self) -> Option<Method> {
        match self {
            Self::Chat
            | Self::Completions
            | Self::Responses
            | Self::Embeddings
            | Self::Messages
            | Self::CountTokens
            | Self::Generate(_)
            | Self::StreamGenerate(_)
            | Self::GeminiCount(_)
            | Self::OllamaChat
            | Self::OllamaGenerate => Some(Method::POST),
            Self::Models
            | Self::Model(_)
            | Self::GeminiModels
            | Self::GeminiModel(_)
            | Self::OllamaTags
            | Self::OllamaVersion
            | Self::OllamaRunning
            | Self::OllamaRoot
            | Self::Health => Some(Method::GET),
            Self::Unknown => None,
        }
    }
}

impl Endpoint<'_> {
    /// Counts a request for this.
    pub(crate) fn count(self, operations: &mut Operations) {
        let count = match self {
            Self::Chat => &mut operations.chat,
            Self::Completions => &mut operations.completions,
            Self::Responses => &mut operations.responses,
            Self::Embeddings => &mut operations.embeddings,
            Self::Messages => &mut operations.messages,
            Self::CountTokens | Self::GeminiCount(_) => &mut operations.count_tokens,
            Self::Generate(_) | Self::StreamGenerate(_) => &mut operations.generate,
            Self::OllamaChat | Self::OllamaGenerate => &mut operations.ollama,
            Self::Models
            | Self::Model(_)
            | Self::GeminiModels
            | Self::GeminiModel(_)
            | Self::OllamaTags
            | Self::OllamaVersion
            | Self::OllamaRunning
            | Self::OllamaRoot
            | Self::Health => &mut operations.reads,
            Self::Unknown => &mut operations.unknown,
        };
        *count += 1;
    }
}

/// Whether a query string names an API version.
pub(crate) fn has_api_version(query: Option<&str>) -> bool {
    let named = |pair: &str| pair.strip_prefix("api-version=").is_some_and(|version| !version.is_empty());
    query.is_some_and(|query| query.split('&').any(named))
}

/// Whether a query string asks Gemini for server-sent events.
pub(crate) fn wants_events(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_endpoints() {
        for (path, dialect, deployment, endpoint) in [
            ("/v1/chat/completions", Dialect::OpenAi, None, Endpoint::Chat),
            ("/v1/completions", Dialect::OpenAi, None, Endpoint::Completions),
            ("/v1/responses", Dialect::OpenAi, None, Endpoint::Responses),
            ("/v1/models/gpt-4o", Dialect::OpenAi, None, Endpoint::Model("gpt-4o")),
            ("/v1/models/", Dialect::OpenAi, None, Endpoint::Unknown),
            ("/openai/v1/embeddings", Dialect::Azure, None, Endpoint::Embeddings),
            ("/openai/v1/responses", Dialect::Azure, None, Endpoint::Responses),
            ("/openai/deployments/d/chat/completions", Dialect::Azure, Some("d"), Endpoint::Chat),
            ("/openai/deployments/d/models", Dialect::Azure, Some("d"), Endpoint::Unknown),
            ("/openai/deployments/d", Dialect::Azure, None, Endpoint::Unknown),
            ("/v1/messages", Dialect::Anthropic, None, Endpoint::Messages),
            ("/v1/messages/count_tokens", Dialect::Anthropic, None, Endpoint::CountTokens),
            ("/v1beta/models/g:generateContent", Dialect::Gemini, None, Endpoint::Generate("g")),
            ("/v1beta/models", Dialect::Gemini, None, Endpoint::GeminiModels),
            ("/v1beta/openai/chat/completions", Dialect::GeminiOpenAi, None, Endpoint::Chat),
            ("/api/chat", Dialect::Ollama, None, Endpoint::OllamaChat),
            ("/", Dialect::Ollama, None, Endpoint::OllamaRoot),
            ("/health", Dialect::Vllm, None, Endpoint::Health),
            ("/x", Dialect::OpenAi, None, Endpoint::Unknown),
        ] {
            assert_eq!(Route::of(Profile::Standard, path), Route { dialect, deployment, endpoint }, "{path}");
        }
        let vertex = "/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent";
        assert_eq!(Route::of(Profile::Standard, vertex).endpoint, Endpoint::StreamGenerate("g"));
    }

    #[test]
    fn a_profile_has_the_paths_of_its_provider() {
        for (profile, path, dialect) in [
            (Profile::Groq, "/openai/v1/chat/completions", Dialect::Groq),
            (Profile::OpenRouter, "/api/v1/chat/completions", Dialect::OpenRouter),
            (Profile::DeepSeek, "/chat/completions", Dialect::DeepSeek),
            (Profile::Mistral, "/v1/chat/completions", Dialect::Mistral),
            (Profile::Vllm, "/v1/chat/completions", Dialect::Vllm),
            (Profile::Ollama, "/v1/chat/completions", Dialect::OllamaOpenAi),
        ] {
            let route = Route::of(profile, path);
            assert_eq!((route.dialect, route.endpoint), (dialect, Endpoint::Chat), "{path}");
        }
        assert_eq!(Route::of(Profile::Groq, "/api/chat").endpoint, Endpoint::Unknown);
    }

    #[test]
    fn an_api_version_has_a_name_and_a_value() {
        assert!(has_api_version(Some("a=b&api-version=2024-10-21")));
        assert!(!has_api_version(Some("api-version=")));
        assert!(!has_api_version(Some("xapi-version=1")));
        assert!(!has_api_version(None));
        assert!(wants_events(Some("key=k&alt=sse")) && !wants_events(Some("alt=json")));
    }
}
