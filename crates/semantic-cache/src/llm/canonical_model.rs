//! What [`canonical`](super::canonical) does, as plainly as it can be done: for tests to compare.

use std::{
    borrow::Cow,
    hash::{Hash as _, Hasher as _},
};

use buttress_llm::{Format, RawJson};

use crate::KeyHasher;

/// A request body, and where in it the conversation is.
pub(super) struct Body<'a> {
    /// In the order of their names, without the conversation.
    members: Vec<(Cow<'a, str>, RawJson<'a>)>,
    /// All that was said.
    turns: Option<RawJson<'a>>,
    /// What the user said last, if that is one text.
    last: Option<Last<'a>>,
}

struct Last<'a> {
    text: Cow<'a, str>,
    /// All turns but the last one.
    before: Vec<RawJson<'a>>,
    /// What else the last turn says.
    beside: Vec<(Cow<'a, str>, RawJson<'a>)>,
}

/// What OpenAI's chats assume where nothing is said.
const DEFAULTS: [(&str, &str); 9] = [
    ("frequency_penalty", "0"),
    ("logprobs", "false"),
    ("n", "1"),
    ("parallel_tool_calls", "true"),
    ("presence_penalty", "0"),
    ("store", "false"),
    ("temperature", "1"),
    ("tool_choice", "\"auto\""),
    ("top_p", "1"),
];

/// How deep values are put in order. What is deeper counts as it is written.
const DEEPEST: usize = 32;

/// Tells values in one order.
struct Teller<'h, 'a> {
    hasher: &'h mut KeyHasher,
    /// The members of all objects that are being told, each object's behind those of the one it stands in.
    members: Vec<(Cow<'a, str>, RawJson<'a>)>,
}

// === impl Body ===

impl<'a> Body<'a> {
    /// Reads a body. `None` if it says something twice: servers differ in which of the two counts.
    pub(super) fn read(body: RawJson<'a>, format: Format) -> Option<Self> {
        let conversation = match format {
            Format::Chat | Format::Messages => "messages",
            Format::Responses => "input",
            _ => "",
        };
        let mut turns = None;
        let mut members = members(body);
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        members.retain(|(name, value)| {
            if name == conversation {
                turns = Some(*value);
            }
            name != conversation && !is_idle(name, *value, format)
        });
        let last = turns.and_then(Last::of);
        Some(Self { members, turns, last })
    }

    pub(super) fn last_text(&self) -> Option<Cow<'a, str>> {
        self.last.as_ref().map(|last| last.text.clone())
    }

    pub(super) fn is_stateful(&self) -> bool {
        const STATE: [&str; 6] =
            ["background", "cachedContent", "container", "context", "conversation", "previous_response_id"];
        self.members.iter().any(|(name, value)| STATE.contains(&&**name) && value.as_str() != "false")
    }

    pub(super) fn has_tools(&self) -> bool {
        self.members.iter().any(|(name, value)| {
            matches!(&**name, "mcp_servers" | "web_search_options" | "function_call") && !value.is_null()
        })
    }

    /// Returns whether more than words is asked for.
    pub(super) fn asks_for_more(&self) -> bool {
        self.members.iter().any(|(name, value)| match &**name {
            "logprobs" | "top_logprobs" | "best_of" => !matches!(value.as_str(), "false" | "0" | "1"),
            "modalities" => value.elements().any(|kind| !kind.is("text")),
            _ => false,
        })
    }

    /// Tells all but what was said last.
    pub(super) fn tell_scope(&self, hasher: &mut KeyHasher) {
        let mut teller = Teller { hasher, members: Vec::new() };
        teller.members(&self.members);
        if let Some(last) = &self.last {
            teller.hasher.write_usize(last.before.len());
            last.before.iter().for_each(|turn| teller.value(*turn, 0));
            teller.members(&last.beside);
        }
    }

    /// Tells what was said last.
    pub(super) fn tell_last(&self, hasher: &mut KeyHasher) {
        match (&self.last, self.turns) {
            (Some(last), _) => {
                hasher.write_u8(b't');
                last.text.hash(hasher);
            }
            (None, Some(turns)) => {
                hasher.write_u8(b'a');
                Teller { hasher, members: Vec::new() }.value(turns, 0);
            }
            (None, None) => hasher.write_u8(b'-'),
        }
    }
}

// === impl Last ===

impl<'a> Last<'a> {
    fn of(turns: RawJson<'a>) -> Option<Self> {
        if let Some(text) = turns.text() {
            return Some(Self { text, before: Vec::new(), beside: Vec::new() });
        }
        let mut before: Vec<_> = turns.elements().collect();
        let last = before.pop()?;
        let mut beside = members(last);
        let is_user = beside.iter().any(|(name, value)| name == "role" && value.is("user"));
        let at = beside.iter().position(|(name, _)| name == "content").filter(|_| is_user)?;
        let (_, content) = beside.remove(at);
        // One that stands there twice is nobody's to choose from.
        let once = !beside.iter().any(|(name, _)| name == "content");
        let text = one_text(content).filter(|_| once)?;
        Some(Self { text, before, beside })
    }
}

/// Returns the text of a content that is a text, or one part that is.
fn one_text(content: RawJson<'_>) -> Option<Cow<'_, str>> {
    if content.is_string() {
        return content.text();
    }
    let mut parts = content.elements();
    let part = parts.next().filter(|_| parts.next().is_none())?;
    let mut text = None;
    for (name, value) in part.members() {
        match name.text().as_deref() {
            Some("type") if value.is("text") || value.is("input_text") => {}
            Some("text") if text.is_none() => text = value.text(),
            _ => return None,
        }
    }
    text
}

/// Returns the members of an object in the order of their names.
fn members(object: RawJson<'_>) -> Vec<(Cow<'_, str>, RawJson<'_>)> {
    let mut members: Vec<_> = object.members().map(|(key, value)| (text_of(key), value)).collect();
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    members
}

fn text_of(key: RawJson<'_>) -> Cow<'_, str> {
    key.text().unwrap_or(Cow::Borrowed(key.as_str()))
}

/// Returns whether a member of a body makes no difference.
fn is_idle(name: &str, value: RawJson<'_>, format: Format) -> bool {
    matches!(name, "stream" | "stream_options")
        || value.is_null()
        || (format == Format::Chat
            && DEFAULTS.iter().any(|(other, default)| {
                *other == name
                    && (value.as_str() == *default
                        || (value.as_f64().is_some() && value.as_f64() == default.parse().ok()))
            }))
}

// === impl Teller ===

impl<'a> Teller<'_, 'a> {
    fn members(&mut self, members: &[(Cow<'a, str>, RawJson<'a>)]) {
        self.hasher.write_u8(b'{');
        self.hasher.write_usize(members.len());
        for (name, value) in members {
            name.hash(self.hasher);
            self.value(*value, 1);
        }
    }

    /// Tells a value, so that no two different ones are told alike.
    fn value(&mut self, value: RawJson<'a>, depth: usize) {
        let text = value.as_str();
        if depth > DEEPEST {
            self.hasher.write_u8(b'~');
            return text.hash(self.hasher);
        }
        match text.as_bytes().first() {
            Some(b'{') => self.object(value, depth),
            Some(b'[') => {
                self.hasher.write_u8(b'[');
                for element in value.elements() {
                    self.value(element, depth + 1);
                }
                self.hasher.write_u8(b']');
            }
            Some(b'"') => {
                self.hasher.write_u8(b'"');
                text_of(value).hash(self.hasher);
            }
            _ => match value.as_f64().filter(|number| number.abs() < 9_007_199_254_740_992.0) {
                Some(number) => {
                    self.hasher.write_u8(b'#');
                    // Both zeros are one.
                    self.hasher.write_u64((number + 0.0).to_bits());
                }
                None => {
                    self.hasher.write_u8(b'=');
                    text.hash(self.hasher);
                }
            },
        }
    }

    fn object(&mut self, object: RawJson<'a>, depth: usize) {
        let from = self.members.len();
        self.members.extend(object.members().map(|(key, value)| (text_of(key), value)));
        self.members[from..].sort_by(|(a, _), (b, _)| a.cmp(b));
        self.hasher.write_u8(b'{');
        self.hasher.write_usize(self.members.len() - from);
        for at in from..self.members.len() {
            let (name, value) = &self.members[at];
            name.hash(self.hasher);
            let value = *value;
            self.value(value, depth + 1);
        }
        self.members.truncate(from);
    }
}
