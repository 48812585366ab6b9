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
use crate::plan::{Body, Ending, Pace, Plan};
use crate::request::{self as read, ChatRequest, EmbeddingsRequest};
use crate::route::{Endpoint, Route};
use crate::seed::Seeded;
use crate::wire::chat::{Completion, Finish, Usage, words};
use crate::wire::error::ApiError;
use crate::wire::headers::{CLIENT_REQUEST_ID, Facts};
use crate::wire::{embeddings, models, quoted, stream};

/// What a target is.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) region: HeaderValue,
    pub(crate) pace: Pace,
    pub(crate) length: RangeInclusive<u32>,
    pub(crate) seed: u64,
    pub(crate) api_key: Option<String>,
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
struct Draft {
    body: Body,
    delay: Duration,
    snapshot: Snapshot,
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
            headers: self.headers(draft.snapshot, draft.body.is_stream(), seeded),
            delay: draft.delay,
            body: draft.body,
            ending: Ending::Complete,
        };
        if let Some(fault) = self.fault {
            plan.apply(fault);
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
            Fault::Status(fault) => {
                let (status, extra, body) = fault.parts();
                let error = ApiError::for_status(status, dialect, &self.named_model());
                let mut plan = self.plain(status, state(admit), seeded);
                plan.body = Body::Whole(match body {
                    Some(Value::String(text)) => {
                        plan.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                        Bytes::from(text.clone())
                    }
                    Some(body) => Bytes::from(body.to_string()),
                    None => Bytes::from(error.body().to_string()),
                });
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
            Endpoint::Chat => self.chat(seeded, admit),
            Endpoint::Embeddings => self.embeddings(admit),
            Endpoint::Models => Ok(self.whole(models::list(self.served()), Duration::ZERO, state(admit))),
            Endpoint::Model(id) => {
                self.check_model(id)?;
                Ok(self.whole(models::model(id), Duration::ZERO, state(admit)))
            }
            Endpoint::Unknown => Err(self.unknown().into()),
        }
    }

    fn chat(&self, seeded: &mut Seeded, admit: Admit<'_>) -> Result<Draft, Refused> {
        let request: ChatRequest<'_> = read::read(self.body.clone()?)?;
        let model = self.model(request.model.as_deref(), "gpt-4o-mini")?;
        let chat = request.check()?;
        let snapshot = self.admit(chat.prompt_tokens.saturating_add(chat.max_tokens.unwrap_or(0)), model, admit)?;
        let (shortest, longest) = (*self.config.length.start(), *self.config.length.end());
        let length = shortest + seeded.below(u64::from(longest - shortest) + 1) as u32;
        let allowed = length.min(chat.max_tokens.unwrap_or(length));
        let completion = Completion {
            dialect: self.route.dialect,
            id: format!("chatcmpl-{}", seeded.base62(29)),
            created: self.created,
            model: quoted(models::snapshot(model)),
            fingerprint: self.config.fingerprint.clone(),
            words: words(seeded, allowed),
            finish: if allowed < length { Finish::Length } else { Finish::Stop },
            usage: Usage { prompt: chat.prompt_tokens, completion: allowed },
        };
        let pace = self.pace();
        if chat.stream {
            let body = Body::Events(stream::events(&completion, pace, chat.include_usage));
            return Ok(Draft { body, delay: Duration::ZERO, snapshot });
        }
        Ok(self.whole(completion.json(), pace.whole(allowed), snapshot))
    }

    fn embeddings(&self, admit: Admit<'_>) -> Result<Draft, Refused> {
        let request: EmbeddingsRequest<'_> = read::read(self.body.clone()?)?;
        let model = self.model(request.model.as_deref(), "text-embedding-3-small")?;
        let wanted = request.check(model)?;
        let snapshot = self.admit(wanted.tokens, model, admit)?;
        let json = embeddings::json(&wanted.inputs, wanted.dimensions, wanted.encoding, model, wanted.tokens);
        Ok(self.whole(json, self.pace().first_token, snapshot))
    }

    fn admit(&self, tokens: u32, model: &str, admit: Admit<'_>) -> Result<Snapshot, Refused> {
        admit(Some(tokens)).map_err(|denied| Refused {
            error: Box::new(ApiError::denied(&denied, self.route.dialect, model)),
            snapshot: Some(denied.snapshot),
        })
    }

    /// The model a made-up error speaks of.
    fn named_model(&self) -> String {
        let asked = || {
            let body = self.body.as_ref().ok()?;
            let request: ChatRequest<'_> = read::read(body).ok()?;
            Some(request.model?.into_owned())
        };
        let deployment = self.route.deployment.map(str::to_owned);
        deployment.or_else(asked).unwrap_or_else(|| "gpt-4o-mini".to_owned())
    }

    fn served(&self) -> Vec<&str> {
        match &self.config.models {
            Some(models) => models.iter().map(String::as_str).collect(),
            None => models::KNOWN.iter().map(|(name, _)| *name).collect(),
        }
    }

    fn pace(&self) -> Pace {
        self.config.pace.under(self.fault)
    }

    fn whole(&self, json: String, delay: Duration, snapshot: Snapshot) -> Draft {
        let delay = delay.max(match self.fault {
            Some(Fault::SlowFirstToken { ms }) => Duration::from_millis(*ms),
            _ => Duration::ZERO,
        });
        Draft { body: Body::Whole(Bytes::from(json)), delay, snapshot }
    }

    fn error(&self, error: &ApiError, snapshot: Snapshot, seeded: &mut Seeded) -> Plan {
        let mut plan = self.plain(error.status, snapshot, seeded);
        error.write(&mut plan.headers);
        plan.body = Body::Whole(Bytes::from(error.body().to_string()));
        plan
    }

    fn plain(&self, status: StatusCode, snapshot: Snapshot, seeded: &mut Seeded) -> Plan {
        Plan {
            status,
            headers: self.headers(snapshot, false, seeded),
            delay: Duration::ZERO,
            body: Body::Whole(Bytes::new()),
            ending: Ending::Complete,
        }
    }

    fn headers(&self, snapshot: Snapshot, stream: bool, seeded: &mut Seeded) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(20);
        let kind = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let facts = Facts {
            dialect: self.route.dialect,
            region: &self.config.region,
            processing: self.pace().first_token,
            client_request_id: self.head.headers.get(CLIENT_REQUEST_ID),
            snapshot,
        };
        facts.write(&mut headers, seeded);
        headers
    }
}

fn state(admit: Admit<'_>) -> Snapshot {
    admit(None).unwrap_or_else(|denied| denied.snapshot)
}
