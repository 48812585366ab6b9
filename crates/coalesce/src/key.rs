//! Which requests are the same.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use buttress_core::{KeyHasher, Payload, Tenant};
use http::{
    HeaderName, HeaderValue, Request,
    uri::{Authority, PathAndQuery},
};
use rand::RngExt as _;

/// What is kept of a request: a keyed hash of 256 bits (SHA-256, FIPS 180-4, over a random secret) of its tenant and of what it
/// asks.
///
/// The two are hashed apart and then together, so that no tenant's requests can be those of another one, whatever their
/// bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// Says what a request asks. [`WholeRequest`] and [`ByFn`] are there.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell what a `{Req}` asks",
    label = "not a question of this request",
    note = "`WholeRequest` reads a `Request<Payload>`; `ByFn(|request: &Request| Some(what))` reads any"
)]
pub trait Question<Req> {
    /// Tells `hasher` all that the answer depends on. `false` if the request is to share nothing.
    fn tell(&self, request: &Req, hasher: &mut KeyHasher) -> bool;
}

/// A closure `Fn(&Req) -> Option<K>` tells what is asked. See [`Question`].
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
        let mut whose = KeyHasher::after(secret);
        if !tenant.tell(request, &mut whose) {
            return None;
        }
        let mut all = KeyHasher::after(secret);
        all.write(&whose.digest());
        question.tell(request, &mut all).then(|| Self(all.digest()))
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

// === impl Question ===

impl<F, K, Req> Question<Req> for ByFn<F>
where
    F: Fn(&Req) -> Option<K>,
    K: Hash,
{
    fn tell(&self, request: &Req, hasher: &mut KeyHasher) -> bool {
        (self.0)(request).map(|asked| asked.hash(hasher)).is_some()
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
        let uri = request.uri();
        // What is told of a text ends where no text can go on, so that two parts cannot run into each other.
        (uri.scheme_str(), uri.authority().map(Authority::as_str)).hash(hasher);
        uri.path_and_query().map(PathAndQuery::as_str).hash(hasher);
        let mut headers: Vec<(&str, &HeaderValue)> = Vec::with_capacity(request.headers().len());
        headers.extend(request.headers().iter().filter(|(name, _)| self.counts(name)).map(|(n, v)| (n.as_str(), v)));
        // The order counts only among those of one name.
        headers.sort_by_key(|(name, _)| *name);
        hasher.write_usize(headers.len());
        for (name, value) in headers {
            name.hash(hasher);
            value.as_bytes().hash(hasher);
        }
        request.body().bytes()[..].hash(hasher);
        true
    }
}

/// Returns whether a header tells only of the way a request came, and of the program that made it.
fn tells_of_the_way(name: &HeaderName) -> bool {
    match name.as_str() {
        "baggage"
        | "connection"
        | "content-length"
        | "forwarded"
        | "keep-alive"
        | "traceparent"
        | "tracestate"
        | "transfer-encoding"
        | "user-agent"
        | "via"
        | "x-client-request-id"
        | "x-correlation-id"
        | "x-real-ip"
        | "x-request-id" => true,
        text => ["x-forwarded-", "x-stainless-", "x-b3-"].iter().any(|start| text.starts_with(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buttress_core::{ByExtension, ByHeader, ByTenant, OneTenant};
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
                let whose = ByTenant(|request: &Asked| Some(Raw(request.0.clone())));
                let what = ByFn(|request: &Asked| Some(Raw(request.1.clone())));
                Key::of(&SECRET, &whose, &what, &(tenant.clone(), asked.clone()))
            };
            prop_assert_eq!(key(&a, &asked) == key(&b, &other), a == b && asked == other);
        }
    }
}
