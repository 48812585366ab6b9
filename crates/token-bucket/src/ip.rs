//! The address of a caller, which it cannot make up.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use http::{Extensions, HeaderMap, Request};

use crate::{Fingerprint, Key, Secret};

/// A bucket for each address that calls come from. See [`Key`].
///
/// The address is that of the peer of the connection, which `P` finds in the extensions of a request. Only if that is a *trusted*
/// proxy is `X-Forwarded-For` read, from its right end, as far as there are trusted proxies: the first address that is not one is
/// the caller's. What stands to the left of it was written by the caller, and means nothing.
///
/// Whoever has one address of IPv6 has 2⁶⁴, so addresses of one /64 are one key. Requests of unknown origin share one bucket.
#[derive(Clone)]
pub struct ByIp<P> {
    peer: P,
    trusted: Arc<[Net]>,
}

/// Addresses that begin alike, such as `10.0.0.0/8` or `fd00::/8`. An address alone is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix: u8,
}

/// A text is no [`Net`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetError(());

/// No chain of proxies is longer.
const MOST_PROXIES: usize = 32;

// === impl ByIp ===

impl<P> ByIp<P>
where
    P: Fn(&Extensions) -> Option<IpAddr>,
{
    /// Creates the key. With axum, `peer` is `|extensions| Some(extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip())`.
    pub fn new(peer: P) -> Self {
        Self { peer, trusted: Arc::new([]) }
    }

    /// Sets which peers are proxies whose word about callers is taken. None by default.
    #[must_use]
    pub fn trusting(mut self, proxies: impl IntoIterator<Item = Net>) -> Self {
        self.trusted = proxies.into_iter().collect();
        self
    }

    fn caller(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let mut caller = (self.peer)(extensions)?.to_canonical();
        let values = headers.get_all("x-forwarded-for").iter().rev();
        let mut hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')).take(MOST_PROXIES);
        while self.trusted.iter().any(|net| net.contains(caller)) {
            // A trusted proxy that wrote no address is as far as anybody can look.
            let Some(next) = hops.next().and_then(address) else { break };
            caller = next;
        }
        Some(caller)
    }
}

fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address: Option<IpAddr> = text.parse().ok().or_else(with_port).or_else(bare);
    address.map(|address| address.to_canonical())
}

impl<P, B> Key<Request<B>> for ByIp<P>
where
    P: Fn(&Extensions) -> Option<IpAddr>,
{
    fn key(&self, request: &Request<B>, secret: &Secret) -> Fingerprint {
        let caller = self.caller(request.headers(), request.extensions());
        caller.map_or(Fingerprint::NO_KEY, |address| secret.of(&network(address)))
    }
}

impl<P> fmt::Debug for ByIp<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByIp").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

/// Returns what of an address tells its owner from others: what [`LimitsHandle`](crate::LimitsHandle) is to be asked with.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        IpAddr::V4(address) => address.into(),
    }
}

// === impl Net ===

impl Net {
    /// Returns whether `address` is one of these.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, ours, theirs) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (32, u128::from(ours.to_bits()), u128::from(theirs.to_bits())),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (128, ours.to_bits(), theirs.to_bits()),
            _ => return false,
        };
        // A shift by all bits there are leaves nothing to differ.
        (ours ^ theirs).checked_shr(bits - u32::from(self.prefix)).unwrap_or(0) == 0
    }
}

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetError(()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), str::parse).map_err(|_| NetError(()))?;
        if prefix > most {
            return Err(NetError(()));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address or a network such as 10.0.0.0/8 or fd00::/8")
    }
}

impl Error for NetError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, trusted: &[&str], forwarded: &[&str]) -> Option<String> {
        let by_ip = ByIp::new(|extensions: &Extensions| extensions.get::<IpAddr>().copied())
            .trusting(trusted.iter().map(|net| net.parse().unwrap()));
        let mut request = Request::new(());
        if let Ok(peer) = peer.parse::<IpAddr>() {
            request.extensions_mut().insert(peer);
        }
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
        }
        by_ip.caller(request.headers(), request.extensions()).map(|address| network(address).to_string())
    }

    #[test]
    fn the_word_of_a_stranger_about_its_address_means_nothing() {
        let is = |forwarded: &[&str]| caller("203.0.113.9", &["10.0.0.0/8"], forwarded).unwrap();
        assert_eq!(is(&["1.2.3.4"]), "203.0.113.9");
        assert_eq!(is(&["10.0.0.1, 10.0.0.2"]), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_callers() {
        let is = |forwarded: &[&str]| caller("10.0.0.1", &["10.0.0.0/8", "::1"], forwarded).unwrap();
        assert_eq!(is(&["6.6.6.6, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(is(&["6.6.6.6, 198.51.100.7, 10.1.1.1"]), "198.51.100.7");
        assert_eq!(is(&["6.6.6.6", "198.51.100.7:4711"]), "198.51.100.7", "header by header, from the last");
        assert_eq!(is(&["6.6.6.6, [2001:db8:1:2::1]:443"]), "2001:db8:1:2::");
        assert_eq!(is(&["6.6.6.6, unknown"]), "10.0.0.1", "no guess beyond what cannot be read");
        assert_eq!(is(&[]), "10.0.0.1");
        assert_eq!(is(&["10.0.0.3, ::ffff:10.0.0.2"]), "10.0.0.3", "proxies all the way");
    }

    #[test]
    fn what_is_no_address_ends_the_search_and_nothing_left_of_it_counts() {
        for last in [
            "_hidden",
            "unknown",
            "",
            " ",
            "fe80::1%eth0",
            "\"[2001:db8::1]:443\"",
            "[2001:db8::1",
            "1.2.3",
            "1.2.3.4:x",
        ] {
            let forwarded = format!("6.6.6.6, {last}");
            assert_eq!(caller("10.0.0.1", &["10.0.0.0/8"], &[&forwarded]).unwrap(), "10.0.0.1", "{last:?}");
        }
        let by_ip =
            ByIp::new(|_: &Extensions| Some(IpAddr::from([10, 0, 0, 1]))).trusting(["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", http::HeaderValue::from_bytes(b"6.6.6.6, \xff\xfe").unwrap());
        headers.insert("forwarded", "for=6.6.6.6".parse().unwrap());
        assert_eq!(by_ip.caller(&headers, &Extensions::new()), Some(IpAddr::from([10, 0, 0, 1])));
        headers.append("x-forwarded-for", http::HeaderValue::from_bytes(b"\xff, 198.51.100.7 ").unwrap());
        assert_eq!(
            by_ip.caller(&headers, &Extensions::new()),
            Some(IpAddr::from([198, 51, 100, 7])),
            "what is left of it may be anything"
        );
    }

    #[test]
    fn a_chain_of_proxies_without_end_is_followed_only_so_far() {
        let chain = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(caller("10.0.0.1", &["10.0.0.0/8"], &[&format!("6.6.6.6,{chain}")]).unwrap(), "10.0.0.2");
    }

    #[test]
    fn all_addresses_of_one_house_are_one_key() {
        assert_eq!(caller("2001:db8:1:2:ffff::9", &[], &[]).unwrap(), "2001:db8:1:2::");
        assert_eq!(caller("::ffff:192.0.2.1", &[], &[]).unwrap(), "192.0.2.1");
        assert_eq!(caller("", &[], &["1.2.3.4"]), None);
    }

    #[test]
    fn networks_are_read_and_compared() {
        let net = |text: &str| text.parse::<Net>();
        assert!(net("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!(net("::/0").unwrap().contains("2001:db8::".parse().unwrap()));
        assert!(!net("::/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!(net("fd00::/8").unwrap().contains("fdff::1".parse().unwrap()));
        assert!(!net("10.0.0.0/8").unwrap().contains("11.0.0.0".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/x", "10.0.0.0/-1"] {
            assert!(net(wrong).is_err(), "{wrong}");
        }
    }
}
