//! What is cached otherwise for some models, paths or tenants.

use std::{collections::HashSet, time::Duration};

use buttress_core::Label;
use serde::Deserialize;

use super::{sections::optional_duration, sharing::CacheMode};

/// What is cached otherwise for some models, paths or tenants. It matches where all lists that are there have a match.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RuleConfig {
    /// Its name: in metrics, and for whoever forgets what it shared.
    pub name: String,
    /// Which questions are taken to be the same.
    pub mode: CacheMode,
    /// The models, as callers name them. All, if there is none here.
    #[serde(default)]
    pub models: Vec<Pattern>,
    /// The paths, as callers send them. All, if there is none here.
    #[serde(default)]
    pub paths: Vec<Pattern>,
    /// The names of tenants. All callers, if there is none here.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// How long an answer is given again, instead of `cache.ttl`.
    #[serde(default, deserialize_with = "optional_duration")]
    pub ttl: Option<Duration>,
    /// Instead of `cache.stale_while_revalidate`.
    #[serde(default, deserialize_with = "optional_duration")]
    pub stale_while_revalidate: Option<Duration>,
    /// Instead of `cache.stale_if_error`.
    #[serde(default, deserialize_with = "optional_duration")]
    pub stale_if_error: Option<Duration>,
    /// Whether all callers that it matches are given each other's answers.
    #[serde(default)]
    pub shared: bool,
}

/// A text, or how it begins, if `*` is the last character.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    /// Whether more may follow.
    open: bool,
}

/// How many rules there are at most: each request is compared with them, one after another.
const MOST: usize = 256;

// === impl RuleConfig ===

impl RuleConfig {
    /// What metrics call it where no rule matches.
    pub const DEFAULT: &str = "default";

    /// Returns what is wrong with `rules`, with its key.
    pub(super) fn check_all(rules: &[Self], is_tenant: impl Fn(&str) -> bool) -> Result<(), (String, String)> {
        if rules.len() > MOST {
            return Err(("cache.rules".to_owned(), format!("there may be {MOST} rules, not {}", rules.len())));
        }
        let mut names = HashSet::new();
        for (at, rule) in rules.iter().enumerate() {
            let fault = |key: &str, says: String| Err((format!("cache.rules[{at}].{key}"), says));
            let name = rule.name.as_str();
            if let Err(error) = Label::try_new(name) {
                return fault("name", error.to_string());
            }
            if name == Self::DEFAULT || !names.insert(name) {
                return fault("name", format!("`{name}` is the name of another rule, each name may be used once"));
            }
            if let Some(nobody) = rule.tenants.iter().find(|name| !is_tenant(name)) {
                return fault("tenants", format!("`{nobody}` is no tenant, allowed are names of [[tenants]]"));
            }
            let lasts = rule.ttl.or(rule.stale_while_revalidate).or(rule.stale_if_error).is_some();
            if rule.mode == CacheMode::Off && (rule.shared || lasts) {
                let says = "`off` keeps nothing, so `ttl`, `stale_while_revalidate`, `stale_if_error` and `shared` mean nothing";
                return fault("mode", says.to_owned());
            }
        }
        Ok(())
    }
}

// === impl Pattern ===

impl Pattern {
    /// Returns whether `text` is meant.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if self.open { text.starts_with(&self.text) } else { text == self.text }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(mut text: String) -> Result<Self, String> {
        let open = text.ends_with('*');
        if open {
            text.pop();
        }
        if text.contains('*') || (text.is_empty() && !open) {
            return Err(format!(
                "`{text}` is neither a name nor the beginning of one: `*` may be the last character only"
            ));
        }
        Ok(Self { text, open })
    }
}
