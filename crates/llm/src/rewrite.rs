//! Fits a request to a target.

use std::{collections::HashMap, fmt, sync::Arc};

use buttress_core::{Label, Payload, Refusal, RefusalKind, Rewrite, Rewritten, Target};
use http::{Request, Version};

use crate::{
    Call, Endpoint, Format, Operation, UsageAsked, address, ask_usage::ask_for_usage, headers, huge_prompt::HugePrompt,
};

/// Fits a request to the endpoint of a target: address, path, credential, model. See the [crate docs](crate).
///
/// A target that speaks several dialects has an endpoint for each; a request goes to the first that serves it.
///
/// Clones share the endpoints.
#[derive(Clone)]
pub struct LlmRewrite {
    endpoints: Arc<HashMap<Label, Vec<Endpoint>>>,
}

// === impl LlmRewrite ===

impl LlmRewrite {
    /// Creates a rewrite for targets by their names. A name that comes more than once has more than one endpoint.
    pub fn new(endpoints: impl IntoIterator<Item = (Label, Endpoint)>) -> Self {
        let mut by_name: HashMap<Label, Vec<Endpoint>> = HashMap::new();
        for (name, endpoint) in endpoints {
            by_name.entry(name).or_default().push(endpoint);
        }
        Self { endpoints: Arc::new(by_name) }
    }

    /// Returns the endpoints of `target`, in the order in which they were given. There are none for a target that is not
    /// known.
    #[must_use]
    pub fn endpoints(&self, target: &Target) -> &[Endpoint] {
        self.endpoints.get(target.name()).map_or(&[], Vec::as_slice)
    }

    /// Returns the first endpoint of `target` that can be asked for `operation`.
    ///
    /// # Errors
    ///
    /// Fails if nothing is known of `target`, or if none of its dialects has the operation.
    pub fn endpoint(&self, target: &Target, operation: Operation) -> Result<&Endpoint, Refusal> {
        let endpoints = self.endpoints(target);
        let serves = |endpoint: &&Endpoint| endpoint.dialect().serves(operation);
        endpoints.iter().find(serves).ok_or_else(|| match endpoints {
            [] => unknown(target),
            _ => not_served(target, endpoints, operation),
        })
    }
}

impl Rewrite<Request<Payload>> for LlmRewrite {
    fn rewrite(&self, mut request: Request<Payload>, target: &Target) -> Result<Rewritten<Request<Payload>>, Refusal> {
        let call = Call::of_or_read(&mut request)?;
        let endpoint = self.endpoint(target, call.operation())?;
        let fallback = endpoint.default_model().filter(|_| call.operation().has_body());
        let model = call.model().map(|model| endpoint.model_name(model)).or(fallback);
        let (mut parts, body) = request.into_parts();
        parts.uri = address::upstream(endpoint, call.operation(), model, parts.uri.query())?;
        // The client speaks what it has negotiated; the caller's version says nothing about it.
        parts.version = Version::HTTP_11;
        headers::strip(&mut parts.headers);
        match target.credential() {
            None => endpoint.dress(&mut parts.headers),
            Some(name) if endpoint.dress_with(name, &mut parts.headers) => {}
            Some(name) => return Err(no_credential(target, name)),
        }
        parts.extensions.insert(endpoint.dialect());
        parts.extensions.insert(Format::of(endpoint.dialect(), call.operation()));
        if let Some(huge) = HugePrompt::of(endpoint.dialect(), &call, body.bytes()) {
            parts.extensions.insert(huge);
        }
        let body = with_model(endpoint, &call, model, body)?;
        let asked = asks_usage(endpoint, &call).then(|| ask_for_usage(body.bytes())).flatten();
        if asked.is_some() {
            parts.extensions.insert(UsageAsked);
        }
        let body = asked.map_or(body, Payload::from);
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

fn no_credential(target: &Target, name: &Label) -> Refusal {
    let target = target.name();
    Refusal::new(RefusalKind::Unavailable, format!("the target {target} has no credential called {name}"))
}

/// Nothing is translated: another target may speak the caller's dialect.
fn not_served(target: &Target, endpoints: &[Endpoint], operation: Operation) -> Refusal {
    let name = target.name();
    let dialects = endpoints.iter().map(|endpoint| endpoint.dialect().as_str()).collect::<Vec<_>>().join(", ");
    Refusal::new(RefusalKind::NotFound, format!("the target {name} speaks {dialects}, which has no such {operation}"))
}

fn asks_usage(endpoint: &Endpoint, call: &Call) -> bool {
    let has_options = matches!(call.operation(), Operation::ChatCompletions | Operation::Completions);
    endpoint.asks_for_usage() && call.stream() && has_options
}

/// Names `model` in the body, where the body is read for it and names another one.
fn with_model(endpoint: &Endpoint, call: &Call, model: Option<&str>, body: Payload) -> Result<Payload, Refusal> {
    let there = call.body_model();
    let prefix = address::in_body(endpoint.dialect(), call.operation(), there.is_some());
    let (Some(model), Some(prefix)) = (model, prefix) else { return Ok(body) };
    // Where the path says it too, the body is touched only if the name in the path was.
    let same = there.and_then(|there| there.strip_prefix(prefix)) == Some(model);
    if same || (!prefix.is_empty() && call.model() == Some(model)) {
        return Ok(body);
    }
    Ok(call.with_model(body.bytes(), &[prefix, model].concat())?.into())
}

impl fmt::Debug for LlmRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LlmRewrite").field(&self.endpoints).finish()
    }
}
