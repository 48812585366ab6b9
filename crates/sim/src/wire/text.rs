//! Legacy completions: OpenAI's first API, still spoken by servers.

use std::time::Duration;

use serde_json::{Value, json};

use super::chat::Completion;
use super::sequence::{Framing, Sequence};
use super::stream::Options;
use crate::plan::{Mark, Pace, Part};

/// The completion as one object.
pub(crate) fn json(completion: &Completion) -> String {
    let mut body = chunk(completion, &completion.words.concat(), Some(completion.finish.name()));
    body["usage"] = usage(completion);
    body.to_string()
}

pub(crate) fn events(completion: &Completion, pace: Pace, options: Options) -> Vec<Part> {
    let mut sequence = Sequence::new(Framing::Events);
    let chunk = |text: &str, finish| {
        let mut chunk = chunk(completion, text, finish);
        if options.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    for (index, word) in completion.words.iter().enumerate() {
        sequence.wait(if index == 0 { pace.first_token } else { pace.gap }).put(Mark::Content, &chunk(word, None));
    }
    sequence.wait(Duration::ZERO).put(Mark::Finish, &chunk("", Some(completion.finish.name())));
    if options.include_usage {
        let mut last = chunk("", None);
        last["choices"] = json!([]);
        last["usage"] = usage(completion);
        sequence.put(Mark::Usage, &last);
    }
    sequence.raw(Mark::Done, "data: [DONE]\n\n");
    sequence.into_parts()
}

fn chunk(completion: &Completion, text: &str, finish: Option<&str>) -> Value {
    json!({
        "id": completion.id, "object": "text_completion", "created": completion.created, "model": completion.model,
        "system_fingerprint": completion.fingerprint,
        "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": finish}],
    })
}

fn usage(completion: &Completion) -> Value {
    let usage = completion.usage;
    json!({
        "prompt_tokens": usage.prompt, "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    })
}
