//! Where replicas of the gateway share what they count.

use std::{
    fmt,
    io::Read as _,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use buttress_redis::{Config, Namespace, Redis};
use buttress_token_bucket::{Secret, WhenAway};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{KeyHash, endpoint::check_variable};

/// Where replicas of the gateway share what they count, or what they answer: an address, or a table. It never prints an address, which may hold a
/// password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    servers: Servers,
    username: Option<String>,
    password_env: Option<String>,
    secret_env: Option<String>,
    tls: TlsFiles,
    /// What all keys in Redis begin with.
    pub prefix: Namespace,
    /// How many replicas there are, which counts while Redis is away.
    pub replicas: NonZeroU32,
    /// What happens to requests while Redis is away.
    pub when_away: WhenAway,
    /// The same of single limits, where they differ.
    pub when_away_for: AwayFor,
}

/// What holds of single limits while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AwayFor {
    /// Of requests in a minute.
    #[serde(deserialize_with = "away")]
    pub rpm: Option<WhenAway>,
    /// Of tokens in a minute.
    #[serde(deserialize_with = "away")]
    pub tpm: Option<WhenAway>,
    /// Of money in a day.
    #[serde(deserialize_with = "away")]
    pub dollars_per_day: Option<WhenAway>,
    /// Of money in 30 days.
    #[serde(deserialize_with = "away")]
    pub dollars_per_month: Option<WhenAway>,
}

/// How to reach Redis, and by what callers are hashed there. It holds secrets, and prints none.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) config: Config,
    pub(crate) secret: Secret,
    /// What answers are sealed with, where there is a secret of its own.
    pub(crate) seal: Option<[u8; 32]>,
}

#[derive(Clone, PartialEq, Eq)]
enum Servers {
    Url(String),
    Variable(String),
    Sentinel(Vec<String>, String),
    Cluster(Vec<String>),
}

/// Files in PEM: the roots that a server's certificate must come from, and what the gateway shows.
#[derive(Clone, Default, PartialEq, Eq)]
struct TlsFiles {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRedis {
    url: Option<String>,
    url_env: Option<String>,
    sentinel: Option<Vec<String>>,
    primary: Option<String>,
    cluster: Option<Vec<String>>,
    username: Option<String>,
    password_env: Option<String>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    secret_env: Option<String>,
    prefix: Option<String>,
    replicas: Option<NonZeroU32>,
    when_away: RawAway,
    when_away_for: AwayFor,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawAway {
    #[default]
    LocalShare,
    Open,
    Closed,
}

/// No certificate is larger, nor a list of all that there are.
const MOST_OF_A_FILE: u64 = 4 << 20;

/// A secret that is shorter could be guessed.
const LEAST_OF_A_SECRET: usize = 16;

// === impl RedisConfig ===

impl RedisConfig {
    const PREFIX: &str = "buttress-gateway";

    /// Returns how Redis is reached, where variables hold what `variable` says. `section` is the key of this one.
    ///
    /// # Errors
    ///
    /// Returns the key of what is wrong, and what: a variable is not set, a file cannot be read, or Redis cannot be reached so.
    pub(crate) fn access(
        &self,
        section: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Access, (String, String)> {
        let at = |key: &'static str| move |says| (format!("{section}{key}"), says);
        let value = |name: &str| variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"));
        let mut config = match &self.servers {
            Servers::Variable(name) => {
                let url = value(name).map_err(at(""))?;
                check(Config::new(&url)).map_err(|says| at("")(format!("the variable `{name}`: {says}")))?;
                self.named(Config::new(url))
            }
            _ => self.config(),
        };
        if let Some(name) = &self.password_env {
            config = config.password(value(name).map_err(at(".password_env"))?);
        }
        let secret = self.secret_env.as_deref().map(value).transpose().map_err(at(".secret_env"))?;
        if secret.as_ref().is_some_and(|secret| secret.len() < LEAST_OF_A_SECRET) {
            return Err(at(".secret_env")(format!("the variable must hold at least {LEAST_OF_A_SECRET} bytes")));
        }
        if self.tls != TlsFiles::default() {
            let read = |file: &Option<PathBuf>| file.as_deref().map(read).transpose();
            let TlsFiles { ca_file, cert_file, key_file } = &self.tls;
            let roots = read(ca_file).map_err(at(".ca_file"))?;
            let cert = read(cert_file).map_err(at(".cert_file"))?;
            let key = read(key_file).map_err(at(".key_file"))?;
            config = config.tls(roots, cert.zip(key));
            check(config.clone()).map_err(|says| at("")(format!("`ca_file`, `cert_file`, `key_file`: {says}")))?;
        }
        // The same in all replicas, so that they know a caller by one fingerprint.
        // Whoever finds out one of the two does not know the other.
        let seal = secret.as_deref().map(|secret| KeyHash::of(format!("answers\0{secret}").as_bytes()).bytes());
        let secret = secret.as_deref().unwrap_or(self.prefix.as_str());
        Ok(Access { config, secret: Secret::new(KeyHash::of(secret.as_bytes()).first_half()), seal })
    }

    /// Returns whether it says what only limits can go by.
    pub(super) fn is_for_limits(&self) -> bool {
        self.replicas != NonZeroU32::MIN
            || self.when_away != WhenAway::from(RawAway::default())
            || self.when_away_for != AwayFor::default()
    }

    /// Returns whether answers are sealed there.
    pub(super) const fn is_sealed(&self) -> bool {
        self.secret_env.is_some()
    }

    /// Returns what is known without variables and files.
    fn config(&self) -> Config {
        let config = match &self.servers {
            Servers::Url(url) => Config::new(url),
            Servers::Variable(_) => Config::new("redis://localhost"),
            Servers::Sentinel(urls, primary) => Config::sentinel(urls, primary),
            Servers::Cluster(urls) => Config::cluster(urls),
        };
        self.named(config)
    }

    fn named(&self, config: Config) -> Config {
        match &self.username {
            Some(username) => config.username(username),
            None => config,
        }
    }

    /// Returns whether TLS is spoken, where that is known.
    fn is_plain(&self) -> bool {
        let encrypted = |url: &String| url.starts_with("rediss:") || url.starts_with("valkeys:");
        match &self.servers {
            Servers::Url(url) => !encrypted(url),
            Servers::Variable(_) => false,
            Servers::Sentinel(urls, _) | Servers::Cluster(urls) => !urls.iter().any(encrypted),
        }
    }
}

/// Makes a client, which connects to nobody before it is asked, to see whether it can be made.
fn check(config: Config) -> Result<(), String> {
    Redis::pair(config).map(drop).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map(|file| file.take(MOST_OF_A_FILE));
    let read = file.and_then(|mut file| file.read_to_end(&mut text));
    read.map(|_| text).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

impl TryFrom<RawRedis> for RedisConfig {
    type Error = String;

    fn try_from(raw: RawRedis) -> Result<Self, String> {
        let servers = match (raw.url, raw.url_env, raw.sentinel, raw.cluster) {
            (Some(url), None, None, None) => Servers::Url(url),
            (None, Some(variable), None, None) => Servers::Variable(variable),
            (None, None, Some(urls), None) => Servers::Sentinel(urls, raw.primary.clone().unwrap_or_default()),
            (None, None, None, Some(urls)) => Servers::Cluster(urls),
            _ => return Err("one of `url`, `url_env`, `sentinel` and `cluster` must be given".to_owned()),
        };
        if raw.primary.is_some() && !matches!(servers, Servers::Sentinel(..)) {
            return Err("`primary` means nothing without `sentinel`".to_owned());
        }
        let url_env = if let Servers::Variable(name) = &servers { Some(name.as_str()) } else { None };
        let variables = [
            ("url_env", url_env),
            ("password_env", raw.password_env.as_deref()),
            ("secret_env", raw.secret_env.as_deref()),
        ];
        for (key, name) in variables {
            name.map_or(Ok(()), |name| check_variable(key, name))?;
        }
        if raw.cert_file.is_some() != raw.key_file.is_some() {
            return Err("`cert_file` and `key_file` belong together: one of them is not given".to_owned());
        }
        let prefix = raw.prefix.as_deref().unwrap_or(Self::PREFIX);
        let config = Self {
            servers,
            username: raw.username,
            password_env: raw.password_env,
            secret_env: raw.secret_env,
            tls: TlsFiles { ca_file: raw.ca_file, cert_file: raw.cert_file, key_file: raw.key_file },
            prefix: Namespace::try_new(prefix).map_err(|error| format!("`prefix`: {error}"))?,
            replicas: raw.replicas.unwrap_or(NonZeroU32::MIN),
            when_away: raw.when_away.into(),
            when_away_for: raw.when_away_for,
        };
        if config.tls != TlsFiles::default() && config.is_plain() {
            return Err("`ca_file`, `cert_file` and `key_file` mean nothing without TLS: use `rediss`".to_owned());
        }
        check(config.config())?;
        Ok(config)
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
        f.write_str("an address such as `redis://localhost`, or a table with `url`, `url_env`, `sentinel` or `cluster`")
    }

    fn visit_str<E: de::Error>(self, url: &str) -> Result<RedisConfig, E> {
        RawRedis { url: Some(url.to_owned()), ..RawRedis::default() }.try_into().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RedisConfig, A::Error> {
        RawRedis::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(de::Error::custom)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, replicas, when_away, when_away_for, .. } = self;
        let mut all = f.debug_struct("RedisConfig");
        all.field("prefix", &prefix.as_str()).field("replicas", replicas).field("when_away", when_away);
        all.field("when_away_for", when_away_for).finish_non_exhaustive()
    }
}

// === impl RawAway ===

impl From<RawAway> for WhenAway {
    fn from(raw: RawAway) -> Self {
        match raw {
            RawAway::LocalShare => Self::LocalShare,
            RawAway::Open => Self::FailOpen,
            RawAway::Closed => Self::FailClosed,
        }
    }
}

fn away<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WhenAway>, D::Error> {
    RawAway::deserialize(deserializer).map(|raw| Some(raw.into()))
}
