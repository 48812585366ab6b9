//! The turns of a conversation, and what they are made of.

use crate::{RawJson, json::RawElements};

/// The turns of a conversation, in order. See [`RequestDetails::turns`](crate::RequestDetails::turns).
#[derive(Clone, Debug)]
pub struct Turns<'a> {
    single: Option<RawJson<'a>>,
    elements: RawElements<'a>,
    left: usize,
}

/// One turn of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said: a string, or an array of parts.
    pub content: Option<RawJson<'a>>,
    /// The name of the one who speaks, where it is given.
    pub name: Option<RawJson<'a>>,
    /// The whole turn, as it is written.
    pub raw: RawJson<'a>,
    /// What the model wants to call: OpenAI's `tool_calls` or `function_call`.
    calls: Option<RawJson<'a>>,
    /// Ollama's `images`, which stand beside the content.
    images: Option<RawJson<'a>>,
}

/// Who speaks in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The one who sets the model up.
    System,
    /// The same, as OpenAI's newer models call it.
    Developer,
    /// The user. It is assumed where no role is given.
    User,
    /// The model; Gemini calls it `model`.
    Assistant,
    /// A tool that answers.
    Tool,
    /// Somebody else.
    Other,
}

/// A part of what is said in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part<'a> {
    /// A text: a string.
    Text(RawJson<'a>),
    /// An image.
    Image {
        /// How closely it is to be looked at.
        detail: ImageDetail,
        /// The image, as it is written.
        raw: RawJson<'a>,
    },
    /// Anything else: a call of a tool and its answer, a sound, a file.
    Other(RawJson<'a>),
}

/// How closely a model is to look at an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageDetail {
    /// At a small copy.
    Low,
    /// At tiles of the whole.
    High,
    /// As the model sees fit. It is assumed where nothing is said.
    #[default]
    Auto,
}

// === impl Turns ===

impl<'a> Turns<'a> {
    /// The largest number of turns that are given. What stands behind them is left in [`rest`](Self::rest).
    pub const MAX: usize = 16_384;

    pub(crate) fn of(turns: Option<RawJson<'a>>) -> Self {
        let single = turns.filter(|turns| !turns.is_array());
        Self { single, elements: turns.map(RawJson::elements).unwrap_or_default(), left: Self::MAX }
    }

    /// Returns what was not given, as it is written: nothing, a bracket, or the turns beyond [`MAX`](Self::MAX).
    #[must_use]
    pub const fn rest(&self) -> &'a str {
        self.elements.rest()
    }
}

impl<'a> Iterator for Turns<'a> {
    type Item = Turn<'a>;

    fn next(&mut self) -> Option<Turn<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.single.take().or_else(|| self.elements.next()).map(Turn::of)
    }
}

// === impl Turn ===

impl<'a> Turn<'a> {
    /// Reads an element of a conversation.
    #[must_use]
    pub fn of(raw: RawJson<'a>) -> Self {
        let mut turn = Self { role: Role::User, content: None, name: None, raw, calls: None, images: None };
        if !raw.is_object() {
            turn.content = Some(raw);
            return turn;
        }
        let (mut role, mut kind) = (None, None);
        for (key, value) in raw.members().filter(|(_, value)| !value.is_null()) {
            let slot = match key.text().as_deref() {
                Some("role") => &mut role,
                Some("type") => &mut kind,
                Some("content" | "parts") => &mut turn.content,
                Some("name") => &mut turn.name,
                Some("tool_calls" | "function_call") => &mut turn.calls,
                Some("images") => &mut turn.images,
                _ => continue,
            };
            *slot = Some(value);
        }
        turn.role = Role::of(role, kind);
        turn
    }

    /// Returns the parts of the content, and after them Ollama's images and what OpenAI calls `tool_calls`.
    ///
    /// An item of Responses that is no message (a call, the answer of a tool) is one part.
    pub fn parts(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let content = self.content.unwrap_or_else(|| if self.calls.is_some() { RawJson::new("[]") } else { self.raw });
        let single = Some(content).filter(|content| !content.is_array());
        let images = self.images.into_iter().flat_map(RawJson::elements);
        let image = |raw| Part::Image { detail: ImageDetail::Auto, raw };
        let parts = single.into_iter().chain(content.elements()).map(Part::of);
        parts.chain(images.map(image)).chain(self.calls.map(Part::Other))
    }
}

// === impl Role ===

impl Role {
    fn of(role: Option<RawJson<'_>>, kind: Option<RawJson<'_>>) -> Self {
        if let Some(role) = role.and_then(RawJson::text) {
            return match &*role {
                "system" => Self::System,
                "developer" => Self::Developer,
                "user" => Self::User,
                "assistant" | "model" => Self::Assistant,
                "tool" | "function" => Self::Tool,
                _ => Self::Other,
            };
        }
        // The items of Responses have a type; what is no message is said by the model, or answers it.
        match kind.and_then(RawJson::text).as_deref() {
            None | Some("message") => Self::User,
            Some(kind) if kind.ends_with("_output") => Self::Tool,
            Some(_) => Self::Assistant,
        }
    }

    /// Returns the name that OpenAI's API gives it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Other => "other",
        }
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    fn of(raw: RawJson<'a>) -> Self {
        if raw.is_string() {
            return Self::Text(raw);
        }
        let (mut text, mut image, mut detail, mut kind, mut data) = (None, None, None, None, None);
        for (key, value) in raw.members() {
            let slot = match key.text().as_deref() {
                Some("text") => &mut text,
                Some("image_url" | "source") => &mut image,
                Some("detail") => &mut detail,
                Some("type") => &mut kind,
                Some("inlineData" | "inline_data" | "fileData" | "file_data") => &mut data,
                _ => continue,
            };
            *slot = Some(value);
        }
        let kind = kind.and_then(RawJson::text);
        let named = matches!(kind.as_deref(), Some("image" | "image_url" | "input_image"));
        if named || data.is_some_and(is_image) {
            let inner = image.and_then(|image| image.member("detail"));
            return Self::Image { detail: ImageDetail::of(detail.or(inner)), raw };
        }
        text.filter(|text| text.is_string()).map_or(Self::Other(raw), Self::Text)
    }

    /// Returns whether it is an image.
    #[must_use]
    pub const fn is_image(self) -> bool {
        matches!(self, Self::Image { .. })
    }
}

fn is_image(data: RawJson<'_>) -> bool {
    let kind = data.member("mimeType").or_else(|| data.member("mime_type"));
    kind.and_then(RawJson::text).is_some_and(|kind| kind.starts_with("image/"))
}

// === impl ImageDetail ===

impl ImageDetail {
    fn of(detail: Option<RawJson<'_>>) -> Self {
        match detail.and_then(RawJson::text).as_deref() {
            Some("low") => Self::Low,
            Some("high" | "original") => Self::High,
            _ => Self::Auto,
        }
    }
}
