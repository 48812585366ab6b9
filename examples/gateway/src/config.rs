//! What the gateway is told: a TOML file, or nothing.

mod check;
mod credential;
mod embedder;
mod endpoint;
mod error;
mod judge;
mod limits;
mod probes;
mod redis;
mod rules;
mod sections;
mod semantic;
mod sharing;
mod target;
mod tenants;

use std::{collections::BTreeMap, fs::File, io::Read as _, net::SocketAddr, path::Path, time::Duration};

use http::HeaderValue;
use serde::Deserialize;
use toml::Spanned;

pub(crate) use self::redis::Access;
use self::sections::duration;
pub use self::{
    embedder::{EmbedderAuth, EmbedderConfig, EmbedderKind},
    error::ConfigError,
    judge::{JudgeConfig, JudgeDialect},
    limits::{CallerBy, Dollars, LimitsConfig, Strangers, TierConfig},
    probes::{Probe, ProbesConfig},
    redis::{AwayFor, RedisConfig},
    rules::{Pattern, RuleConfig},
    sections::{BreakerConfig, ConcurrencyConfig, FailoverConfig, HedgeConfig, RetryConfig, StreamsConfig},
    semantic::{JudgeKind, PolicyKind, SearchKind, SemanticConfig},
    sharing::{CacheConfig, CacheMode, CoalesceConfig},
    target::{TargetConfig, Upstream},
    tenants::{KeyHash, PriceConfig, TenantConfig},
};
use crate::tenants::Book;

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
    /// How targets are looked at while nobody asks them.
    pub probes: ProbesConfig,
    /// What is answered again to who asks it again. Nothing, by default.
    pub cache: CacheConfig,
    /// That identical requests of one caller share one call. They do not, if this is not there.
    pub coalesce: Option<CoalesceConfig>,
    /// How much callers may take. As much as there is, if this is not there.
    pub limits: Option<LimitsConfig>,
    /// What the tokens of models cost, by the names that callers use. A name that ends with `*` stands for all that begin so.
    pub prices: BTreeMap<String, PriceConfig>,
    tenants: Vec<Spanned<TenantConfig>>,
    targets: Vec<Spanned<TargetConfig>>,
    /// The key of the embedder, once it was looked up.
    #[serde(skip)]
    pub(crate) embedder_key: Option<HeaderValue>,
    /// How the Redis is reached where answers are shared, once that was looked up.
    #[serde(skip)]
    pub(crate) cache_access: Option<Access>,
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
            probes: ProbesConfig::default(),
            cache: CacheConfig::default(),
            coalesce: None,
            limits: None,
            prices: BTreeMap::new(),
            tenants: Vec::new(),
            targets: Vec::new(),
            embedder_key: None,
            cache_access: None,
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
        Self::parse(&Self::text(path)?, &path.display().to_string())
    }

    /// Reads the text at `path`, for [`parse`](Self::parse).
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is not UTF-8, or is longer than 4 MiB.
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        const MOST: u64 = 4 * 1024 * 1024;
        let fail = |says| ConfigError::of(path, "", says);
        let mut text = String::new();
        let file = File::open(path).map_err(|error| fail(error.to_string()))?;
        file.take(MOST + 1).read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
        if text.len() as u64 > MOST {
            return Err(fail(format!("is longer than {MOST} bytes, the most that is read")));
        }
        Ok(text)
    }

    /// Parses `text`, which came from `file`.
    ///
    /// # Errors
    ///
    /// Fails if `text` is not TOML, holds a key that is not known or a value that is not allowed, or names no target.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let fail = |fault| ConfigError::new(file, text, fault);
        let toml = toml::Deserializer::parse(text)
            .map_err(|error| fail((error.span(), String::new(), error.message().to_owned())))?;
        let config: Self = serde_path_to_error::deserialize(toml).map_err(|error| {
            // What `Spanned` calls its content is its own affair.
            let key = error.path().to_string().replace(".$__serde_spanned_private_value", "");
            let (span, says) = (error.inner().span(), error.inner().message().to_owned());
            fail((span, if key == "." { String::new() } else { key }, says))
        })?;
        config.check().map_err(fail)?;
        Ok(config)
    }

    /// Returns the targets, each with its key, which `variable` looks up in the environment.
    ///
    /// # Errors
    ///
    /// Fails if a variable is not set, or does not hold what a header can carry. The error never shows a key.
    pub fn upstreams(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Upstream>, ConfigError> {
        let upstream = |(i, target): (usize, &Spanned<TargetConfig>)| {
            let fault = |(key, says)| ConfigError::of_environment(format!("targets[{i}].{key}"), says);
            target.get_ref().upstream(&variable).map_err(fault)
        };
        self.targets.iter().enumerate().map(upstream).collect()
    }

    /// Returns who the tenants are, by their keys, which `variable` looks up in the environment, and what models cost; where
    /// there are limits.
    ///
    /// # Errors
    ///
    /// Fails if a variable is not set, or if two tenants have one key. The error never shows a key.
    pub fn book(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Book>, ConfigError> {
        let book = self.limits.as_ref().map(|limits| Book::new(self, limits, variable));
        book.transpose().map_err(|(key, says)| ConfigError::of_environment(key, says))
    }

    /// Looks up what the cache needs, by `variable`: the key of the embedder, where there is one, and how Redis is reached.
    ///
    /// # Errors
    ///
    /// Fails if a variable is not set, or does not hold what it must, or if a file cannot be read. The error never shows a key.
    pub fn keyed(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let fault = |says| ConfigError::of_environment("cache.embedder.api_key_env".to_owned(), says);
        self.embedder_key = self.cache.embedder.key(&variable).map_err(fault)?;
        let access = self.cache.redis.as_ref().map(|redis| redis.access("cache.redis", &variable)).transpose();
        self.cache_access = access.map_err(|(key, says)| ConfigError::of_environment(key, says))?;
        Ok(self)
    }

    /// Returns the tenants.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantConfig> {
        self.tenants.iter().map(Spanned::get_ref)
    }
}
