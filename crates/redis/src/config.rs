//! Where Redis is, and what a call may cost.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use redis::{ConnectionAddr, RedisConnectionInfo};

use crate::{
    config_error::ConfigError,
    limits::Limits,
    url::{self, Endpoint},
};

/// Where Redis is, and what a call may cost.
///
/// | | default |
/// |---|---|
/// | [`command_timeout`](Self::command_timeout) | 50 ms |
/// | [`connect_timeout`](Self::connect_timeout) | 1 s |
/// | [`trip_after`](Self::trip_after) | 1 failure |
/// | [`probe_between`](Self::probe_between) | 50 ms, 1 s |
/// | [`heartbeat`](Self::heartbeat) | 1 s |
/// | [`max_in_flight`](Self::max_in_flight) | 1024 calls |
///
/// Nothing is checked before a client is made of it.
#[derive(Clone)]
#[must_use]
pub struct Config {
    servers: Servers,
    username: Option<String>,
    password: Option<String>,
    database: Option<u16>,
    #[cfg(feature = "tls")]
    tls: Option<redis::TlsCertificates>,
    seed: Option<u64>,
    limits: Limits,
}

#[derive(Clone)]
enum Servers {
    Single(String),
    Sentinel {
        urls: Vec<String>,
        primary: String,
    },
    #[cfg(feature = "cluster")]
    Cluster(Vec<String>),
}

/// A configuration that was checked.
pub(crate) struct Checked {
    pub(crate) topology: Topology,
    pub(crate) info: RedisConnectionInfo,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<redis::TlsCertificates>,
    pub(crate) seed: Option<u64>,
    pub(crate) limits: Limits,
}

/// How the servers stand to each other.
pub(crate) enum Topology {
    Single(ConnectionAddr),
    Sentinel {
        sentinels: Vec<(ConnectionAddr, RedisConnectionInfo)>,
        primary: String,
        tls: bool,
    },
    #[cfg(feature = "cluster")]
    Cluster(Vec<ConnectionAddr>),
}

/// The most servers that can be named.
const MAX_SERVERS: usize = 64;

// === impl Config ===

impl Config {
    /// Creates the configuration of a single server: `redis://user:password@host:port/database`, the same with `rediss`
    /// for TLS (feature `tls`), or `unix:///path?db=0&user=…&pass=…`.
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Servers::Single(url.into()))
    }

    /// Creates the configuration of the primary that the sentinels at `urls` call `primary`. What the URLs say of user and
    /// password is for the sentinels; for the primary use [`username`](Self::username) and [`password`](Self::password).
    /// The primary is spoken to with TLS if the first URL is `rediss`.
    pub fn sentinel<U: Into<String>>(urls: impl IntoIterator<Item = U>, primary: impl Into<String>) -> Self {
        let urls = urls.into_iter().map(Into::into).collect();
        Self::of(Servers::Sentinel { urls, primary: primary.into() })
    }

    /// Creates the configuration of a cluster, of which some nodes are at `urls`. User and password of the first URL serve
    /// for all nodes.
    #[cfg(feature = "cluster")]
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::of(Servers::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    /// Sets the user. Goes before that of the URL.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password. Goes before that of the URL, and is never printed.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the number of the database. Goes before that of the URL.
    pub fn database(mut self, database: u16) -> Self {
        self.database = Some(database);
        self
    }

    /// Sets the roots that servers' certificates must come from, in PEM, in place of Mozilla's; and the certificate and key
    /// that this client shows, in PEM, if it shows one.
    ///
    /// rustls is used with the provider that the process has installed, or else with ring. Where dependencies bring several
    /// and none is installed, rustls panics: the worker ends, and Redis is away.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, roots: Option<Vec<u8>>, client: Option<(Vec<u8>, Vec<u8>)>) -> Self {
        let client_tls = client.map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
        self.tls = Some(redis::TlsCertificates { client_tls, root_cert: roots });
        self
    }

    /// Sets how long a call may take, 1 ms to 1 h. It is also how soon a probe must be answered: a Redis slower than this
    /// stays away.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.limits.command_timeout = timeout;
        self
    }

    /// Sets how long connecting may take, with the name look-up, TLS and log-in, 1 ms to 1 h. No caller waits for it.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.limits.connect_timeout = timeout;
        self
    }

    /// Sets after how many failures in a row Redis counts as away. A broken connection, or a server that says that it
    /// cannot serve, needs no second failure.
    ///
    /// With 1, a request that calls Redis several times waits in vain only once. The first probe follows at once on the
    /// same connection, so that a hiccup costs little more than it lasts.
    pub fn trip_after(mut self, failures: NonZeroU32) -> Self {
        self.limits.trip_after = failures;
        self
    }

    /// Sets between which bounds the intervals of probes grow while Redis is away, 1 ms to 1 h.
    pub fn probe_between(mut self, min: Duration, max: Duration) -> Self {
        (self.limits.probe_min, self.limits.probe_max) = (min, max);
        self
    }

    /// Sets after how long without an answer Redis is asked whether it is there, 1 ms to 1 h. So it is often the
    /// background that finds out, and not a caller.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.limits.heartbeat = interval;
        self
    }

    /// Sets how many calls may be under way. Further ones are answered at once.
    pub fn max_in_flight(mut self, calls: NonZeroUsize) -> Self {
        self.limits.max_in_flight = calls;
        self
    }

    /// Makes the intervals of probes the same in each run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn of(servers: Servers) -> Self {
        Self {
            servers,
            username: None,
            password: None,
            database: None,
            #[cfg(feature = "tls")]
            tls: None,
            seed: None,
            limits: Limits::default(),
        }
    }

    pub(crate) fn check(self) -> Result<Checked, ConfigError> {
        self.limits.check()?;
        #[cfg(feature = "tls")]
        self.check_tls()?;
        let (topology, endpoint) = match &self.servers {
            Servers::Single(url) => {
                let endpoint = url::parse("url", url)?;
                (Topology::Single(endpoint.addr.clone()), Some(endpoint))
            }
            Servers::Sentinel { urls, primary } => (sentinels(urls, primary)?, None),
            #[cfg(feature = "cluster")]
            Servers::Cluster(urls) => {
                let mut nodes = endpoints("cluster", urls)?;
                let addrs = nodes.iter().map(|node| node.addr.clone()).collect();
                (Topology::Cluster(addrs), Some(nodes.swap_remove(0)))
            }
        };
        let endpoint = endpoint.unwrap_or(Endpoint {
            addr: ConnectionAddr::Tcp(String::new(), 0),
            username: None,
            password: None,
            database: None,
        });
        let info = info(
            self.username.or(endpoint.username),
            self.password.or(endpoint.password),
            self.database.map(i64::from).or(endpoint.database),
        );
        Ok(Checked {
            topology,
            info,
            #[cfg(feature = "tls")]
            tls: self.tls,
            seed: self.seed,
            limits: self.limits,
        })
    }
}

#[cfg(feature = "tls")]
impl Config {
    /// Reads the certificates once, so that a mistake in them is told at once.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let wrong = |shape: &str| ConfigError::new("tls", shape.to_owned(), "certificates and a key in PEM");
        if tls.root_cert.as_ref().is_some_and(|roots| !roots.starts_with(b"-----BEGIN")) {
            return Err(wrong("a text that does not begin as PEM"));
        }
        let anywhere = redis::Client::build_with_tls("rediss://localhost", tls.clone());
        anywhere.map(drop).map_err(|_| wrong("something that cannot be read"))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = match &self.servers {
            Servers::Single(_) => "single",
            Servers::Sentinel { .. } => "sentinel",
            #[cfg(feature = "cluster")]
            Servers::Cluster(_) => "cluster",
        };
        f.debug_struct("Config").field("servers", &servers).field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn sentinels(urls: &[String], primary: &str) -> Result<Topology, ConfigError> {
    if primary.is_empty() {
        return Err(ConfigError::new(
            "primary",
            url::shape(primary),
            "the name that the sentinels know the primary by",
        ));
    }
    let endpoints = endpoints("sentinel", urls)?;
    let tls = matches!(endpoints[0].addr, ConnectionAddr::TcpTls { .. });
    let sentinels = endpoints.into_iter().map(|it| (it.addr, info(it.username, it.password, None))).collect();
    Ok(Topology::Sentinel { sentinels, primary: primary.to_owned(), tls })
}

fn endpoints(field: &'static str, urls: &[String]) -> Result<Vec<Endpoint>, ConfigError> {
    if !(1..=MAX_SERVERS).contains(&urls.len()) {
        return Err(ConfigError::new(field, format!("a list of {}", urls.len()), "1 to 64 URLs"));
    }
    let endpoints: Vec<_> = urls.iter().map(|url| url::parse(field, url)).collect::<Result<_, _>>()?;
    if endpoints.iter().any(|it| matches!(it.addr, ConnectionAddr::Unix(_))) {
        return Err(ConfigError::new(field, "a socket's path".to_owned(), "hosts"));
    }
    if endpoints.iter().any(|it| it.database.is_some()) {
        return Err(ConfigError::new(field, "a URL with a database".to_owned(), "URLs without"));
    }
    Ok(endpoints)
}

/// RESP2, which Redis 5 speaks too.
fn info(username: Option<String>, password: Option<String>, database: Option<i64>) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default().set_protocol(redis::ProtocolVersion::RESP2);
    info = info.set_lib_name("buttress", env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        info = info.set_username(username);
    }
    if let Some(password) = password {
        info = info.set_password(password);
    }
    info.set_db(database.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LONGEST;

    fn error(config: Config) -> String {
        config.check().err().expect("not allowed").to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_field() {
        let config = || Config::new("redis://localhost");
        let (zero, forever) = (Duration::ZERO, Duration::MAX);
        for (field, config) in [
            ("command_timeout", config().command_timeout(zero)),
            ("command_timeout", config().command_timeout(forever)),
            ("connect_timeout", config().connect_timeout(zero)),
            ("probe_between.min", config().probe_between(zero, LONGEST)),
            ("probe_between.max", config().probe_between(LONGEST, forever)),
            ("probe_between.min", config().probe_between(LONGEST, Duration::from_secs(1))),
            ("heartbeat", config().heartbeat(forever)),
            ("url", Config::new("hush")),
            ("sentinel", Config::sentinel([""; 0], "main")),
            ("sentinel", Config::sentinel(["redis://hush@h"; 65], "main")),
            ("sentinel", Config::sentinel(["unix:///hush"], "main")),
            ("sentinel", Config::sentinel(["redis://hush@h/1"], "main")),
            ("primary", Config::sentinel(["redis://hush@h"], "")),
        ] {
            let text = error(config);
            assert!(text.starts_with(&format!("`{field}` is")) && !text.contains("hush"), "{field}: {text}");
        }
    }

    #[test]
    fn what_is_set_goes_before_what_the_url_says() {
        let config = Config::new("redis://u:p@h/1").username("other").password("hush").database(2);
        assert!(!format!("{config:?}").contains("hush"));
        let checked = config.check().expect("allowed");
        assert_eq!(checked.info.username(), Some("other"));
        assert_eq!(checked.info.password(), Some("hush"));
        assert_eq!(checked.info.db(), 2);
    }
}
