//! How a target is spoken to.

use std::collections::BTreeMap;

use buttress_core::Label;
use buttress_llm::{Credential, CredentialStyle, Dialect, Endpoint, EndpointBuilder, Operation, Provider};
use serde::Deserialize;

use super::credential::{CredentialConfig, check_credentials};

/// How a target is spoken to, at one of its addresses.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawEndpoint")]
pub(super) struct EndpointConfig {
    endpoint: EndpointBuilder,
    dialect: Dialect,
    auth: Auth,
    key_variable: Option<String>,
    /// Those that go by names, in the place of the one.
    credentials: Vec<CredentialConfig>,
}

/// An address as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) struct RawEndpoint {
    pub(super) url: Option<String>,
    pub(super) dialect: Option<RawDialect>,
    pub(super) api_key_env: Option<String>,
    #[serde(default)]
    pub(super) credentials: Vec<CredentialConfig>,
    pub(super) auth: Option<Auth>,
    pub(super) api_version: Option<String>,
    #[serde(default)]
    pub(super) ask_for_usage: bool,
    #[serde(default)]
    pub(super) models: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawDialect {
    Openai,
    Azure,
    AzureV1,
    Anthropic,
    Gemini,
    Ollama,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Auth {
    Bearer,
    ApiKey,
    XApiKey,
    XGoogApiKey,
}

/// An operation of each family of dialects.
const CONVERSATIONS: [Operation; 4] =
    [Operation::ChatCompletions, Operation::Messages, Operation::GenerateContent, Operation::OllamaChat];

// === impl EndpointConfig ===

impl TryFrom<RawEndpoint> for EndpointConfig {
    type Error = String;

    fn try_from(raw: RawEndpoint) -> Result<Self, String> {
        if raw.url.is_none() || raw.dialect.is_none() {
            return Err("`url` and `dialect` must be given".to_owned());
        }
        Self::new(None, raw)
    }
}

impl EndpointConfig {
    /// Reads `raw`, which may leave to the provider what is known of it.
    pub(super) fn new(provider: Option<&str>, raw: RawEndpoint) -> Result<Self, String> {
        if let Some(variable) = &raw.api_key_env {
            check_variable("api_key_env", variable)?;
        }
        check_credentials(raw.api_key_env.as_deref(), &raw.credentials)?;
        let (mut endpoint, auth) = begun(provider, raw.dialect, raw.url)?;
        if let Some(version) = raw.api_version {
            endpoint = endpoint.api_version(version);
        }
        if raw.ask_for_usage {
            endpoint = endpoint.ask_for_usage();
        }
        for (model, name) in raw.models {
            endpoint = endpoint.model(model, name);
        }
        // Built once here, so that what is wrong with it is told with its line.
        let built = endpoint.clone().build().map_err(|error| error.to_string().replace("`base`", "`url`"))?;
        let auth = raw.auth.unwrap_or(auth);
        let (key_variable, credentials) = (raw.api_key_env, raw.credentials);
        Ok(Self { endpoint, dialect: built.dialect(), auth, key_variable, credentials })
    }

    /// Returns why this would never be asked where `earlier` is, if that is so.
    pub(super) fn hidden_by(&self, earlier: &Self) -> Option<String> {
        let both = |operation| self.dialect.serves(operation) && earlier.dialect.serves(operation);
        let (here, there) = (self.dialect, earlier.dialect);
        CONVERSATIONS.into_iter().any(both).then(|| {
            format!(
                "`endpoints`: what `{here}` serves is asked for at the address for `{there}` before it, so drop one"
            )
        })
    }

    /// Returns the names of its credentials, where it has some by name.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &Label> {
        self.credentials.iter().map(|credential| &credential.name)
    }

    /// Builds the endpoint, with its keys. What is wrong is told with the key that names the variable.
    pub(super) fn build(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Endpoint, (String, String)> {
        let mut endpoint = self.endpoint.clone();
        if let Some(name) = &self.key_variable {
            let own = self.auth.credential(name, &variable).map_err(|says| ("api_key_env".to_owned(), says))?;
            endpoint = endpoint.credential(own);
        }
        for (i, CredentialConfig { name, key_variable }) in self.credentials.iter().enumerate() {
            let fault = |says| (format!("credentials[{i}].api_key_env"), says);
            let credential = self.auth.credential(key_variable, &variable).map_err(fault)?;
            endpoint = endpoint.credential_named(name.clone(), credential);
        }
        endpoint.build().map_err(|error| ("url".to_owned(), error.to_string()))
    }
}

/// Begins an endpoint from what is known of its provider, or from what is said of it.
fn begun(
    provider: Option<&str>,
    dialect: Option<RawDialect>,
    url: Option<String>,
) -> Result<(EndpointBuilder, Auth), String> {
    let known = provider.and_then(Provider::by_name);
    if let (Some(dialect), Some(url)) = (dialect, &url) {
        let dialect = Dialect::from(dialect);
        return Ok((Endpoint::builder(dialect, url), Auth::of(dialect)));
    }
    let Some(known) = known else {
        let names = Provider::ALL.iter().map(|provider| provider.name()).collect::<Vec<_>>().join("`, `");
        return Err(format!("`url` and `dialect` must be given, or `provider` be one of `{names}`"));
    };
    if dialect.is_some() {
        return Err("`dialect` needs a `url`: the provider has one of its own".to_owned());
    }
    let endpoint = Endpoint::provider(known);
    let auth = Auth::from(known.credential_style());
    match url {
        Some(url) => Ok((endpoint.base(url), auth)),
        None if known.base().is_some() => Ok((endpoint, auth)),
        None => Err(format!("`url` must be given: `{}` has no address that is the same for all", known.name())),
    }
}

/// Refuses what looks like a key instead of a variable's name, without showing it.
pub(super) fn check_variable(field: &str, name: &str) -> Result<(), String> {
    let shaped = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if !name.is_empty() && name.bytes().all(shaped) {
        return Ok(());
    }
    Err(format!(
        "`{field}`: must be the name of an environment variable, in capitals, digits and `_`; the secret itself does not belong \
         in this file"
    ))
}

impl From<RawDialect> for Dialect {
    fn from(raw: RawDialect) -> Self {
        match raw {
            RawDialect::Openai => Self::OpenAi,
            RawDialect::Azure => Self::Azure,
            RawDialect::AzureV1 => Self::AzureV1,
            RawDialect::Anthropic => Self::Anthropic,
            RawDialect::Gemini => Self::Gemini,
            RawDialect::Ollama => Self::Ollama,
        }
    }
}

// === impl Auth ===

impl Auth {
    const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Azure | Dialect::AzureV1 => Self::ApiKey,
            Dialect::Anthropic => Self::XApiKey,
            Dialect::Gemini => Self::XGoogApiKey,
            _ => Self::Bearer,
        }
    }

    /// Makes the credential whose key the variable called `name` holds.
    fn credential(self, name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Credential, String> {
        let key = variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        let credential = match self {
            Self::Bearer => Credential::bearer(&key),
            Self::ApiKey => Credential::api_key(&key),
            Self::XApiKey => Credential::x_api_key(&key),
            Self::XGoogApiKey => Credential::x_goog_api_key(&key),
        };
        credential.map_err(|error| format!("the variable `{name}`: {error}"))
    }
}

impl From<CredentialStyle> for Auth {
    fn from(style: CredentialStyle) -> Self {
        match style {
            CredentialStyle::ApiKey => Self::ApiKey,
            CredentialStyle::XApiKey => Self::XApiKey,
            CredentialStyle::XGoogApiKey => Self::XGoogApiKey,
            _ => Self::Bearer,
        }
    }
}
