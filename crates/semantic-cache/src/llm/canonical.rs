//! A request body in one order, whatever order it came in.

use std::{
    borrow::Cow,
    hash::{Hash as _, Hasher as _},
};

use buttress_llm::{Format, Operation, RawJson, RequestDetails, Spot};

use super::members::Members;
use crate::KeyHasher;

/// A request body, and where in it the conversation is.
pub(super) struct Body<'o, 'a> {
    /// In the order of their names, without the conversation.
    members: Members<'o, 'a>,
    /// What the others of them say, and the conversation.
    details: RequestDetails<'a>,
    /// All that was said.
    turns: Option<Spot<'o, 'a>>,
    /// What the user said last, if that is one text.
    last: Option<Last<'o, 'a>>,
}

struct Last<'o, 'a> {
    text: Cow<'a, str>,
    /// How many turns there are before the last one.
    before: usize,
    /// What else the last turn says.
    beside: Members<'o, 'a>,
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
struct Teller<'h>(&'h mut KeyHasher);

// === impl Body ===

impl<'o, 'a> Body<'o, 'a> {
    /// Reads a body. `None` if it says something twice: servers differ in which of the two counts.
    pub(super) fn read(body: Spot<'o, 'a>, operation: Operation, format: Format) -> Option<Self> {
        let conversation = match format {
            Format::Chat | Format::Messages => "messages",
            Format::Responses => "input",
            _ => "",
        };
        let mut members = Members::of(body);
        if members.has_twins() {
            return None;
        }
        let details = RequestDetails::of_members(operation, members.iter().map(|(name, value)| (name, value.raw())));
        let mut turns = None;
        members.retain(|name, value| {
            if name == conversation {
                turns = Some(value);
            }
            name != conversation && !is_idle(name, value.raw(), format)
        });
        let last = turns.and_then(Last::of);
        Some(Self { members, details, turns, last })
    }

    pub(super) const fn details(&self) -> &RequestDetails<'a> {
        &self.details
    }

    /// Returns all that was said, where it is known where that stands.
    pub(super) const fn turns(&self) -> Option<Spot<'o, 'a>> {
        self.turns
    }

    pub(super) fn last_text(&self) -> Option<&str> {
        self.last.as_ref().map(|last| &*last.text)
    }

    pub(super) fn is_stateful(&self) -> bool {
        const STATE: [&str; 6] =
            ["background", "cachedContent", "container", "context", "conversation", "previous_response_id"];
        self.members.iter().any(|(name, value)| STATE.contains(&name) && value.raw().as_str() != "false")
    }

    pub(super) fn has_tools(&self) -> bool {
        self.members.iter().any(|(name, value)| {
            matches!(name, "mcp_servers" | "web_search_options" | "function_call") && !value.raw().is_null()
        })
    }

    /// Returns whether more than words is asked for.
    pub(super) fn asks_for_more(&self) -> bool {
        self.members.iter().any(|(name, value)| match name {
            "logprobs" | "top_logprobs" | "best_of" => !matches!(value.raw().as_str(), "false" | "0" | "1"),
            "modalities" => value.elements().any(|kind| !is(kind, "text")),
            _ => false,
        })
    }

    /// Tells all but what was said last.
    pub(super) fn tell_scope(&self, hasher: &mut KeyHasher) {
        let mut teller = Teller(hasher);
        teller.members(&self.members, 0);
        if let (Some(last), Some(turns)) = (&self.last, self.turns) {
            teller.0.write_usize(last.before);
            turns.elements().take(last.before).for_each(|turn| teller.value(turn, 0));
            teller.members(&last.beside, 0);
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
                Teller(hasher).value(turns, 0);
            }
            (None, None) => hasher.write_u8(b'-'),
        }
    }
}

// === impl Last ===

impl<'o, 'a> Last<'o, 'a> {
    fn of(turns: Spot<'o, 'a>) -> Option<Self> {
        if let Some(text) = turns.text() {
            return Some(Self { text, before: 0, beside: Members::default() });
        }
        let (mut before, mut last) = (0, None);
        for turn in turns.elements() {
            before += usize::from(last.replace(turn).is_some());
        }
        let mut beside = Members::of(last?);
        let is_user = beside.iter().any(|(name, value)| name == "role" && is(value, "user"));
        let (mut content, mut contents) = (None, 0);
        beside.retain(|name, value| {
            if name == "content" {
                (content, contents) = (Some(value), contents + 1);
            }
            name != "content"
        });
        // One that stands there twice is nobody's to choose from.
        let content = content.filter(|_| is_user && contents == 1)?;
        Some(Self { text: one_text(content)?, before, beside })
    }
}

/// Returns the text of a content that is a text, or one part that is.
fn one_text<'a>(content: Spot<'_, 'a>) -> Option<Cow<'a, str>> {
    if content.first() == b'"' {
        return content.text();
    }
    let mut parts = content.elements();
    let part = parts.next().filter(|_| parts.next().is_none())?;
    let mut text = None;
    for (name, value) in part.members() {
        match name.text().as_deref() {
            Some("type") if is(value, "text") || is(value, "input_text") => {}
            Some("text") if text.is_none() => text = value.text(),
            _ => return None,
        }
    }
    text
}

/// Returns the text of a turn that says one, as it is written, and is said by nobody who is a tool: that is what nearly all turns are.
pub(super) fn plain_turn<'a>(turn: Spot<'_, 'a>) -> Option<RawJson<'a>> {
    let (mut text, mut count) = (None, 0);
    for (name, value) in turn.members() {
        match name.plain() {
            Some("role") if matches!(value.plain(), Some("system" | "developer" | "user" | "assistant")) => {}
            Some("content") if value.first() == b'"' => text = Some(value.raw()),
            _ => return None,
        }
        count += 1;
    }
    text.filter(|_| count <= 2)
}

fn is(value: Spot<'_, '_>, text: &str) -> bool {
    value.plain().map_or_else(|| value.raw().is(text), |own| own == text)
}

/// Returns whether a member of a body makes no difference.
fn is_idle(name: &str, value: RawJson<'_>, format: Format) -> bool {
    if matches!(name, "stream" | "stream_options") || value.is_null() {
        return true;
    }
    let default = DEFAULTS.iter().find(|(other, _)| format == Format::Chat && *other == name);
    default.is_some_and(|(_, default)| {
        let number = || value.as_f64().filter(|number| default.parse() == Ok(*number));
        value.as_str() == *default || number().is_some()
    })
}

// === impl Teller ===

impl Teller<'_> {
    fn members(&mut self, members: &Members<'_, '_>, depth: usize) {
        self.0.write_u8(b'{');
        self.0.write_usize(members.len());
        for (name, value) in members.iter() {
            name.hash(self.0);
            self.value(value, depth + 1);
        }
    }

    /// Tells a value, so that no two different ones are told alike.
    fn value(&mut self, value: Spot<'_, '_>, depth: usize) {
        if depth > DEEPEST {
            self.0.write_u8(b'~');
            return value.raw().as_str().hash(self.0);
        }
        match value.first() {
            b'{' => self.members(&Members::of(value), depth),
            b'[' => {
                self.0.write_u8(b'[');
                for element in value.elements() {
                    self.value(element, depth + 1);
                }
                self.0.write_u8(b']');
            }
            b'"' => {
                self.0.write_u8(b'"');
                match value.plain() {
                    Some(text) => text.hash(self.0),
                    None => super::members::name_of(value).hash(self.0),
                }
            }
            _ => self.scalar(value.raw()),
        }
    }

    fn scalar(&mut self, value: RawJson<'_>) {
        match value.as_f64().filter(|number| number.abs() < 9_007_199_254_740_992.0) {
            Some(number) => {
                self.0.write_u8(b'#');
                // Both zeros are one.
                self.0.write_u64((number + 0.0).to_bits());
            }
            None => {
                self.0.write_u8(b'=');
                value.as_str().hash(self.0);
            }
        }
    }
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
