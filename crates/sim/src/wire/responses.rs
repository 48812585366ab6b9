//! OpenAI's Responses API.

use serde_json::{Value, json};

use super::chat::{Completion, Finish, Tool};
use super::sequence::{Framing, Sequence};
use crate::plan::{Mark, Pace, Part};

/// The response as one object.
pub(crate) fn json(completion: &Completion) -> String {
    response(completion, status(completion.finish), vec![item(completion)], true).to_string()
}

/// The full sequence of events. What names the answer comes at once, its first content at the time to first token.
pub(crate) fn events(completion: &Completion, pace: Pace) -> Vec<Part> {
    let mut events = Events { sequence: Sequence::new(Framing::Events), number: 0, pace, first: true };
    for kind in ["response.created", "response.in_progress"] {
        events
            .put(Mark::Opening, json!({"type": kind, "response": response(completion, "in_progress", vec![], false)}));
    }
    let done = item(completion);
    let mut started = done.clone();
    started["status"] = "in_progress".into();
    match &completion.tool {
        Some(tool) => {
            started["arguments"] = "".into();
            events.call(tool, &started, &done);
        }
        None => {
            started["content"] = json!([]);
            events.text(&completion.words, &started, &done);
        }
    }
    let kind = if completion.finish == Finish::Stop || completion.finish == Finish::Tool {
        "response.completed"
    } else {
        "response.incomplete"
    };
    let response = response(completion, status(completion.finish), vec![done], true);
    events.put(Mark::Finish, json!({"type": kind, "response": response}));
    events.sequence.into_parts()
}

/// The response that could not be made.
pub(crate) fn failed(id: &str, created: u64, model: &str, code: &str, message: &str) -> Value {
    let mut response = frame(id, created, model, "failed");
    response["error"] = json!({"code": code, "message": message});
    response
}

struct Events {
    sequence: Sequence,
    number: u64,
    pace: Pace,
    first: bool,
}

// === impl Events ===

impl Events {
    fn put(&mut self, mark: Mark, mut event: Value) {
        event["sequence_number"] = self.number.into();
        self.number += 1;
        if mark == Mark::Content {
            self.sequence.wait(if self.first { self.pace.first_token } else { self.pace.gap });
            self.first = false;
        }
        self.sequence.named(mark, &event);
    }

    fn text(&mut self, words: &[&str], started: &Value, done: &Value) {
        let id = &done["id"];
        let part = &done["content"][0];
        let mut empty = part.clone();
        empty["text"] = "".into();
        let at = json!({"item_id": id, "output_index": 0, "content_index": 0});
        self.put(Mark::Opening, json!({"type": "response.output_item.added", "output_index": 0, "item": started}));
        self.put(Mark::Opening, with(&at, "response.content_part.added", "part", empty));
        for word in words {
            let mut event = with(&at, "response.output_text.delta", "delta", (*word).into());
            event["logprobs"] = json!([]);
            self.put(Mark::Content, event);
        }
        let mut event = with(&at, "response.output_text.done", "text", part["text"].clone());
        event["logprobs"] = json!([]);
        self.put(Mark::Closing, event);
        self.put(Mark::Closing, with(&at, "response.content_part.done", "part", part.clone()));
        self.put(Mark::Closing, json!({"type": "response.output_item.done", "output_index": 0, "item": done}));
    }

    fn call(&mut self, tool: &Tool, started: &Value, done: &Value) {
        let at = json!({"item_id": done["id"], "output_index": 0});
        self.put(Mark::Opening, json!({"type": "response.output_item.added", "output_index": 0, "item": started}));
        for piece in tool.pieces() {
            let kind = "response.function_call_arguments.delta";
            self.put(Mark::Content, with(&at, kind, "delta", piece.into()));
        }
        let kind = "response.function_call_arguments.done";
        let mut event = with(&at, kind, "arguments", tool.arguments.as_str().into());
        event["name"] = tool.name.as_str().into();
        self.put(Mark::Closing, event);
        self.put(Mark::Closing, json!({"type": "response.output_item.done", "output_index": 0, "item": done}));
    }
}

fn with(at: &Value, kind: &str, name: &str, value: Value) -> Value {
    let mut event = at.clone();
    event["type"] = kind.into();
    event[name] = value;
    event
}

const fn status(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Tool => "completed",
        Finish::Length | Finish::Filter => "incomplete",
    }
}

fn item(completion: &Completion) -> Value {
    let (token, status) = (&completion.token, status(completion.finish));
    match &completion.tool {
        Some(tool) => json!({
            "id": format!("fc_{token}"), "type": "function_call", "status": status,
            "call_id": tool.id(token), "name": tool.name, "arguments": tool.arguments,
        }),
        None => json!({
            "id": format!("msg_{token}"), "type": "message", "status": status, "role": "assistant",
            "content": [{
                "type": "output_text", "text": completion.words.concat(), "annotations": [], "logprobs": [],
            }],
        }),
    }
}

fn response(completion: &Completion, status: &str, output: Vec<Value>, ended: bool) -> Value {
    let mut response = frame(&completion.id, completion.created, &completion.model, status);
    response["output"] = output.into();
    if ended {
        let usage = completion.usage;
        response["usage"] = json!({
            "input_tokens": usage.prompt, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.completion, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt + usage.completion,
        });
        let reason = match completion.finish {
            Finish::Stop | Finish::Tool => return response,
            Finish::Length => "max_output_tokens",
            Finish::Filter => "content_filter",
        };
        response["incomplete_details"] = json!({ "reason": reason });
    }
    response
}

fn frame(id: &str, created: u64, model: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": created, "status": status, "background": false,
        "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null, "model": model,
        "output": [], "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "store": true, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": null, "user": null, "metadata": {},
    })
}
