//! Answers as servers write them.

use buttress_llm::Format;

use crate::reading::{JSON, NDJSON, SSE};

/// What is to be seen in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) text: &'static str,
    /// See [`word`](crate::reading::Seen::word); the last letter is the end.
    pub(crate) word: &'static str,
    pub(crate) usage: Option<[u64; 5]>,
}

macro_rules! answers {
    ($($name:literal $format:ident $word:literal $usage:expr;)*) => {
        pub(crate) const ANSWERS: &[Answer] = &[$(Answer {
            name: $name,
            format: Format::$format,
            text: include_str!(concat!("../streams/", $name)),
            word: $word,
            usage: $usage,
        }),*];
    };
}

const OPENAI: Option<[u64; 5]> = Some([19, 8, 0, 10, 4]);
const RESPONSES: Option<[u64; 5]> = Some([37, 30, 0, 11, 2]);

answers! {
    "chat.sse" Chat "lCCTllT" OPENAI;
    "chat-tools.sse" Chat "CCCTlT" None;
    "chat-two-choices.sse" Chat "llCClCTlT" None;
    "azure.sse" Chat "llClCTlllT" OPENAI;
    "azure-error.sse" Chat "lF" None;
    "openrouter-error.sse" Chat "kkkklF" None;
    "vllm-error.sse" Chat "lF" None;
    "vllm-flat-error.sse" Chat "F" None;
    "vllm-abort.sse" Chat "lCF" None;
    "named-error.sse" Chat "F" None;
    "ollama-v1-error.sse" Chat "lF" None;
    "cohere-error.sse" Chat "lF" None;
    "truncated.sse" Chat "lCF" None;
    "torn.sse" Chat "lCF" None;
    "no-done.sse" Chat "lCTT" None;
    "done-without-reason.sse" Chat "CTT" None;
    "only-done.sse" Chat "F" None;
    "role-only.sse" Chat "lF" None;
    "malformed.sse" Chat "lF" None;
    "no-last-blank-line.sse" Chat "CT" None;
    "completions.sse" Completions "lCTllT" Some([2, 0, 0, 3, 0]);
    "responses.sse" Responses "llllCClllTT" RESPONSES;
    "responses-failed.sse" Responses "llF" None;
    "responses-error.sse" Responses "llllCF" None;
    "responses-incomplete.sse" Responses "llllCCTT" RESPONSES;
    "messages.sse" Messages "llkCClCCllTlT" Some([1125, 1000, 100, 15, 0]);
    "messages-overloaded.sse" Messages "lkF" Some([1125, 1000, 100, 1, 0]);
    "gemini.sse" Gemini "lCCTT" Some([9, 3, 0, 24, 20]);
    "gemini-error.sse" Gemini "lF" Some([9, 3, 0, 5, 5]);
    "gemini-blocked.sse" Gemini "TT" Some([4, 0, 0, 0, 0]);
    "ollama-chat.ndjson" Ollama "lCCTT" Some([26, 0, 0, 282, 0]);
    "ollama-generate.ndjson" Ollama "CTT" Some([5, 0, 0, 1, 0]);
    "ollama-error.ndjson" Ollama "CF" None;
    "chat.json" Chat "lTT" OPENAI;
    "deepseek-blank-lines.json" Chat "lTT" OPENAI;
    "openrouter-error.json" Chat "lF" None;
    "openrouter-finish-error.json" Chat "lF" OPENAI;
    "error.json" Chat "lF" None;
    "cut-off.json" Chat "lF" None;
    "page.json" Chat "F" None;
    "blank.json" Chat "F" None;
    "responses.json" Responses "lTT" RESPONSES;
    "responses-failed.json" Responses "lF" None;
    "messages.json" Messages "lTT" Some([15, 5, 0, 3, 0]);
    "gemini.json" Gemini "lTT" Some([9, 3, 0, 3, 2]);
    "gemini-stream.json" Gemini "llllClClTlT" Some([9, 3, 0, 24, 20]);
    "gemini-error-stream.json" Gemini "llF" None;
    "ollama.json" Ollama "lTT" Some([3, 0, 0, 2, 0]);
    "embeddings.json" Json "lTT" Some([8, 0, 0, 0, 0]);
}

impl Answer {
    pub(crate) fn of(name: &str) -> &'static Self {
        ANSWERS.iter().find(|answer| answer.name == name).expect("it is in the table")
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').unwrap().1 {
            "sse" => SSE,
            "ndjson" => NDJSON,
            _ => JSON,
        }
    }
}
