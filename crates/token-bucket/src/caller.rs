//! Who calls: its key, its tier, its share.

use std::{fmt, hash::Hash, num::NonZeroU32};

use crate::{Fingerprint, Key, Secret, Shared};

/// Which of the [tiers](crate::TokenBucketLayer::tiered) a request comes under, by number. Any `Fn(&Req) -> usize` does; what is no
/// tier's number is the first one's.
pub trait Tier<Req> {
    /// Returns the number.
    fn tier(&self, request: &Req) -> usize;
}

/// There is one tier. See [`Tier`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OneTier;

/// Which flow a request belongs to where calls of many wait for one bucket, and with which weight. [`ByShare`] takes a closure.
pub trait Share<Req> {
    /// Returns the flow and its weight.
    fn share(&self, request: &Req, secret: &Secret) -> (Fingerprint, NonZeroU32);
}

/// All calls are served as they came. See [`Share`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AsTheyCome;

/// A closure tells the flow, such as the tenant, and its weight. See [`Share`].
#[derive(Clone, Copy)]
pub struct ByShare<F>(pub F);

/// What a layer reads of who calls. [`Callers`] does it.
pub trait Caller<Req> {
    /// Returns whose buckets the call takes from.
    fn key(&self, request: &Req, secret: &Secret) -> Fingerprint;

    /// Returns the number of its tier.
    fn tier(&self, request: &Req) -> usize;

    /// Returns its flow in the queue, and the weight of that.
    fn share(&self, request: &Req, secret: &Secret) -> (Fingerprint, NonZeroU32);
}

/// A [`Key`], a [`Tier`] and a [`Share`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Callers<K = Shared, T = OneTier, W = AsTheyCome> {
    pub(crate) key: K,
    pub(crate) tier: T,
    pub(crate) share: W,
}

// === impl Tier ===

impl<F, Req> Tier<Req> for F
where
    F: Fn(&Req) -> usize,
{
    fn tier(&self, request: &Req) -> usize {
        self(request)
    }
}

impl<Req> Tier<Req> for OneTier {
    fn tier(&self, _: &Req) -> usize {
        0
    }
}

// === impl Share ===

impl<Req> Share<Req> for AsTheyCome {
    fn share(&self, _: &Req, _: &Secret) -> (Fingerprint, NonZeroU32) {
        (Fingerprint::SHARED, NonZeroU32::MIN)
    }
}

impl<F, K, Req> Share<Req> for ByShare<F>
where
    F: Fn(&Req) -> (K, NonZeroU32),
    K: Hash,
{
    fn share(&self, request: &Req, secret: &Secret) -> (Fingerprint, NonZeroU32) {
        let (flow, weight) = (self.0)(request);
        (secret.of(&flow), weight)
    }
}

impl<F> fmt::Debug for ByShare<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByShare")
    }
}

// === impl Callers ===

impl<K, T, W, Req> Caller<Req> for Callers<K, T, W>
where
    K: Key<Req>,
    T: Tier<Req>,
    W: Share<Req>,
{
    #[inline]
    fn key(&self, request: &Req, secret: &Secret) -> Fingerprint {
        self.key.key(request, secret)
    }

    #[inline]
    fn tier(&self, request: &Req) -> usize {
        self.tier.tier(request)
    }

    fn share(&self, request: &Req, secret: &Secret) -> (Fingerprint, NonZeroU32) {
        self.share.share(request, secret)
    }
}
