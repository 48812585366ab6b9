//! Gemini's own API.

use serde_json::{Value, json};

use super::chat::{Completion, Finish};
use super::sequence::{Framing, Sequence};
use crate::plan::{Mark, Pace, Part};

/// The answer as one object.
pub(crate) fn json(completion: &Completion) -> String {
    let part = call(completion).unwrap_or_else(|| json!({"text": completion.words.concat()}));
    chunk(completion, &[part], Some(reason(completion.finish)), completion.usage.completion).to_string()
}

/// The events, or the elements of the array. What each tells of the usage is the sum so far.
pub(crate) fn events(completion: &Completion, pace: Pace, framing: Framing) -> Vec<Part> {
    let mut sequence = Sequence::new(framing);
    let parts: Vec<_> = match call(completion) {
        Some(call) => vec![call],
        None => completion.words.iter().map(|word| json!({"text": word})).collect(),
    };
    for (index, part) in (1..).zip(parts) {
        let wait = if index == 1 { pace.first_token } else { pace.gap };
        sequence.wait(wait).put(Mark::Content, &chunk(completion, &[part], None, index));
    }
    let last = chunk(completion, &[json!({"text": ""})], Some(reason(completion.finish)), completion.usage.completion);
    sequence.put(Mark::Finish, &last);
    if framing == Framing::Array {
        sequence.raw(Mark::Done, "\n]\n");
    }
    sequence.into_parts()
}

/// What a prompt would count as.
pub(crate) fn count(tokens: u32) -> String {
    json!({
        "totalTokens": tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}],
    })
    .to_string()
}

pub(crate) fn model(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"), "version": "001", "displayName": id, "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536, "supportedGenerationMethods": ["generateContent", "countTokens"],
    })
}

fn call(completion: &Completion) -> Option<Value> {
    let tool = completion.tool.as_ref()?;
    let args: Value = serde_json::from_str(&tool.arguments).unwrap_or_else(|_| json!({}));
    Some(json!({"functionCall": {"name": tool.name, "args": args}}))
}

fn chunk(completion: &Completion, parts: &[Value], finish: Option<&str>, candidates: u32) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": completion.usage.prompt, "candidatesTokenCount": candidates,
            "totalTokenCount": completion.usage.prompt + candidates,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": completion.usage.prompt}],
        },
        "modelVersion": completion.model, "responseId": completion.id,
    })
}

const fn reason(finish: Finish) -> &'static str {
    match finish {
        // A call of a tool is an end like any other.
        Finish::Stop | Finish::Tool => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filter => "SAFETY",
    }
}
