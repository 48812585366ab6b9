//! The JSON of an answer, be it a stream or one value.

use buttress_llm::Format;
use serde_json::Value;

use crate::Stored;

/// Returns all JSON values of an answer in order, or `None` if one of them is none. The end of OpenAI's streams, `[DONE]`, is no
/// value.
pub(super) fn values(body: &[u8], content_type: &str) -> Option<Vec<Value>> {
    if content_type.starts_with("text/event-stream") {
        return events(std::str::from_utf8(body).ok()?)
            .into_iter()
            .filter(|data| data.trim() != "[DONE]")
            .map(|data| serde_json::from_str(&data).ok())
            .collect();
    }
    let values = serde_json::Deserializer::from_slice(body).into_iter();
    values.collect::<Result<_, _>>().ok()
}

/// Returns the data of each event of an event stream (WHATWG HTML, section 9.2.6). A last one that is torn is left out.
pub(super) fn events(text: &str) -> Vec<String> {
    let mut events = Vec::new();
    let mut data: Option<String> = None;
    for line in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        if line.is_empty() {
            events.extend(data.take());
        } else if let Some(more) = line.strip_prefix("data:") {
            let more = more.strip_prefix(' ').unwrap_or(more);
            match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(more);
                }
                None => data = Some(more.to_owned()),
            }
        }
    }
    events
}

/// Returns the content type of an answer that was kept.
pub(super) fn content_type(headers: &http::HeaderMap) -> &str {
    headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(super) fn values_of(answer: &Stored) -> Option<Vec<Value>> {
    values(&answer.body, content_type(&answer.headers))
}

/// Returns what an answer says, without the form it says it in.
pub(super) fn words(format: Format, values: &[Value]) -> String {
    let mut words = String::new();
    // Responses tell in their last event all that was told before.
    let values = if format == Format::Responses { &values[values.len().saturating_sub(1)..] } else { values };
    values.iter().for_each(|value| add_words(value, &mut words));
    words
}

fn add_words(value: &Value, words: &mut String) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| add_words(value, words)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if matches!(&**name, "content" | "text" | "response") => words.push_str(text),
                    _ => add_words(value, words),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_words_of_an_answer_are_the_same_in_every_form() {
        let whole = [json!({ "choices": [{ "message": { "role": "assistant", "content": "Hello" } }] })];
        let deltas = ["Hel", "lo"].map(|text| json!({ "choices": [{ "delta": { "content": text } }] }));
        assert_eq!(words(Format::Chat, &whole), "Hello");
        assert_eq!(words(Format::Chat, &deltas), "Hello");
        let message = [json!({ "content": [{ "type": "text", "text": "Hello" }] })];
        assert_eq!(words(Format::Messages, &message), "Hello");
        let told = [
            json!({ "type": "response.output_text.done", "text": "Hello" }),
            json!({ "type": "response.completed", "response": { "output": [{ "content": [{ "text": "Hello" }] }] } }),
        ];
        assert_eq!(words(Format::Responses, &told), "Hello");
        assert_eq!(words(Format::Chat, &[]), "");
    }
}
