//! OpenAI's chats: a stream made of a whole answer, and the reverse.

use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::events;
use crate::{Shape, Stored, stored::Part};

/// Makes a whole answer of a stream. `None` if something is in it that is not words.
pub(super) fn whole(answer: &Stored) -> Option<Stored> {
    let values = events::values_of(answer)?;
    let mut message = Map::new();
    let mut finish = Value::Null;
    let mut usage = Value::Null;
    for chunk in &values {
        if chunk["usage"].is_object() {
            usage = chunk["usage"].clone();
        }
        for choice in chunk["choices"].as_array()? {
            if choice["index"].as_u64().unwrap_or(0) != 0 {
                return None;
            }
            if choice["finish_reason"].is_string() {
                finish = choice["finish_reason"].clone();
            }
            add(&mut message, choice["delta"].as_object()?)?;
        }
    }
    message.entry("role").or_insert_with(|| json!("assistant"));
    message.entry("content").or_insert(Value::Null);
    let first = values.first()?;
    let mut made = json!({
        "id": first["id"],
        "object": "chat.completion",
        "created": first["created"],
        "model": first["model"],
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
    });
    if usage.is_object() {
        made["usage"] = usage;
    }
    copy(first, &mut made);
    let body = serde_json::to_vec(&made).ok()?;
    let after = answer.parts.last().map(|part| part.after).unwrap_or_default();
    let parts = [Part { end: body.len(), after }].into();
    let shape = Shape { stream: false, usage: false };
    Some(with(answer, body.into(), parts, shape, HeaderValue::from_static("application/json")))
}

/// Adds what a delta says to a message.
fn add(message: &mut Map<String, Value>, delta: &Map<String, Value>) -> Option<()> {
    for (name, value) in delta {
        match (value, message.get_mut(name)) {
            (Value::Null, _) => {}
            (Value::String(_), None) => {
                message.insert(name.clone(), value.clone());
            }
            (Value::String(_), Some(_)) if name == "role" => {}
            (Value::String(more), Some(Value::String(text))) => text.push_str(more),
            _ => return None,
        }
    }
    Some(())
}

/// Makes a stream of a whole answer. `None` if something is in it that is not words.
pub(super) fn stream(answer: &Stored, usage: bool) -> Option<Stored> {
    let values = events::values_of(answer)?;
    let [whole] = &values[..] else { return None };
    let [choice] = &whole["choices"].as_array()?[..] else { return None };
    if usage && !whole["usage"].is_object() {
        return None;
    }
    let mut made = Made::new(whole, answer);
    let chunk = |delta: Value, finish: &Value| json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
    let message = choice["message"].as_object()?;
    let role = message.get("role").cloned().unwrap_or_else(|| json!("assistant"));
    made.push(chunk(json!({ "role": role, "content": "" }), &Value::Null), usage.then_some(&Value::Null));
    for (name, value) in message {
        match value {
            Value::String(_) if name != "role" => {
                made.push(chunk(json!({ name: value }), &Value::Null), usage.then_some(&Value::Null));
            }
            Value::String(_) | Value::Null => {}
            Value::Array(values) if values.is_empty() => {}
            _ => return None,
        }
    }
    made.push(chunk(json!({}), &choice["finish_reason"]), usage.then_some(&Value::Null));
    if usage {
        made.push(json!([]), Some(&whole["usage"]));
    }
    made.event("[DONE]");
    let Made { body, parts, .. } = made;
    let shape = Shape { stream: true, usage };
    Some(with(answer, body.into(), parts.into(), shape, HeaderValue::from_static("text/event-stream")))
}

/// A stream that is being made.
struct Made<'a> {
    whole: &'a Value,
    after: std::time::Duration,
    body: Vec<u8>,
    parts: Vec<Part>,
}

// === impl Made ===

impl<'a> Made<'a> {
    fn new(whole: &'a Value, answer: &Stored) -> Self {
        let after = answer.parts.last().map(|part| part.after).unwrap_or_default();
        Self { whole, after, body: Vec::new(), parts: Vec::new() }
    }

    fn push(&mut self, choices: Value, usage: Option<&Value>) {
        let mut chunk = json!({
            "id": self.whole["id"],
            "object": "chat.completion.chunk",
            "created": self.whole["created"],
            "model": self.whole["model"],
        });
        copy(self.whole, &mut chunk);
        chunk["choices"] = choices;
        if let Some(usage) = usage {
            chunk["usage"] = usage.clone();
        }
        self.event(&chunk.to_string());
    }

    fn event(&mut self, data: &str) {
        self.body.extend_from_slice(b"data: ");
        self.body.extend_from_slice(data.as_bytes());
        self.body.extend_from_slice(b"\n\n");
        self.parts.push(Part { end: self.body.len(), after: self.after });
    }
}

/// Copies what is said of the answer as a whole.
fn copy(from: &Value, to: &mut Value) {
    for name in ["system_fingerprint", "service_tier"] {
        if from[name].is_string() {
            to[name] = from[name].clone();
        }
    }
}

fn with(answer: &Stored, body: Bytes, parts: Box<[Part]>, shape: Shape, kind: HeaderValue) -> Stored {
    let mut headers = answer.headers.clone();
    headers.insert(header::CONTENT_TYPE, kind);
    Stored { status: answer.status, headers, shape, body, parts, usage: answer.usage }
}
