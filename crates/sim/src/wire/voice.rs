//! How an answer speaks when something goes wrong in it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::anthropic::PING;
use super::error::ApiError;
use super::sequence::Framing;
use super::stream::DONE;
use super::{Dialect, Envelope, responses};

/// What an answer is, as far as the rest of its stream must fit it.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    pub(crate) dialect: Dialect,
    pub(crate) form: Form,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Chat,
    Text,
    Responses,
    Messages,
    Gemini(Framing),
    Ollama,
    /// What is never a stream: lists, vectors, health.
    Other,
}

// === impl Form ===

impl Form {
    pub(crate) const fn framing(self) -> Framing {
        match self {
            Self::Chat | Self::Text | Self::Responses | Self::Messages => Framing::Events,
            Self::Gemini(framing) => framing,
            Self::Ollama => Framing::Lines,
            Self::Other => Framing::Single,
        }
    }
}

// === impl Voice ===

impl Voice {
    /// A known error in a stream. `index` counts the events before it.
    pub(crate) fn error(&self, error: &ApiError, index: usize) -> Bytes {
        let body = self.error_body(error);
        match (self.dialect, self.form) {
            (Dialect::OpenRouter, Form::Chat | Form::Text) => self.openrouter_error(&body["error"]),
            (Dialect::Vllm, Form::Chat | Form::Text) => {
                let mut text = self.event(None, &body, index).to_vec();
                text.extend_from_slice(&DONE);
                Bytes::from(text)
            }
            (Dialect::OllamaOpenAi, _) => Bytes::from(format!("{}\n", json!({"error": error.message}))),
            (_, Form::Responses) if index > 0 => {
                let code = error.code.unwrap_or("server_error");
                let response = responses::failed(&self.id, self.created, &self.model, code, &error.message);
                let event = json!({"type": "response.failed", "sequence_number": index, "response": response});
                self.event(Some("response.failed"), &event, index)
            }
            _ => self.custom_error(&body["error"], index).unwrap_or_else(|| self.event(None, &body, index)),
        }
    }

    /// An error made up by hand: the value of `error`. Nothing, if the dialect's errors have no such field.
    pub(crate) fn custom_error(&self, value: &Value, index: usize) -> Option<Bytes> {
        if value.is_null() {
            return None;
        }
        Some(match self.form {
            Form::Messages => self.event(Some("error"), &json!({"type": "error", "error": value}), index),
            Form::Responses => {
                let event = json!({
                    "type": "error", "code": value["code"], "message": value["message"], "param": value["param"],
                    "sequence_number": index,
                });
                self.event(Some("error"), &event, index)
            }
            Form::Gemini(Framing::Array) => {
                let mut text = self.event(None, &json!({ "error": value }), index).to_vec();
                text.extend_from_slice(b"\n]\n");
                Bytes::from(text)
            }
            _ => self.event(None, &json!({ "error": value }), index),
        })
    }

    /// The body that tells of an error under status 200 where the answer is no stream.
    pub(crate) fn whole_error(&self, error: &ApiError) -> Value {
        let body = self.error_body(error);
        match (self.dialect, self.form) {
            (Dialect::OpenRouter, Form::Chat | Form::Text) => json!({
                "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
                "provider": "Simulated",
                "choices": [{
                    "index": 0, "finish_reason": "error", "native_finish_reason": "error",
                    "message": {"role": "assistant", "content": ""}, "error": body["error"],
                }],
            }),
            (_, Form::Responses) => {
                let code = error.code.unwrap_or("server_error");
                responses::failed(&self.id, self.created, &self.model, code, &error.message)
            }
            _ => body,
        }
    }

    /// What is sent for ever in place of content.
    pub(crate) fn idle(&self) -> Bytes {
        Bytes::from_static(match self.form {
            Form::Messages => PING.as_bytes(),
            Form::Ollama | Form::Other | Form::Gemini(Framing::Array | Framing::Single | Framing::Lines) => b"\n",
            _ => match self.dialect.habits().comment {
                Some(comment) => return Bytes::from(format!("{comment}\n\n")),
                None => b": keep-alive\n\n",
            },
        })
    }

    /// The mark of the end, where there is one beside the finish reason.
    pub(crate) fn done(&self) -> Option<Bytes> {
        match self.form {
            Form::Chat | Form::Text => Some(DONE),
            Form::Messages => Some(Bytes::from_static(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")),
            Form::Gemini(Framing::Array) => Some(Bytes::from_static(b"[]\n")),
            Form::Responses | Form::Gemini(_) | Form::Ollama | Form::Other => None,
        }
    }

    /// An event with the same name and the first half of its JSON.
    pub(crate) fn malformed(&self, event: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(event).into_owned();
        let text = text.trim_end_matches('\n');
        let (head, data, tail) = match self.form.framing() {
            Framing::Events => {
                let (head, data) = text.split_once("data: ").unwrap_or(("", text));
                (format!("{head}data: "), data, "\n\n")
            }
            Framing::Lines | Framing::Array | Framing::Single => (String::new(), text, "\n"),
        };
        let half = (0..=data.len() / 2).rev().find(|at| data.is_char_boundary(*at)).unwrap_or(0);
        let half = data[..half].trim_end_matches(['}', ']']);
        Bytes::from(format!("{head}{}{tail}", if half.is_empty() { "{" } else { half }))
    }

    fn event(&self, name: Option<&str>, json: &Value, index: usize) -> Bytes {
        self.form.framing().write(name, &json.to_string(), index == 0)
    }

    /// The dialect's body, in the form it has inside an answer: never text, never an array.
    fn error_body(&self, error: &ApiError) -> Value {
        let body = match self.dialect.habits().envelope {
            Envelope::GoogleArray => Envelope::Google.write(error),
            envelope => envelope.write(error),
        };
        let mut body = if self.dialect == Dialect::Azure { error.body(self.dialect) } else { body };
        if let Some(top) = body.as_object_mut() {
            // Only the answer to a request has this.
            top.remove("request_id");
        }
        body
    }

    fn openrouter_error(&self, error: &Value) -> Bytes {
        let chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "provider": "Simulated", "error": error,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}],
        });
        self.event(None, &chunk, 1)
    }
}
