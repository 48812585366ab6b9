//! Where Redis is, as a URL says it.

use percent_encoding::percent_decode_str;
use redis::ConnectionAddr;
use url::Url;

use crate::config_error::ConfigError;

/// One server, from its URL.
pub(crate) struct Endpoint {
    pub(crate) addr: ConnectionAddr,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<i64>,
}

const DEFAULT_PORT: u16 = 6379;
const SCHEMES: &str = "`redis`, `valkey`, `rediss`, `valkeys` (the latter two with TLS) or `unix`";

/// Reads the URL that `field` holds.
pub(crate) fn parse(field: &'static str, text: &str) -> Result<Endpoint, ConfigError> {
    let wrong = |shape: String, allowed: &'static str| Err(ConfigError::new(field, shape, allowed));
    let Ok(url) = Url::parse(text) else {
        return wrong(shape(text), "a URL such as `redis://user:password@host:6379/0` or `unix:///run/redis.sock`");
    };
    if url.fragment().is_some() {
        return wrong("a URL with a fragment (`#…`)".to_owned(), "one without: TLS is never insecure here");
    }
    match url.scheme() {
        "redis" | "valkey" => tcp(field, &url, false),
        "rediss" | "valkeys" if cfg!(feature = "tls") => tcp(field, &url, true),
        "rediss" | "valkeys" => wrong("a URL with TLS".to_owned(), "one without TLS, unless the feature `tls` is on"),
        "unix" | "redis+unix" | "valkey+unix" => unix(field, &url),
        _ => wrong("a URL of another scheme".to_owned(), SCHEMES),
    }
}

/// Says what a text is without saying what is in it: it may hold a password.
pub(crate) fn shape(text: &str) -> String {
    match text.len() {
        0 => "an empty text".to_owned(),
        1 => "a text of 1 byte".to_owned(),
        len => format!("a text of {len} bytes"),
    }
}

fn tcp(field: &'static str, url: &Url, tls: bool) -> Result<Endpoint, ConfigError> {
    let wrong = |shape: &str, allowed| Err(ConfigError::new(field, shape.to_owned(), allowed));
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return wrong("a URL without a host", "one with a host name or an address");
    };
    if url.query().is_some() {
        return wrong("a URL with a query (`?…`)", "one without: all else is set on the configuration");
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port().unwrap_or(DEFAULT_PORT);
    let addr = if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let path = url.path().trim_start_matches('/');
    let database = if path.is_empty() { None } else { Some(database(field, path)?) };
    let username = Some(url.username()).filter(|name| !name.is_empty()).map(|name| decode(field, name)).transpose()?;
    let password = url.password().map(|password| decode(field, password)).transpose()?;
    Ok(Endpoint { addr, username, password, database })
}

fn unix(field: &'static str, url: &Url) -> Result<Endpoint, ConfigError> {
    let wrong = |shape: &str, allowed| Err(ConfigError::new(field, shape.to_owned(), allowed));
    if url.has_host() && url.host_str().is_some_and(|host| !host.is_empty()) {
        return wrong("a `unix` URL with a host", "`unix:///path`, with three slashes");
    }
    let path = decode(field, url.path())?;
    if path.trim_start_matches('/').is_empty() {
        return wrong("a `unix` URL without a path", "`unix:///path`, with three slashes");
    }
    let (mut username, mut password, mut number) = (None, None, None);
    for (name, value) in url.query_pairs() {
        match &*name {
            "db" => number = Some(database(field, &value)?),
            "user" => username = Some(value.into_owned()),
            "pass" => password = Some(value.into_owned()),
            _ => return wrong("a `unix` URL with another query", "`db`, `user` and `pass`"),
        }
    }
    Ok(Endpoint { addr: ConnectionAddr::Unix(path.into()), username, password, database: number })
}

fn database(field: &'static str, text: &str) -> Result<i64, ConfigError> {
    let number = text.parse().ok().filter(|number| (0..=i64::from(u16::MAX)).contains(number));
    number.ok_or_else(|| {
        ConfigError::new(field, "a URL with another path".to_owned(), "the number of a database, 0 to 65535")
    })
}

fn decode(field: &'static str, text: &str) -> Result<String, ConfigError> {
    let decoded = percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
    decoded.map_err(|_| ConfigError::new(field, "a URL with bytes that are no UTF-8".to_owned(), "UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Endpoint {
        parse("url", text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_says_where_and_who() {
        let endpoint = ok("redis://us%65r:p%40ss@example.net:7000/3");
        assert_eq!(endpoint.addr, ConnectionAddr::Tcp("example.net".to_owned(), 7000));
        assert_eq!(endpoint.username.as_deref(), Some("user"));
        assert_eq!(endpoint.password.as_deref(), Some("p@ss"));
        assert_eq!(endpoint.database, Some(3));
    }

    #[test]
    fn what_is_left_out_has_the_usual_value() {
        let endpoint = ok("valkey://:secret@[::1]");
        assert_eq!(endpoint.addr, ConnectionAddr::Tcp("::1".to_owned(), DEFAULT_PORT));
        assert_eq!((endpoint.username, endpoint.database), (None, None));
        assert_eq!(endpoint.password.as_deref(), Some("secret"));
    }

    #[test]
    fn a_socket_has_a_path() {
        let endpoint = ok("unix:///run/a%20b.sock?db=2&user=u&pass=p");
        assert_eq!(endpoint.addr, ConnectionAddr::Unix("/run/a b.sock".into()));
        assert_eq!((endpoint.username.as_deref(), endpoint.password.as_deref()), (Some("u"), Some("p")));
        assert_eq!(endpoint.database, Some(2));
    }

    #[test]
    fn a_wrong_url_is_named_by_its_field_and_never_repeated() {
        for text in [
            "",
            "hush",
            "hush.example.net:6379",
            "http://hush@example.net",
            "redis://",
            "redis:///1",
            "redis://hush@example.net/hush",
            "redis://hush@example.net/-1",
            "redis://hush@example.net/70000",
            "redis://hush@example.net:99999",
            "redis://example.net/?password=hush",
            "rediss://example.net/#insecure",
            "redis://hush%FF@example.net",
            "unix://hush",
            "unix:///",
            "unix:///a?hush=1",
        ] {
            let error = parse("url", text).err().unwrap_or_else(|| panic!("{text} is no URL")).to_string();
            assert!(error.starts_with("`url`") && !error.contains("hush"), "{text}: {error}");
        }
    }
}
