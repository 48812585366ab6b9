//! What is answered once for several requests of one caller.

use std::{num::NonZeroUsize, time::Duration};

use serde::Deserialize;

use super::{
    embedder::EmbedderConfig,
    judge::JudgeConfig,
    redis::RedisConfig,
    rules::RuleConfig,
    sections::{duration, optional_duration},
    semantic::SemanticConfig,
};

/// What is answered again to who asks it again.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Which questions are taken to be the same, where no rule says otherwise.
    pub mode: CacheMode,
    /// How long an answer is given again, give or take a tenth.
    #[serde(deserialize_with = "duration")]
    pub ttl: Duration,
    /// For how long after that it is still given, while a new one is fetched.
    #[serde(deserialize_with = "optional_duration")]
    pub stale_while_revalidate: Option<Duration>,
    /// For how long after that it is still given, where every target fails.
    #[serde(deserialize_with = "optional_duration")]
    pub stale_if_error: Option<Duration>,
    /// How many bytes of answers are kept in all.
    pub max_bytes: NonZeroUsize,
    /// How many answers are kept in all.
    pub max_entries: NonZeroUsize,
    /// How long an answer may be to be kept, in bytes.
    pub max_entry_bytes: NonZeroUsize,
    /// How many bytes are kept for one caller. As many as for all, if this is not there.
    pub max_caller_bytes: Option<NonZeroUsize>,
    /// Whether also what a model is to word at random.
    pub sampled: bool,
    /// Whether also what has tools, or calls of them.
    pub tools: bool,
    /// Whether also what has images, sounds or files.
    pub media: bool,
    /// Whether also what seems to be personal.
    pub personal: bool,
    /// What is otherwise for some models, paths or tenants. The first that matches counts.
    pub rules: Vec<RuleConfig>,
    /// The tenants that may ask why they were answered as they were; `*` for everybody.
    pub explain_to: Vec<String>,
    /// How questions are found that mean the same.
    pub semantic: SemanticConfig,
    /// Where the vectors of questions come from.
    pub embedder: EmbedderConfig,
    /// Which model says whether two answers come to the same.
    pub judge: JudgeConfig,
    /// Where replicas share their answers. They do not, if this is not there.
    pub redis: Option<RedisConfig>,
}

/// Which questions are taken to be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CacheMode {
    /// None: nothing is kept.
    #[default]
    Off,
    /// Those that are the same in every word and setting.
    Exact,
    /// Also those that mean the same, as far as is known.
    Semantic,
}

/// That identical requests of one caller, made at the same time, share one call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CoalesceConfig {
    /// How many bytes of an answer are kept for those that join late, or read slowly.
    pub max_bytes: NonZeroUsize,
}

const fn bytes(kib: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(kib * 1_024 - 1)
}

// === impl CacheConfig ===

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            mode: CacheMode::Off,
            ttl: Duration::from_secs(3_600),
            stale_while_revalidate: None,
            stale_if_error: None,
            max_bytes: bytes(64 * 1_024),
            max_entries: NonZeroUsize::new(100_000).expect("100,000 are not 0"),
            max_entry_bytes: bytes(1_024),
            max_caller_bytes: None,
            sampled: false,
            tools: false,
            media: false,
            personal: false,
            rules: Vec::new(),
            explain_to: Vec::new(),
            semantic: SemanticConfig::default(),
            embedder: EmbedderConfig::default(),
            judge: JudgeConfig::default(),
            redis: None,
        }
    }
}

impl CacheConfig {
    /// Returns the most that is done for any question.
    #[must_use]
    pub fn most(&self) -> CacheMode {
        self.rules.iter().map(|rule| rule.mode).fold(self.mode, CacheMode::max)
    }

    /// Returns what is wrong, with its key. `is_tenant` knows the names of tenants.
    pub(super) fn check(&self, is_tenant: impl Fn(&str) -> bool) -> Result<(), (String, String)> {
        // What could never be kept would be looked for in vain.
        let holds = self.max_caller_bytes.unwrap_or(self.max_bytes).min(self.max_bytes);
        if self.max_entry_bytes > holds {
            let says =
                format!("`{}` is more than is kept of all answers, or for one caller, `{holds}`", self.max_entry_bytes);
            return Err(("cache.max_entry_bytes".to_owned(), says));
        }
        if let Some(redis) = &self.redis {
            let wrong = |says: &str| Err(("cache.redis".to_owned(), says.to_owned()));
            if redis.is_for_limits() {
                return wrong(
                    "`replicas`, `when_away` and `when_away_for` are for limits: answers are not here while Redis is away",
                );
            }
            if self.most() == CacheMode::Off {
                return wrong("nothing is cached that could be shared: set `mode`, or a rule's `mode`");
            }
        }
        RuleConfig::check_all(&self.rules, &is_tenant)?;
        if let Some(nobody) = self.explain_to.iter().find(|name| *name != "*" && !is_tenant(name)) {
            let says = format!("`{nobody}` is no tenant, allowed are names of [[tenants]], and `*` for everybody");
            return Err(("cache.explain_to".to_owned(), says));
        }
        self.semantic.check()?;
        self.judge.check(self.semantic.judge)?;
        self.semantic.check_search(self.redis.as_ref().map(RedisConfig::is_sealed))?;
        self.embedder.check(self.semantic.embedder)
    }
}

// === impl CoalesceConfig ===

impl Default for CoalesceConfig {
    fn default() -> Self {
        Self { max_bytes: bytes(256) }
    }
}
