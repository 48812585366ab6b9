//! A chat completion as one JSON object, and what its stream shares with it.

use super::{Dialect, quoted};
use crate::seed::Seeded;

/// Words with the space that belongs to their token. None needs escaping in JSON.
const VOCABULARY: [&str; 64] = [
    " a", " about", " after", " air", " all", " and", " arch", " as", " at", " beam", " before", " bridge", " build",
    " by", " calm", " clear", " cold", " day", " down", " each", " early", " even", " every", " far", " field",
    " fine", " for", " from", " good", " grain", " great", " hand", " heavy", " high", " hold", " house", " in",
    " into", " large", " late", " light", " line", " long", " made", " many", " more", " near", " of", " old", " on",
    " open", " over", " plain", " river", " stone", " strong", " the", " then", " through", " tower", " under",
    " wall", " water", " with",
];

/// A planned answer of the assistant.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) dialect: Dialect,
    pub(crate) id: String,
    /// The random part of `id`, which other ids are made from.
    pub(crate) token: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    pub(crate) words: Vec<&'static str>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
    /// The call that is made in place of words.
    pub(crate) tool: Option<Tool>,
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// JSON, as text.
    pub(crate) arguments: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    Tool,
    Filter,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u32,
    pub(crate) completion: u32,
}

pub(crate) const SAFE: &str = r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#;
pub(crate) const UNSAFE: &str = r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":true,"severity":"high"}}"#;
pub(crate) const SAFE_PROMPT: &str = r#"[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}]"#;

/// Characters in a streamed piece of a tool's arguments.
const PIECE: usize = 8;

// === impl Completion ===

impl Completion {
    /// The completion as one object.
    pub(crate) fn json(&self) -> String {
        let Self { id, created, fingerprint, .. } = self;
        let (finish, usage, model) = (self.finish.name(), self.usage.json(), quoted(&self.model));
        let content = match &self.tool {
            Some(tool) => format!(r#"null,"tool_calls":[{}]"#, tool.json(&self.token)),
            None => format!("\"{}\"", self.words.concat()),
        };
        let (filtered, tail) = match self.dialect {
            Dialect::Azure => (
                format!(r#","content_filter_results":{}"#, self.finish.filter()),
                format!(r#","prompt_filter_results":{SAFE_PROMPT}"#),
            ),
            dialect if dialect.habits().full => (String::new(), r#","service_tier":"default""#.to_owned()),
            _ => (String::new(), String::new()),
        };
        format!(
            r#"{{"id":"{id}","object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":{content},"refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"{finish}"{filtered}}}],"usage":{usage}{tail},"system_fingerprint":"{fingerprint}"}}"#
        )
    }
}

// === impl Tool ===

impl Tool {
    /// The call, in the form of the chat API.
    pub(crate) fn json(&self, token: &str) -> String {
        let (name, arguments) = (quoted(&self.name), quoted(&self.arguments));
        format!(
            r#"{{"id":"{}","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#,
            self.id(token)
        )
    }

    pub(crate) fn id(&self, token: &str) -> String {
        format!("call_{token}")
    }

    /// The arguments in the pieces in which they are streamed.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let chars: Vec<_> = self.arguments.chars().collect();
        chars.chunks(PIECE).map(|piece| piece.iter().collect()).collect()
    }
}

// === impl Finish ===

impl Finish {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Tool => "tool_calls",
            Self::Filter => "content_filter",
        }
    }

    /// Azure's filter results for an answer that ends so.
    pub(crate) const fn filter(self) -> &'static str {
        match self {
            Self::Filter => UNSAFE,
            Self::Stop | Self::Length | Self::Tool => SAFE,
        }
    }
}

// === impl Usage ===

impl Usage {
    pub(crate) fn json(self) -> String {
        let Self { prompt, completion } = self;
        let total = prompt + completion;
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
        )
    }
}

/// Draws `count` words, each a token. Only the first has no space before it.
pub(crate) fn words(seeded: &mut Seeded, count: u32) -> Vec<&'static str> {
    let mut words: Vec<_> = (0..count).map(|_| VOCABULARY[seeded.below(VOCABULARY.len() as u64) as usize]).collect();
    if let Some(first) = words.first_mut() {
        *first = first.trim_start();
    }
    words
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn completion(dialect: Dialect) -> Completion {
        Completion {
            dialect,
            id: "chatcmpl-1".to_owned(),
            token: "1".to_owned(),
            created: 1_700_000_000,
            model: "m".to_owned(),
            fingerprint: "fp_1".to_owned(),
            words: vec!["one", " two"],
            finish: Finish::Stop,
            usage: Usage { prompt: 9, completion: 2 },
            tool: None,
        }
    }

    #[test]
    fn the_object_has_every_field_of_the_provider() {
        let value: Value = serde_json::from_str(&completion(Dialect::OpenAi).json()).unwrap();
        let expected = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m",
            "choices": [{
                "index": 0, "logprobs": null, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "one two", "refusal": null, "annotations": []},
            }],
            "usage": {
                "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0, "audio_tokens": 0,
                    "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default", "system_fingerprint": "fp_1",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn azure_adds_its_filter_results() {
        let value: Value = serde_json::from_str(&completion(Dialect::Azure).json()).unwrap();
        assert_eq!(value["choices"][0]["content_filter_results"]["hate"]["severity"], "safe");
        assert_eq!(value["prompt_filter_results"][0]["prompt_index"], 0);
        assert_eq!(value.get("service_tier"), None);
    }

    #[test]
    fn words_are_safe_in_json_and_only_the_first_is_bare() {
        let words = words(&mut Seeded::for_request(1, 1), 200);
        let safe = |word: &&str| word.bytes().all(|byte| byte == b' ' || byte.is_ascii_lowercase());
        assert!(words.iter().all(safe));
        assert!(!words[0].starts_with(' ') && words[1..].iter().all(|word| word.starts_with(' ')));
    }
}
