//! From a request to the plan of its answer: a pure function of the request, the configuration, the seed and the fault.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode, request};
use serde_json::Value;

use crate::admission::Refused;
use crate::fault::Fault;
use crate::limits::{Denied, Snapshot};
use crate::plan::{Body, Ending, Mark, Pace, Part, Plan};
use crate::profile::Profile;
use crate::request::{self as read, EmbeddingsRequest, Named};
use crate::route::{Endpoint, Route};
use crate::seed::Seeded;
use crate::strike::Strike;
use crate::wire::error::ApiError;
use crate::wire::headers::{CLIENT_REQUEST_ID, Facts};
use crate::wire::sequence::Framing;
use crate::wire::voice::{Form, Voice};
use crate::wire::{Dialect, embeddings, gemini, hint, models, ollama};

/// What a target is.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) region: HeaderValue,
    pub(crate) pace: Pace,
    pub(crate) length: RangeInclusive<u32>,
    pub(crate) seed: u64,
    pub(crate) api_key: Option<String>,
    /// The profile after the start and after each reset.
    pub(crate) profile: Profile,
    /// `None` serves any model.
    pub(crate) models: Option<Vec<String>>,
    pub(crate) fingerprint: String,
}

/// One request and what decides its answer.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) config: &'a Config,
    pub(crate) head: &'a request::Parts,
    pub(crate) route: Route<'a>,
    /// Why there is no body, if it was refused.
    pub(crate) body: Result<&'a [u8], ApiError>,
    pub(crate) created: u64,
    pub(crate) fault: Option<&'a Fault>,
}

/// The limiter's door: asked with the size of a request, or without one for the state alone.
pub(crate) type Admit<'a> = &'a mut dyn FnMut(Option<u32>) -> Result<Snapshot, Denied>;

/// An answer before its headers.
pub(crate) struct Draft {
    pub(crate) body: Body,
    pub(crate) delay: Duration,
    pub(crate) snapshot: Snapshot,
    pub(crate) voice: Voice,
}

// === impl Ask ===

impl Ask<'_> {
    pub(crate) fn answer(&self, seeded: &mut Seeded, admit: Admit<'_>) -> Plan {
        if let Some(plan) = self.made_up(seeded, admit) {
            return plan;
        }
        let draft = match self.draft(seeded, admit) {
            Ok(draft) => draft,
            Err(Refused { error, snapshot }) => {
                let snapshot = snapshot.unwrap_or_else(|| state(admit));
                return self.error(&error, snapshot, seeded);
            }
        };
        let mut plan = Plan {
            status: StatusCode::OK,
            headers: self.headers(draft.snapshot, draft.body.is_stream().then_some(draft.voice.form), seeded),
            delay: draft.delay,
            body: draft.body,
            ending: Ending::Complete,
        };
        if let Some(fault) = self.fault {
            Strike { plan: &mut plan, voice: &draft.voice }.apply(fault);
        }
        plan
    }

    /// The answer of a fault that has nothing to do with the request.
    fn made_up(&self, seeded: &mut Seeded, admit: Admit<'_>) -> Option<Plan> {
        let dialect = self.route.dialect;
        match self.fault? {
            Fault::Provider { error, retry_after_ms } => {
                let retry = retry_after_ms.map(Duration::from_millis);
                let error = ApiError::provider(*error, dialect, &self.named_model(), retry);
                let snapshot = error.exhaust(state(admit));
                Some(self.error(&error, snapshot, seeded))
            }
            Fault::Hinted { error, hint, retry_after_ms } => {
                let retry = retry_after_ms.map(Duration::from_millis);
                let error = ApiError::hinted(*error, dialect, &self.named_model(), *hint, retry);
                Some(self.error(&error, state(admit), seeded))
            }
            Fault::Status(fault) => {
                let (status, extra, body) = fault.parts();
                let error = ApiError::for_status(status, dialect, &self.named_model());
                let mut plan = self.plain(status, state(admit), seeded);
                let body = body.cloned().unwrap_or_else(|| error.body(dialect));
                plan.body = self.body_of(&body, &mut plan.headers);
                for name in extra.keys() {
                    plan.headers.remove(name);
                }
                plan.headers.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
                Some(plan)
            }
            _ => None,
        }
    }

    fn draft(&self, seeded: &mut Seeded, admit: Admit<'_>) -> Result<Draft, Refused> {
        self.admissible()?;
        match self.route.endpoint {
            Endpoint::Chat
            | Endpoint::Completions
            | Endpoint::Responses
            | Endpoint::Messages
            | Endpoint::Generate(_)
            | Endpoint::StreamGenerate(_)
            | Endpoint::OllamaChat
            | Endpoint::OllamaGenerate => self.generate(seeded, admit),
            Endpoint::CountTokens | Endpoint::GeminiCount(_) => self.count(admit),
            Endpoint::Embeddings => self.embeddings(admit),
            _ => self.look_up(admit),
        }
    }

    /// What is there to be read, and costs nothing.
    fn look_up(&self, admit: Admit<'_>) -> Result<Draft, Refused> {
        let json = match self.route.endpoint {
            Endpoint::Models => models::list(self.served()),
            Endpoint::Model(id) => {
                self.check_model(id)?;
                models::model(id)
            }
            Endpoint::GeminiModels => {
                let models: Vec<_> = self.served().into_iter().map(gemini::model).collect();
                serde_json::json!({ "models": models }).to_string()
            }
            Endpoint::GeminiModel(id) => {
                self.check_model(id)?;
                gemini::model(id).to_string()
            }
            Endpoint::OllamaTags => ollama::tags(self.served()),
            Endpoint::OllamaVersion => ollama::version(),
            Endpoint::OllamaRunning => ollama::running(self.served(), self.created),
            Endpoint::OllamaRoot => ollama::RUNNING.to_owned(),
            Endpoint::Health => String::new(),
            _ => return Err(self.unknown().into()),
        };
        Ok(self.whole(json, Duration::ZERO, state(admit), self.other()))
    }

    fn embeddings(&self, admit: Admit<'_>) -> Result<Draft, Refused> {
        let request: EmbeddingsRequest<'_> = read::read(self.body.clone()?)?;
        let model = self.model(request.model.as_deref(), "text-embedding-3-small")?;
        let wanted = request.check(model)?;
        let snapshot = self.admit(wanted.tokens, model, admit)?;
        let json = embeddings::json(&wanted.inputs, wanted.dimensions, wanted.encoding, model, wanted.tokens);
        Ok(self.whole(json, self.pace().first_token, snapshot, self.other()))
    }

    pub(crate) fn admit(&self, tokens: u32, model: &str, admit: Admit<'_>) -> Result<Snapshot, Refused> {
        admit(Some(tokens)).map_err(|denied| Refused {
            error: Box::new(ApiError::denied(&denied, self.route.dialect, model)),
            snapshot: Some(denied.snapshot),
        })
    }

    /// The model a made-up error speaks of.
    fn named_model(&self) -> String {
        let asked = || {
            let body = self.body.as_ref().ok()?;
            // Only the model is of interest, whatever the API.
            let request: Named<'_> = serde_json::from_slice(body).ok()?;
            Some(request.model?.into_owned())
        };
        let deployment = self.route.deployment.map(str::to_owned).or_else(|| match self.route.endpoint {
            Endpoint::Generate(model) | Endpoint::StreamGenerate(model) | Endpoint::GeminiCount(model) => {
                Some(model.to_owned())
            }
            _ => None,
        });
        deployment.or_else(asked).unwrap_or_else(|| "gpt-4o-mini".to_owned())
    }

    fn served(&self) -> Vec<&str> {
        match &self.config.models {
            Some(models) => models.iter().map(String::as_str).collect(),
            None => models::KNOWN.iter().map(|(name, _)| *name).collect(),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.config.pace.under(self.fault)
    }

    /// An answer of one piece. Where the dialect sends blank lines meanwhile, the headers do not wait for it.
    pub(crate) fn whole(&self, json: String, delay: Duration, snapshot: Snapshot, voice: Voice) -> Draft {
        let mut delay = delay.max(match self.fault {
            Some(Fault::SlowFirstToken { ms }) => Duration::from_millis(*ms),
            _ => Duration::ZERO,
        });
        let mut body = Body::whole(Bytes::from(json));
        if voice.dialect.habits().blank_lines && voice.form != Form::Other {
            body.parts[0].wait = std::mem::take(&mut delay);
            body.parts.insert(0, Part::new(Duration::ZERO, Mark::Comment, Bytes::from_static(b"\n\n")));
            body.announced = None;
        }
        Draft { body, delay, snapshot, voice }
    }

    /// The voice of what is never a stream.
    fn other(&self) -> Voice {
        let (id, model) = (String::new(), String::new());
        Voice { dialect: self.route.dialect, form: Form::Other, id, created: self.created, model }
    }

    fn error(&self, error: &ApiError, snapshot: Snapshot, seeded: &mut Seeded) -> Plan {
        let mut plan = self.plain(error.status, snapshot, seeded);
        if error.is_hinted() {
            let told: Vec<_> = plan.headers.keys().filter(|name| hint::tells(name)).cloned().collect();
            told.iter().for_each(|name| drop(plan.headers.remove(name)));
        }
        error.write(&mut plan.headers, self.route.dialect, self.created);
        plan.body = self.body_of(&error.body(self.route.dialect), &mut plan.headers);
        plan
    }

    /// A string is sent as text, anything else as JSON.
    fn body_of(&self, body: &Value, headers: &mut HeaderMap) -> Body {
        Body::whole(match body {
            Value::String(text) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                Bytes::from(text.clone())
            }
            // Where an answer would be an array, so is an error.
            body if self.is_gemini_array() => Bytes::from(format!("[{body}]")),
            body => Bytes::from(body.to_string()),
        })
    }

    fn is_gemini_array(&self) -> bool {
        matches!(self.route.endpoint, Endpoint::StreamGenerate(_)) && !crate::route::wants_events(self.head.uri.query())
    }

    fn plain(&self, status: StatusCode, snapshot: Snapshot, seeded: &mut Seeded) -> Plan {
        Plan {
            status,
            headers: self.headers(snapshot, None, seeded),
            delay: Duration::ZERO,
            body: Body::whole(Bytes::new()),
            ending: Ending::Complete,
        }
    }

    fn headers(&self, snapshot: Snapshot, stream: Option<Form>, seeded: &mut Seeded) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(20);
        let kind = match (stream.map(Form::framing), self.route.dialect, self.route.endpoint) {
            (Some(Framing::Events), Dialect::Gemini, _) => "text/event-stream",
            (Some(Framing::Events), ..) => "text/event-stream; charset=utf-8",
            (Some(Framing::Lines), ..) => "application/x-ndjson",
            (_, _, Endpoint::OllamaRoot) => "text/plain; charset=utf-8",
            (_, Dialect::Gemini | Dialect::GeminiOpenAi, _) => "application/json; charset=UTF-8",
            (_, Dialect::Ollama, _) => "application/json; charset=utf-8",
            _ => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let facts = Facts {
            dialect: self.route.dialect,
            region: &self.config.region,
            processing: self.pace().first_token,
            client_request_id: self.head.headers.get(CLIENT_REQUEST_ID),
            snapshot,
            now: self.created,
        };
        facts.write(&mut headers, seeded);
        headers
    }
}

fn state(admit: Admit<'_>) -> Snapshot {
    admit(None).unwrap_or_else(|denied| denied.snapshot)
}
