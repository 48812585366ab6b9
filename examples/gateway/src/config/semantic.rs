//! How questions are found that mean the same.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use buttress_semantic_cache::{Bounds, ErrorBound, Policy, PolicyError};
use serde::Deserialize;

use super::{embedder::EmbedderKind, sections::duration};

/// How questions are found that mean the same.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SemanticConfig {
    /// What decides whether an answer is given.
    pub policy: PolicyKind,
    /// How alike two questions must be, from 0.8 to 1, for `threshold`: 0.95.
    pub threshold: Option<f64>,
    /// What share of requests may be answered wrongly, from 0.001 to 0.2, for `error-bound`: 0.01.
    pub max_error_rate: Option<f64>,
    /// What share of the answers that are given is checked, from 0.01 to 0.5, for `error-bound`: 0.05.
    pub audits: Option<f64>,
    /// How many comparisons there may be for each request, from 0.05 to 3, for `error-bound`: 0.5, or 0.15 where a model makes them.
    pub comparisons: Option<f64>,
    /// What makes vectors of questions.
    pub embedder: EmbedderKind,
    /// What says whether two answers come to the same.
    pub judge: JudgeKind,
    /// How alike two answers must be for the judge `similar`, from 0.5 to 1: 0.9.
    pub judge_similarity: Option<f64>,
    /// How long a call waits for the search before the two run side by side.
    #[serde(deserialize_with = "duration")]
    pub patience: Duration,
    /// How many words of content a question must have.
    pub min_words: usize,
    /// Where a rule lets callers share answers: how many must have had an answer of their own before others are given it by its
    /// meaning, from 1 to 16.
    pub min_principals: usize,
    /// How many bytes the memory of questions takes, about.
    pub max_bytes: NonZeroUsize,
    /// How many questions are remembered.
    pub max_entries: NonZeroUsize,
    /// Where the nearest questions are searched for.
    pub search: SearchKind,
    /// How many questions of one scope are kept in Redis, for `search = "redis"`: 1,000,000.
    pub max_shared_entries: Option<NonZeroUsize>,
    /// Where what was learned is kept beyond the end of the process.
    pub state_file: Option<PathBuf>,
    /// How often it is written, if anything was learned.
    #[serde(deserialize_with = "duration")]
    pub state_every: Duration,
}

/// What decides whether an answer is given to a question that means the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PolicyKind {
    /// How alike the questions are.
    Threshold,
    /// What was learned from judged answers.
    #[default]
    #[serde(alias = "error_bound")]
    ErrorBound,
}

/// Where the questions nearest to one are searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SearchKind {
    /// In the memory of each replica.
    #[default]
    Memory,
    /// In Redis 8, by its vector sets.
    Redis,
}

/// What says whether two answers come to the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JudgeKind {
    /// That they are the same but for case and white space; if not, they do not.
    #[default]
    SameText,
    /// That they are the same JSON.
    SameJson,
    /// That their vectors are alike, and their numbers, names and denials the same.
    Similar,
    /// That a model says so.
    Model,
}

type Wrong = (String, String);

// === impl SemanticConfig ===

impl Default for SemanticConfig {
    fn default() -> Self {
        Self {
            policy: PolicyKind::default(),
            threshold: None,
            max_error_rate: None,
            audits: None,
            comparisons: None,
            embedder: EmbedderKind::default(),
            judge: JudgeKind::default(),
            judge_similarity: None,
            patience: Duration::from_millis(50),
            min_words: 3,
            min_principals: 2,
            max_bytes: NonZeroUsize::new(64 << 20).expect("64 MiB are not 0"),
            max_entries: NonZeroUsize::new(100_000).expect("100,000 are not 0"),
            search: SearchKind::default(),
            max_shared_entries: None,
            state_file: None,
            state_every: Duration::from_secs(60),
        }
    }
}

impl SemanticConfig {
    /// Returns the policy.
    ///
    /// # Errors
    ///
    /// Fails if a value is out of its range, which [`Config::parse`](super::Config::parse) has refused.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        let policy = match self.policy {
            PolicyKind::Threshold => Policy::threshold(self.threshold.unwrap_or(0.95) as f32)?,
            PolicyKind::ErrorBound => {
                let bound = ErrorBound::new(self.max_error_rate.unwrap_or(0.01))?;
                let bound = match self.audits {
                    Some(share) => bound.audits(share)?,
                    None => bound,
                };
                Policy::error_bound(match self.comparisons() {
                    Some(share) => bound.comparisons(share)?,
                    None => bound,
                })
            }
        };
        policy.min_principals(self.min_principals)
    }

    /// Returns how many comparisons there may be for each request, where that is not what the policy has by itself. Those of a model cost
    /// money.
    fn comparisons(&self) -> Option<f64> {
        self.comparisons.or_else(|| (self.judge == JudgeKind::Model).then_some(BY_MODEL))
    }

    /// Returns how much is remembered.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { entries: self.max_entries.get(), bytes: self.max_bytes.get(), ..Bounds::default() }
    }

    /// Returns how alike two answers must be that the judge `similar` calls equal.
    #[must_use]
    pub fn judge_similarity(&self) -> f32 {
        self.judge_similarity.unwrap_or(0.9) as f32
    }

    /// Returns how many questions of a scope are searched for in Redis, if they are.
    #[must_use]
    pub fn searched_in_redis(&self) -> Option<NonZeroUsize> {
        let most = self.max_shared_entries.unwrap_or(SHARED);
        (self.search == SearchKind::Redis).then_some(most)
    }

    /// Returns what is wrong with where is searched, for a Redis whose values are sealed or not, if there is one.
    pub(super) fn check_search(&self, sealed: Option<bool>) -> Result<(), Wrong> {
        let wrong = |key: &str, says: &str| Err((format!("cache.semantic.{key}"), says.to_owned()));
        match (self.search, sealed) {
            (SearchKind::Memory, _) if self.max_shared_entries.is_some() => {
                wrong("max_shared_entries", "means nothing without search = \"redis\"")
            }
            (SearchKind::Redis, None) => {
                wrong("search", "`redis` means nothing without `cache.redis`, allowed is `memory`")
            }
            (SearchKind::Redis, Some(true)) => wrong(
                "search",
                "`redis` cannot be with `cache.redis.secret_env`: vectors cannot be sealed, and tell what was asked; \
                 allowed is `memory`",
            ),
            (SearchKind::Memory | SearchKind::Redis, _) => Ok(()),
        }
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let by_threshold = self.policy == PolicyKind::Threshold;
        let wrong = |key: &str, says: String| Err((format!("cache.semantic.{key}"), says));
        for (key, value, least, most, counts, with) in [
            ("threshold", self.threshold, 0.8, 1.0, by_threshold, "policy = \"threshold\""),
            ("max_error_rate", self.max_error_rate, 0.001, 0.2, !by_threshold, "policy = \"error-bound\""),
            ("audits", self.audits, 0.01, 0.5, !by_threshold, "policy = \"error-bound\""),
            ("comparisons", self.comparisons, 0.05, 3.0, !by_threshold, "policy = \"error-bound\""),
            (
                "judge_similarity",
                self.judge_similarity,
                0.5,
                1.0,
                self.judge == JudgeKind::Similar,
                "judge = \"similar\"",
            ),
        ] {
            let Some(value) = value else { continue };
            if !counts {
                return wrong(key, format!("means nothing without {with}"));
            }
            // Written so that what is no number is refused.
            if !(least..=most).contains(&value) {
                return wrong(key, format!("`{value}` is out of range, allowed is what is from {least} to {most}"));
            }
        }
        if self.min_words > MOST_WORDS {
            return wrong("min_words", format!("`{}` is out of range, allowed is 0 to {MOST_WORDS}", self.min_words));
        }
        if !(1..=MOST_PRINCIPALS).contains(&self.min_principals) {
            let says = format!("`{}` is out of range, allowed is 1 to {MOST_PRINCIPALS}", self.min_principals);
            return wrong("min_principals", says);
        }
        match &self.state_file {
            Some(_) if by_threshold => {
                wrong("state_file", "means nothing with policy = \"threshold\", which learns nothing".to_owned())
            }
            Some(file) if file.file_name().is_none() => {
                wrong("state_file", format!("`{}` is no name of a file", file.display()))
            }
            _ => Ok(()),
        }
    }
}

/// How many comparisons by a model there may be for each request.
const BY_MODEL: f64 = 0.15;
/// How many questions of a scope are kept in Redis, unless it is said.
const SHARED: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("a million is not 0");
/// Longer questions are seldom the same.
const MOST_WORDS: usize = 100;
/// Nobody is remembered beyond these.
const MOST_PRINCIPALS: usize = 16;
