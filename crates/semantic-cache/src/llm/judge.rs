//! Whether an answer is whole, done, and nothing but words.

use buttress_core::{EventKind, EventReader as _, OpenStream as _, Usage, Verdict};
use buttress_llm::{Format, LlmStreams};
use http::{Request, Response};
use serde_json::Value;

use super::events;
use crate::{Draft, Unfit};

/// What was found in the values of an answer.
#[derive(Default)]
struct Found {
    done: bool,
    other_reason: bool,
    tool: bool,
    refusal: bool,
}

/// Says whether an answer is kept, and what it has cost.
pub(super) fn judge(format: Format, answer: &Draft, tools: bool) -> Result<Option<Usage>, Unfit> {
    let usage = read(format, answer)?;
    let values = events::values(&answer.body, events::content_type(&answer.headers)).ok_or(Unfit::Malformed)?;
    let mut found = Found::default();
    values.iter().for_each(|value| found.look(value, tools));
    let completed = match format {
        Format::Json => return Ok(usage.or(answer.usage)),
        // They say so in the response itself.
        Format::Responses => values.last().is_some_and(is_completed),
        Format::Ollama => values.last().is_some_and(|value| value["done"] == true),
        _ => found.done,
    };
    match () {
        () if found.other_reason || !completed => Err(Unfit::Finish),
        () if found.refusal || (found.tool && !tools) => Err(Unfit::Content),
        () => Ok(usage.or(answer.usage)),
    }
}

/// Reads the whole answer as whoever guards a stream would.
fn read(format: Format, answer: &Draft) -> Result<Option<Usage>, Unfit> {
    let streams = LlmStreams::new().max_answer(answer.body.len());
    let mut head = Response::new(());
    *head.headers_mut() = answer.headers.clone();
    let mut request = Request::new(());
    request.extensions_mut().insert(format);
    let expected = streams.expect(&request);
    let mut reader = streams.open(expected, &head.into_parts().0).ok_or(Unfit::Malformed)?;
    let mut rest = &answer.body[..];
    let mut failure = None;
    while let Some(event) = reader.read(&mut rest) {
        if let EventKind::Failure(found) = event.kind {
            failure = Some(found);
            break;
        }
    }
    if failure.is_none()
        && let EventKind::Failure(found) = reader.finish().kind
    {
        failure = Some(found);
    }
    match failure {
        Some(failure) if failure.class().verdict == Verdict::Truncated => Err(Unfit::Truncated),
        Some(failure) if failure.report().is_some() => Err(Unfit::Failure),
        Some(_) => Err(Unfit::Malformed),
        None => Ok(reader.usage()),
    }
}

fn is_completed(value: &Value) -> bool {
    value["status"] == "completed"
        || value["response"]["status"] == "completed"
        || value["type"] == "response.completed"
}

// === impl Found ===

impl Found {
    /// Looks at a value and all that is in it. Values are no deeper than their parser allows.
    fn look(&mut self, value: &Value, tools: bool) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.look(value, tools)),
            Value::Object(members) => {
                for (name, value) in members {
                    self.look_at(name, value, tools);
                    self.look(value, tools);
                }
            }
            _ => {}
        }
    }

    fn look_at(&mut self, name: &str, value: &Value, tools: bool) {
        match (name, value) {
            ("finish_reason" | "stop_reason" | "finishReason" | "done_reason", Value::String(reason)) => {
                match &**reason {
                    "stop" | "end_turn" | "stop_sequence" | "STOP" => self.done = true,
                    "tool_calls" | "tool_use" | "function_call" if tools => self.done = true,
                    "tool_calls" | "tool_use" | "function_call" => (self.done, self.tool) = (true, true),
                    _ => self.other_reason = true,
                }
            }
            ("tool_calls", Value::Array(calls)) => self.tool |= !calls.is_empty(),
            ("function_call" | "functionCall", Value::Object(_)) => self.tool = true,
            ("refusal", Value::String(text)) => self.refusal |= !text.is_empty(),
            ("type", Value::String(kind)) => {
                self.tool |= kind.ends_with("tool_use") || kind.ends_with("_call");
                self.refusal |= kind == "refusal";
            }
            _ => {}
        }
    }
}
