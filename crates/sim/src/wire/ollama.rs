//! Ollama's own API.

use serde_json::{Value, json};

use super::chat::{Completion, Finish};
use super::clock::Civil;
use super::sequence::{Framing, Sequence};
use crate::plan::{Mark, Pace, Part};

/// Which of its two forms of text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Chat,
    Generate,
}

pub(crate) const RUNNING: &str = "Ollama is running";
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The answer as one object.
pub(crate) fn json(completion: &Completion, shape: Shape) -> String {
    last(completion, shape, &completion.words.concat()).to_string()
}

pub(crate) fn events(completion: &Completion, pace: Pace, shape: Shape) -> Vec<Part> {
    let mut sequence = Sequence::new(Framing::Lines);
    for (index, word) in completion.words.iter().enumerate() {
        let line = line(completion, shape, word, None);
        sequence.wait(if index == 0 { pace.first_token } else { pace.gap }).put(Mark::Content, &line);
    }
    if completion.tool.is_some() {
        sequence.wait(pace.first_token).put(Mark::Content, &line(completion, shape, "", completion.tool.as_ref()));
    }
    let mut end = last(completion, shape, "");
    if let Some(message) = end["message"].as_object_mut() {
        message.remove("tool_calls");
    }
    sequence.put(Mark::Finish, &end);
    sequence.into_parts()
}

pub(crate) fn version() -> String {
    json!({"version": "0.12.6"}).to_string()
}

pub(crate) fn tags<'a>(models: impl IntoIterator<Item = &'a str>) -> String {
    let models: Vec<_> = models.into_iter().map(listed).collect();
    json!({ "models": models }).to_string()
}

/// The models that are loaded.
pub(crate) fn running<'a>(models: impl IntoIterator<Item = &'a str>, now: u64) -> String {
    let loaded = |name| {
        let mut model = listed(name);
        model["expires_at"] = Civil::of(now.saturating_add(300)).rfc3339().into();
        model["size_vram"] = model["size"].clone();
        model
    };
    let models: Vec<_> = models.into_iter().map(loaded).collect();
    json!({ "models": models }).to_string()
}

fn listed(name: &str) -> Value {
    json!({
        "name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z", "size": 2_019_393_189_u64, "digest": DIGEST,
        "details": {
            "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "3.2B",
            "quantization_level": "Q4_K_M",
        },
    })
}

fn line(completion: &Completion, shape: Shape, text: &str, tool: Option<&super::chat::Tool>) -> Value {
    let created = Civil::of(completion.created).rfc3339();
    let mut line = json!({"model": completion.model, "created_at": created, "done": false});
    match shape {
        Shape::Chat => line["message"] = json!({"role": "assistant", "content": text}),
        Shape::Generate => line["response"] = text.into(),
    }
    if let (Shape::Chat, Some(tool)) = (shape, tool) {
        let arguments: Value = serde_json::from_str(&tool.arguments).unwrap_or_else(|_| json!({}));
        line["message"]["tool_calls"] = json!([{"function": {"name": tool.name, "arguments": arguments}}]);
    }
    line
}

fn last(completion: &Completion, shape: Shape, text: &str) -> Value {
    let mut line = line(completion, shape, text, completion.tool.as_ref());
    let usage = completion.usage;
    line["done"] = true.into();
    line["done_reason"] = match completion.finish {
        Finish::Length => "length",
        Finish::Stop | Finish::Tool | Finish::Filter => "stop",
    }
    .into();
    line["prompt_eval_count"] = usage.prompt.into();
    line["eval_count"] = usage.completion.into();
    for (name, nanos) in
        [("total_duration", 3), ("load_duration", 1), ("prompt_eval_duration", 1), ("eval_duration", 1)]
    {
        line[name] = (nanos * 1_000_000_u64).into();
    }
    if shape == Shape::Generate {
        line["context"] = json!([1, 2, 3]);
    }
    line
}
