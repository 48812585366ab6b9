//! Going on with a chat of OpenAI's format.

use buttress_core::{Payload, Target};
use buttress_llm::{Call, Operation, SseKind, SseReader, StreamLimits};
use bytes::Bytes;
use http::{Request, header, response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Continue, Thread};

/// Goes on with streamed chat completions: what was said goes to another target as the assistant's last message, with the
/// request to go on from there.
///
/// Only plain text can be gone on with: not an answer that may call tools, must be JSON, or is one of several. Whether the
/// second target really goes on from the very word is for its model to do well; many repeat something. The
/// [`Call`] must be in the request's extensions, or be readable from its path and body.
///
/// The chunks of the second answer go out with the id, the model and the time of the first, and without its first chunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChatContinue;

/// What was said in an answer. See [`ChatContinue`].
#[derive(Default)]
pub struct ChatThread {
    first: Option<First>,
    text: String,
    /// Something came that cannot be said again.
    spoilt: bool,
}

/// What is the same in all chunks of an answer.
#[derive(Deserialize)]
struct First {
    id: String,
    #[serde(default)]
    model: String,
    created: Option<u64>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Value>,
    function_call: Option<Value>,
    refusal: Option<String>,
}

/// What the second target is told to do.
const GO_ON: &str = "Your last message was cut off. Go on from exactly where it ends, and repeat nothing of it.";

// === impl ChatContinue ===

impl Continue<Payload> for ChatContinue {
    type Thread = ChatThread;

    fn begin(&self, request: &Request<Payload>, head: &response::Parts) -> Option<ChatThread> {
        let call = request.extensions().get().cloned().or_else(|| Call::read(request).ok())?;
        let kind = head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let details = call.details(request.body().bytes());
        let plain = details.tools().is_none() && details.choices() == 1 && details.response_format().is_none();
        let streamed = call.stream() && kind.starts_with("text/event-stream");
        (call.operation() == Operation::ChatCompletions && plain && streamed).then(ChatThread::default)
    }
}

// === impl ChatThread ===

impl ChatThread {
    fn hear(&mut self, data: &[u8]) {
        if let Ok(first) = serde_json::from_slice(data)
            && self.first.is_none()
        {
            self.first = Some(first);
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return };
        for Choice { delta } in chunk.choices {
            self.spoilt |= delta.tool_calls.is_some() || delta.function_call.is_some() || delta.refusal.is_some();
            self.text.push_str(delta.content.as_deref().unwrap_or_default());
        }
    }

    /// Makes a chunk of the second answer one of the first; `None` if it says nothing that was not said.
    fn retold(&self, data: &[u8]) -> Option<Bytes> {
        let Ok(mut chunk) = serde_json::from_slice::<Value>(data) else { return Some(Bytes::copy_from_slice(data)) };
        let first = self.first.as_ref()?;
        if chunk.get("error").is_none() {
            chunk["id"] = json!(first.id);
            chunk["model"] = json!(first.model);
            if let Some(created) = first.created {
                chunk["created"] = json!(created);
            }
        }
        let mut opening = false;
        if let Some(choice) = chunk.get_mut("choices").and_then(|choices| choices.get_mut(0)) {
            let finished = choice.get("finish_reason").is_some_and(|reason| !reason.is_null());
            let delta = choice.get_mut("delta").and_then(Value::as_object_mut)?;
            let began = delta.remove("role").is_some();
            let empty = delta.values().all(|value| value.is_null() || value.as_str() == Some(""));
            opening = began && empty && !finished;
        }
        (!opening).then(|| chunk.to_string().into())
    }
}

impl Thread<Payload> for ChatThread {
    fn keep(&mut self, data: &[u8]) {
        each_event(data, |event| self.hear(event));
    }

    fn kept(&self) -> usize {
        self.text.len()
    }

    fn follow_up(&self, request: &Request<Payload>) -> Option<Request<Payload>> {
        if self.spoilt || self.text.is_empty() || self.first.is_none() {
            return None;
        }
        let mut body: Value = serde_json::from_slice(request.body().bytes()).ok()?;
        let messages = body.get_mut("messages")?.as_array_mut()?;
        messages.push(json!({"role": "assistant", "content": self.text}));
        messages.push(json!({"role": "user", "content": GO_ON}));
        let mut request = request.clone();
        *request.body_mut() = Payload::new(body.to_string().into());
        // Both speak of the body as it was.
        request.headers_mut().remove(header::CONTENT_LENGTH);
        request.extensions_mut().remove::<Call>();
        Call::of_or_read(&mut request).ok()?;
        Some(request)
    }

    fn mark(&self, target: Option<&Target>) -> Bytes {
        let name = target.map_or("another target", |target| target.name().as_str());
        format!(": continued on {name}\n\n").into()
    }

    fn splice(&mut self, data: Bytes) -> Bytes {
        let mut out = Vec::with_capacity(data.len());
        each_event(&data, |event| {
            if let Some(retold) = self.retold(event) {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&retold);
                out.extend_from_slice(b"\n\n");
            }
        });
        out.into()
    }
}

impl std::fmt::Debug for ChatThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never what was said.
        f.debug_struct("ChatThread").field("kept", &self.text.len()).finish_non_exhaustive()
    }
}

/// Calls `f` with the data of each event in `data`, which holds whole events.
fn each_event(mut data: &[u8], mut f: impl FnMut(&[u8])) {
    let mut reader = SseReader::new(StreamLimits::DEFAULT);
    while let Ok(Some(item)) = reader.read(&mut data) {
        if let SseKind::Event(event) = item.kind {
            f(event.data);
        }
    }
}
