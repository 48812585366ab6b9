//! Requests for text in every API but OpenAI's chat, read loosely: what a provider needs, and the texts that count.

use serde_json::Value;

use crate::request::{Chat, missing, positive, read, tokens};
use crate::wire::error::ApiError;
use crate::wire::stream::Options;

/// A request, and the model it names.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) model: Option<String>,
    pub(crate) chat: Chat,
}

/// What an API calls things, and what it cannot do without.
#[derive(Debug)]
struct Names {
    /// The fields whose texts are the prompt; the first must be there.
    prompt: &'static [&'static str],
    /// Where the most tokens of the answer are, as a JSON pointer.
    most: &'static str,
    /// Whether it must be there.
    bounded: bool,
    /// Whether to stream where nothing is said.
    stream: bool,
}

const TEXT: Names = Names { prompt: &["prompt"], most: "/max_tokens", bounded: false, stream: false };
const RESPONSES: Names =
    Names { prompt: &["input", "instructions"], most: "/max_output_tokens", bounded: false, stream: false };
const MESSAGES: Names = Names { prompt: &["messages", "system"], most: "/max_tokens", bounded: true, stream: false };
const GEMINI: Names = Names {
    prompt: &["contents", "systemInstruction"],
    most: "/generationConfig/maxOutputTokens",
    bounded: false,
    stream: false,
};
const OLLAMA_CHAT: Names = Names { prompt: &["messages"], most: "/options/num_predict", bounded: false, stream: true };
const OLLAMA_GENERATE: Names =
    Names { prompt: &["prompt", "system"], most: "/options/num_predict", bounded: false, stream: true };

// === impl Asked ===

impl Asked {
    pub(crate) fn text(body: &[u8]) -> Result<Self, Box<ApiError>> {
        TEXT.read(body)
    }

    pub(crate) fn responses(body: &[u8]) -> Result<Self, Box<ApiError>> {
        RESPONSES.read(body)
    }

    pub(crate) fn messages(body: &[u8]) -> Result<Self, Box<ApiError>> {
        MESSAGES.read(body)
    }

    /// Counts have no use for a bound.
    pub(crate) fn count(body: &[u8]) -> Result<Self, Box<ApiError>> {
        Names { bounded: false, ..MESSAGES }.read(body)
    }

    pub(crate) fn gemini(body: &[u8]) -> Result<Self, Box<ApiError>> {
        GEMINI.read(body)
    }

    pub(crate) fn ollama_chat(body: &[u8]) -> Result<Self, Box<ApiError>> {
        OLLAMA_CHAT.read(body)
    }

    pub(crate) fn ollama_generate(body: &[u8]) -> Result<Self, Box<ApiError>> {
        OLLAMA_GENERATE.read(body)
    }
}

// === impl Names ===

impl Names {
    fn read(&self, body: &[u8]) -> Result<Asked, Box<ApiError>> {
        let value: Value = read(body)?;
        let first = self.prompt.first().copied().unwrap_or_default();
        match value.get(first) {
            None | Some(Value::Null) => return Err(Box::new(missing(first))),
            Some(Value::Array(items)) if items.is_empty() => {
                let message = format!("Invalid '{first}': empty array. Expected an array with minimum length 1.");
                return Err(Box::new(ApiError::invalid(message).code("empty_array").param(first)));
            }
            Some(_) => {}
        }
        let name = self.most.rsplit('/').next().unwrap_or_default();
        let max_tokens = match value.pointer(self.most).and_then(Value::as_i64) {
            // Ollama: as many as it likes.
            Some(-2 | -1) if self.stream => None,
            Some(most) => Some(positive(most, name)?),
            None if self.bounded => return Err(Box::new(missing(name))),
            None => None,
        };
        let option = |name: &str| value["stream_options"][name] == Value::Bool(true);
        let texts = self.prompt.iter().filter_map(|name| value.get(name));
        Ok(Asked {
            model: value["model"].as_str().map(str::to_owned),
            chat: Chat {
                prompt_tokens: texts.map(count).fold(3, u32::saturating_add),
                max_tokens,
                stream: value["stream"].as_bool().unwrap_or(self.stream),
                options: Options { include_usage: option("include_usage"), obfuscation: option("include_obfuscation") },
            },
        })
    }
}

/// The texts in a value, as tokens. Depth is bounded where JSON is read.
fn count(value: &Value) -> u32 {
    match value {
        Value::String(text) => tokens(text),
        Value::Array(items) => items.iter().map(count).fold(0, u32::saturating_add),
        Value::Object(fields) => {
            let counted = |name: &String| matches!(name.as_str(), "content" | "text" | "parts" | "input" | "output");
            fields.iter().filter(|(name, _)| counted(name)).map(|(_, field)| count(field)).fold(4, u32::saturating_add)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_prompt_count_and_nothing_else() {
        let body = br#"{"messages":[{"role":"user","content":[{"type":"text","text":"12345678"}]}],"max_tokens":5}"#;
        let asked = Asked::messages(body).unwrap();
        assert_eq!((asked.chat.prompt_tokens, asked.chat.max_tokens), (3 + 4 + 4 + 2, Some(5)));
    }

    #[test]
    fn what_an_api_cannot_do_without_is_named() {
        for (asked, named) in [
            (Asked::messages(br#"{"messages":[1]}"#), "'max_tokens'"),
            (Asked::messages(br#"{"max_tokens":1}"#), "'messages'"),
            (Asked::responses(b"{}"), "'input'"),
            (Asked::gemini(br#"{"contents":[]}"#), "'contents': empty array"),
            (Asked::gemini(br#"{"contents":[1],"generationConfig":{"maxOutputTokens":0}}"#), "'maxOutputTokens'"),
        ] {
            let body = asked.unwrap_err().body(crate::wire::Dialect::OpenAi);
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn ollama_streams_unless_told_otherwise() {
        assert!(Asked::ollama_chat(br#"{"messages":[{}]}"#).unwrap().chat.stream);
        assert!(!Asked::ollama_generate(br#"{"prompt":"","stream":false}"#).unwrap().chat.stream);
    }
}
