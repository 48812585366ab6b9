//! Anthropic's Messages API.

use serde_json::{Value, json};

use super::chat::{Completion, Finish};
use super::sequence::{Framing, Sequence};
use crate::plan::{Mark, Pace, Part};

/// The message as one object.
pub(crate) fn json(completion: &Completion) -> String {
    let mut message = message(completion);
    message["content"] = match &completion.tool {
        Some(tool) => {
            let input: Value = serde_json::from_str(&tool.arguments).unwrap_or_else(|_| json!({}));
            json!([{"type": "tool_use", "id": tool_id(completion), "name": tool.name, "input": input}])
        }
        None => json!([{"type": "text", "text": completion.words.concat()}]),
    };
    message["stop_reason"] = reason(completion.finish).into();
    message["usage"]["output_tokens"] = completion.usage.completion.into();
    message.to_string()
}

/// What a prompt would count as.
pub(crate) fn count(tokens: u32) -> String {
    json!({ "input_tokens": tokens }).to_string()
}

pub(crate) const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

pub(crate) fn events(completion: &Completion, pace: Pace) -> Vec<Part> {
    let mut sequence = Sequence::new(Framing::Events);
    sequence.named(Mark::Opening, &json!({"type": "message_start", "message": message(completion)}));
    let block = match &completion.tool {
        Some(tool) => json!({"type": "tool_use", "id": tool_id(completion), "name": tool.name, "input": {}}),
        None => json!({"type": "text", "text": ""}),
    };
    let start = json!({"type": "content_block_start", "index": 0, "content_block": block});
    let deltas: Vec<_> = match &completion.tool {
        Some(tool) => {
            sequence.raw(Mark::Opening, PING);
            sequence.wait(pace.first_token).named(Mark::Content, &start);
            tool.pieces().iter().map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).collect()
        }
        None => {
            sequence.named(Mark::Opening, &start);
            sequence.raw(Mark::Opening, PING);
            completion.words.iter().map(|word| json!({"type": "text_delta", "text": word})).collect()
        }
    };
    for (index, delta) in deltas.iter().enumerate() {
        let first = index == 0 && completion.tool.is_none();
        let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        sequence.wait(if first { pace.first_token } else { pace.gap }).named(Mark::Content, &event);
    }
    sequence.named(Mark::Closing, &json!({"type": "content_block_stop", "index": 0}));
    let end = json!({
        "type": "message_delta", "delta": {"stop_reason": reason(completion.finish), "stop_sequence": null},
        "usage": {"output_tokens": completion.usage.completion},
    });
    sequence.named(Mark::Finish, &end);
    sequence.named(Mark::Done, &json!({"type": "message_stop"}));
    sequence.into_parts()
}

fn message(completion: &Completion) -> Value {
    json!({
        "id": completion.id, "type": "message", "role": "assistant", "model": completion.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": completion.usage.prompt, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": 1, "service_tier": "standard",
        },
    })
}

fn tool_id(completion: &Completion) -> String {
    format!("toolu_{}", completion.token)
}

const fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Tool => "tool_use",
        Finish::Filter => "refusal",
    }
}
