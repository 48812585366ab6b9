//! What a request body says that a gateway must know.

use std::{borrow::Cow, error::Error, fmt, ops::Range};

use buttress_core::{Refusal, RefusalKind};
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a JSON request body says that a gateway must know, read without making a JSON tree of it.
///
/// The whole body is checked to be JSON. What is not a fact is passed over and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts<'a> {
    /// The model asked for.
    pub model: Option<Cow<'a, str>>,
    /// Whether the answer is to be streamed, where the body says it. What it means not to say it is told by
    /// [`Operation::streams`](crate::Operation::streams).
    pub stream: Option<bool>,
    place: Place,
}

/// Where in a body the model's name stands, or could stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The value of `model`, quotes included.
    At(Range<usize>),
    /// There is none. It could be the first member, which would have to be followed by a comma if `more` follow.
    Absent { from: usize, more: bool },
}

/// Why a body was not understood. It says where, and never what the body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    NotJson { line: usize, column: usize },
    NotAnObject,
    Kind { field: &'static str, is: &'static str, allowed: &'static str },
    Twice { field: &'static str },
}

/// The members of a body that count, as they stand there.
#[derive(Default)]
struct Members<'a> {
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    twice: Option<&'static str>,
    any: bool,
}

enum Key {
    Model,
    Stream,
    Other,
}

// === impl RequestFacts ===

impl<'a> RequestFacts<'a> {
    /// Reads the facts from a whole body.
    ///
    /// # Errors
    ///
    /// Fails if `body` is not one JSON object in UTF-8, if `model` is not a string or `stream` neither a boolean nor null, or
    /// if one of the two stands there twice: providers differ in which of them counts.
    pub fn read(body: &'a [u8]) -> Result<Self, FactsError> {
        let text = std::str::from_utf8(body).map_err(|error| not_json(body, error.valid_up_to()))?;
        let members: Members<'_> = serde_json::from_str(text).map_err(|error| FactsError::from_json(&error))?;
        if let Some(field) = members.twice {
            return Err(FactsError(Problem::Twice { field }));
        }
        let stream = members.stream.map_or(Ok(None), |value| boolean(value.get()))?;
        let model = members.model.map(|value| string(value.get())).transpose()?;
        let place = match members.model {
            Some(value) => Place::At(range(text, value.get())),
            None => Place::Absent { from: text.find('{').map_or(0, |brace| brace + 1), more: members.any },
        };
        Ok(Self { model, stream, place })
    }

    /// Returns where the value of `model` stands in the body, quotes included.
    #[must_use]
    pub const fn model_range(&self) -> Option<&Range<usize>> {
        match &self.place {
            Place::At(range) => Some(range),
            Place::Absent { .. } => None,
        }
    }

    /// Returns `body`, from which these facts were read, with `model` as its model and every other byte as it was.
    ///
    /// A body without a model gets one, as its first member. Facts of another body give nonsense, but no panic.
    #[must_use]
    pub fn with_model(&self, body: &[u8], model: &str) -> Bytes {
        self.place.splice(body, model)
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }
}

/// Returns where `part`, which was borrowed from `text`, stands in it.
fn range(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

fn string(value: &str) -> Result<Cow<'_, str>, FactsError> {
    if !value.starts_with('"') {
        return Err(FactsError(Problem::Kind { field: "model", is: kind(value), allowed: "a string" }));
    }
    let name = unescaped(value);
    if name.is_empty() {
        return Err(FactsError(Problem::Kind { field: "model", is: "empty", allowed: "a string with a name in it" }));
    }
    Ok(name)
}

fn boolean(value: &str) -> Result<Option<bool>, FactsError> {
    match value {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        "null" => Ok(None),
        _ => Err(FactsError(Problem::Kind { field: "stream", is: kind(value), allowed: "a boolean or null" })),
    }
}

/// Returns the text that a JSON string stands for. Half a surrogate pair, which no name holds, leaves it empty.
fn unescaped(literal: &str) -> Cow<'_, str> {
    if literal.contains('\\') {
        return Cow::Owned(serde_json::from_str(literal).unwrap_or_default());
    }
    Cow::Borrowed(literal.get(1..literal.len() - 1).unwrap_or_default())
}

fn kind(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn not_json(body: &[u8], at: usize) -> FactsError {
    let before = body.get(..at).unwrap_or(body);
    let line = before.split(|&byte| byte == b'\n').count();
    let column = before.rsplit(|&byte| byte == b'\n').next().map_or(0, <[u8]>::len) + 1;
    FactsError(Problem::NotJson { line, column })
}

// === impl Members ===

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key()? {
            members.any = true;
            let (slot, field) = match key {
                Key::Model => (&mut members.model, "model"),
                Key::Stream => (&mut members.stream, "stream"),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                members.twice = Some(field);
            }
        }
        Ok(members)
    }
}

// === impl Key ===

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "model" => Key::Model,
            "stream" => Key::Stream,
            _ => Key::Other,
        })
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn splice(&self, body: &[u8], model: &str) -> Bytes {
        let name = serde_json::Value::from(model).to_string();
        let (range, key, comma) = match self {
            Self::At(range) => (range.clone(), "", ""),
            Self::Absent { from, more } => (*from..*from, "\"model\":", if *more { "," } else { "" }),
        };
        let before = body.get(..range.start).unwrap_or(body);
        let after = body.get(range.end..).unwrap_or_default();
        [before, key.as_bytes(), name.as_bytes(), comma.as_bytes(), after].concat().into()
    }
}

// === impl FactsError ===

impl FactsError {
    /// Keeps only where `error` is: its words may repeat the body's.
    fn from_json(error: &serde_json::Error) -> Self {
        Self(match error.classify() {
            serde_json::error::Category::Data => Problem::NotAnObject,
            _ => Problem::NotJson { line: error.line(), column: error.column().max(1) },
        })
    }
}

impl fmt::Display for FactsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::NotJson { line, column } => {
                write!(f, "the body is not valid JSON (line {line}, column {column})")
            }
            Problem::NotAnObject => f.write_str("the body is not a JSON object"),
            Problem::Kind { field, is, allowed } => write!(f, "`{field}` must be {allowed}, but it is {is}"),
            Problem::Twice { field } => write!(f, "`{field}` must be given once, but it is there twice"),
        }
    }
}

impl Error for FactsError {}

impl From<FactsError> for Refusal {
    fn from(error: FactsError) -> Self {
        Self::new(RefusalKind::BadRequest, error.to_string())
    }
}
