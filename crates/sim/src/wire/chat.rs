//! A chat completion as one JSON object, and what its stream shares with it.

use super::Dialect;
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
    pub(crate) created: u64,
    /// A JSON string literal.
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    pub(crate) words: Vec<&'static str>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u32,
    pub(crate) completion: u32,
}

pub(crate) const SAFE: &str = r#"{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}"#;
pub(crate) const SAFE_PROMPT: &str = r#"[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}]"#;

// === impl Completion ===

impl Completion {
    /// The completion as one object.
    pub(crate) fn json(&self) -> String {
        let Self { id, created, model, fingerprint, .. } = self;
        let (finish, usage) = (self.finish.name(), self.usage.json());
        let content = self.words.concat();
        let (filtered, tail) = match self.dialect {
            Dialect::OpenAi => (String::new(), r#","service_tier":"default""#.to_owned()),
            Dialect::Azure => {
                (format!(r#","content_filter_results":{SAFE}"#), format!(r#","prompt_filter_results":{SAFE_PROMPT}"#))
            }
        };
        format!(
            r#"{{"id":"{id}","object":"chat.completion","created":{created},"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"{finish}"{filtered}}}],"usage":{usage}{tail},"system_fingerprint":"{fingerprint}"}}"#
        )
    }
}

// === impl Finish ===

impl Finish {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
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
            created: 1_700_000_000,
            model: "\"m\"".to_owned(),
            fingerprint: "fp_1".to_owned(),
            words: vec!["one", " two"],
            finish: Finish::Stop,
            usage: Usage { prompt: 9, completion: 2 },
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
