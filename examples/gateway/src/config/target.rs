//! Who is spoken to, and how.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use buttress_core::{Label, Target};
use buttress_llm::{Credential, CredentialStyle, Dialect, Endpoint, EndpointBuilder, Provider};
use serde::Deserialize;

use super::sections::duration;

/// A target: who it is, and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawTarget")]
pub struct TargetConfig {
    pub(super) target: Target,
    endpoint: EndpointBuilder,
    auth: Auth,
    key_variable: Option<String>,
    first_content: Option<Duration>,
}

/// A target as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct RawTarget {
    name: String,
    url: Option<String>,
    dialect: Option<RawDialect>,
    region: Option<String>,
    provider: Option<String>,
    failure_domain: Option<String>,
    #[serde(default)]
    priority: u8,
    capacity: Option<NonZeroU32>,
    #[serde(default)]
    cost: u64,
    context: Option<NonZeroU64>,
    api_key_env: Option<String>,
    auth: Option<Auth>,
    #[serde(default, deserialize_with = "optional_duration")]
    first_content: Option<Duration>,
    api_version: Option<String>,
    #[serde(default)]
    models: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawDialect {
    Openai,
    Azure,
    AzureV1,
    Anthropic,
    Gemini,
    Ollama,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Auth {
    Bearer,
    ApiKey,
    XApiKey,
    XGoogApiKey,
}

/// A target, ready to be spoken to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upstream {
    /// Who it is.
    pub target: Target,
    /// How it is spoken to.
    pub endpoint: Endpoint,
    /// How long it may take to its first content, where that is not as long as for all.
    pub first_content: Option<Duration>,
}

fn optional_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

// === impl TargetConfig ===

impl TryFrom<RawTarget> for TargetConfig {
    type Error = String;

    fn try_from(raw: RawTarget) -> Result<Self, String> {
        let label = |field: &str, text: &str| Label::try_new(text).map_err(|error| format!("`{field}`: {error}"));
        let mut target = Target::new(label("name", &raw.name)?);
        if let Some(region) = &raw.region {
            target = target.with_region(label("region", region)?);
        }
        if let Some(provider) = &raw.provider {
            target = target.with_provider(label("provider", provider)?);
        }
        if let Some(domain) = &raw.failure_domain {
            target = target.with_failure_domain(label("failure_domain", domain)?);
        }
        target = target.with_priority(raw.priority).with_cost(raw.cost);
        if let Some(capacity) = raw.capacity {
            target = target.with_capacity(capacity);
        }
        if let Some(tokens) = raw.context {
            target = target.with_context(tokens);
        }
        if let Some(variable) = &raw.api_key_env {
            check_variable(variable)?;
        }
        let (mut endpoint, auth) = begun(raw.provider.as_deref(), raw.dialect, raw.url)?;
        if let Some(version) = raw.api_version {
            endpoint = endpoint.api_version(version);
        }
        for (model, name) in raw.models {
            endpoint = endpoint.model(model, name);
        }
        // Built once here, so that what is wrong with it is told with its line.
        endpoint.clone().build().map_err(|error| error.to_string().replace("`base`", "`url`"))?;
        let auth = raw.auth.unwrap_or(auth);
        Ok(Self { target, endpoint, auth, key_variable: raw.api_key_env, first_content: raw.first_content })
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
fn check_variable(name: &str) -> Result<(), String> {
    let shaped = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if !name.is_empty() && name.bytes().all(shaped) {
        return Ok(());
    }
    Err("`api_key_env`: must be the name of an environment variable, in capitals, digits and `_`; the key itself does \
         not belong in this file"
        .to_owned())
}

impl TargetConfig {
    pub(super) const fn first_content(&self) -> Option<Duration> {
        self.first_content
    }

    pub(super) fn upstream(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Upstream, String> {
        let mut endpoint = self.endpoint.clone();
        if let Some(name) = &self.key_variable {
            let key = variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
            let credential = match self.auth {
                Auth::Bearer => Credential::bearer(&key),
                Auth::ApiKey => Credential::api_key(&key),
                Auth::XApiKey => Credential::x_api_key(&key),
                Auth::XGoogApiKey => Credential::x_goog_api_key(&key),
            };
            endpoint = endpoint.credential(credential.map_err(|error| format!("the variable `{name}`: {error}"))?);
        }
        let endpoint = endpoint.build().map_err(|error| error.to_string())?;
        Ok(Upstream { target: self.target.clone(), endpoint, first_content: self.first_content })
    }
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

// === impl Upstream ===

impl Upstream {
    /// Creates a target that is spoken to by `endpoint`.
    #[must_use]
    pub const fn new(target: Target, endpoint: Endpoint) -> Self {
        Self { target, endpoint, first_content: None }
    }
}
