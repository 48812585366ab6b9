//! Which model says whether two answers come to the same.

use std::{num::NonZeroUsize, time::Duration};

use buttress_core::Label;
use buttress_semantic_cache::{JudgeLimits, llm::ModelJudgeConfig};
use http::Uri;
use serde::Deserialize;

use super::{
    LimitsConfig,
    sections::{between, duration},
    semantic::JudgeKind,
};

/// Which model says whether two answers come to the same, for the judge `model`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct JudgeConfig {
    /// The model, by the name that callers use.
    pub model: Option<String>,
    /// In whose form it is asked.
    pub dialect: JudgeDialect,
    /// The one target that is asked. Any that serves it, if this is not there.
    pub target: Option<String>,
    /// The tier of the judge's own account, where there are limits. The default one, if this is not there.
    pub tier: Option<String>,
    /// How long a comparison may take, its wait included: 15 s at most.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How many comparisons are under way at the same time.
    #[serde(deserialize_with = "between::<1, 16, _>")]
    pub at_once: u16,
    /// How long both answers may be together, in bytes.
    pub max_bytes: NonZeroUsize,
}

/// In whose form a judge is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum JudgeDialect {
    /// As OpenAI's chats.
    #[default]
    Openai,
    /// As Anthropic's messages.
    Anthropic,
}

type Wrong = (String, String);

/// Three comparisons, one after another, are made within the minute that work in the background has.
const LONGEST: Duration = Duration::from_secs(15);

// === impl JudgeConfig ===

impl Default for JudgeConfig {
    fn default() -> Self {
        Self {
            model: None,
            dialect: JudgeDialect::Openai,
            target: None,
            tier: None,
            timeout: Duration::from_secs(10),
            at_once: 4,
            max_bytes: NonZeroUsize::new(16 * 1_024).expect("16 KiB are not 0"),
        }
    }
}

impl JudgeConfig {
    /// Returns how much is judged at once, and for how long.
    #[must_use]
    pub fn limits(&self) -> JudgeLimits {
        let at_once = NonZeroUsize::new(usize::from(self.at_once)).unwrap_or(NonZeroUsize::MIN);
        JudgeLimits::new().timeout(self.timeout).at_once(at_once).text(self.max_bytes.get())
    }

    /// Returns how the model is asked.
    #[must_use]
    pub fn asked(&self) -> ModelJudgeConfig {
        let model = self.model.as_deref().unwrap_or_default();
        match self.dialect {
            JudgeDialect::Openai => ModelJudgeConfig::new(Uri::from_static("/v1/chat/completions"), model),
            JudgeDialect::Anthropic => ModelJudgeConfig::new(Uri::from_static("/v1/messages"), model).messages(),
        }
    }

    /// Returns the one target that is asked, if it is one.
    pub(crate) fn only(&self) -> Option<Label> {
        self.target.as_deref().and_then(|name| Label::try_new(name).ok())
    }

    pub(super) fn check(&self, kind: JudgeKind) -> Result<(), Wrong> {
        let wrong = |key: &str, says: String| Err((format!("cache.judge{key}"), says));
        if kind != JudgeKind::Model {
            return match *self == Self::default() {
                true => Ok(()),
                false => wrong("", "means nothing without judge = \"model\" in [cache.semantic]".to_owned()),
            };
        }
        match self.model.as_deref() {
            None => {
                return wrong(
                    ".model",
                    "must be given for judge = \"model\": the model that compares answers".to_owned(),
                );
            }
            Some("") => {
                return wrong(".model", "`` is no name of a model, allowed is one that is not empty".to_owned());
            }
            Some(_) => {}
        }
        if self.timeout > LONGEST {
            let given = humantime::format_duration(self.timeout);
            return wrong(".timeout", format!("`{given}` is out of range, allowed is what is not longer than 15s"));
        }
        Ok(())
    }

    /// Says what is wrong with what it names: one of `targets`, and a tier of `limits`.
    pub(super) fn check_names<'a>(
        &self,
        mut targets: impl Iterator<Item = &'a Label>,
        limits: Option<&LimitsConfig>,
    ) -> Result<(), Wrong> {
        let wrong = |key: &str, says: String| Err((format!("cache.judge.{key}"), says));
        if let Some(name) = self.target.as_deref()
            && !targets.any(|target| target.as_str() == name)
        {
            return wrong("target", format!("`{name}` is no target, allowed are names of [[targets]]"));
        }
        match (self.tier.as_deref(), limits) {
            (Some(_), None) => wrong("tier", "means nothing without a [limits] table".to_owned()),
            (Some(tier), Some(limits)) if limits.tier(tier).is_none() => {
                let names = limits.tiers().map(|(name, _)| name).collect::<Vec<_>>().join("`, `");
                wrong("tier", format!("`{tier}` is no tier, allowed are `{names}`"))
            }
            _ => Ok(()),
        }
    }
}
