//! Who is spoken to, and how.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

use buttress_core::{Label, Target};
use buttress_llm::{Credential, Dialect, Endpoint, EndpointBuilder};
use serde::Deserialize;

/// A target: who it is, and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawTarget")]
pub struct TargetConfig {
    pub(super) target: Target,
    endpoint: EndpointBuilder,
    auth: Auth,
    key_variable: Option<String>,
}

/// A target as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct RawTarget {
    name: String,
    url: String,
    dialect: RawDialect,
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
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Auth {
    Bearer,
    ApiKey,
}

/// A target, ready to be spoken to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upstream {
    /// Who it is.
    pub target: Target,
    /// How it is spoken to.
    pub endpoint: Endpoint,
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
        let dialect = Dialect::from(raw.dialect);
        let mut endpoint = Endpoint::builder(dialect, raw.url);
        if let Some(version) = raw.api_version {
            endpoint = endpoint.api_version(version);
        }
        for (model, name) in raw.models {
            endpoint = endpoint.model(model, name);
        }
        // Built once here, so that what is wrong with it is told with its line.
        endpoint.clone().build().map_err(|error| error.to_string().replace("`base`", "`url`"))?;
        let auth = raw.auth.unwrap_or(if dialect == Dialect::OpenAi { Auth::Bearer } else { Auth::ApiKey });
        Ok(Self { target, endpoint, auth, key_variable: raw.api_key_env })
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
    pub(super) fn upstream(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Upstream, String> {
        let mut endpoint = self.endpoint.clone();
        if let Some(name) = &self.key_variable {
            let key = variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
            let credential = match self.auth {
                Auth::Bearer => Credential::bearer(&key),
                Auth::ApiKey => Credential::api_key(&key),
            };
            endpoint = endpoint.credential(credential.map_err(|error| format!("the variable `{name}`: {error}"))?);
        }
        let endpoint = endpoint.build().map_err(|error| error.to_string())?;
        Ok(Upstream { target: self.target.clone(), endpoint })
    }
}

impl From<RawDialect> for Dialect {
    fn from(raw: RawDialect) -> Self {
        match raw {
            RawDialect::Openai => Self::OpenAi,
            RawDialect::Azure => Self::Azure,
            RawDialect::AzureV1 => Self::AzureV1,
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Creates a target that is spoken to by `endpoint`.
    #[must_use]
    pub const fn new(target: Target, endpoint: Endpoint) -> Self {
        Self { target, endpoint }
    }
}
