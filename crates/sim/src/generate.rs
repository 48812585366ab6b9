//! Answers that are text, or a call of a tool, in every API.

use std::time::Duration;

use bytes::Bytes;

use crate::admission::Refused;
use crate::answer::{Admit, Ask, Draft};
use crate::asked::Asked;
use crate::fault::Fault;
use crate::plan::{Body, Mark, Pace, Part};
use crate::request::{self as read, Chat, ChatRequest};
use crate::route::{Endpoint, wants_events};
use crate::seed::Seeded;
use crate::wire::chat::{Completion, Finish, Tool, Usage, words};
use crate::wire::ollama::Shape;
use crate::wire::sequence::Framing;
use crate::wire::stream::Options;
use crate::wire::voice::{Form, Voice};
use crate::wire::{anthropic, gemini, models, ollama, responses, stream, text};

/// How often a stream that waits for its first content says so, where its dialect does.
const COMMENT_EVERY: Duration = Duration::from_secs(1);
/// The most comments before the first content.
const MAX_COMMENTS: u32 = 1000;

// === impl Ask ===

impl Ask<'_> {
    pub(crate) fn generate(&self, seeded: &mut Seeded, admit: Admit<'_>) -> Result<Draft, Refused> {
        let (model, chat) = self.understand()?;
        let snapshot = self.admit(chat.prompt_tokens.saturating_add(chat.max_tokens.unwrap_or(0)), &model, admit)?;
        let completion = self.complete(&model, chat, seeded);
        let form = self.form();
        let voice = Voice {
            dialect: self.route.dialect,
            form,
            id: completion.id.clone(),
            created: completion.created,
            model: completion.model.clone(),
        };
        let pace = self.pace();
        let stream = match self.route.endpoint {
            Endpoint::Generate(_) => false,
            Endpoint::StreamGenerate(_) => true,
            _ => chat.stream,
        };
        if !stream {
            let tokens = completion.usage.completion;
            let mut json = self.write(&completion);
            if self.fault == Some(&Fault::NoUsage) {
                json = without_usage(&json);
            }
            return Ok(self.whole(json, pace.whole(tokens), snapshot, voice));
        }
        let mut parts = self.stream(&completion, pace, chat.options);
        if self.fault == Some(&Fault::NoUsage) {
            drop_usage(&mut parts);
        }
        self.comment(&mut parts);
        Ok(Draft { body: Body::events(parts), delay: Duration::ZERO, snapshot, voice })
    }

    /// What a prompt would count as.
    pub(crate) fn count(&self, admit: Admit<'_>) -> Result<Draft, Refused> {
        let (model, chat) = self.understand()?;
        let snapshot = self.admit(0, &model, admit)?;
        let json = match self.route.endpoint {
            Endpoint::CountTokens => anthropic::count(chat.prompt_tokens),
            _ => gemini::count(chat.prompt_tokens),
        };
        let (id, dialect, created) = (String::new(), self.route.dialect, self.created);
        let voice = Voice { dialect, form: Form::Other, id, created, model };
        Ok(self.whole(json, Duration::ZERO, snapshot, voice))
    }

    /// The model and the rest of the request. The model is checked first, as providers do.
    fn understand(&self) -> Result<(String, Chat), Refused> {
        let body = self.body.clone()?;
        let loose = |asked: Asked| {
            self.model(asked.model.as_deref(), "gpt-4o-mini").map(|model| (model.to_owned(), asked.chat))
        };
        match self.route.endpoint {
            Endpoint::Completions => loose(Asked::text(body)?),
            Endpoint::Responses => loose(Asked::responses(body)?),
            Endpoint::Messages => loose(Asked::messages(body)?),
            Endpoint::CountTokens => loose(Asked::count(body)?),
            Endpoint::OllamaChat => loose(Asked::ollama_chat(body)?),
            Endpoint::OllamaGenerate => loose(Asked::ollama_generate(body)?),
            Endpoint::Generate(model) | Endpoint::StreamGenerate(model) | Endpoint::GeminiCount(model) => {
                self.check_model(model)?;
                Ok((model.to_owned(), Asked::gemini(body)?.chat))
            }
            _ => {
                let request: ChatRequest<'_> = read::read(body)?;
                let model = self.model(request.model.as_deref(), "gpt-4o-mini")?.to_owned();
                Ok((model, request.check()?))
            }
        }
    }

    fn complete(&self, model: &str, chat: Chat, seeded: &mut Seeded) -> Completion {
        let (shortest, longest) = (*self.config.length.start(), *self.config.length.end());
        let length = shortest + seeded.below(u64::from(longest - shortest) + 1) as u32;
        let mut allowed = length.min(chat.max_tokens.unwrap_or(length));
        let mut finish = if allowed < length { Finish::Length } else { Finish::Stop };
        if let Some(Fault::Filtered { content }) = self.fault {
            allowed = allowed.min(u32::try_from(*content).unwrap_or(u32::MAX));
            finish = Finish::Filter;
        }
        let tool = match self.fault {
            Some(Fault::ToolCall { name, arguments }) => {
                finish = Finish::Tool;
                let arguments = if arguments.is_null() { "{}".to_owned() } else { arguments.to_string() };
                Some(Tool { name: name.clone(), arguments })
            }
            _ => None,
        };
        let token = seeded.base62(29);
        let id = match self.route.endpoint {
            Endpoint::Completions => format!("cmpl-{token}"),
            Endpoint::Responses => format!("resp_{token}"),
            Endpoint::Messages => format!("msg_{token}"),
            Endpoint::Generate(_) | Endpoint::StreamGenerate(_) => token.clone(),
            _ => format!("chatcmpl-{token}"),
        };
        let words = words(seeded, if tool.is_some() { 0 } else { allowed });
        Completion {
            dialect: self.route.dialect,
            id,
            token,
            created: self.created,
            model: models::snapshot(model).to_owned(),
            fingerprint: self.config.fingerprint.clone(),
            words,
            finish,
            usage: Usage { prompt: chat.prompt_tokens, completion: allowed },
            tool,
        }
    }

    fn form(&self) -> Form {
        match self.route.endpoint {
            Endpoint::Completions => Form::Text,
            Endpoint::Responses => Form::Responses,
            Endpoint::Messages => Form::Messages,
            Endpoint::Generate(_) => Form::Gemini(Framing::Single),
            Endpoint::StreamGenerate(_) if wants_events(self.head.uri.query()) => Form::Gemini(Framing::Events),
            Endpoint::StreamGenerate(_) => Form::Gemini(Framing::Array),
            Endpoint::OllamaChat | Endpoint::OllamaGenerate => Form::Ollama,
            _ => Form::Chat,
        }
    }

    fn shape(&self) -> Shape {
        if self.route.endpoint == Endpoint::OllamaGenerate { Shape::Generate } else { Shape::Chat }
    }

    fn write(&self, completion: &Completion) -> String {
        match self.form() {
            Form::Text => text::json(completion),
            Form::Responses => responses::json(completion),
            Form::Messages => anthropic::json(completion),
            Form::Gemini(_) => gemini::json(completion),
            Form::Ollama => ollama::json(completion, self.shape()),
            Form::Chat | Form::Other => completion.json(),
        }
    }

    fn stream(&self, completion: &Completion, pace: Pace, options: Options) -> Vec<Part> {
        match self.form() {
            Form::Text => text::events(completion, pace, options),
            Form::Responses => responses::events(completion, pace),
            Form::Messages => anthropic::events(completion, pace),
            Form::Gemini(framing) => gemini::events(completion, pace, framing),
            Form::Ollama => ollama::events(completion, pace, self.shape()),
            Form::Chat | Form::Other => stream::events(completion, pace, options),
        }
    }

    /// Comments at once and then again and again until the first content, where the dialect has them.
    fn comment(&self, parts: &mut Vec<Part>) {
        let Some(comment) = self.route.dialect.habits().comment else { return };
        let bytes = Bytes::from(format!("{comment}\n\n"));
        let Some(first) = parts.iter().position(|part| part.mark == Mark::Content) else { return };
        let wait = parts[first].wait;
        let count = (wait.as_millis() / COMMENT_EVERY.as_millis()).min(u128::from(MAX_COMMENTS)) as u32;
        parts[first].wait = wait.saturating_sub(COMMENT_EVERY * count);
        let again = Part::new(COMMENT_EVERY, Mark::Comment, bytes.clone());
        parts.splice(first..first, std::iter::repeat_n(again, count as usize));
        parts.insert(0, Part::new(Duration::ZERO, Mark::Comment, bytes));
    }
}

/// The fields that tell what an answer cost.
const USAGE: [&str; 4] = ["usage", "usageMetadata", "prompt_eval_count", "eval_count"];

/// Takes out what an answer cost. Parsing it again is no matter here: this is what a fault does.
fn without_usage(json: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(json) else { return json.to_owned() };
    strip(&mut value);
    value.to_string()
}

fn strip(value: &mut serde_json::Value) {
    let Some(fields) = value.as_object_mut() else { return };
    // A null promises what then does not come, and what an answer begins with is not its cost.
    fields.retain(|name, value| value.is_null() || !USAGE.contains(&name.as_str()));
    if let Some(response) = fields.get_mut("response") {
        strip(response);
    }
}

fn drop_usage(parts: &mut Vec<Part>) {
    parts.retain(|part| part.mark != Mark::Usage);
    for part in parts {
        let text = String::from_utf8_lossy(&part.bytes).into_owned();
        let (Some(start), Some(end)) = (text.find('{'), text.rfind('}')) else { continue };
        // An array's bracket and comma, an event's name, stay as they are.
        let json = without_usage(&text[start..=end]);
        part.bytes = Bytes::from(format!("{}{json}{}", &text[..start], &text[end + 1..]));
    }
}
