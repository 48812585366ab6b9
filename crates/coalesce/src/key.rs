//! Which requests are the same.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use buttress_core::Payload;
use http::{HeaderName, Request, header};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// What is kept of a request: a keyed hash of 256 bits (SHA-256, FIPS 180-4, over a random secret) of its tenant and of what it
/// asks.
///
/// The two are hashed apart and then together, so that no tenant's requests can be those of another one, whatever their
/// bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// Hashes what makes a request what it is. Anything that is [`Hash`] can be told to it.
#[derive(Clone)]
pub struct KeyHasher(Sha256);

/// Says whose request it is. [`ByExtension`], [`ByHeader`], [`ByFn`] and [`OneTenant`] are there.
pub trait Tenant<Req> {
    /// Tells `hasher` the tenant. `false` if there is none: then the request shares nothing.
    fn tell(&self, request: &Req, hasher: &mut KeyHasher) -> bool;
}

/// Says what a request asks. [`WholeRequest`] and [`ByFn`] are there.
pub trait Question<Req> {
    /// Tells `hasher` all that the answer depends on. `false` if the request is to share nothing.
    fn tell(&self, request: &Req, hasher: &mut KeyHasher) -> bool;
}

/// All callers are one tenant: whoever says so has no others to keep apart. See [`Tenant`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OneTenant;

/// The tenant is a value of type `T` in the request's extensions, such as a layer further out left there. See [`Tenant`].
pub struct ByExtension<T>(PhantomData<fn() -> T>);

/// The tenant is the value of a header. To stand behind what checks that header. See [`Tenant`].
#[derive(Clone, Debug)]
pub struct ByHeader(HeaderName);

/// A closure `Fn(&Req) -> Option<K>` tells the tenant, or what is asked. See [`Tenant`] and [`Question`].
#[derive(Clone, Copy)]
pub struct ByFn<F>(pub F);

/// An HTTP request whose body is in memory asks the same as another if their methods, URIs, versions of the API, headers and bodies
/// are the same. See [`Question`].
///
/// Each header counts, except those that only tell of the way a request came: a header that is not known to be of no importance may
/// change the answer. [`ignoring`](Self::ignoring) adds to the exceptions.
#[derive(Clone, Debug, Default)]
pub struct WholeRequest {
    ignored: Vec<HeaderName>,
}

// === impl Key ===

impl Key {
    /// Returns the key of `request`, or `None` if it is to share nothing.
    pub(crate) fn of<Req, T, Q>(secret: &[u8; 32], tenant: &T, question: &Q, request: &Req) -> Option<Self>
    where
        T: Tenant<Req>,
        Q: Question<Req>,
    {
        let mut whose = KeyHasher::new(secret);
        if !tenant.tell(request, &mut whose) {
            return None;
        }
        let mut all = KeyHasher::new(secret);
        all.0.update(whose.0.finalize());
        question.tell(request, &mut all).then(|| Self(all.0.finalize().into()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart.
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(crate) fn secret() -> [u8; 32] {
    rand::rng().random()
}

// === impl KeyHasher ===

impl KeyHasher {
    fn new(secret: &[u8; 32]) -> Self {
        Self(Sha256::new_with_prefix(secret))
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bits of what was hashed so far. The key has all of them.
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

// === impl Tenant ===

impl<Req> Tenant<Req> for OneTenant {
    fn tell(&self, _: &Req, _: &mut KeyHasher) -> bool {
        true
    }
}

impl<T> ByExtension<T> {
    /// Creates it.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T, B> Tenant<Request<B>> for ByExtension<T>
where
    T: Hash + Send + Sync + 'static,
{
    fn tell(&self, request: &Request<B>, hasher: &mut KeyHasher) -> bool {
        told(request.extensions().get::<T>(), hasher)
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

impl ByHeader {
    /// Creates it.
    #[must_use]
    pub const fn new(name: HeaderName) -> Self {
        Self(name)
    }
}

impl<B> Tenant<Request<B>> for ByHeader {
    fn tell(&self, request: &Request<B>, hasher: &mut KeyHasher) -> bool {
        told(request.headers().get(&self.0).map(|value| value.as_bytes()), hasher)
    }
}

impl<F, K, Req> Tenant<Req> for ByFn<F>
where
    F: Fn(&Req) -> Option<K>,
    K: Hash,
{
    fn tell(&self, request: &Req, hasher: &mut KeyHasher) -> bool {
        told((self.0)(request), hasher)
    }
}

fn told(value: Option<impl Hash>, hasher: &mut KeyHasher) -> bool {
    value.map(|value| value.hash(hasher)).is_some()
}

// === impl Question ===

impl<F, K, Req> Question<Req> for ByFn<F>
where
    F: Fn(&Req) -> Option<K>,
    K: Hash,
{
    fn tell(&self, request: &Req, hasher: &mut KeyHasher) -> bool {
        told((self.0)(request), hasher)
    }
}

impl<F> fmt::Debug for ByFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByFn")
    }
}

impl WholeRequest {
    /// Lets `header` make no difference, beside those that make none anyway.
    #[must_use]
    pub fn ignoring(mut self, header: HeaderName) -> Self {
        self.ignored.push(header);
        self
    }

    fn counts(&self, name: &HeaderName) -> bool {
        !tells_of_the_way(name) && !self.ignored.contains(name)
    }
}

impl Question<Request<Payload>> for WholeRequest {
    fn tell(&self, request: &Request<Payload>, hasher: &mut KeyHasher) -> bool {
        request.method().hash(hasher);
        // Not by parts: two of them must not run into each other.
        request.uri().to_string().hash(hasher);
        let mut headers: Vec<_> = request.headers().iter().filter(|(name, _)| self.counts(name)).collect();
        // The order counts only among those of one name.
        headers.sort_by_key(|(name, _)| name.as_str());
        hasher.write_usize(headers.len());
        for (name, value) in headers {
            name.as_str().hash(hasher);
            value.as_bytes().hash(hasher);
        }
        request.body().bytes()[..].hash(hasher);
        true
    }
}

/// Returns whether a header tells only of the way a request came, and of the program that made it.
fn tells_of_the_way(name: &HeaderName) -> bool {
    const WAY: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::FORWARDED,
        header::TRANSFER_ENCODING,
        header::USER_AGENT,
        header::VIA,
    ];
    const NAMES: [&str; 8] = [
        "baggage",
        "keep-alive",
        "traceparent",
        "tracestate",
        "x-client-request-id",
        "x-correlation-id",
        "x-real-ip",
        "x-request-id",
    ];
    let text = name.as_str();
    WAY.contains(name)
        || NAMES.contains(&text)
        || text.starts_with("x-forwarded-")
        || text.starts_with("x-stainless-")
        || text.starts_with("x-b3-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const SECRET: [u8; 32] = [7; 32];

    fn request(body: &str, headers: &[(&'static str, &str)]) -> Request<Payload> {
        let mut request =
            Request::post("/v1/chat").body(Payload::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn key(request: &Request<Payload>) -> Option<Key> {
        Key::of(&SECRET, &ByHeader::new(HeaderName::from_static("x-tenant")), &WholeRequest::default(), request)
    }

    #[test]
    fn a_request_without_a_tenant_has_no_key() {
        assert_eq!(key(&request("a", &[])), None);
        assert_eq!(Key::of(&SECRET, &ByExtension::<String>::new(), &WholeRequest::default(), &request("a", &[])), None);
        assert_eq!(Key::of(&SECRET, &OneTenant, &ByFn(|_: &u8| None::<u8>), &1), None);
    }

    #[test]
    fn the_way_a_request_came_makes_no_difference_and_all_else_does() {
        let plain = key(&request("a", &[("x-tenant", "t")]));
        let told = |name, value| key(&request("a", &[("x-tenant", "t"), (name, value)]));
        for (name, value) in [("user-agent", "x"), ("x-forwarded-for", "::1"), ("x-stainless-lang", "rust")] {
            assert_eq!(told(name, value), plain, "{name}");
        }
        for name in ["accept", "authorization", "anthropic-version", "idempotency-key", "x-unheard-of"] {
            assert_ne!(told(name, "1"), plain, "{name}");
        }
        assert_ne!(key(&request("b", &[("x-tenant", "t")])), plain);
        let other = || request("a", &[("x-tenant", "t"), ("x-mine", "1")]);
        let ignoring = WholeRequest::default().ignoring(HeaderName::from_static("x-mine"));
        assert_eq!(Key::of(&SECRET, &ByHeader::new(HeaderName::from_static("x-tenant")), &ignoring, &other()), plain);
    }

    proptest! {
        #[test]
        fn what_one_tenant_asks_never_has_the_key_of_another(
            a in prop::collection::vec(any::<u8>(), 0..6),
            b in prop::collection::vec(any::<u8>(), 0..6),
            asked in prop::collection::vec(any::<u8>(), 0..6),
            other in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            /// Hashes its bytes and nothing else, as a careless implementation would.
            struct Raw(Vec<u8>);
            impl Hash for Raw {
                fn hash<H: Hasher>(&self, state: &mut H) {
                    state.write(&self.0);
                }
            }
            type Asked = (Vec<u8>, Vec<u8>);
            let key = |tenant: &Vec<u8>, asked: &Vec<u8>| {
                let whose = ByFn(|request: &Asked| Some(Raw(request.0.clone())));
                let what = ByFn(|request: &Asked| Some(Raw(request.1.clone())));
                Key::of(&SECRET, &whose, &what, &(tenant.clone(), asked.clone()))
            };
            prop_assert_eq!(key(&a, &asked) == key(&b, &other), a == b && asked == other);
        }
    }
}
