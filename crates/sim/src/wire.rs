//! What goes over the wire: pure functions from a request's facts to bytes and headers.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod clock;
pub(crate) mod embeddings;
mod envelope;
pub(crate) mod error;
pub(crate) mod gemini;
pub(crate) mod headers;
pub(crate) mod hint;
mod known;
pub(crate) mod models;
pub(crate) mod ollama;
pub(crate) mod responses;
pub(crate) mod sequence;
pub(crate) mod stream;
pub(crate) mod text;
pub(crate) mod voice;

/// Whose form an answer takes; the path of the request and the target's profile decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Azure,
    Anthropic,
    Gemini,
    /// Gemini's address that follows OpenAI's API.
    GeminiOpenAi,
    Ollama,
    /// Ollama's address that follows OpenAI's API.
    OllamaOpenAi,
    Vllm,
    Groq,
    OpenRouter,
    DeepSeek,
    Mistral,
}

/// The habits of a dialect, as data.
#[derive(Debug)]
pub(crate) struct Habits {
    pub(crate) envelope: Envelope,
    pub(crate) limits: LimitHeaders,
    pub(crate) hint: HintHeaders,
    pub(crate) key: KeyHeader,
    /// The comment that a stream begins with, and that is repeated while it waits for its first content.
    pub(crate) comment: Option<&'static str>,
    /// Whether an answer that is not a stream begins with blank lines while it waits.
    pub(crate) blank_lines: bool,
    /// Whether answers tell what OpenAI tells beyond the common fields.
    pub(crate) full: bool,
}

/// How errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// The same without `param`.
    Groq,
    /// The same with the status as `code`.
    IntCode,
    /// `{"error": {"code", "message", "metadata"}}`, with the status as `code`.
    OpenRouter,
    /// `{"error": {"message", "type", "param", "code"}}` with `type` and `code` swapped.
    Swapped,
    /// `{"error": {"message", "type", "param": null, "code": null}}`
    NullCode,
    /// `{"error": {"code", "message"}}`: what stands before the model's API at Azure.
    FrontDoor,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`
    Anthropic,
    /// `{"error": {"code", "message", "status", "details"}}`
    Google,
    /// The same in an array of one.
    GoogleArray,
    /// `{"object": "error", "message", "type", "param", "code"}`
    Flat,
    /// `{"detail": …}`
    Detail,
    /// `{"error": "text"}`
    Text,
    /// The message alone, as text.
    Plain,
}

/// Which headers tell the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitHeaders {
    None,
    /// `x-ratelimit-*`, resets as Go durations.
    Go,
    /// `x-ratelimit-*`, resets in whole seconds.
    Seconds,
    /// `anthropic-ratelimit-*`, resets in RFC 3339.
    Anthropic,
}

/// Which headers carry a retry hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HintHeaders {
    None,
    Seconds,
    SecondsAndMillis,
}

/// Where the key of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyHeader {
    None,
    Bearer,
    /// This header, or a bearer token.
    Named(&'static str),
}

const OPENAI: Habits = Habits {
    envelope: Envelope::OpenAi,
    limits: LimitHeaders::Go,
    hint: HintHeaders::SecondsAndMillis,
    key: KeyHeader::Bearer,
    comment: None,
    blank_lines: false,
    full: true,
};
/// One that follows OpenAI's API, without limits to tell of.
const FOLLOWER: Habits = Habits { limits: LimitHeaders::None, hint: HintHeaders::None, full: false, ..OPENAI };
const AZURE: Habits = Habits { limits: LimitHeaders::Seconds, key: KeyHeader::Named("api-key"), ..OPENAI };
const ANTHROPIC: Habits = Habits {
    envelope: Envelope::Anthropic,
    limits: LimitHeaders::Anthropic,
    hint: HintHeaders::Seconds,
    key: KeyHeader::Named("x-api-key"),
    ..FOLLOWER
};
const GEMINI: Habits = Habits { envelope: Envelope::Google, key: KeyHeader::Named("x-goog-api-key"), ..FOLLOWER };
const GEMINI_OPENAI: Habits = Habits { envelope: Envelope::GoogleArray, ..FOLLOWER };
const OLLAMA: Habits = Habits { envelope: Envelope::Text, key: KeyHeader::None, ..FOLLOWER };
const OLLAMA_OPENAI: Habits = Habits { envelope: Envelope::NullCode, key: KeyHeader::None, ..FOLLOWER };
const VLLM: Habits = Habits { envelope: Envelope::IntCode, ..FOLLOWER };
const GROQ: Habits =
    Habits { envelope: Envelope::Groq, limits: LimitHeaders::Go, hint: HintHeaders::Seconds, ..FOLLOWER };
const OPENROUTER: Habits = Habits {
    envelope: Envelope::OpenRouter,
    hint: HintHeaders::Seconds,
    comment: Some(": OPENROUTER PROCESSING"),
    ..FOLLOWER
};
const DEEPSEEK: Habits =
    Habits { envelope: Envelope::Swapped, comment: Some(": keep-alive"), blank_lines: true, ..FOLLOWER };
const MISTRAL: Habits = Habits { envelope: Envelope::Flat, ..FOLLOWER };

// === impl Dialect ===

impl Dialect {
    pub(crate) const fn habits(self) -> &'static Habits {
        match self {
            Self::OpenAi => &OPENAI,
            Self::Azure => &AZURE,
            Self::Anthropic => &ANTHROPIC,
            Self::Gemini => &GEMINI,
            Self::GeminiOpenAi => &GEMINI_OPENAI,
            Self::Ollama => &OLLAMA,
            Self::OllamaOpenAi => &OLLAMA_OPENAI,
            Self::Vllm => &VLLM,
            Self::Groq => &GROQ,
            Self::OpenRouter => &OPENROUTER,
            Self::DeepSeek => &DEEPSEEK,
            Self::Mistral => &MISTRAL,
        }
    }
}

/// A JSON string literal.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
