//! What is answered once for several requests of one caller.

use std::{num::NonZeroUsize, time::Duration};

use serde::Deserialize;

use super::sections::{duration, optional_duration};

/// What is answered again to who asks it again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Which questions are taken to be the same.
    pub mode: CacheMode,
    /// How long an answer is given again, give or take a tenth.
    #[serde(deserialize_with = "duration")]
    pub ttl: Duration,
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
}

/// Which questions are taken to be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CacheMode {
    /// None: nothing is kept.
    #[default]
    Off,
    /// Those that are the same in every word and setting.
    Exact,
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
            stale_if_error: None,
            max_bytes: bytes(64 * 1_024),
            max_entries: NonZeroUsize::new(100_000).expect("100,000 are not 0"),
            max_entry_bytes: bytes(1_024),
            max_caller_bytes: None,
            sampled: false,
            tools: false,
            media: false,
            personal: false,
        }
    }
}

impl CacheConfig {
    /// Returns what is wrong, with its key: what could never be kept would be looked for in vain.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let holds = self.max_caller_bytes.unwrap_or(self.max_bytes).min(self.max_bytes);
        if self.max_entry_bytes <= holds {
            return Ok(());
        }
        let says =
            format!("`{}` is more than is kept of all answers, or for one caller, `{holds}`", self.max_entry_bytes);
        Err(("cache.max_entry_bytes".to_owned(), says))
    }
}

// === impl CoalesceConfig ===

impl Default for CoalesceConfig {
    fn default() -> Self {
        Self { max_bytes: bytes(256) }
    }
}
