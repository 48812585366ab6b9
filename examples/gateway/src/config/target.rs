//! Who is spoken to, and how.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use buttress_core::{Label, Target};
use buttress_llm::Endpoint;
use serde::Deserialize;

use super::{
    credential::{CredentialConfig, check_same},
    endpoint::{Auth, EndpointConfig, RawDialect, RawEndpoint},
    probes::Probe,
    sections::optional_duration,
};

/// A target: who it is, and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawTarget")]
pub struct TargetConfig {
    pub(super) target: Target,
    /// At least one.
    endpoints: Vec<EndpointConfig>,
    first_content: Option<Duration>,
    probe: Probe,
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
    #[serde(default)]
    credentials: Vec<CredentialConfig>,
    #[serde(default)]
    limits_by_credential: bool,
    auth: Option<Auth>,
    #[serde(default, deserialize_with = "optional_duration")]
    first_content: Option<Duration>,
    #[serde(default)]
    probe: Probe,
    #[serde(default)]
    ask_for_usage: bool,
    api_version: Option<String>,
    #[serde(default)]
    models: BTreeMap<String, String>,
    #[serde(default)]
    endpoints: Vec<EndpointConfig>,
}

/// A target, ready to be spoken to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upstream {
    /// Who it is.
    pub target: Target,
    /// How it is spoken to: at the first address whose dialect has what is asked for.
    pub endpoints: Vec<Endpoint>,
    /// How long it may take to its first content, where that is not as long as for all.
    pub first_content: Option<Duration>,
    /// What it is asked while nobody else asks it.
    pub probe: Probe,
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
        let RawTarget { url, dialect, api_key_env, credentials, auth, api_version, ask_for_usage, models, .. } = raw;
        let own = RawEndpoint { url, dialect, api_key_env, credentials, auth, api_version, ask_for_usage, models };
        let own = EndpointConfig::new(raw.provider.as_deref(), own)?;
        target = target.with_credentials(own.credentials().cloned());
        if raw.limits_by_credential {
            if target.credentials().is_empty() {
                return Err("`limits_by_credential` needs `credentials`".to_owned());
            }
            target = target.with_limits_by_credential();
        }
        let mut endpoints = vec![own];
        for further in raw.endpoints {
            check_same(endpoints[0].credentials(), further.credentials())?;
            if let Some(says) = endpoints.iter().find_map(|earlier| further.hidden_by(earlier)) {
                return Err(says);
            }
            endpoints.push(further);
        }
        Ok(Self { target, endpoints, first_content: raw.first_content, probe: raw.probe })
    }
}

impl TargetConfig {
    /// Builds the target, with its keys. What is wrong is told with the key that names the variable.
    pub(super) fn upstream(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Upstream, (String, String)> {
        let build = |(i, endpoint): (usize, &EndpointConfig)| {
            endpoint.build(&variable).map_err(|(key, says)| match i.checked_sub(1) {
                None => (key, says),
                Some(further) => (format!("endpoints[{further}].{key}"), says),
            })
        };
        let endpoints = self.endpoints.iter().enumerate().map(build).collect::<Result<_, _>>()?;
        let Self { target, first_content, probe, .. } = self.clone();
        Ok(Upstream { target, endpoints, first_content, probe })
    }
}

// === impl Upstream ===

impl Upstream {
    /// Creates a target that is spoken to by `endpoints`, the first that serves what is asked for.
    #[must_use]
    pub fn new(target: Target, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self { target, endpoints: endpoints.into_iter().collect(), first_content: None, probe: Probe::Usual }
    }
}
