//! A chat completion as server-sent events.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::chat::{Completion, SAFE, SAFE_PROMPT, Tool};
use super::{Dialect, quoted};
use crate::plan::{Mark, Pace, Part};

pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// Writes the events of one stream into a single buffer and cuts it at their ends.
struct Events {
    text: BytesMut,
    ends: Vec<(usize, Duration, Mark)>,
    /// Every chunk up to its `choices`.
    head: String,
    /// Every chunk after its `choices`.
    tail: &'static str,
    filtered: bool,
    /// Where the padding of each event is taken from.
    padding: Option<String>,
}

/// What a client may ask of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) include_usage: bool,
    pub(crate) obfuscation: bool,
}

/// The events of `completion`. The role chunk leaves at once, the first word at the time to first token.
pub(crate) fn events(completion: &Completion, pace: Pace, options: Options) -> Vec<Part> {
    let mut events = Events::new(completion, options);
    if events.filtered {
        events.startup();
    }
    match &completion.tool {
        Some(tool) => events.call(tool, &completion.token, pace),
        None => events.words(&completion.words, pace),
    }
    events.choice((Duration::ZERO, Mark::Finish), "{}", Some(completion.finish.name()), "{}");
    if options.include_usage {
        events.usage(&completion.usage.json());
    }
    events.into_parts()
}

/// What Azure's asynchronous filter says of the characters from `start` to `end`.
pub(crate) fn filtered(start: usize, end: usize) -> Bytes {
    Bytes::from(format!(
        r#"data: {{"id":"","object":"","created":0,"model":"","choices":[{{"index":0,"finish_reason":null,"content_filter_results":{SAFE},"content_filter_offsets":{{"check_offset":{start},"start_offset":{start},"end_offset":{end}}}}}]}}{END}"#,
        END = "\n\n"
    ))
}

// === impl Events ===

impl Events {
    fn new(completion: &Completion, options: Options) -> Self {
        let Completion { id, created, fingerprint, dialect, .. } = completion;
        let model = quoted(&completion.model);
        let filtered = *dialect == Dialect::Azure;
        let tier = if dialect.habits().full && !filtered { r#""service_tier":"default","# } else { "" };
        let head = format!(
            r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":{created},"model":{model},{tier}"system_fingerprint":"{fingerprint}","choices":["#
        );
        let tail = if options.include_usage { "],\"usage\":null" } else { "]" };
        let count = completion.words.len() + 5;
        let size = head.len() + 128 + if filtered { SAFE.len() } else { 0 };
        Self {
            text: BytesMut::with_capacity(count * size),
            ends: Vec::with_capacity(count),
            head,
            tail,
            filtered,
            padding: options.obfuscation.then(|| completion.token.clone()),
        }
    }

    fn words(&mut self, words: &[&str], pace: Pace) {
        self.choice((Duration::ZERO, Mark::Opening), r#"{"role":"assistant","content":"","refusal":null}"#, None, "{}");
        for (index, word) in words.iter().enumerate() {
            self.word(if index == 0 { pace.first_token } else { pace.gap }, word);
        }
    }

    /// The first chunk names the tool, which already is content.
    fn call(&mut self, tool: &Tool, token: &str, pace: Pace) {
        let role = r#"{"role":"assistant","content":null,"refusal":null}"#;
        self.choice((Duration::ZERO, Mark::Opening), role, None, "{}");
        let (id, name) = (tool.id(token), quoted(&tool.name));
        let first = format!(
            r#"{{"tool_calls":[{{"index":0,"id":"{id}","type":"function","function":{{"name":{name},"arguments":""}}}}]}}"#
        );
        self.choice((pace.first_token, Mark::Content), &first, None, "{}");
        for piece in tool.pieces() {
            let piece = quoted(&piece);
            let delta = format!(r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{piece}}}}}]}}"#);
            self.choice((pace.gap, Mark::Content), &delta, None, "{}");
        }
    }

    fn startup(&mut self) {
        self.put(&[
            r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":"#,
            SAFE_PROMPT,
            "}\n\n",
        ]);
        self.end(Duration::ZERO, Mark::Opening);
    }

    fn choice(&mut self, (wait, mark): (Duration, Mark), delta: &str, finish: Option<&str>, filter: &str) {
        self.open();
        self.put(&[r#"{"index":0,"delta":"#, delta]);
        self.close(finish, filter, 0);
        self.end(wait, mark);
    }

    fn word(&mut self, wait: Duration, word: &str) {
        self.open();
        self.put(&[r#"{"index":0,"delta":{"content":""#, word, r#""}"#]);
        self.close(None, SAFE, word.len());
        self.end(wait, Mark::Content);
    }

    fn usage(&mut self, usage: &str) {
        self.open();
        self.put(&["],\"usage\":", usage, "}\n\n"]);
        self.end(Duration::ZERO, Mark::Usage);
    }

    fn open(&mut self) {
        self.text.extend_from_slice(self.head.as_bytes());
    }

    fn close(&mut self, finish: Option<&str>, filter: &str, shown: usize) {
        match finish {
            Some(finish) => self.put(&[r#","logprobs":null,"finish_reason":""#, finish, r#"""#]),
            None => self.put(&[r#","logprobs":null,"finish_reason":null"#]),
        }
        if self.filtered {
            self.put(&[r#","content_filter_results":"#, filter]);
        }
        let tail = self.tail;
        self.put(&["}", tail]);
        // Words of any length make events of one length, as far as the padding goes.
        if let Some(padding) = self.padding.take() {
            let rest = padding.get(shown.min(padding.len() / 2)..).unwrap_or_default();
            self.put(&[r#","obfuscation":""#, rest, r#"""#]);
            self.padding = Some(padding);
        }
        self.put(&["}\n\n"]);
    }

    fn end(&mut self, wait: Duration, mark: Mark) {
        self.ends.push((self.text.len(), wait, mark));
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
        for (end, wait, mark) in self.ends {
            parts.push(Part::new(wait, mark, text.slice(start..end)));
            start = end;
        }
        parts.push(Part::new(Duration::ZERO, Mark::Done, DONE));
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
        let parts = events(&completion(Dialect::OpenAi), PACE, Options::default());
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
        let chunks =
            chunks(&events(&completion(Dialect::OpenAi), PACE, Options { include_usage: true, obfuscation: false }));
        let (last, rest) = chunks.split_last().unwrap();
        assert!(rest.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], 11);
    }

    #[test]
    fn padding_hides_how_long_a_word_is() {
        let mut completion = completion(Dialect::OpenAi);
        completion.token = "0123456789abcdef".to_owned();
        let parts = events(&completion, PACE, Options { include_usage: false, obfuscation: true });
        assert!(chunks(&parts)[1]["obfuscation"].is_string());
        assert_eq!(parts[1].bytes.len(), parts[2].bytes.len());
    }

    #[test]
    fn a_tool_is_named_first_and_its_arguments_come_in_pieces() {
        let mut completion = completion(Dialect::OpenAi);
        completion.tool = Some(Tool { name: "f".to_owned(), arguments: r#"{"city":"Oslo"}"#.to_owned() });
        let chunks = chunks(&events(&completion, PACE, Options::default()));
        let call = |chunk: &Value| chunk["choices"][0]["delta"]["tool_calls"][0]["function"].clone();
        assert_eq!(call(&chunks[1]), json!({"name": "f", "arguments": ""}));
        let text: String =
            chunks.iter().filter_map(|chunk| call(chunk)["arguments"].as_str().map(str::to_owned)).collect();
        assert_eq!(text, r#"{"city":"Oslo"}"#);
    }

    #[test]
    fn azure_begins_with_the_filter_results_of_the_prompt() {
        let chunks = chunks(&events(&completion(Dialect::Azure), PACE, Options::default()));
        assert_eq!((&chunks[0]["id"], &chunks[0]["choices"]), (&json!(""), &json!([])));
        assert_eq!(chunks[0]["prompt_filter_results"][0]["prompt_index"], 0);
        assert_eq!(chunks[1]["choices"][0]["content_filter_results"], json!({}));
        assert_eq!(chunks[2]["choices"][0]["content_filter_results"]["hate"]["severity"], "safe");
    }
}
