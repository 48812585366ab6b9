//! Streams that are put together from JSON, event by event.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::plan::{Mark, Part};

/// How the events of a stream are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Events,
    /// A JSON value a line.
    Lines,
    /// One JSON array.
    Array,
    /// One JSON value: no stream.
    Single,
}

/// A stream as it grows.
#[derive(Debug)]
pub(crate) struct Sequence {
    framing: Framing,
    parts: Vec<Part>,
    wait: Duration,
}

// === impl Framing ===

impl Framing {
    /// One event. `first` matters in an array alone.
    pub(crate) fn write(self, name: Option<&str>, json: &str, first: bool) -> Bytes {
        Bytes::from(match (self, name) {
            (Self::Events, Some(name)) => format!("event: {name}\ndata: {json}\n\n"),
            (Self::Events, None) => format!("data: {json}\n\n"),
            (Self::Lines | Self::Single, _) => format!("{json}\n"),
            (Self::Array, _) if first => format!("[{json}"),
            (Self::Array, _) => format!("\n,\r\n{json}"),
        })
    }
}

// === impl Sequence ===

impl Sequence {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, parts: Vec::new(), wait: Duration::ZERO }
    }

    /// The next event comes so much later.
    pub(crate) fn wait(&mut self, wait: Duration) -> &mut Self {
        self.wait = wait;
        self
    }

    /// Adds an event without a name.
    pub(crate) fn put(&mut self, mark: Mark, json: &Value) {
        self.push(mark, None, json);
    }

    /// Adds an event whose name is its `type`.
    pub(crate) fn named(&mut self, mark: Mark, json: &Value) {
        self.push(mark, json["type"].as_str(), json);
    }

    /// Adds bytes as they are.
    pub(crate) fn raw(&mut self, mark: Mark, bytes: &'static str) {
        let wait = std::mem::take(&mut self.wait);
        self.parts.push(Part::new(wait, mark, Bytes::from_static(bytes.as_bytes())));
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    fn push(&mut self, mark: Mark, name: Option<&str>, json: &Value) {
        let bytes = self.framing.write(name, &json.to_string(), self.parts.is_empty());
        let wait = std::mem::take(&mut self.wait);
        self.parts.push(Part::new(wait, mark, bytes));
    }
}
