//! A chat completion as server-sent events.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Dialect;
use super::chat::{Completion, SAFE, SAFE_PROMPT};
use crate::plan::{Pace, Part};

pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// Writes the events of one stream into a single buffer and cuts it at their ends.
struct Events {
    text: BytesMut,
    ends: Vec<(usize, Duration)>,
    /// Every chunk up to its `choices`.
    head: String,
    /// Every chunk after its `choices`.
    tail: &'static str,
    filtered: bool,
}

/// The events of `completion`. The role chunk leaves at once, the first word at the time to first token.
pub(crate) fn events(completion: &Completion, pace: Pace, include_usage: bool) -> Vec<Part> {
    let mut events = Events::new(completion, include_usage);
    if events.filtered {
        events.startup();
    }
    events.choice(Duration::ZERO, r#"{"role":"assistant","content":"","refusal":null}"#, None, "{}");
    for (index, word) in completion.words.iter().enumerate() {
        let wait = if index == 0 { pace.first_token } else { pace.gap };
        events.word(wait, word);
    }
    events.choice(Duration::ZERO, "{}", Some(completion.finish.name()), "{}");
    if include_usage {
        events.usage(&completion.usage.json());
    }
    events.into_parts()
}

/// One event with `json` as its data.
pub(crate) fn event(json: &str) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

// === impl Events ===

impl Events {
    fn new(completion: &Completion, include_usage: bool) -> Self {
        let Completion { id, created, model, fingerprint, .. } = completion;
        let filtered = completion.dialect == Dialect::Azure;
        let tier = if filtered { "" } else { r#""service_tier":"default","# };
        let head = format!(
            r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":{created},"model":{model},{tier}"system_fingerprint":"{fingerprint}","choices":["#
        );
        let tail = if include_usage { "],\"usage\":null}\n\n" } else { "]}\n\n" };
        let count = completion.words.len() + 5;
        let size = head.len() + 128 + if filtered { SAFE.len() } else { 0 };
        Self { text: BytesMut::with_capacity(count * size), ends: Vec::with_capacity(count), head, tail, filtered }
    }

    fn startup(&mut self) {
        self.put(&[
            r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":"#,
            SAFE_PROMPT,
            "}\n\n",
        ]);
        self.end(Duration::ZERO);
    }

    fn choice(&mut self, wait: Duration, delta: &str, finish: Option<&str>, filter: &str) {
        self.open();
        self.put(&[r#"{"index":0,"delta":"#, delta]);
        self.close(finish, filter);
        self.end(wait);
    }

    fn word(&mut self, wait: Duration, word: &str) {
        self.open();
        self.put(&[r#"{"index":0,"delta":{"content":""#, word, r#""}"#]);
        self.close(None, SAFE);
        self.end(wait);
    }

    fn usage(&mut self, usage: &str) {
        self.open();
        self.put(&["],\"usage\":", usage, "}\n\n"]);
        self.end(Duration::ZERO);
    }

    fn open(&mut self) {
        self.text.extend_from_slice(self.head.as_bytes());
    }

    fn close(&mut self, finish: Option<&str>, filter: &str) {
        match finish {
            Some(finish) => self.put(&[r#","logprobs":null,"finish_reason":""#, finish, r#"""#]),
            None => self.put(&[r#","logprobs":null,"finish_reason":null"#]),
        }
        if self.filtered {
            self.put(&[r#","content_filter_results":"#, filter]);
        }
        let tail = self.tail;
        self.put(&["}", tail]);
    }

    fn end(&mut self, wait: Duration) {
        self.ends.push((self.text.len(), wait));
    }

    fn put(&mut self, texts: &[&str]) {
        for text in texts {
            self.text.extend_from_slice(text.as_bytes());
        }
    }

    fn into_parts(self) -> Vec<Part> {
        let text = self.text.freeze();
        let mut start = 0;
        let mut parts = Vec::with_capacity(self.ends.len() + 1);
        for (end, wait) in self.ends {
            parts.push(Part { wait, bytes: text.slice(start..end) });
            start = end;
        }
        parts.push(Part { wait: Duration::ZERO, bytes: DONE });
        parts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::chat::tests::completion;

    const PACE: Pace = Pace { first_token: Duration::from_millis(20), gap: Duration::from_millis(5) };

    fn chunks(parts: &[Part]) -> Vec<Value> {
        let data = |part: &Part| {
            let text = std::str::from_utf8(&part.bytes).unwrap();
            text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap().to_owned()
        };
        let (done, chunks) = parts.split_last().unwrap();
        assert_eq!(data(done), "[DONE]");
        chunks.iter().map(|part| serde_json::from_str(&data(part)).unwrap()).collect()
    }

    #[test]
    fn a_stream_is_role_words_finish_and_done() {
        let parts = events(&completion(Dialect::OpenAi), PACE, false);
        let chunks = chunks(&parts);
        let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
        let role = json!({"role": "assistant", "content": "", "refusal": null});
        assert_eq!(deltas, [role, json!({"content": "one"}), json!({"content": " two"}), json!({})]);
        assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
        assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk.get("usage").is_none()));
        let waits: Vec<_> = parts.iter().map(|part| part.wait.as_millis()).collect();
        assert_eq!(waits, [0, 20, 5, 0, 0]);
    }

    #[test]
    fn usage_comes_in_a_chunk_of_its_own_when_asked_for() {
        let chunks = chunks(&events(&completion(Dialect::OpenAi), PACE, true));
        let (last, rest) = chunks.split_last().unwrap();
        assert!(rest.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], 11);
    }

    #[test]
    fn azure_begins_with_the_filter_results_of_the_prompt() {
        let chunks = chunks(&events(&completion(Dialect::Azure), PACE, false));
        assert_eq!((&chunks[0]["id"], &chunks[0]["choices"]), (&json!(""), &json!([])));
        assert_eq!(chunks[0]["prompt_filter_results"][0]["prompt_index"], 0);
        assert_eq!(chunks[1]["choices"][0]["content_filter_results"], json!({}));
        assert_eq!(chunks[2]["choices"][0]["content_filter_results"]["hate"]["severity"], "safe");
    }
}
