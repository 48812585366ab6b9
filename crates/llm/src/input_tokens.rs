//! How many tokens a whole request has.

use std::borrow::Cow;

use crate::{
    ImageDetail, Operation, Part, RawJson, RequestDetails, TokenCounter, Turns, guess, image_tokens, turns::Turn,
};

/// How many tokens a request puts in. See [`TokenCounter::input`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputTokens {
    /// The tokens of everything that can be counted or estimated.
    pub tokens: u64,
    /// Whether every text was counted by the model's own encoding. What a provider puts around the texts may still change.
    pub exact: bool,
    /// How many images there are.
    pub images: u64,
    /// How many parts there are whose tokens the request does not tell, and which are not in `tokens`: sounds and files.
    pub unknown: u64,
}

/// What is being counted.
struct Tally<'c> {
    counter: &'c TokenCounter,
    operation: Operation,
    /// How many bytes may still be counted exactly.
    left: usize,
    sum: InputTokens,
}

/// A turn costs this beside its texts.
const PER_TURN: u64 = 3;
/// Every answer is begun with this.
const PER_ANSWER: u64 = 3;
/// A turn with a name costs this beside the name.
const PER_NAME: u64 = 1;

impl TokenCounter {
    /// Counts the tokens that a request puts in: its turns and what stands around them, its tools and its images.
    ///
    /// What is around the texts follows OpenAI's cookbook ("How to count tokens with tiktoken"): 3 tokens a message, 1 a
    /// name, 3 for the beginning of the answer, and its formula for tools. The schema below a tool's own parameters, and a
    /// schema of the answer, are counted as text. Requests of other formats are counted the same way, which is an estimate.
    ///
    /// An image counts by OpenAI's documented rule for the model, by Anthropic's or by Gemini's; since its size is not
    /// looked for, 1,024 by 1,024 pixels are assumed, and `detail` of `auto` is taken as `high`.
    ///
    /// The time is linear in the body. It never panics; of a body that is not understood, it counts what it finds.
    #[must_use]
    pub fn input(&self, details: &RequestDetails<'_>) -> InputTokens {
        let sum = InputTokens { exact: self.is_exact(0), ..InputTokens::default() };
        let mut tally = Tally { counter: self, operation: details.operation(), left: self.limit(), sum };
        if details.operation().is_conversation() {
            tally.conversation(details);
        } else {
            let mut turns = details.turns();
            turns.by_ref().for_each(|turn| tally.parts(&turn));
            tally.beyond(&turns);
        }
        tally.sum
    }

    /// Returns how many tokens an image has by OpenAI's rule for the model: of the size (width, height) in pixels, or of
    /// 1,024 by 1,024 where that is not known.
    #[must_use]
    pub fn image(&self, detail: ImageDetail, size: Option<(u32, u32)>) -> u64 {
        self.images.tokens(detail, size)
    }
}

impl Tally<'_> {
    fn conversation(&mut self, details: &RequestDetails<'_>) {
        for instruction in details.instructions() {
            self.sum.tokens += PER_TURN + 1;
            self.parts(&Turn::of(instruction));
        }
        let mut turns = details.turns();
        for turn in turns.by_ref() {
            self.sum.tokens += PER_TURN;
            self.text(turn.role.as_str());
            if let Some(name) = turn.name {
                self.sum.tokens += PER_NAME;
                self.raw(name);
            }
            self.parts(&turn);
        }
        self.beyond(&turns);
        self.tools(details);
        if let Some(schema) = details.response_format().filter(|format| format.is_object()) {
            let schema = schema.member("json_schema").or_else(|| schema.member("schema"));
            schema.into_iter().for_each(|schema| self.raw(schema));
        }
        self.sum.tokens += PER_ANSWER;
    }

    fn parts(&mut self, turn: &Turn<'_>) {
        turn.parts().for_each(|part| match part {
            Part::Text(text) => self.raw(text),
            Part::Image { detail, .. } => {
                self.sum.images += 1;
                let tokens = image_tokens::elsewhere(self.operation);
                self.sum.tokens += tokens.unwrap_or_else(|| self.counter.image(detail, None));
            }
            Part::Other(raw) if is_blob(raw) => self.sum.unknown += 1,
            // A number among texts is a token already.
            Part::Other(raw) if !raw.is_object() && !raw.is_array() => self.sum.tokens += 1,
            Part::Other(raw) => self.raw(raw),
        });
    }

    /// Counts a string by what it stands for, and anything else as it is written.
    fn raw(&mut self, raw: RawJson<'_>) {
        // What will be estimated need not be copied to be unescaped.
        let text = if raw.as_str().len() <= self.left { raw.text() } else { None };
        self.text(&text.unwrap_or(Cow::Borrowed(raw.as_str())));
    }

    fn text(&mut self, text: &str) {
        if let Some(left) = self.left.checked_sub(text.len()).filter(|_| self.counter.is_exact(text.len())) {
            self.left = left;
            self.sum.tokens += self.counter.count(text);
        } else {
            self.sum.exact = false;
            self.sum.tokens += guess::tokens(text);
        }
    }

    fn beyond(&mut self, turns: &Turns<'_>) {
        if turns.rest().len() > 1 {
            self.sum.exact = false;
            self.sum.tokens += guess::tokens(turns.rest());
        }
    }

    fn tools(&mut self, details: &RequestDetails<'_>) {
        const END: u64 = 12;
        let Some(tools) = details.tools() else { return };
        for tool in tools.raw.elements() {
            let declared = tool.member("functionDeclarations").or_else(|| tool.member("function_declarations"));
            match declared {
                Some(declared) => declared.elements().for_each(|tool| self.tool(tool)),
                None => self.tool(tool.member("function").unwrap_or(tool)),
            }
        }
        self.sum.tokens += END;
    }

    fn tool(&mut self, tool: RawJson<'_>) {
        const PROPERTIES: u64 = 3;
        self.sum.tokens += self.counter.tool_start;
        self.line(&[tool.member("name"), tool.member("description")]);
        let schema = ["parameters", "input_schema", "parametersJsonSchema"].iter().find_map(|name| tool.member(name));
        let Some(properties) = schema.and_then(|schema| schema.member("properties")) else { return };
        let mut properties = properties.members().peekable();
        self.sum.tokens += if properties.peek().is_some() { PROPERTIES } else { 0 };
        properties.for_each(|(name, property)| self.property(name, property));
    }

    fn property(&mut self, name: RawJson<'_>, property: RawJson<'_>) {
        const PROPERTY: u64 = 3;
        const CHOICE: u64 = 3;
        self.sum.tokens += PROPERTY;
        let choices = property.member("enum").into_iter().flat_map(RawJson::elements);
        for (at, choice) in choices.enumerate() {
            // The first choice costs its tokens only.
            self.sum.tokens += if at == 0 { 0 } else { CHOICE };
            self.raw(choice);
        }
        self.line(&[Some(name), property.member("type"), property.member("description")]);
        for deeper in ["items", "properties", "anyOf"].iter().filter_map(|name| property.member(name)) {
            self.raw(deeper);
        }
    }

    /// Counts texts that are written on one line with colons between them, without the full stop at its end.
    fn line(&mut self, texts: &[Option<RawJson<'_>>]) {
        let texts = texts.iter().map(|raw| raw.and_then(RawJson::text).unwrap_or_default());
        let line = texts.collect::<Vec<_>>().join(":");
        self.text(line.strip_suffix('.').unwrap_or(&line));
    }
}

/// Returns whether a part holds a sound or a file, or says where one is.
fn is_blob(raw: RawJson<'_>) -> bool {
    const NAMES: [&str; 8] =
        ["input_audio", "audio", "file", "file_data", "file_id", "inlineData", "fileData", "source"];
    raw.is_object() && raw.members().any(|(key, _)| key.text().is_some_and(|key| NAMES.contains(&&*key)))
}
