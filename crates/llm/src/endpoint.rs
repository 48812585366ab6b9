//! How a target is spoken to.

use std::{collections::HashMap, fmt, sync::Arc};

use buttress_core::{Label, Payload};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, header,
    uri::{Authority, Scheme},
};

use crate::{EndpointBuilder, EndpointError, Format, Operation, Provider, headers};

/// What a target speaks, and where it wants the model named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI's own API, and the many servers that follow it. The model is named in the body.
    OpenAi,
    /// Azure OpenAI with a deployment in the path and `api-version` in the query. The model in the body is ignored.
    Azure,
    /// Azure OpenAI under `/openai/v1`. The model in the body is the name of a deployment.
    AzureV1,
    /// Anthropic's own API under `/v1/messages`. The model is named in the body.
    Anthropic,
    /// Gemini's own API. The model and whether to stream are named in the path. Its address that follows OpenAI's API is
    /// [`OpenAi`](Self::OpenAi).
    Gemini,
    /// Ollama's own API under `/api`. Its address that follows OpenAI's API is [`OpenAi`](Self::OpenAi).
    Ollama,
}

/// What a target is shown to be let in. It never prints its secret.
#[derive(Clone)]
pub struct Credential(Option<(HeaderName, HeaderValue)>);

/// How a target is spoken to: dialect, address, credential, names of models.
///
/// Clones share one allocation. It never prints its secrets.
#[derive(Clone)]
pub struct Endpoint(Arc<Parts>);

/// What an [`Endpoint`] is made of, checked.
pub(crate) struct Parts {
    pub(crate) dialect: Dialect,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// The path of the base address, without a slash at its end.
    pub(crate) base: Box<str>,
    pub(crate) api_version: Option<Box<str>>,
    /// The credential, and what else is set on each request.
    pub(crate) headers: HeaderMap,
    /// The header in which its own credential is sent.
    pub(crate) shown_in: Option<HeaderName>,
    /// Its other credentials, by name.
    pub(crate) credentials: HashMap<Label, Credential>,
    pub(crate) models: HashMap<Box<str>, Box<str>>,
    pub(crate) default_model: Option<Box<str>>,
    /// Whether to ask for usage in a stream.
    pub(crate) asks_usage: bool,
    pub(crate) probe: Uri,
}

// === impl Dialect ===

impl Dialect {
    /// Returns whether it is one of Azure's.
    #[must_use]
    pub const fn is_azure(self) -> bool {
        matches!(self, Self::Azure | Self::AzureV1)
    }

    /// Returns whether a target of this dialect can be asked for `operation`. Nothing is translated.
    #[must_use]
    pub const fn serves(self, operation: Operation) -> bool {
        match self {
            Self::OpenAi | Self::Azure | Self::AzureV1 => operation.is_openai(),
            Self::Anthropic => operation.is_anthropic(),
            Self::Gemini => operation.is_gemini(),
            Self::Ollama => operation.is_ollama(),
        }
    }

    /// Returns the name used in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::AzureV1 => "azure_v1",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Credential ===

impl Credential {
    /// Creates the credential of a target that asks for none.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Creates a credential that is sent as `authorization: Bearer …`.
    ///
    /// # Errors
    ///
    /// Fails if `secret` is empty or holds anything but visible ASCII.
    pub fn bearer(secret: &str) -> Result<Self, EndpointError> {
        Self::header(header::AUTHORIZATION, "Bearer ", secret)
    }

    /// Creates a credential that is sent as `api-key: …`, as Azure wants it.
    ///
    /// # Errors
    ///
    /// Fails if `secret` is empty or holds anything but visible ASCII.
    pub fn api_key(secret: &str) -> Result<Self, EndpointError> {
        Self::header(HeaderName::from_static("api-key"), "", secret)
    }

    /// Creates a credential that is sent as `x-api-key: …`, as Anthropic wants it.
    ///
    /// # Errors
    ///
    /// Fails if `secret` is empty or holds anything but visible ASCII.
    pub fn x_api_key(secret: &str) -> Result<Self, EndpointError> {
        Self::header(HeaderName::from_static("x-api-key"), "", secret)
    }

    /// Creates a credential that is sent as `x-goog-api-key: …`, as Gemini wants it. It is never put in the query, where it
    /// would be logged.
    ///
    /// # Errors
    ///
    /// Fails if `secret` is empty or holds anything but visible ASCII.
    pub fn x_goog_api_key(secret: &str) -> Result<Self, EndpointError> {
        Self::header(HeaderName::from_static("x-goog-api-key"), "", secret)
    }

    fn header(name: HeaderName, scheme: &str, secret: &str) -> Result<Self, EndpointError> {
        let fault = EndpointError::new("credential", "must be visible ASCII without spaces or line breaks");
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault);
        }
        let mut value = HeaderValue::try_from(format!("{scheme}{secret}")).map_err(|_| fault)?;
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn into_header(self) -> Option<(HeaderName, HeaderValue)> {
        self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().map_or("none", |(name, _)| name.as_str());
        f.debug_tuple("Credential").field(&name).finish()
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The `api-version` of an [`Azure`](Dialect::Azure) endpoint that sets none.
    pub const DEFAULT_API_VERSION: &str = "2024-10-21";

    /// The `anthropic-version` of a request to an [`Anthropic`](Dialect::Anthropic) endpoint where neither the caller nor
    /// the endpoint sets one.
    pub const DEFAULT_ANTHROPIC_VERSION: &str = "2023-06-01";

    /// Begins an endpoint of `dialect` at the address `base`.
    ///
    /// | dialect | the address ends | as in |
    /// |---|---|---|
    /// | OpenAI | with the version | `https://api.openai.com/v1` |
    /// | Azure | before `/openai` | `https://name.openai.azure.com` |
    /// | Anthropic | before `/v1` | `https://api.anthropic.com` |
    /// | Gemini | with the version, before `/models` | `https://generativelanguage.googleapis.com/v1beta` |
    /// | Ollama | before `/api` | `http://localhost:11434` |
    pub fn builder(dialect: Dialect, base: impl Into<String>) -> EndpointBuilder {
        EndpointBuilder::new(dialect, base.into())
    }

    /// Begins an endpoint of `provider`, at its usual address if it has one.
    ///
    /// Its credential is still to be set, with [`Provider::credential`]; and where it has no usual address, that too, with
    /// [`EndpointBuilder::base`].
    #[must_use]
    pub fn provider(provider: Provider) -> EndpointBuilder {
        EndpointBuilder::of(provider)
    }

    pub(crate) fn of_parts(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Returns what the target speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// Returns what the target calls the model that a caller calls `model`.
    ///
    /// A model without a name of its own here is the default model, where one is set, and keeps its name otherwise.
    #[must_use]
    pub fn model_name<'a>(&'a self, model: &'a str) -> &'a str {
        self.0.models.get(model).or(self.0.default_model.as_ref()).map_or(model, |name| name)
    }

    /// Returns the model that is asked for where a caller names none.
    #[must_use]
    pub fn default_model(&self) -> Option<&str> {
        self.0.default_model.as_deref()
    }

    /// Returns whether a stream is asked to tell what it used. See [`EndpointBuilder::ask_for_usage`].
    #[must_use]
    pub fn asks_for_usage(&self) -> bool {
        self.0.asks_usage
    }

    /// Makes the request that finds out, without spending a token, whether the target is there: a `GET` of its list of
    /// models, of its version or of its health, with the endpoint's own headers.
    #[must_use]
    pub fn probe(&self) -> Request<Payload> {
        let mut request = Request::new(Payload::default());
        *request.uri_mut() = self.0.probe.clone();
        headers::strip(request.headers_mut());
        self.dress(request.headers_mut());
        request.extensions_mut().insert(self.dialect());
        request.extensions_mut().insert(Format::Json);
        request
    }

    /// Sets the headers that the target is shown: the endpoint's own, and what its dialect cannot do without.
    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0.headers {
            headers.insert(name.clone(), value.clone());
        }
        if self.dialect() == Dialect::Anthropic && !headers.contains_key("anthropic-version") {
            headers.insert("anthropic-version", HeaderValue::from_static(Self::DEFAULT_ANTHROPIC_VERSION));
        }
    }

    /// Sets the same headers, with the credential called `name` in the place of the endpoint's own. Returns whether it has one
    /// of that name.
    pub(crate) fn dress_with(&self, name: &Label, headers: &mut HeaderMap) -> bool {
        let Some(credential) = self.0.credentials.get(name) else { return false };
        self.dress(headers);
        if let Some(own) = &self.0.shown_in {
            headers.remove(own);
        }
        if let Some((name, value)) = credential.clone().into_header() {
            headers.insert(name, value);
        }
        true
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.0.scheme
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn base_path(&self) -> &str {
        &self.0.base
    }

    pub(crate) fn api_version(&self) -> Option<&str> {
        self.0.api_version.as_deref()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("dialect", &self.0.dialect)
            .field("address", &format_args!("{}://{}{}", self.0.scheme, self.0.authority, self.0.base))
            .field("api_version", &self.0.api_version)
            .field("headers", &self.0.headers.keys().collect::<Vec<_>>())
            .field("models", &self.0.models)
            .field("default_model", &self.0.default_model)
            .field("asks_usage", &self.0.asks_usage)
            .finish()
    }
}
