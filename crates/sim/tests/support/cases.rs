//! One streaming request in each dialect, and what marks its stream.

#![allow(dead_code, reason = "each test file uses a part of this")]

use buttress_sim::{Profile, Simulator};
use serde_json::{Value, json};

use crate::client::{self, Answer};

/// A request, and what is in the stream that answers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    pub(crate) path: &'static str,
    pub(crate) shape: Shape,
    /// Text that only what comes before content has; nothing where content is first.
    pub(crate) opening: &'static str,
    /// Text that each event with content has once.
    pub(crate) content: &'static str,
    /// Text that the event with the finish reason has.
    pub(crate) finish: &'static str,
    /// What ends a stream, if something does beside the finish reason.
    pub(crate) done: &'static str,
    /// Text of an `overloaded` error in the stream.
    pub(crate) error: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Chat,
    Text,
    Responses,
    Messages,
    Gemini,
    OllamaChat,
    OllamaGenerate,
}

const CHAT: Case = Case {
    name: "openai chat",
    profile: Profile::Standard,
    path: "/v1/chat/completions",
    shape: Shape::Chat,
    opening: r#""role":"assistant""#,
    content: r#""delta":{"content":""#,
    finish: r#""finish_reason":"stop""#,
    done: "data: [DONE]\n\n",
    error: r#"data: {"error":{"code":"overloaded","#,
};

pub(crate) const CASES: [Case; 18] = [
    CHAT,
    Case {
        name: "azure chat",
        path: "/openai/deployments/chat/chat/completions?api-version=2024-10-21",
        opening: r#""prompt_filter_results":[{"prompt_index":0"#,
        error: r#"data: {"error":{"code":"ServiceUnavailable","#,
        ..CHAT
    },
    Case {
        name: "azure v1 chat",
        path: "/openai/v1/chat/completions",
        error: r#"data: {"error":{"code":"ServiceUnavailable","#,
        ..CHAT
    },
    Case {
        name: "openai completions",
        path: "/v1/completions",
        shape: Shape::Text,
        opening: "",
        content: r#""choices":[{"finish_reason":null"#,
        ..CHAT
    },
    Case {
        name: "openai responses",
        path: "/v1/responses",
        shape: Shape::Responses,
        opening: "event: response.created\n",
        content: "event: response.output_text.delta\n",
        finish: "event: response.completed\n",
        done: "",
        error: r#""code":"overloaded""#,
        ..CHAT
    },
    Case {
        name: "azure responses",
        path: "/openai/v1/responses",
        shape: Shape::Responses,
        opening: "event: response.created\n",
        content: "event: response.output_text.delta\n",
        finish: "event: response.completed\n",
        done: "",
        error: r#""code":"ServiceUnavailable""#,
        ..CHAT
    },
    Case {
        name: "anthropic",
        path: "/v1/messages",
        shape: Shape::Messages,
        opening: "event: message_start\n",
        content: "event: content_block_delta\n",
        finish: "event: message_delta\n",
        done: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        error: "event: error\ndata: {\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\"},\"type\":\"error\"}\n\n",
        ..CHAT
    },
    Case {
        name: "gemini events",
        path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        shape: Shape::Gemini,
        opening: "",
        content: r#""role":"model"},"index":0}"#,
        finish: r#""finishReason":"STOP""#,
        done: "",
        error: r#"data: {"error":{"code":503,"#,
        ..CHAT
    },
    Case {
        name: "gemini array",
        path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        shape: Shape::Gemini,
        opening: "",
        content: r#""role":"model"},"index":0}"#,
        finish: r#""finishReason":"STOP""#,
        done: "\n]\n",
        error: r#"{"error":{"code":503,"#,
        ..CHAT
    },
    Case {
        name: "gemini's openai",
        path: "/v1beta/openai/chat/completions",
        error: r#"data: {"error":{"code":503,"#,
        ..CHAT
    },
    Case {
        name: "ollama chat",
        path: "/api/chat",
        shape: Shape::OllamaChat,
        opening: "",
        content: r#""done":false"#,
        finish: r#""done":true"#,
        done: "",
        error: "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
        ..CHAT
    },
    Case {
        name: "ollama generate",
        path: "/api/generate",
        shape: Shape::OllamaGenerate,
        opening: "",
        content: r#""done":false"#,
        finish: r#""done":true"#,
        done: "",
        error: "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
        ..CHAT
    },
    Case {
        name: "ollama's openai",
        profile: Profile::Ollama,
        error: "\n{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}\n",
        ..CHAT
    },
    Case { name: "vllm", profile: Profile::Vllm, error: r#""code":503"#, ..CHAT },
    Case {
        name: "groq",
        profile: Profile::Groq,
        path: "/openai/v1/chat/completions",
        error: r#"data: {"error":{"message":"#,
        ..CHAT
    },
    Case {
        name: "openrouter",
        profile: Profile::OpenRouter,
        path: "/api/v1/chat/completions",
        error: r#""finish_reason":"error""#,
        ..CHAT
    },
    Case {
        name: "deepseek",
        profile: Profile::DeepSeek,
        path: "/chat/completions",
        error: r#"data: {"error":{"code":"server_error""#,
        ..CHAT
    },
    Case { name: "mistral", profile: Profile::Mistral, error: r#""object":"error""#, ..CHAT },
];

// === impl Case ===

impl Case {
    pub(crate) fn ask(&self, stream: bool) -> Value {
        let messages = json!([{"role": "user", "content": "Hello there"}]);
        match self.shape {
            Shape::Chat => json!({"model": "m", "messages": messages, "stream": stream}),
            Shape::Text => json!({"model": "m", "prompt": "Hello there", "stream": stream}),
            Shape::Responses => json!({"model": "m", "input": "Hello there", "stream": stream}),
            Shape::Messages => json!({"model": "m", "messages": messages, "stream": stream, "max_tokens": 100}),
            Shape::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}),
            Shape::OllamaChat => json!({"model": "m", "messages": messages, "stream": stream}),
            Shape::OllamaGenerate => json!({"model": "m", "prompt": "Hello there", "stream": stream}),
        }
    }

    pub(crate) async fn open(&self, sim: &Simulator, stream: bool) -> tokio::net::TcpStream {
        sim.set_profile(self.profile);
        let path = match (self.shape, stream) {
            (Shape::Gemini, false) => "/v1beta/models/gemini-2.5-flash:generateContent",
            _ => self.path,
        };
        let headers = [("anthropic-version", "2023-06-01")];
        client::open(sim.addr(), "POST", path, &headers, &self.ask(stream).to_string()).await
    }

    /// One answer, from a target whose ids begin anew, so that equal requests get equal bytes.
    pub(crate) async fn send(&self, sim: &Simulator, fault: Option<buttress_sim::Fault>, stream: bool) -> Answer {
        sim.reset();
        sim.set_fault(fault);
        client::read(self.open(sim, stream).await).await.0.unwrap_or_else(|| panic!("{}: no answer", self.name))
    }
}
