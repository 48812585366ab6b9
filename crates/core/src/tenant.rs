//! Whose a request is.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use http::{HeaderName, Request};

/// Says whose a request is, to layers that keep something for those who ask alike. [`ByExtension`], [`ByHeader`], [`ByTenant`] and
/// [`OneTenant`] are there.
///
/// What is told goes into a hash of 256 bits, and is not kept.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell whose a `{Req}` is",
    label = "not a tenant of this request",
    note = "`ByHeader` and `ByExtension` read a `Request<B>`; `ByTenant(|request: &Request| Some(key))` reads any; `OneTenant` says that all callers are one"
)]
pub trait Tenant<Req> {
    /// Tells `hasher` the tenant. `false` if there is none: then nothing is kept of the request, and nothing shared.
    fn tell(&self, request: &Req, hasher: &mut dyn Hasher) -> bool;
}

/// All callers are one tenant: whoever says so has nobody to keep apart. See [`Tenant`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OneTenant;

/// The tenant is a value of type `T` in the request's extensions, such as a layer further out left there. See [`Tenant`].
pub struct ByExtension<T>(PhantomData<fn() -> T>);

/// The tenant is the value of a header. To stand behind what checks that header. See [`Tenant`].
#[derive(Clone, Debug)]
pub struct ByHeader(HeaderName);

/// A closure `Fn(&Req) -> Option<K>` tells the tenant. See [`Tenant`].
#[derive(Clone, Copy)]
pub struct ByTenant<F>(pub F);

// === impl OneTenant ===

impl<Req> Tenant<Req> for OneTenant {
    fn tell(&self, _: &Req, _: &mut dyn Hasher) -> bool {
        true
    }
}

// === impl ByExtension ===

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
    fn tell(&self, request: &Request<B>, hasher: &mut dyn Hasher) -> bool {
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

// === impl ByHeader ===

impl ByHeader {
    /// Creates it.
    #[must_use]
    pub const fn new(name: HeaderName) -> Self {
        Self(name)
    }
}

impl<B> Tenant<Request<B>> for ByHeader {
    fn tell(&self, request: &Request<B>, hasher: &mut dyn Hasher) -> bool {
        told(request.headers().get(&self.0).map(|value| value.as_bytes()), hasher)
    }
}

// === impl ByTenant ===

impl<F, K, Req> Tenant<Req> for ByTenant<F>
where
    F: Fn(&Req) -> Option<K>,
    K: Hash,
{
    fn tell(&self, request: &Req, hasher: &mut dyn Hasher) -> bool {
        told((self.0)(request), hasher)
    }
}

impl<F> fmt::Debug for ByTenant<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByTenant")
    }
}

fn told(value: Option<impl Hash>, mut hasher: &mut dyn Hasher) -> bool {
    value.map(|value| value.hash(&mut hasher)).is_some()
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    /// What is told of the tenant, if there is one.
    fn of<Req>(tenant: &impl Tenant<Req>, request: &Req) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        tenant.tell(request, &mut hasher).then(|| hasher.finish())
    }

    #[test]
    fn two_tenants_are_told_apart_and_nobody_is_none() {
        const NAME: HeaderName = HeaderName::from_static("x-tenant");
        let request = |name: Option<&'static str>| {
            let mut request = Request::new(());
            if let Some(name) = name {
                request.headers_mut().insert(NAME, name.parse().expect("a name"));
                request.extensions_mut().insert(name);
            }
            request
        };
        let (a, b, nobody) = (request(Some("a")), request(Some("b")), request(None));
        let by_fn = ByTenant(|request: &Request<()>| request.headers().get(NAME).cloned());
        let (by_header, by_extension) = (ByHeader::new(NAME), ByExtension::<&'static str>::new());
        for told in [
            [&a, &b, &nobody].map(|request| of(&by_header, request)),
            [&a, &b, &nobody].map(|request| of(&by_extension, request)),
            [&a, &b, &nobody].map(|request| of(&by_fn, request)),
        ] {
            assert!(told[0].is_some() && told[1].is_some() && told[0] != told[1], "{told:?}");
            assert_eq!(told[2], None);
        }
        assert_eq!(of(&OneTenant, &a), of(&OneTenant, &nobody));
    }
}
