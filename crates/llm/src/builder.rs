//! How the way a target is spoken to is set.

use std::{collections::HashMap, error::Error, fmt};

use buttress_core::Label;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, header,
    uri::{Authority, Scheme},
};

use crate::{Credential, Dialect, Endpoint, Provider, address, endpoint::Parts, headers};

/// Builds an [`Endpoint`]. Nothing is checked before [`build`](Self::build).
#[derive(Clone)]
pub struct EndpointBuilder {
    dialect: Dialect,
    base: String,
    credential: Credential,
    credentials: Vec<(Label, Credential)>,
    api_version: Option<String>,
    headers: Vec<(String, String)>,
    models: Vec<(String, String)>,
    default_model: Option<String>,
    provider: Option<Provider>,
    asks_usage: bool,
}

/// What is wrong with the settings of an [`Endpoint`]. It names the field, and never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    field: &'static str,
    says: &'static str,
}

// === impl EndpointBuilder ===

impl EndpointBuilder {
    pub(crate) const fn new(dialect: Dialect, base: String) -> Self {
        Self {
            dialect,
            base,
            credential: Credential::none(),
            credentials: Vec::new(),
            api_version: None,
            headers: Vec::new(),
            models: Vec::new(),
            default_model: None,
            provider: None,
            asks_usage: false,
        }
    }

    pub(crate) fn of(provider: Provider) -> Self {
        let base = provider.base().unwrap_or_default().to_owned();
        Self { provider: Some(provider), ..Self::new(provider.dialect(), base) }
    }

    /// Sets the base address. See [`Endpoint::builder`] for how it is to end.
    #[must_use]
    pub fn base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }

    /// Asks for usage in each stream of chat completions or completions that does not ask itself: `include_usage` is set in
    /// the request's `stream_options`, and every other byte is as it was. The stream then holds one more chunk, without
    /// choices; [`UsageAsked`](crate::UsageAsked) in the request's extensions tells that the caller has not asked for it.
    ///
    /// **The caller sees that chunk:** nothing here takes it out again. A client that takes the first of `choices` without a look
    /// at how many there are fails at it. Set this only for callers that are known to bear it.
    ///
    /// It is off unless set. It has no effect where the [`Provider`] is known and does not tell usage on request.
    #[must_use]
    pub const fn ask_for_usage(mut self) -> Self {
        self.asks_usage = true;
        self
    }

    /// Sets the credential. Without one, none is sent.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }

    /// Sets the credential that is sent where the target is to be shown [the one](buttress_core::Target::credential) called `name`, in the
    /// place of the one that [`credential`](Self::credential) sets. Where that sets none, the first one named here is sent to
    /// a target that does not say which.
    #[must_use]
    pub fn credential_named(mut self, name: Label, credential: Credential) -> Self {
        self.credentials.push((name, credential));
        self
    }

    /// Sets the `api-version`. An Azure endpoint without one uses [`Endpoint::DEFAULT_API_VERSION`]; others send none.
    #[must_use]
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.api_version = Some(version.into());
        self
    }

    /// Sets a header on each request, over the caller's own: an organization, a project, a deployment to spill to.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says that the target calls `model` by `name`: its own name of the model, or of a deployment.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>, name: impl Into<String>) -> Self {
        self.models.push((model.into(), name.into()));
        self
    }

    /// Sets the name that stands for every model without one of its own. Without this, such a model keeps its name.
    #[must_use]
    pub fn default_model(mut self, name: impl Into<String>) -> Self {
        self.default_model = Some(name.into());
        self
    }

    /// Builds the endpoint.
    ///
    /// # Errors
    ///
    /// Fails if a field holds what cannot be used. The error names the field and says what it must be.
    pub fn build(self) -> Result<Endpoint, EndpointError> {
        let (scheme, authority, base) = address(self.dialect, &self.base)?;
        let api_version = version(self.dialect, self.api_version)?;
        let mut fixed = HeaderMap::with_capacity(self.headers.len() + 1);
        for (name, value) in self.headers {
            let (name, value) = fixed_header(&name, &value)?;
            fixed.insert(name, value);
        }
        let mut credentials = HashMap::with_capacity(self.credentials.len());
        let first = self.credentials.first().map(|(_, credential)| credential.clone());
        for (name, credential) in self.credentials {
            if credentials.insert(name, credential).is_some() {
                return Err(EndpointError::new("credentials", "must name each credential once"));
            }
        }
        let own = if self.credential.is_none() { first } else { Some(self.credential) };
        let own = own.and_then(Credential::into_header);
        let shown_in = own.as_ref().map(|(name, _)| name.clone());
        if let Some((name, value)) = own {
            fixed.insert(name, value);
        }
        let mut models = HashMap::with_capacity(self.models.len());
        for (model, name) in self.models {
            check_name(self.dialect, "models", &name)?;
            if models.insert(model.into(), name.into()).is_some() {
                return Err(EndpointError::new("models", "must name each model once"));
            }
        }
        if let Some(name) = &self.default_model {
            check_name(self.dialect, "default_model", name)?;
        }
        let at = (scheme.clone(), authority.clone(), base.as_str());
        let probe = address::probe(self.dialect, self.provider, at, api_version.as_deref());
        Ok(Endpoint::of_parts(Parts {
            probe: probe.ok_or(EndpointError::new("base", "must be shorter"))?,
            asks_usage: self.asks_usage && self.provider.is_none_or(|p| p.stream_usage().can_be_asked()),
            dialect: self.dialect,
            scheme,
            authority,
            base: base.into(),
            api_version: api_version.map(Into::into),
            headers: fixed,
            shown_in,
            credentials,
            models,
            default_model: self.default_model.map(Into::into),
        }))
    }
}

fn address(dialect: Dialect, base: &str) -> Result<(Scheme, Authority, String), EndpointError> {
    let fault = |says| EndpointError::new("base", says);
    if base.contains('#') {
        return Err(fault("must be without a fragment"));
    }
    let parts = base.parse::<Uri>().map_err(|_| fault("must be an address such as https://host/path"))?.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(fault("must be an address such as https://host/path"));
    };
    if scheme != Scheme::HTTPS && scheme != Scheme::HTTP {
        return Err(fault("must begin with https:// or http://"));
    }
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(fault("must name a host, and no user before it"));
    }
    let target = parts.path_and_query.ok_or_else(|| fault("must be an address such as https://host/path"))?;
    if target.query().is_some() {
        return Err(fault("must be without a query"));
    }
    let path = target.path().trim_end_matches('/');
    check_end(dialect, path).map_err(fault)?;
    Ok((scheme, authority, path.to_owned()))
}

/// What follows the base address is added to it, and must not stand there twice.
fn check_end(dialect: Dialect, path: &str) -> Result<(), &'static str> {
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    match dialect {
        Dialect::Azure | Dialect::AzureV1 if ends(&["/openai", "/openai/v1"]) => Err("must end before /openai"),
        Dialect::Anthropic if ends(&["/v1", "/v1/messages"]) => Err("must end before /v1"),
        Dialect::Gemini if path.is_empty() || ends(&["/models"]) => Err("must end with the version, such as /v1beta"),
        Dialect::Gemini if ends(&["/openai"]) => Err("is an address for the dialect of OpenAI"),
        Dialect::Ollama if ends(&["/api"]) => Err("must end before /api"),
        Dialect::Ollama if ends(&["/v1"]) => Err("is an address for the dialect of OpenAI"),
        _ => Ok(()),
    }
}

fn version(dialect: Dialect, version: Option<String>) -> Result<Option<String>, EndpointError> {
    let fault = |says| Err(EndpointError::new("api_version", says));
    match (dialect, version) {
        (_, Some(_)) if !dialect.is_azure() => fault("is for Azure only"),
        (Dialect::Azure, None) => Ok(Some(Endpoint::DEFAULT_API_VERSION.to_owned())),
        (_, Some(v)) if v.is_empty() || !v.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') => {
            fault("must be a date such as 2024-10-21, or a word")
        }
        (_, version) => Ok(version),
    }
}

fn fixed_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), EndpointError> {
    let fault = |says| EndpointError::new("headers", says);
    let name = HeaderName::try_from(name).map_err(|_| fault("must have valid names"))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| fault("must have values of visible ASCII"))?;
    if headers::is_framing(&name) || name == header::ACCEPT_ENCODING {
        return Err(fault("must not be about the connection, or the length or encoding of a body"));
    }
    value.set_sensitive(true);
    Ok((name, value))
}

/// The name may become a segment of a path, from which it must not climb. A deployment, and a model of Gemini's, is one segment.
fn check_name(dialect: Dialect, field: &'static str, name: &str) -> Result<(), EndpointError> {
    let one = dialect.is_azure() || dialect == Dialect::Gemini;
    let bad = name.chars().any(|c| c == '\\' || c.is_control() || (c == '/' && one));
    if bad || name.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(EndpointError::new(field, "must name models in plain text"));
    }
    Ok(())
}

impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before it is checked, even the address may hold a secret.
        f.debug_struct("EndpointBuilder").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

// === impl EndpointError ===

impl EndpointError {
    pub(crate) const fn new(field: &'static str, says: &'static str) -> Self {
        Self { field, says }
    }

    /// Returns the name of the field that cannot be used.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.says)
    }
}

impl Error for EndpointError {}
