//! Fits a request to a target.

use std::{collections::HashMap, fmt, sync::Arc};

use buttress_core::{Label, Payload, Refusal, RefusalKind, Rewrite, Rewritten, Target};
use http::{
    Request, Uri, Version,
    uri::{Parts, PathAndQuery},
};

use crate::{Call, Dialect, Endpoint, Format, Operation, headers, percent};

/// Fits a request to the endpoint of a target: address, path, credential, model. See the [crate docs](crate).
///
/// Clones share the endpoints.
#[derive(Clone)]
pub struct LlmRewrite {
    endpoints: Arc<HashMap<Label, Endpoint>>,
}

// === impl LlmRewrite ===

impl LlmRewrite {
    /// Creates a rewrite for targets by their names.
    pub fn new(endpoints: impl IntoIterator<Item = (Label, Endpoint)>) -> Self {
        Self { endpoints: Arc::new(endpoints.into_iter().collect()) }
    }

    /// Returns the endpoint of `target`.
    #[must_use]
    pub fn endpoint(&self, target: &Target) -> Option<&Endpoint> {
        self.endpoints.get(target.name())
    }
}

impl Rewrite<Request<Payload>> for LlmRewrite {
    fn rewrite(&self, mut request: Request<Payload>, target: &Target) -> Result<Rewritten<Request<Payload>>, Refusal> {
        let endpoint = self.endpoint(target).ok_or_else(|| unknown(target))?;
        let call = Call::of_or_read(&mut request)?;
        let fallback = endpoint.default_model().filter(|_| call.operation().has_body());
        let model = call.model().map(|model| endpoint.model_name(model)).or(fallback);
        let (mut parts, body) = request.into_parts();
        parts.uri = upstream(endpoint, call.operation(), model, parts.uri.query())?;
        // The client speaks what it has negotiated; the caller's version says nothing about it.
        parts.version = Version::HTTP_11;
        headers::strip(&mut parts.headers);
        for (name, value) in endpoint.headers() {
            parts.headers.insert(name.clone(), value.clone());
        }
        parts.extensions.insert(endpoint.dialect());
        parts.extensions.insert(Format::of(endpoint.dialect(), call.operation()));
        let body = with_model(endpoint, &call, model, body)?;
        let rewritten = Rewritten::new(Request::from_parts(parts, body));
        Ok(match model.and_then(|model| Label::try_new(model).ok()) {
            Some(label) => rewritten.with_model(label),
            None => rewritten,
        })
    }
}

fn unknown(target: &Target) -> Refusal {
    Refusal::new(RefusalKind::Unavailable, format!("nothing is known of how to speak to the target {}", target.name()))
}

/// Names `model` in the body, where the body is read for it and names another one.
fn with_model(endpoint: &Endpoint, call: &Call, model: Option<&str>, body: Payload) -> Result<Payload, Refusal> {
    let read = call.operation().has_body() && endpoint.dialect() != Dialect::Azure;
    match model {
        Some(model) if read && call.body_model() != Some(model) => Ok(call.with_model(body.bytes(), model)?.into()),
        _ => Ok(body),
    }
}

fn upstream(
    endpoint: &Endpoint,
    operation: Operation,
    model: Option<&str>,
    query: Option<&str>,
) -> Result<Uri, Refusal> {
    let mut target = String::with_capacity(128);
    target.push_str(endpoint.base_path());
    match endpoint.dialect() {
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Gemini | Dialect::Ollama => {}
        Dialect::AzureV1 => target.push_str("/openai/v1"),
        Dialect::Azure if !operation.has_body() => target.push_str("/openai"),
        Dialect::Azure => {
            let deployment = model.ok_or_else(no_model)?;
            target.push_str("/openai/deployments/");
            percent::encode(segment(deployment)?, &mut target);
        }
    }
    target.push_str(operation.path());
    if operation == Operation::Model {
        for part in model.ok_or_else(no_model)?.split('/') {
            target.push('/');
            percent::encode(segment(part)?, &mut target);
        }
    }
    push_query(&mut target, endpoint.api_version(), query);

    let mut parts = Parts::default();
    parts.scheme = Some(endpoint.scheme().clone());
    parts.authority = Some(endpoint.authority().clone());
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| no_address())?);
    Uri::from_parts(parts).map_err(|_| no_address())
}

/// Adds what the caller asked with, save what is the target's to say and what could be a key.
fn push_query(target: &mut String, api_version: Option<&str>, query: Option<&str>) {
    let mut next = '?';
    let mut push = |text: [&str; 2]| {
        target.push(next);
        text.iter().for_each(|text| target.push_str(text));
        next = '&';
    };
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !is_ours(pair)) {
        push([pair, ""]);
    }
    if let Some(version) = api_version {
        push(["api-version=", version]);
    }
}

fn is_ours(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let name = percent::decode(name).unwrap_or_default();
    ["api-version", "api-key", "subscription-key", "key"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// A name from a body may be anything. As a segment it must not climb out of its place.
fn segment(name: &str) -> Result<&str, Refusal> {
    let climbs = matches!(name, "" | "." | "..") || name.chars().any(|c| c == '/' || c == '\\' || c.is_control());
    if climbs { Err(no_address()) } else { Ok(name) }
}

fn no_model() -> Refusal {
    Refusal::new(RefusalKind::BadRequest, "`model` must be given: it says which deployment is asked")
}

fn no_address() -> Refusal {
    Refusal::new(RefusalKind::BadRequest, "`model` must be a name that can stand in a path")
}

impl fmt::Debug for LlmRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LlmRewrite").field(&self.endpoints).finish()
    }
}
