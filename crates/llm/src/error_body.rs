//! Reads what a provider says of an error, whatever the shape.

use std::fmt;

use serde_json::Value;

/// How much is kept of a body that is not JSON, in bytes.
const MAX_TEXT: usize = 512;

/// How much is kept of the message in a body that is JSON, in bytes.
const MAX_MESSAGE: usize = 4 * 1024;

/// How many names an error may have, and how long each may be. What is longer is no name but words.
const MAX_NAMES: usize = 16;
const MAX_NAME: usize = 128;

/// How many parts of a list are looked at.
const MAX_PARTS: usize = 16;

/// What an error body says. It lives as long as the classification, is not kept, and never prints what it holds.
#[derive(Default)]
pub(crate) struct ErrorBody {
    /// What the error is called: `code`, `type`, `status`, which some providers swap, and the names of its causes.
    names: Vec<String>,
    /// The message in lower case.
    message: String,
    /// The status that the body gives as a number.
    status: Option<u16>,
    /// Which limit was hit, where a broker says so.
    limit_source: Option<String>,
    /// Whether a broker's moderation held the request back.
    flagged: bool,
    /// How long to stay away, as numbers or texts, in the order in which they count.
    waits: Vec<String>,
    quota: Quota,
}

/// Which quota is spent.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Quota {
    /// Not that of a day, or the body does not say.
    #[default]
    Other,
    /// That of a day.
    Day,
    /// There never was any.
    Zero,
}

// === impl ErrorBody ===

impl ErrorBody {
    /// Reads the beginning of a body. What is not JSON, or is cut off, is taken as text.
    pub(crate) fn read(prefix: &[u8]) -> Self {
        let text = String::from_utf8_lossy(prefix);
        match first_value(&text) {
            Some(root @ (Value::Object(_) | Value::Array(_))) => Self::of_root(&root),
            Some(Value::String(text)) => Self::default().with_text(&text, MAX_TEXT),
            _ => Self::default().with_text(&text, MAX_TEXT),
        }
    }

    /// Reads the JSON of an event in a stream, or of a whole answer with 200, if it tells of an error.
    pub(crate) fn read_event(data: &[u8]) -> Option<Self> {
        let root = first_value(&String::from_utf8_lossy(data))?;
        let event = root.get(0).unwrap_or(&root);
        let says = |name: &str, word: &str| event.get(name).and_then(Value::as_str) == Some(word);
        let told = says("type", "error") || says("event_type", "error") || says("object", "error");
        let failed = says("status", "failed") || says("type", "response.failed");
        (told || failed || error_in(event).is_some()).then(|| Self::of_root(&root))
    }

    /// Reads an error without what is about it.
    pub(crate) fn of_error(error: &Value) -> Self {
        let mut body = Self::default();
        body.add(error);
        body
    }

    /// An error of which there is only a name.
    pub(crate) fn named(name: &str) -> Self {
        let mut body = Self::default();
        body.call(Some(name));
        body
    }

    fn of_root(root: &Value) -> Self {
        let root = root.get(0).unwrap_or(root);
        let mut body = Self::default();
        match error_in(root) {
            Some(Value::String(text)) => {
                body.call(Some(text));
                body = body.with_text(text, MAX_MESSAGE);
                body.add(root);
            }
            Some(error) => body.add(error),
            None => body.add(root),
        }
        body.add_waits(root);
        if body.quota == Quota::Other && says_zero(&body.message) {
            body.quota = Quota::Zero;
        }
        body
    }

    fn with_text(mut self, text: &str, max: usize) -> Self {
        let room = max.saturating_sub(self.message.len());
        let end = (0..=room.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        if !self.message.is_empty() && end > 0 {
            self.message.push('\n');
        }
        self.message.extend(text[..end].chars().map(|c| c.to_ascii_lowercase()));
        self
    }

    /// Adds a name from outside of the body, such as a header's: `com.amazon#Throttled:http://…` is `Throttled`.
    pub(crate) fn call(&mut self, name: Option<&str>) {
        let Some(name) = name else { return };
        let name = name.split(':').next().unwrap_or(name);
        let name = name.rsplit('#').next().unwrap_or(name).trim();
        if !name.is_empty() && name.len() <= MAX_NAME && self.names.len() < MAX_NAMES {
            self.names.push(name.to_owned());
        }
    }

    fn add(&mut self, error: &Value) {
        let (metadata, inner) = (error.get("metadata"), error.get("innererror").or_else(|| error.get("inner_error")));
        let of_metadata = |name| metadata?.get(name);
        for name in ["code", "type", "status", "status_code", "error_type", "reason", "__type"] {
            self.add_name(error.get(name));
        }
        self.add_name(of_metadata("error_type"));
        self.add_name(of_metadata("provider_code"));
        self.add_name(inner.and_then(|inner| inner.get("code")));
        for text in ["message", "msg", "Message", "detail", "error_description"] {
            self.add_text(error.get(text));
        }
        self.limit_source = of_metadata("limit_source").and_then(Value::as_str).map(str::to_owned);
        self.flagged |= of_metadata("flagged_input").is_some();
        for detail in parts(error.get("details")) {
            self.add_name(detail.get("reason"));
            self.waits.extend(scalar(detail.get("retryDelay")));
            parts(detail.get("violations")).for_each(|violation| self.add_violation(violation));
        }
        self.add_waits(error);
    }

    fn add_waits(&mut self, error: &Value) {
        let metadata = error.get("metadata").and_then(|metadata| metadata.get("retry_after_seconds"));
        self.waits.extend(scalar(metadata));
        self.waits.extend(scalar(error.get("retry_after")));
    }

    /// A name, or a status in its place.
    fn add_name(&mut self, value: Option<&Value>) {
        let number = match value {
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64().and_then(|number| u16::try_from(number).ok()),
            None => None,
        };
        match number {
            Some(number) if (400..600).contains(&number) => self.status = self.status.or(Some(number)),
            _ => self.call(value.and_then(Value::as_str)),
        }
    }

    /// A message, or a list of those of a validation, or an error within.
    fn add_text(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::String(text)) => *self = std::mem::take(self).with_text(text, MAX_MESSAGE),
            Some(list @ Value::Array(_)) => {
                for part in parts(Some(list)) {
                    self.add_name(part.get("type"));
                    self.add_text(part.get("msg").filter(|msg| msg.is_string()));
                }
            }
            Some(object @ Value::Object(_)) => {
                let within = object.get("error").filter(|within| within.is_object()).unwrap_or(object);
                self.add_name(within.get("code"));
                self.add_name(within.get("type"));
                self.add_text(within.get("message").filter(|message| message.is_string()));
            }
            _ => {}
        }
    }

    fn add_violation(&mut self, violation: &Value) {
        let is_day = |id: &str| id.to_ascii_lowercase().contains("perday");
        if scalar(violation.get("quotaValue")).as_deref() == Some("0") {
            self.quota = Quota::Zero;
        } else if self.quota == Quota::Other && violation.get("quotaId").and_then(Value::as_str).is_some_and(is_day) {
            self.quota = Quota::Day;
        }
    }

    /// Returns whether the error is called by one of `names`, in any case of letters.
    pub(crate) fn is_named(&self, names: &[&str]) -> bool {
        self.names.iter().any(|own| names.iter().any(|name| own.eq_ignore_ascii_case(name)))
    }

    /// Returns what the error is called, the name that counts first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Returns whether the message holds one of `marks`, which are in lower case.
    pub(crate) fn says(&self, marks: &[&str]) -> bool {
        marks.iter().any(|mark| self.message.contains(mark))
    }

    /// Returns whether the message begins with one of `marks`, which are in lower case.
    pub(crate) fn begins(&self, marks: &[&str]) -> bool {
        marks.iter().any(|mark| self.message.starts_with(mark))
    }

    pub(crate) fn is_limited_by(&self, source: &str) -> bool {
        self.limit_source.as_deref() == Some(source)
    }

    pub(crate) const fn is_flagged(&self) -> bool {
        self.flagged
    }

    pub(crate) const fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns the status that the body itself gives.
    pub(crate) const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the message in lower case.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Returns how long to stay away in the forms given, the one that counts first.
    pub(crate) fn waits(&self) -> impl Iterator<Item = &str> {
        self.waits.iter().map(String::as_str)
    }
}

impl fmt::Debug for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name may be a part of a key, and a message may repeat a prompt.
        f.debug_struct("ErrorBody").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Returns the first JSON value of a text that may be one event of a stream, or several values one after the other.
fn first_value(text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let framed = text.starts_with("data:") || text.starts_with("event:");
    let data = if framed { text.lines().find_map(|line| line.strip_prefix("data:"))? } else { text };
    serde_json::Deserializer::from_str(data).into_iter().next()?.ok()
}

/// Returns the part of an answer that is the error, if there is one of its own.
fn error_in(root: &Value) -> Option<&Value> {
    let of = |value: Option<&'_ Value>| value.is_some_and(|error| error.is_object() || error.is_string());
    let failed = || root.get("response")?.get("error");
    let chosen = || root.get("choices")?.get(0)?.get("error");
    [root.get("error"), failed(), chosen()].into_iter().find(|error| of(*error)).flatten()
}

fn parts(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten().take(MAX_PARTS)
}

/// Returns whether a message says that a limit is zero, which no wait will change.
fn says_zero(message: &str) -> bool {
    message.split("limit: 0").skip(1).any(|rest| {
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        !rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if text.len() <= MAX_NAME => Some(text.clone()),
        // Printed as a float, which has no exponent.
        Value::Number(number) => number.as_f64().map(|number| number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_body_is_printed() {
        for body in [
            r#"{"error":{"message":"a secret","code":"sk-secret","metadata":{"limit_source":"secret"},"retry_after":"secret"}}"#,
            r#"{"error":"secret"}"#,
            "secret",
        ] {
            let printed = format!("{:#?}", ErrorBody::read(body.as_bytes()));
            assert!(!printed.contains("secret"), "{printed}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = format!("\"{}\"", "x".repeat(MAX_NAME + 1));
        let list = vec![format!(r#"{{"reason":"{}","violations":[]}}"#, "y".repeat(MAX_NAME)); 1_000].join(",");
        let long = "é".repeat(10_000);
        let text = format!(r#"{{"error":{{"code":{many},"message":"{long}","details":[{list}]}}}}"#);
        let body = ErrorBody::read(text.as_bytes());
        assert!(body.names.len() <= MAX_NAMES && body.names.iter().all(|name| name.len() <= MAX_NAME));
        assert!(body.message.len() <= MAX_MESSAGE + 1);
        assert!(ErrorBody::read(long.as_bytes()).message.len() <= MAX_TEXT);
    }

    #[test]
    fn a_limit_of_zero_is_told_from_others() {
        for (text, expected) in [
            ("metric: x, limit: 0, model: y", true),
            ("limit: 0", true),
            ("limit: 0. please", true),
            ("limit: 0.5", false),
            ("limit: 05", false),
            ("limit: 10", false),
            ("limit: 10\n limit: 0", true),
        ] {
            assert_eq!(says_zero(text), expected, "{text}");
        }
    }
}
