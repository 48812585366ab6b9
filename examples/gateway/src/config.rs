//! What the gateway is told: a TOML file, or nothing.

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    ops::Range,
    path::Path,
    time::Duration,
};

use buttress_core::{Label, Target};
use buttress_llm::{Credential, Dialect, Endpoint, EndpointBuilder};
use serde::Deserialize;
use toml::Spanned;

/// What the gateway is told. Every part but the targets has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen. Loopback by default.
    pub listen: SocketAddr,
    /// The longest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long a request may take to the head of its answer, all attempts and waits included.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// How long open answers may go on after a signal to stop.
    #[serde(deserialize_with = "duration")]
    pub shutdown_grace: Duration,
    /// When and how often to try again.
    pub retry: RetryConfig,
    /// When to try elsewhere.
    pub failover: FailoverConfig,
    targets: Vec<Spanned<TargetConfig>>,
}

/// When and how often to try again.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How often the targets are walked at most.
    pub attempts: NonZeroU32,
    /// The longest wait that a target may ask for.
    #[serde(deserialize_with = "duration")]
    pub max_hint: Duration,
    /// How many retries may be under way, in percent of the requests under way.
    pub budget_percent: u32,
    /// How many retries may be under way in any case.
    pub budget_min: u32,
}

/// When to try elsewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FailoverConfig {
    /// How many attempts one request may cost, on all targets and walks together.
    pub attempts: NonZeroU32,
    /// How long a target may take to begin a streamed answer.
    #[serde(deserialize_with = "duration")]
    pub stream_timeout: Duration,
    /// How long a target may take to give a whole answer.
    #[serde(deserialize_with = "duration")]
    pub answer_timeout: Duration,
}

/// A target: who it is, and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawTarget")]
pub struct TargetConfig {
    target: Target,
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

/// What is wrong with a configuration, and where: file, line, column, key, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    /// Counted from 1.
    place: Option<(usize, usize)>,
    key: String,
    says: String,
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

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            max_body_bytes: 32 * 1024 * 1024,
            deadline: Duration::from_secs(600),
            shutdown_grace: Duration::from_secs(30),
            retry: RetryConfig::default(),
            failover: FailoverConfig::default(),
            targets: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or does not hold a configuration.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) => Err(ConfigError { file, place: None, key: String::new(), says: error.to_string() }),
        }
    }

    /// Parses `text`, which came from `file`.
    ///
    /// # Errors
    ///
    /// Fails if `text` is not TOML, holds a key that is not known or a value that is not allowed, or names no target.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let fail = |span: Option<Range<usize>>, key: String, says: String| ConfigError {
            file: file.to_owned(),
            place: span.map(|span| line_and_column(text, span.start)),
            key,
            says,
        };
        let toml = toml::Deserializer::parse(text)
            .map_err(|error| fail(error.span(), String::new(), error.message().to_owned()))?;
        let config: Self = serde_path_to_error::deserialize(toml).map_err(|error| {
            // What `Spanned` calls its content is its own affair.
            let key = error.path().to_string().replace(".$__serde_spanned_private_value", "");
            let (span, says) = (error.inner().span(), error.inner().message().to_owned());
            fail(span, if key == "." { String::new() } else { key }, says)
        })?;
        config.check().map_err(|(span, key, says)| fail(span, key, says))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (Option<Range<usize>>, String, String)> {
        if self.targets.is_empty() {
            return Err((None, "targets".to_owned(), "at least one [[targets]] table is needed".to_owned()));
        }
        let mut names = HashSet::new();
        for (i, target) in self.targets.iter().enumerate() {
            let name = target.get_ref().target.name();
            if !names.insert(name) {
                let says = format!("`{name}` is the name of another target, each name may be used once");
                return Err((Some(target.span()), format!("targets[{i}].name"), says));
            }
        }
        Ok(())
    }

    /// Returns the targets, each with its key, which `variable` looks up in the environment.
    ///
    /// # Errors
    ///
    /// Fails if a variable is not set, or does not hold what a header can carry. The error never shows a key.
    pub fn upstreams(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Upstream>, ConfigError> {
        let upstream = |(i, target): (usize, &Spanned<TargetConfig>)| {
            target.get_ref().upstream(&variable).map_err(|says| ConfigError {
                file: "environment".to_owned(),
                place: None,
                key: format!("targets[{i}].api_key_env"),
                says,
            })
        };
        self.targets.iter().enumerate().map(upstream).collect()
    }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Reads a duration such as `250ms`, `30s` or `2m`. Zero is refused: every duration here is a limit.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom(format!("`{text}` is not a time, write it as `250ms`, `30s` or `2m`"));
    let duration = humantime::parse_duration(&text).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(serde::de::Error::custom(format!("`{text}` is too short, it must be more than zero")));
    }
    Ok(duration)
}

// === impl RetryConfig ===

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(3).expect("3 is not 0"),
            max_hint: Duration::from_secs(60),
            budget_percent: 20,
            budget_min: 3,
        }
    }
}

// === impl FailoverConfig ===

impl Default for FailoverConfig {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(5).expect("5 is not 0"),
            stream_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(120),
        }
    }
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
    fn upstream(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Upstream, String> {
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

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.says)
    }
}

impl Error for ConfigError {}

// === impl Upstream ===

impl Upstream {
    /// Creates a target that is spoken to by `endpoint`.
    #[must_use]
    pub const fn new(target: Target, endpoint: Endpoint) -> Self {
        Self { target, endpoint }
    }
}
