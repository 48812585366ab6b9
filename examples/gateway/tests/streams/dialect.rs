//! How each dialect asks, and how it tells of an error.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// What a client and its targets speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Chat,
    Responses,
    Azure,
    AzureV1,
    Anthropic,
    Gemini,
    Ollama,
}

const CHAT: &str = r#"{"model":"gpt-4o-mini","stream":STREAM,"messages":[{"role":"user","content":"Hello"}]}"#;
const RESPONSES: &str = r#"{"model":"gpt-4o-mini","stream":STREAM,"input":"Hello"}"#;
const MESSAGES: &str =
    r#"{"model":"claude-x","stream":STREAM,"max_tokens":20000,"messages":[{"role":"user","content":"Hello"}]}"#;
const GEMINI: &str = r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#;

impl Dialect {
    pub const ALL: [Self; 7] =
        [Self::Chat, Self::Responses, Self::Azure, Self::AzureV1, Self::Anthropic, Self::Gemini, Self::Ollama];

    /// The name that the configuration has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "openai",
            Self::Azure => "azure",
            Self::AzureV1 => "azure-v1",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    /// What follows a target's address in the configuration.
    pub const fn base(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "/v1",
            Self::Gemini => "/v1beta",
            Self::Azure | Self::AzureV1 | Self::Anthropic | Self::Ollama => "",
        }
    }

    /// Where a client of the gateway asks.
    pub const fn path(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Self::AzureV1, _) => "/v1/chat/completions",
            _ => self.target_path(stream),
        }
    }

    /// Where a target is asked.
    pub const fn target_path(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Self::Chat, _) => "/v1/chat/completions",
            (Self::Responses, _) => "/v1/responses",
            (Self::Azure, _) => "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21",
            (Self::AzureV1, _) => "/openai/v1/chat/completions",
            (Self::Anthropic, _) => "/v1/messages",
            (Self::Gemini, true) => "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
            (Self::Gemini, false) => "/v1beta/models/gemini-x:generateContent",
            (Self::Ollama, _) => "/api/chat",
        }
    }

    pub fn question(self, stream: bool) -> String {
        let body = match self {
            Self::Responses => RESPONSES,
            Self::Anthropic => MESSAGES,
            Self::Gemini => GEMINI,
            Self::Chat | Self::Azure | Self::AzureV1 | Self::Ollama => CHAT,
        };
        body.replace("STREAM", if stream { "true" } else { "false" })
    }

    /// What a request must say besides.
    pub fn headers(self) -> HeaderMap {
        let version = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        (self == Self::Anthropic).then_some(version).into_iter().collect()
    }

    /// Checks that `text` is one error event of a stream, and nothing else.
    pub fn check_error_event(self, text: &str, of: &str) {
        let (before, after) = match self {
            Self::Anthropic => ("event: error\ndata: ", "\n\n"),
            Self::Responses => ("event: response.failed\ndata: ", "\n\n"),
            Self::Ollama => ("", "\n"),
            Self::Chat | Self::Azure | Self::AzureV1 | Self::Gemini => ("data: ", "\n\n"),
        };
        let json = text.strip_prefix(before).and_then(|text| text.strip_suffix(after));
        let json = json.unwrap_or_else(|| panic!("{self:?}, {of}: not one error event: {text:?}"));
        assert!(!json.contains('\n'), "{self:?}, {of}: one event, and no more: {text:?}");
        let json: Value =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{self:?}, {of}: {error} in {text:?}"));
        let error = match self {
            Self::Responses => {
                assert_eq!((&json["type"], &json["response"]["status"]), (&"response.failed".into(), &"failed".into()));
                &json["response"]["error"]
            }
            _ => &json["error"],
        };
        self.check_error(error, of);
    }

    /// Checks the value of `error`.
    pub fn check_error(self, error: &Value, of: &str) {
        let has = |name: &str| error[name].is_string();
        let right = match self {
            Self::Ollama => error.is_string(),
            Self::Anthropic => has("message") && has("type"),
            Self::Gemini => has("message") && has("status") && error["code"].is_u64(),
            Self::Responses => has("message") && has("code"),
            Self::Chat | Self::Azure | Self::AzureV1 => has("message"),
        };
        assert!(right, "{self:?}, {of}: not an error of this dialect: {error}");
    }

    /// The different ids that a stream has, and the different models that it names.
    pub fn names(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut ids, mut models) = (Vec::new(), Vec::new());
        for line in text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line)) {
            let Ok(json) = serde_json::from_str::<Value>(line) else { continue };
            for part in [Some(&json), json.get("response"), json.get("message")].into_iter().flatten() {
                let text = |name: &str| part[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
                ids.extend(text("id").or_else(|| text("responseId")));
                models.extend(text("model").or_else(|| text("modelVersion")));
            }
        }
        for found in [&mut ids, &mut models] {
            found.sort();
            found.dedup();
        }
        (ids, models)
    }
}
