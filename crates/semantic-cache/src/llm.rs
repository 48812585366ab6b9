//! Questions to language models, and their answers.

mod canonical;
#[cfg(test)]
mod canonical_model;
mod chat;
mod events;
mod judge;
mod members;
mod model_judge;
mod personal;

use std::{hash::Hash, sync::Arc};

use buttress_core::{Payload, Usage};
use buttress_llm::{Call, Format, Operation, Outline, Part, RawJson, Role, Spot, Turn, Turns};
use http::{HeaderMap, Request};

use self::canonical::Body;
pub use self::model_judge::{ModelJudge, ModelJudgeConfig, ModelJudgeError, ModelJudgeErrorKind, ModelJudgeFuture};
use crate::{Admit, Ask, Asked, Asking, Bypass, Draft, Mark, Shape, Stored, Unfit};

/// Reads the questions to language models, and their answers, in every format that `buttress-llm` knows.
///
/// # What makes a question
///
/// Tenant, operation, path, model, the headers that choose a version of the API, and the whole body: its JSON in one order of
/// members, numbers by their value, without `null` and, for OpenAI's chats, without what is the default anyway. Texts count
/// to the letter. Whether a stream is asked for makes no difference to OpenAI's chats, since one is made of the other; in any other
/// format an answer is given in the form it came in.
///
/// The last turn of the user, if it is a text, is the question's [text](Asked::text), and all else is its
/// [scope](Asked::scope).
///
/// # What is left alone
///
/// Unless it is allowed: what has [tools](Self::with_tools), what is [sampled](Self::sampled) (there is no `temperature`, or it is not
/// 0), what has [anything but text](Self::with_media), and what seems to be [personal](Self::personal): mail addresses, telephone
/// and card numbers, keys. In any case: what asks for several answers or for `logprobs`, what goes on from something
/// that the provider remembers, and a body of more than [`Outline::MOST`] values.
///
/// # What is not kept
///
/// An answer that is not whole by its own format; that ended for another reason than being done; that calls a tool, unless that is
/// allowed, or refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conversations {
    allowed: Allowed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Allowed {
    tools: bool,
    sampled: bool,
    media: bool,
    personal: bool,
}

/// Headers that choose a version of an API, or what it may do.
const VERSIONS: [&str; 6] = [
    "anthropic-beta",
    "anthropic-version",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
];

// === impl Conversations ===

impl Conversations {
    /// Deals only with what has one right answer: no tools, a temperature of 0, text alone, nothing personal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows answers whose words are chosen at random: those to whom they are given again have all the same one.
    #[must_use]
    pub const fn sampled(mut self) -> Self {
        self.allowed.sampled = true;
        self
    }

    /// Allows tools: calls that a model made once are made again.
    #[must_use]
    pub const fn with_tools(mut self) -> Self {
        self.allowed.tools = true;
        self
    }

    /// Allows images, sounds and files.
    #[must_use]
    pub const fn with_media(mut self) -> Self {
        self.allowed.media = true;
        self
    }

    /// Allows what seems to be personal.
    #[must_use]
    pub const fn personal(mut self) -> Self {
        self.allowed.personal = true;
        self
    }

    fn check(&self, body: &Body<'_, '_>) -> Result<(), Bypass> {
        let details = body.details();
        if body.is_stateful() {
            return Err(Bypass::Stateful);
        }
        if details.choices() > 1 || body.asks_for_more() {
            return Err(Bypass::Several);
        }
        if !self.allowed.tools && (details.tools().is_some() || body.has_tools()) {
            return Err(Bypass::Tools);
        }
        let chosen =
            matches!(details.operation(), Operation::Embeddings | Operation::EmbedContent | Operation::OllamaEmbed);
        if !self.allowed.sampled && !chosen && details.sampling().temperature != Some(0.0) {
            return Err(Bypass::Sampled);
        }
        if let Some(turns) = body.turns().filter(|turns| turns.first() == b'[') {
            return self.check_spots(turns.elements());
        }
        let mut turns = details.turns();
        turns.by_ref().try_for_each(|turn| self.check_turn(&turn))?;
        // What has more turns than are looked at is not understood.
        if turns.rest().trim_start_matches([' ', ']']).is_empty() { Ok(()) } else { Err(Bypass::Kind) }
    }

    fn check_spots<'o, 'a: 'o>(&self, mut turns: impl Iterator<Item = Spot<'o, 'a>>) -> Result<(), Bypass> {
        turns.by_ref().take(Turns::MAX).try_for_each(|turn| match canonical::plain_turn(turn) {
            Some(text) => self.check_text(text),
            None => self.check_turn(&Turn::of(turn.raw())),
        })?;
        if turns.next().is_none() { Ok(()) } else { Err(Bypass::Kind) }
    }

    fn check_turn(&self, turn: &Turn<'_>) -> Result<(), Bypass> {
        if turn.role == Role::Tool && !self.allowed.tools {
            return Err(Bypass::Tools);
        }
        turn.parts().try_for_each(|part| match part {
            Part::Other(raw) if is_call(raw) && !self.allowed.tools => Err(Bypass::Tools),
            Part::Other(raw) if is_call(raw) => Ok(()),
            Part::Image { .. } | Part::Other(_) if !self.allowed.media => Err(Bypass::Media),
            Part::Text(text) => self.check_text(text),
            _ => Ok(()),
        })
    }

    fn check_text(&self, text: RawJson<'_>) -> Result<(), Bypass> {
        if !self.allowed.personal && personal::is_in(text.as_str()) { Err(Bypass::Personal) } else { Ok(()) }
    }
}

impl Ask<Request<Payload>> for Conversations {
    fn ask(&self, request: &Request<Payload>, asking: Asking) -> Result<Asked, Bypass> {
        let read;
        let call = match request.extensions().get::<Call>() {
            Some(call) => call,
            None => {
                read = Call::read(request).map_err(|_| Bypass::Kind)?;
                &read
            }
        };
        let format = format_of(call.operation()).ok_or(Bypass::Kind)?;
        let text = std::str::from_utf8(request.body().bytes()).map_err(|_| Bypass::Kind)?;
        let outline = Outline::read(text).ok_or(Bypass::Kind)?;
        let body = Body::read(outline.root(), call.operation(), format).ok_or(Bypass::Kind)?;
        self.check(&body)?;
        let shape = Shape { stream: call.stream(), usage: body.details().asks_for_usage() };
        let model = call.model().unwrap_or_default();
        let common = |hasher: &mut crate::KeyHasher| {
            (call.operation().as_str(), format as u8, model).hash(hasher);
            (request.uri().path(), request.uri().query()).hash(hasher);
            versions(request.headers()).hash(hasher);
            if format != Format::Chat {
                (shape.stream, shape.usage).hash(hasher);
            }
            body.tell_scope(hasher);
        };
        let last = body.last_text().map(Box::from);
        let mut question = asking.question(common, |hasher| body.tell_last(hasher), last);
        question.format = Some(format);
        Ok(question.shaped(shape).marked(Mark::model(model)))
    }
}

impl Admit for Conversations {
    fn admit(&self, question: &Asked, answer: &Draft) -> Result<Option<Usage>, Unfit> {
        let format = question.format.ok_or(Unfit::Malformed)?;
        judge::judge(format, answer, self.allowed.tools)
    }

    fn reshape(&self, question: &Asked, answer: &Arc<Stored>) -> Option<Arc<Stored>> {
        let (asked, has) = (question.shape, answer.shape);
        if asked.stream == has.stream && (!asked.stream || asked.usage == has.usage) {
            return Some(Arc::clone(answer));
        }
        let is_chat = question.format == Some(Format::Chat);
        let made = match (is_chat, has.stream) {
            (false, _) => None,
            (true, true) if asked.stream => None,
            (true, true) => chat::whole(answer),
            (true, false) => chat::stream(answer, asked.usage),
        };
        made.map(Arc::new)
    }

    fn words(&self, question: &Asked, answer: &Stored) -> Option<String> {
        let values = events::values_of(answer)?;
        let words = events::words(question.format?, &values);
        (!words.is_empty()).then_some(words)
    }
}

/// Returns the first value of each of [`VERSIONS`]. There are few headers, and to look through them takes less than to make a name of
/// each text.
fn versions(headers: &HeaderMap) -> [Option<&[u8]>; VERSIONS.len()] {
    let mut found = [None; VERSIONS.len()];
    for (name, value) in headers {
        if let Some(at) = VERSIONS.iter().position(|version| *version == name.as_str()) {
            found[at].get_or_insert(value.as_bytes());
        }
    }
    found
}

/// Returns the format of what is cached.
const fn format_of(operation: Operation) -> Option<Format> {
    Some(match operation {
        Operation::ChatCompletions => Format::Chat,
        Operation::Completions => Format::Completions,
        Operation::Responses => Format::Responses,
        Operation::Messages => Format::Messages,
        Operation::GenerateContent | Operation::StreamGenerateContent => Format::Gemini,
        Operation::OllamaChat | Operation::OllamaGenerate => Format::Ollama,
        Operation::Embeddings | Operation::EmbedContent | Operation::OllamaEmbed => Format::Json,
        _ => return None,
    })
}

/// Returns whether a part of a turn calls a tool, or answers one.
fn is_call(part: RawJson<'_>) -> bool {
    let kind = part.member("type").and_then(RawJson::text);
    part.is_array()
        || part.member("functionCall").or_else(|| part.member("functionResponse")).is_some()
        || part.member("name").is_some_and(|_| part.member("arguments").is_some())
        || kind.is_some_and(|kind| kind.contains("tool") || kind.contains("_call"))
}
