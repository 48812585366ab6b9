//! Who may take how much.

use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

use buttress_token_bucket::{Dimension, Limit, LimitError, Limits};
use http::HeaderName;
use serde::Deserialize;

use super::{
    redis::{AwayFor, RedisConfig},
    sections::optional_duration,
};

/// How much callers may take, each for itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// By what callers are told apart.
    pub caller: CallerBy,
    /// Whether callers that are no tenants share one bucket. They do where there are tenants, unless it is said here.
    pub strangers: Option<Strangers>,
    /// How many callers are kept apart at the same time.
    pub max_callers: NonZeroUsize,
    /// How many tokens of output a request is taken to need that does not say how many it wants at most.
    pub assumed_output: NonZeroU64,
    /// Whether every answer tells of the rates, and not only a refusal.
    pub announce: bool,
    /// The longest time that a request waits for its turn. `None` lets nobody wait.
    #[serde(deserialize_with = "optional_duration")]
    pub wait: Option<Duration>,
    /// Where replicas of the gateway share what they count. Each counts for itself, if this is not there.
    pub redis: Option<RedisConfig>,
    /// The limits of whoever has no other tier.
    pub default: TierConfig,
    /// Further tiers, by their names.
    pub tiers: BTreeMap<String, TierConfig>,
}

/// By what callers are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum CallerBy {
    /// By the API key they show, of which only a hash is kept.
    #[default]
    ApiKey,
    /// By the value of this header, which something in front of the gateway must vouch for.
    Header(HeaderName),
}

/// What callers are that are no tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strangers {
    /// Each has a bucket of its own, which a new key for each request gets around.
    Each,
    /// They share one bucket.
    Together,
}

/// How much a caller of a tier may take. Buckets hold as much, and are refilled without pause.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TierConfig {
    /// Requests in a minute.
    pub rpm: Option<NonZeroU64>,
    /// Tokens of input and output in a minute.
    pub tpm: Option<NonZeroU64>,
    /// Money in a day, in dollars.
    pub dollars_per_day: Option<Dollars>,
    /// Money in 30 days, in dollars.
    pub dollars_per_month: Option<Dollars>,
}

/// An amount of money, counted in nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Dollars(NonZeroU64);

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

// === impl LimitsConfig ===

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            caller: CallerBy::default(),
            strangers: None,
            max_callers: NonZeroUsize::new(100_000).expect("100,000 are not 0"),
            assumed_output: NonZeroU64::new(1_000).expect("1,000 are not 0"),
            announce: true,
            wait: None,
            redis: None,
            default: TierConfig::default(),
            tiers: BTreeMap::new(),
        }
    }
}

impl LimitsConfig {
    /// The name of the tier of whoever has no other one.
    pub const DEFAULT_TIER: &str = "default";

    /// Returns the tiers, by their numbers, the default one first.
    pub fn tiers(&self) -> impl Iterator<Item = (&str, &TierConfig)> {
        let named = self.tiers.iter().map(|(name, tier)| (name.as_str(), tier));
        std::iter::once((Self::DEFAULT_TIER, &self.default)).chain(named)
    }

    /// Returns the number of the tier called `name`.
    #[must_use]
    pub fn tier(&self, name: &str) -> Option<usize> {
        self.tiers().position(|(tier, _)| tier == name)
    }

    /// Returns the limits of a tier as the layer takes them.
    ///
    /// # Errors
    ///
    /// Fails if there are none.
    pub fn limits_of(&self, tier: &TierConfig) -> Result<Limits, LimitError> {
        tier.limits(self.redis.as_ref().map(|redis| redis.when_away_for).unwrap_or_default())
    }

    /// Returns the limits of each tier, by its number; or what is wrong, with its key.
    pub(super) fn check(&self, has_prices: bool) -> Result<(), (String, String)> {
        for (number, (name, tier)) in self.tiers().enumerate() {
            let key = if number == 0 { "limits.default".to_owned() } else { format!("limits.tiers.{name}") };
            if number > 0 && name == Self::DEFAULT_TIER {
                return Err((key, "`default` is the name of [limits.default], take another one".to_owned()));
            }
            if buttress_core::Label::try_new(name).is_err() {
                return Err((key, "a name must be visible ASCII without commas and semicolons".to_owned()));
            }
            if *tier == TierConfig::default() {
                let says = "at least one of `rpm`, `tpm`, `dollars_per_day` and `dollars_per_month` must be given";
                return Err((key, says.to_owned()));
            }
            if tier.counts_money() && !has_prices {
                return Err((key, "dollars need [prices], so that it is known what a token costs".to_owned()));
            }
            self.limits_of(tier).map_err(|error| (key, error.to_string()))?;
        }
        Ok(())
    }
}

// === impl CallerBy ===

impl TryFrom<String> for CallerBy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "api-key" {
            return Ok(Self::ApiKey);
        }
        let header = text.strip_prefix("header:").and_then(|name| HeaderName::try_from(name.trim()).ok());
        header.map(Self::Header).ok_or_else(|| format!("`{text}` is neither `api-key` nor as `header:x-tenant`"))
    }
}

// === impl TierConfig ===

impl TierConfig {
    const fn counts_money(&self) -> bool {
        self.dollars_per_day.is_some() || self.dollars_per_month.is_some()
    }

    /// Returns the limits as the layer takes them. Money is a quota.
    fn limits(&self, away: AwayFor) -> Result<Limits, LimitError> {
        let Self { rpm, tpm, dollars_per_day, dollars_per_month } = *self;
        let money = |dollars: Option<Dollars>| dollars.map(|Dollars(nano)| nano);
        let all = [
            ("requests-per-minute", Dimension::REQUESTS, rpm, MINUTE, false, away.rpm),
            ("tokens-per-minute", Dimension::TOKENS, tpm, MINUTE, false, away.tpm),
            ("dollars-per-day", Dimension::NANO_DOLLARS, money(dollars_per_day), DAY, true, away.dollars_per_day),
            (
                "dollars-per-month",
                Dimension::NANO_DOLLARS,
                money(dollars_per_month),
                DAY * 30,
                true,
                away.dollars_per_month,
            ),
        ];
        let limit = |(name, dimension, amount, period, quota, away): (_, _, Option<NonZeroU64>, _, bool, _)| {
            let limit = Limit::try_new(name, dimension, amount?.get(), period);
            let limit = limit.map(|limit| if quota { limit.quota() } else { limit });
            Some(limit.map(|limit| match away {
                Some(away) => limit.when_away(away),
                None => limit,
            }))
        };
        Limits::try_new(all.into_iter().filter_map(limit).collect::<Result<Vec<_>, _>>()?)
    }
}

// === impl Dollars ===

impl TryFrom<f64> for Dollars {
    type Error = String;

    fn try_from(dollars: f64) -> Result<Self, String> {
        const MOST: f64 = 1e9;
        let nano =
            (dollars > 0.0 && dollars <= MOST).then(|| NonZeroU64::new((dollars * 1e9).round() as u64)).flatten();
        nano.map(Self).ok_or_else(|| format!("`{dollars}` must be dollars, more than 0 and at most {MOST}"))
    }
}
