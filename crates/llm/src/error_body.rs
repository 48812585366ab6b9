//! Reads what a provider says of an error, whatever the shape.

use serde_json::Value;

/// How much is kept of a body that is not JSON.
const MAX_TEXT: usize = 512;

/// What an error body says. It lives as long as the classification, and is neither kept nor printed.
#[derive(Default)]
pub(crate) struct ErrorBody {
    /// `code` and `type`, which some providers swap, and the code of the inner error.
    names: [Option<String>; 3],
    /// The message in lower case.
    message: String,
    /// Which limit was hit, where a broker says so.
    limit_source: Option<String>,
    /// Whether a broker's moderation held the request back.
    pub(crate) flagged: bool,
    /// How long to stay away, as a number or a text.
    pub(crate) retry_after: Option<String>,
}

// === impl ErrorBody ===

impl ErrorBody {
    /// Reads the beginning of a body. What is not JSON, or is cut off, is taken as text.
    pub(crate) fn read(prefix: &[u8]) -> Self {
        let Ok(root) = serde_json::from_slice::<Value>(prefix) else {
            let text = &prefix[..prefix.len().min(MAX_TEXT)];
            return Self { message: String::from_utf8_lossy(text).to_ascii_lowercase(), ..Self::default() };
        };
        let root = root.get(0).unwrap_or(&root);
        match root.get("error") {
            Some(Value::String(text)) => Self { message: text.to_ascii_lowercase(), ..Self::default() },
            Some(error @ Value::Object(_)) => Self::of_object(error),
            _ => Self::of_object(root),
        }
    }

    fn of_object(error: &Value) -> Self {
        let text = |value: Option<&Value>| value?.as_str().map(str::to_owned);
        let inner = error.get("innererror").or_else(|| error.get("inner_error"));
        let metadata = error.get("metadata");
        let from = |name| metadata.and_then(|metadata| metadata.get(name));
        let message = error.get("message").or_else(|| error.get("detail")).and_then(Value::as_str);
        Self {
            names: [text(error.get("code")), text(error.get("type")), text(inner.and_then(|inner| inner.get("code")))],
            message: message.unwrap_or_default().to_ascii_lowercase(),
            limit_source: text(from("limit_source")),
            flagged: from("flagged_input").is_some(),
            retry_after: scalar(from("retry_after_seconds").or_else(|| error.get("retry_after"))),
        }
    }

    /// Returns whether the error is called by one of `names`, in any case of letters.
    pub(crate) fn is_named(&self, names: &[&str]) -> bool {
        self.names.iter().flatten().any(|own| names.iter().any(|name| own.eq_ignore_ascii_case(name)))
    }

    /// Returns whether the message holds one of `marks`, which are in lower case.
    pub(crate) fn says(&self, marks: &[&str]) -> bool {
        marks.iter().any(|mark| self.message.contains(mark))
    }

    pub(crate) fn is_limited_by(&self, source: &str) -> bool {
        self.limit_source.as_deref() == Some(source)
    }

    /// Returns the message in lower case.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        // Printed as a float, which has no exponent.
        Value::Number(number) => number.as_f64().map(|number| number.to_string()),
        _ => None,
    }
}
