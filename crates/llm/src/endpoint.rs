//! How a target is spoken to.

use std::{collections::HashMap, fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, header,
    uri::{Authority, Scheme},
};

use crate::{EndpointBuilder, EndpointError};

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
    pub(crate) models: HashMap<Box<str>, Box<str>>,
    pub(crate) default_model: Option<Box<str>>,
}

// === impl Dialect ===

impl Dialect {
    /// Returns whether it is one of Azure's.
    #[must_use]
    pub const fn is_azure(self) -> bool {
        matches!(self, Self::Azure | Self::AzureV1)
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

    fn header(name: HeaderName, scheme: &str, secret: &str) -> Result<Self, EndpointError> {
        let fault = EndpointError::new("credential", "must be visible ASCII without spaces or line breaks");
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault);
        }
        let mut value = HeaderValue::try_from(format!("{scheme}{secret}")).map_err(|_| fault)?;
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
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

    /// Begins an endpoint of `dialect` at the address `base`.
    ///
    /// For OpenAI the address ends with the version (`https://api.openai.com/v1`); for Azure it ends before `/openai`
    /// (`https://name.openai.azure.com`).
    pub fn builder(dialect: Dialect, base: impl Into<String>) -> EndpointBuilder {
        EndpointBuilder::new(dialect, base.into())
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

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.0.headers
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
            .finish()
    }
}
