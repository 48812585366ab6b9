//! Where at a target an operation is asked for.

use buttress_core::{Refusal, RefusalKind};
use http::{
    Uri,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use crate::{
    Dialect, Endpoint, Operation,
    operation::Named,
    percent,
    provider::{Probe, Provider},
};

/// Returns the address of `operation` at `endpoint`, asked of `model` and with what is left of the caller's `query`.
pub(crate) fn upstream(
    endpoint: &Endpoint,
    operation: Operation,
    model: Option<&str>,
    query: Option<&str>,
) -> Result<Uri, Refusal> {
    let mut target = String::with_capacity(128);
    target.push_str(endpoint.base_path());
    match endpoint.dialect() {
        Dialect::Azure if operation.wants_deployment() => {
            target.push_str("/openai/deployments/");
            percent::encode(segment(model.ok_or_else(no_model)?)?, &mut target);
        }
        Dialect::Gemini => {
            target.push_str("/models/");
            percent::encode(segment(model.ok_or_else(no_model)?)?, &mut target);
        }
        dialect => target.push_str(root(dialect)),
    }
    target.push_str(operation.path());
    if operation == Operation::Model {
        for part in model.ok_or_else(no_model)?.split('/') {
            target.push('/');
            percent::encode(segment(part)?, &mut target);
        }
    }
    push_query(&mut target, endpoint.api_version(), query);
    join(endpoint.scheme().clone(), endpoint.authority().clone(), target).ok_or_else(no_address)
}

/// Returns the address at which a target tells, without a token, that it is there.
pub(crate) fn probe(
    dialect: Dialect,
    provider: Option<Provider>,
    (scheme, authority, base): (Scheme, Authority, &str),
    api_version: Option<&str>,
) -> Option<Uri> {
    let by_dialect = if dialect == Dialect::Ollama { Probe::Root("/api/version") } else { Probe::Models };
    let mut target = match provider.map_or(by_dialect, Provider::probe_at) {
        Probe::Models => [base, root(dialect), Operation::Models.path()].concat(),
        Probe::Root(path) => [base.strip_suffix("/v1").unwrap_or(base), path].concat(),
    };
    push_query(&mut target, api_version, None);
    join(scheme, authority, target)
}

/// What stands between the base address and the end of the path.
const fn root(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi | Dialect::Gemini => "",
        Dialect::Azure => "/openai",
        Dialect::AzureV1 => "/openai/v1",
        Dialect::Anthropic => "/v1",
        Dialect::Ollama => "/api",
    }
}

/// Returns what the body is to call `model`, where a body of this kind names one for `dialect`.
///
/// Gemini names the model in the path, and some of its bodies repeat it; `there` tells whether this one does.
pub(crate) fn in_body(dialect: Dialect, operation: Operation, there: bool) -> Option<&'static str> {
    match (dialect, operation.named()) {
        (Dialect::Azure, _) if operation.wants_deployment() => None,
        (Dialect::Gemini, Named::Path) => there.then_some("models/"),
        (_, Named::Body) => Some(""),
        (_, Named::Path | Named::Nowhere) => None,
    }
}

fn join(scheme: Scheme, authority: Authority, target: String) -> Option<Uri> {
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
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
    const NAMES: [&str; 6] = ["api-version", "api-key", "subscription-key", "key", "access_token", "oauth_token"];
    let name = pair.split('=').next().unwrap_or_default();
    let name = percent::decode(name).unwrap_or_default();
    NAMES.iter().any(|ours| name.eq_ignore_ascii_case(ours))
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
