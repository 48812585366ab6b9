//! Whose bucket a call takes from.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use http::{HeaderMap, HeaderName, Request, header};
use rand::RngExt as _;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Says whose bucket a call takes from.
///
/// [`Shared`], [`ByHeader`], [`ByApiKey`], [`ByIp`](crate::ByIp), [`ByExtension`] and [`ByFn`] are there; two of them in a pair
/// are a key too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell whose bucket a `{Req}` takes from",
    label = "not a key of this request",
    note = "`ByApiKey`, `ByHeader` and `ByExtension` read a `Request<B>`; `ByFn(|request: &Request| key)` reads any, with the type of its argument written out"
)]
pub trait Key<Req> {
    /// Returns the key of `request`, which only its fingerprint is kept of.
    fn key(&self, request: &Req, secret: &Secret) -> Fingerprint;
}

/// What is kept of a key: a keyed hash of 128 bits (SipHash-1-3, [Aumasson and Bernstein], 2012).
///
/// The key itself cannot be found from it without the [`Secret`], a key of any length takes the same room, and nobody who does
/// not know the secret can choose keys that fall together.
///
/// [Aumasson and Bernstein]: https://www.aumasson.jp/siphash/siphash.pdf
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint {
    // Two words, and not one of 128 bits: such a one leaves gaps beside it, and what has gaps is moved in odd pieces.
    upper: u64,
    lower: u64,
}

/// Makes [fingerprints](Fingerprint). Drawn at random for each layer, unless it was set.
#[derive(Clone, Copy)]
pub struct Secret([u8; 16]);

/// Hashes keys. See [`Secret::fingerprint`].
#[derive(Clone)]
pub struct KeyHasher(SipHasher13);

/// One bucket for all. See [`Key`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared;

/// A bucket for each value of a header. Requests without it share one. See [`Key`].
#[derive(Clone, Debug)]
pub struct ByHeader(HeaderName);

/// A bucket for each API key: the bearer token of `authorization`, or `x-api-key`, `api-key` or `x-goog-api-key`. Requests without
/// one share one bucket. See [`Key`].
///
/// To stand behind what checks the key: a caller that makes up a new key for each call has a new bucket for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByApiKey;

/// A bucket for each value of a request extension of type `T`, such as the tenant that an outer layer found. Requests without one
/// share one. See [`Key`].
pub struct ByExtension<T>(PhantomData<fn() -> T>);

/// A bucket for each value that a closure finds in a request. See [`Key`].
#[derive(Clone, Copy)]
pub struct ByFn<F>(pub F);

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint of the one key that [`Shared`] knows.
    pub const SHARED: Self = Self::new(0);
    /// The fingerprint of requests that have no key.
    pub const NO_KEY: Self = Self::new(1);

    #[inline]
    pub(crate) const fn new(bits: u128) -> Self {
        Self { upper: (bits >> 64) as u64, lower: bits as u64 }
    }

    #[inline]
    pub(crate) const fn of_words(upper: u64, lower: u64) -> Self {
        Self { upper, lower }
    }

    #[inline]
    pub(crate) const fn upper(self) -> u64 {
        self.upper
    }

    #[inline]
    pub(crate) const fn lower(self) -> u64 {
        self.lower
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // It is a hash already, by a secret.
        state.write_u64(self.lower);
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.upper, self.lower)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// === impl Secret ===

impl Secret {
    /// Draws a secret.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::rng().random())
    }

    /// Creates a secret of known bytes, for processes that are to have the same fingerprints.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the fingerprint of what `write` tells the hasher.
    #[inline]
    pub fn fingerprint(&self, write: impl FnOnce(&mut KeyHasher)) -> Fingerprint {
        let mut hasher = KeyHasher(SipHasher13::new_with_key(&self.0));
        write(&mut hasher);
        Fingerprint::new(hasher.0.finish128().as_u128())
    }

    /// Returns the fingerprint of a value.
    #[inline]
    pub fn of(&self, value: &(impl Hash + ?Sized)) -> Fingerprint {
        self.fingerprint(|state| value.hash(state))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

// === impl KeyHasher ===

impl Hasher for KeyHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

// === impl Key ===

impl<Req> Key<Req> for Shared {
    #[inline]
    fn key(&self, _: &Req, _: &Secret) -> Fingerprint {
        Fingerprint::SHARED
    }
}

impl ByHeader {
    /// Creates the key.
    #[must_use]
    pub const fn new(name: HeaderName) -> Self {
        Self(name)
    }
}

impl<B> Key<Request<B>> for ByHeader {
    fn key(&self, request: &Request<B>, secret: &Secret) -> Fingerprint {
        of_bytes(request.headers().get(&self.0).map(|value| value.as_bytes()), secret)
    }
}

impl<B> Key<Request<B>> for ByApiKey {
    fn key(&self, request: &Request<B>, secret: &Secret) -> Fingerprint {
        of_bytes(api_key(request.headers()), secret)
    }
}

fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = |value: &'_ [u8]| value.len() > 7 && value[..7].eq_ignore_ascii_case(b"bearer ");
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = authorization.filter(|value| bearer(value)).map(|value| value[7..].trim_ascii());
    let other = || ["x-api-key", "api-key", "x-goog-api-key"].into_iter().find_map(|name| headers.get(name));
    bearer.or_else(|| other().map(|value| value.as_bytes()))
}

/// Hashes as a `str` would be, so that an operator can ask for the same.
fn of_bytes(bytes: Option<&[u8]>, secret: &Secret) -> Fingerprint {
    bytes.map_or(Fingerprint::NO_KEY, |bytes| {
        secret.fingerprint(|state| {
            state.write(bytes);
            state.write_u8(0xff);
        })
    })
}

impl<T> ByExtension<T> {
    /// Creates the key.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T, B> Key<Request<B>> for ByExtension<T>
where
    T: Hash + Send + Sync + 'static,
{
    fn key(&self, request: &Request<B>, secret: &Secret) -> Fingerprint {
        request.extensions().get::<T>().map_or(Fingerprint::NO_KEY, |value| secret.of(value))
    }
}

impl<T> Clone for ByExtension<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ByExtension<T> {}

impl<T> Default for ByExtension<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for ByExtension<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByExtension")
    }
}

impl<F, K, Req> Key<Req> for ByFn<F>
where
    F: Fn(&Req) -> K,
    K: Hash,
{
    #[inline]
    fn key(&self, request: &Req, secret: &Secret) -> Fingerprint {
        secret.of(&(self.0)(request))
    }
}

impl<F> fmt::Debug for ByFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByFn")
    }
}

impl<Req, A: Key<Req>, B: Key<Req>> Key<Req> for (A, B) {
    fn key(&self, request: &Req, secret: &Secret) -> Fingerprint {
        let both = [self.0.key(request, secret), self.1.key(request, secret)];
        secret.fingerprint(|state| {
            both.iter().for_each(|each| state.write_u128(u128::from(each.upper) << 64 | u128::from(each.lower)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret::new([7; 16]);

    fn request(headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn api_key_of(headers: &[(&'static str, &str)]) -> Fingerprint {
        ByApiKey.key(&request(headers), &SECRET)
    }

    #[test]
    fn an_api_key_is_found_where_providers_look_for_it() {
        let found = SECRET.of("sk-1");
        assert_eq!(api_key_of(&[("authorization", "Bearer sk-1")]), found);
        assert_eq!(api_key_of(&[("authorization", "bearer  sk-1")]), found);
        assert_eq!(api_key_of(&[("authorization", "Basic x"), ("x-api-key", "sk-1")]), found);
        assert_eq!(api_key_of(&[("api-key", "sk-1")]), found);
        assert_eq!(api_key_of(&[("authorization", "é")]), Fingerprint::NO_KEY);
        assert_eq!(api_key_of(&[]), Fingerprint::NO_KEY);
    }

    #[test]
    fn a_fingerprint_depends_on_the_secret_and_shows_nothing_of_the_key() {
        assert_ne!(SECRET.of("sk-1"), Secret::new([8; 16]).of("sk-1"));
        assert_ne!(Secret::random().of("sk-1"), Secret::random().of("sk-1"));
        let text = format!("{:?} {SECRET:?}", SECRET.of("sk-1"));
        assert!(text.len() == 39 && !text.contains("sk-1"), "{text}");
    }

    #[test]
    fn an_operator_finds_a_key_by_its_value() {
        let by_header = ByHeader::new(HeaderName::from_static("x-tenant"));
        assert_eq!(by_header.key(&request(&[("x-tenant", "a")]), &SECRET), SECRET.of("a"));
        assert_eq!(by_header.key(&request(&[]), &SECRET), Fingerprint::NO_KEY);
        assert_eq!(ByFn(|request: &u32| *request).key(&3, &SECRET), SECRET.of(&3_u32));
        let mut with_tenant = request(&[]);
        with_tenant.extensions_mut().insert(String::from("a"));
        assert_eq!(ByExtension::<String>::new().key(&with_tenant, &SECRET), SECRET.of("a"));
        assert_ne!((Shared, ByFn(|n: &u32| *n)).key(&3, &SECRET), (Shared, ByFn(|n: &u32| *n)).key(&4, &SECRET));
    }
}
