//! What the gateway is told: a TOML file, or nothing.

mod endpoint;
mod sections;
mod target;

use std::{collections::HashSet, error::Error, fmt, net::SocketAddr, ops::Range, path::Path, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use self::sections::duration;
pub use self::{
    sections::{BreakerConfig, ConcurrencyConfig, FailoverConfig, RetryConfig, StreamsConfig},
    target::{TargetConfig, Upstream},
};

/// What the gateway is told. Every part but the targets has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen. Loopback by default.
    pub listen: SocketAddr,
    /// Where operators look and act, on loopback. Nowhere by default.
    pub admin: Option<SocketAddr>,
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
    /// When a target is called no more.
    pub breaker: BreakerConfig,
    /// What is watched in an answer that has begun.
    pub streams: StreamsConfig,
    /// How much is under way at the same time.
    pub concurrency: ConcurrencyConfig,
    targets: Vec<Spanned<TargetConfig>>,
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

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: None,
            max_body_bytes: 32 * 1024 * 1024,
            deadline: Duration::from_secs(600),
            shutdown_grace: Duration::from_secs(30),
            retry: RetryConfig::default(),
            failover: FailoverConfig::default(),
            breaker: BreakerConfig::default(),
            streams: StreamsConfig::default(),
            concurrency: ConcurrencyConfig::default(),
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

    /// Returns how long the most patient target may take to its first content.
    #[must_use]
    pub fn longest_first_content(&self) -> Duration {
        let own = self.targets.iter().filter_map(|target| target.get_ref().first_content());
        own.fold(self.failover.stream_timeout, Duration::max)
    }

    fn check(&self) -> Result<(), (Option<Range<usize>>, String, String)> {
        if let Some(admin) = self.admin.filter(|admin| !admin.ip().is_loopback()) {
            let says = format!(
                "`{admin}` must be an address of loopback, such as 127.0.0.1:9090: nobody is asked who they are"
            );
            return Err((None, "admin".to_owned(), says));
        }
        self.breaker.settings().check().map_err(|error| (None, "breaker".to_owned(), error.to_string()))?;
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
            target.get_ref().upstream(&variable).map_err(|(key, says)| ConfigError {
                file: "environment".to_owned(),
                place: None,
                key: format!("targets[{i}].{key}"),
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
