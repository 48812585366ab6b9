//! Where replicas of the gateway share what they count.

use std::{fmt, num::NonZeroU32};

use buttress_redis::{Config, Namespace, Redis};
use buttress_token_bucket::WhenAway;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::endpoint::check_variable;

/// Where replicas of the gateway share what they count: an address, or a table with `url` or `url_env`. It never prints the
/// address, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    address: Address,
    /// What all keys in Redis begin with.
    pub prefix: Namespace,
    /// How many replicas there are, which counts while Redis is away.
    pub replicas: NonZeroU32,
    /// What happens to requests while Redis is away.
    pub when_away: WhenAway,
}

#[derive(Clone, PartialEq, Eq)]
enum Address {
    Url(String),
    Variable(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRedis {
    url: Option<String>,
    url_env: Option<String>,
    prefix: Option<String>,
    replicas: Option<NonZeroU32>,
    #[serde(default)]
    when_away: RawAway,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawAway {
    #[default]
    LocalShare,
    Open,
    Closed,
}

// === impl RedisConfig ===

impl RedisConfig {
    const PREFIX: &str = "buttress-gateway";

    /// Returns the address, where a variable holds it as `variable` says.
    pub(crate) fn url(&self, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let name = match &self.address {
            Address::Url(url) => return Ok(url.clone()),
            Address::Variable(name) => name,
        };
        let url = variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        check(&url).map_err(|says| format!("the variable `{name}`: {says}"))?;
        Ok(url)
    }
}

/// Makes a client, which connects to nobody before it is asked, to see whether it can be made.
fn check(url: &str) -> Result<(), String> {
    Redis::pair(Config::new(url)).map(drop).map_err(|error| error.to_string())
}

impl TryFrom<RawRedis> for RedisConfig {
    type Error = String;

    fn try_from(raw: RawRedis) -> Result<Self, String> {
        let address = match (raw.url, raw.url_env) {
            (Some(url), None) => {
                check(&url)?;
                Address::Url(url)
            }
            (None, Some(variable)) => {
                check_variable("url_env", &variable)?;
                Address::Variable(variable)
            }
            _ => return Err("either `url` or `url_env` must be given".to_owned()),
        };
        let prefix = raw.prefix.as_deref().unwrap_or(Self::PREFIX);
        Ok(Self {
            address,
            prefix: Namespace::try_new(prefix).map_err(|error| format!("`prefix`: {error}"))?,
            replicas: raw.replicas.unwrap_or(NonZeroU32::MIN),
            when_away: match raw.when_away {
                RawAway::LocalShare => WhenAway::LocalShare,
                RawAway::Open => WhenAway::FailOpen,
                RawAway::Closed => WhenAway::FailClosed,
            },
        })
    }
}

impl<'de> Deserialize<'de> for RedisConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RedisVisitor)
    }
}

struct RedisVisitor;

impl<'de> Visitor<'de> for RedisVisitor {
    type Value = RedisConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as `redis://localhost`, or a table with `url` or `url_env`")
    }

    fn visit_str<E: de::Error>(self, url: &str) -> Result<RedisConfig, E> {
        let when_away = RawAway::default();
        let raw = RawRedis { url: Some(url.to_owned()), url_env: None, prefix: None, replicas: None, when_away };
        raw.try_into().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RedisConfig, A::Error> {
        RawRedis::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(de::Error::custom)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, replicas, when_away, .. } = self;
        let mut all = f.debug_struct("RedisConfig");
        all.field("prefix", &prefix.as_str()).field("replicas", replicas).field("when_away", when_away);
        all.finish_non_exhaustive()
    }
}
