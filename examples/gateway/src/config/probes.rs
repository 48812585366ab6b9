//! How targets are looked at while nobody asks them.

use std::{num::NonZeroU32, time::Duration};

use buttress_region_failover::Probing;
use http::uri::PathAndQuery;
use serde::Deserialize;

use super::sections::duration;

/// How targets are looked at while nobody asks them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProbesConfig {
    /// How long it is from one look at a target to the next, give or take a fifth. `None` is `"off"`.
    #[serde(deserialize_with = "interval")]
    pub every: Option<Duration>,
    /// How long a target may take to answer.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How many looks in a row must fail to put a target out.
    pub down_after: NonZeroU32,
    /// How many must be answered before a target that is out is worth the next request.
    pub up_after: NonZeroU32,
}

/// What a target is asked, to see whether it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Probe {
    /// What costs nothing at its provider: its list of models, its version or its health.
    #[default]
    Usual,
    /// This path, from the root of its server, with its own credential.
    At(PathAndQuery),
    /// Nothing.
    Off,
}

/// Reads the least time between two looks, of which the layer keeps no less than a tenth of a second.
fn interval<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    let wrong =
        || serde::de::Error::custom(format!("`{text}` is not a time, write it as `250ms`, `30s` or `2m`, or `off`"));
    let every = humantime::parse_duration(&text).map_err(|_| wrong())?;
    if every < Probing::LEAST {
        return Err(serde::de::Error::custom(format!("`{text}` is too short, `{:?}` is the least", Probing::LEAST)));
    }
    Ok(Some(every))
}

// === impl ProbesConfig ===

impl Default for ProbesConfig {
    fn default() -> Self {
        let number = |n: u32| NonZeroU32::MIN.saturating_add(n - 1);
        Self {
            every: Some(Duration::from_secs(10)),
            timeout: Duration::from_secs(5),
            down_after: number(3),
            up_after: number(2),
        }
    }
}

impl ProbesConfig {
    /// Returns how targets are probed, if they are.
    #[must_use]
    pub fn probing(&self) -> Option<Probing> {
        let Self { every, timeout, down_after, up_after } = *self;
        Some(Probing::DEFAULT.every(every?).timeout(timeout).down_after(down_after).up_after(up_after))
    }
}

// === impl Probe ===

impl TryFrom<String> for Probe {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let path = PathAndQuery::try_from(text.as_str()).ok().filter(|path| path.path().starts_with('/'));
        path.map(Self::At).ok_or_else(|| format!("`{text}` is neither `off` nor a path such as `/healthz`"))
    }
}
