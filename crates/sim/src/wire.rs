//! What goes over the wire: pure functions from a request's facts to bytes and headers.

pub(crate) mod chat;
pub(crate) mod embeddings;
pub(crate) mod error;
pub(crate) mod headers;
mod known;
pub(crate) mod models;
pub(crate) mod stream;

/// Whose form an answer takes; the path of the request decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Azure,
}

/// A JSON string literal.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
