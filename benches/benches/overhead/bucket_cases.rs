//! Limits of rates, beside `governor`, `tower_governor` and `tower-resilience`: one bucket, and a million keys.

use std::{
    fmt,
    future::{Ready, ready},
    hint::black_box,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::{Payload, Refusal};
use buttress_token_bucket::{
    ByApiKey, ByFn, Costs, Dimension, Fingerprint, Limit, Limits, LimitsHandle, TokenBucketLayer,
};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer as _, Service};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder, key_extractor::GlobalKeyExtractor};
use tower_resilience_ratelimiter::RateLimiterLayer;

use crate::{
    Group,
    http_cases::{Bare as HttpBare, request},
};

/// Answers at once.
#[derive(Clone, Debug)]
struct Bare;

#[derive(Clone, Copy, Debug)]
struct Short;

/// Answers at once, with a body of axum's.
#[derive(Clone, Copy, Debug)]
struct AxumBare;

/// Asks first.
#[derive(Clone)]
struct Asks<F>(F);

/// What keys take of memory.
pub(crate) struct Memory(Vec<(&'static str, u64)>);

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Short;
    type Future = Ready<Result<u64, Short>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Short>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(black_box(request)))
    }
}

impl Service<Request<Payload>> for AxumBare {
    type Response = Response<axum::body::Body>;
    type Error = Short;
    type Future = Ready<Result<Self::Response, Short>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Short>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(axum::body::Body::empty())))
    }
}

impl<F> Service<u64> for Asks<F>
where
    F: FnMut(u64) -> bool,
{
    type Response = u64;
    type Error = Short;
    type Future = Ready<Result<u64, Short>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Short>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(if (self.0)(request) { Ok(black_box(request)) } else { Err(Short) })
    }
}

const KEYS: u64 = 1 << 20;
const RATE: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("not zero");

static GOVERNOR: LazyLock<DefaultKeyedRateLimiter<u64>> = LazyLock::new(|| RateLimiter::keyed(Quota::per_second(RATE)));
static BUTTRESS: LazyLock<TokenBucketLayer> = LazyLock::new(layer);

fn limit(name: &str, dimension: Dimension) -> Limit {
    Limit::try_new(name, dimension, u64::from(RATE.get()), Duration::from_secs(1)).expect("it makes sense")
}

fn two() -> Limits {
    Limits::try_new([limit("requests", Dimension::REQUESTS), limit("tokens", Dimension::TOKENS)]).expect("two limits")
}

fn layer() -> TokenBucketLayer {
    TokenBucketLayer::new(two()).max_keys(NonZeroUsize::new(4 << 20).expect("not zero"))
}

/// Refuses by an answer: what is measured is what a refusal costs.
fn refuse(_: Refusal) -> Result<u64, Short> {
    Err(Short)
}

/// Returns keys in no order: a linear congruential generator with the constants of Knuth's MMIX.
fn next_key() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(1);
    let next = STATE.load(Ordering::Relaxed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    STATE.store(next, Ordering::Relaxed);
    next >> (64 - KEYS.ilog2())
}

/// Takes by hand, without a layer and without a reservation to settle, as the others do.
fn take(handle: &LimitsHandle, key: Fingerprint, now: Instant) -> bool {
    handle.take(key, &Costs::request(), now).is_ok()
}

/// Takes by hand what could be settled.
fn reserve(handle: &LimitsHandle, key: Fingerprint, now: Instant) -> bool {
    handle.reserve(key, Costs::request(), now).map(buttress_token_bucket::Reservation::keep).is_ok()
}

/// One bucket, of which there is enough.
pub(crate) fn one_key() -> Group<u64> {
    let direct: Arc<DefaultDirectRateLimiter> = Arc::new(RateLimiter::direct(Quota::per_second(RATE)));
    let one = || TokenBucketLayer::new(limit("requests", Dimension::REQUESTS));
    let (handle, other) = (one().handle(), one().handle());
    let resilience = RateLimiterLayer::burst(RATE.get() as usize, RATE.get() as usize).build().expect("it makes sense");
    let spent = TokenBucketLayer::new(
        Limit::try_new("a", Dimension::REQUESTS, 1, Duration::from_secs(3_600)).expect("it makes sense"),
    );
    take(&spent.handle(), Fingerprint::SHARED, Instant::now());
    let now = Instant::now();
    Group::new("u64 -> u64, one bucket, and there is enough", || 7, "bare", Bare)
        .case("the clock alone", Asks(move |_| Instant::now() > now))
        .case("governor, direct", Asks(move |_| direct.check().is_ok()))
        .case("tower-resilience RateLimiter", resilience.layer(Bare))
        .case("buttress, by hand, the time is told", Asks(move |_| take(&handle, Fingerprint::SHARED, now)))
        .promise(0)
        .case("buttress, by hand, reserved and kept", Asks(move |_| reserve(&other, Fingerprint::SHARED, now)))
        .promise(0)
        .case("buttress, one limit", one().plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, two limits", TokenBucketLayer::new(two()).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, two limits, keyed", layer().keyed(ByFn(|request: &u64| *request)).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, refused", spent.plain(refuse).layer(Bare))
        .promise(2)
}

/// A million keys, asked for in no order.
pub(crate) fn a_million_keys() -> Group<u64> {
    let handle = BUTTRESS.handle();
    for key in 0..KEYS {
        assert!(GOVERNOR.check_key(&key).is_ok() && take(&handle, handle.fingerprint(&key), Instant::now()));
    }
    let keyed = (*BUTTRESS).clone().keyed(ByFn(|request: &u64| *request)).plain(refuse);
    Group::new("u64 -> u64, a million keys in no order", next_key, "bare", Bare)
        .case("governor, keyed (DashMap)", Asks(|key| GOVERNOR.check_key(&key).is_ok()))
        .case("buttress, two limits, by hand", {
            Asks(move |key| take(&handle, handle.fingerprint(&key), Instant::now()))
        })
        .promise(0)
        .case("buttress, two limits", keyed.layer(Bare))
        .promise(0)
}

/// The same over HTTP, settled at the end of the body.
pub(crate) fn http() -> Group<Request<Payload>> {
    let bare = HttpBare::ok();
    Group::new("HTTP calls, there is enough", request, "bare", bare.clone())
        .case("buttress, one key, two limits, settled", layer().layer(bare.clone()))
        .promise(0)
        .case("buttress, by API key, two limits, settled", layer().keyed(ByApiKey).layer(bare.clone()))
        .promise(0)
        .case("buttress, by API key, announced", layer().keyed(ByApiKey).announce().layer(bare))
        .promise(4)
}

/// The same under axum, whose body is the one that `tower_governor` knows.
pub(crate) fn axum() -> Group<Request<Payload>> {
    let mut config = GovernorConfigBuilder::default().key_extractor(GlobalKeyExtractor);
    let config = config.per_nanosecond(1).burst_size(RATE.get()).finish().expect("it makes sense");
    Group::new("HTTP calls with axum's body, there is enough", request, "bare", AxumBare)
        .case("tower_governor, one key, one limit", GovernorLayer::new(config).layer(AxumBare))
        .case("buttress, one key, two limits, settled", layer().layer(AxumBare))
        .promise(0)
}

/// Calls that are refused, which is what a flood is made of: one request an hour has passed already.
pub(crate) fn refused() -> Group<Request<Payload>> {
    let mut config = GovernorConfigBuilder::default().key_extractor(GlobalKeyExtractor);
    let plain = config.per_second(3_600).burst_size(1).finish().expect("it makes sense");
    let headers = config.use_headers().finish().expect("it makes sense");
    let hourly =
        Limit::try_new("requests", Dimension::REQUESTS, 1, Duration::from_secs(3_600)).expect("it makes sense");
    let both = Limits::try_new([hourly.clone(), limit("tokens", Dimension::TOKENS)]).expect("two limits");
    Group::new("HTTP calls with axum's body, refused", request, "bare", AxumBare)
        .case("tower_governor, one key, one limit", GovernorLayer::new(plain).layer(AxumBare))
        .case("the same, with its headers", GovernorLayer::new(headers).layer(AxumBare))
        .case("buttress, one key, one limit", TokenBucketLayer::new(hourly).layer(AxumBare))
        .promise(14)
        .case("buttress, by API key, two limits", TokenBucketLayer::new(both).keyed(ByApiKey).layer(AxumBare))
        .promise(14)
}

/// Returns what a million keys take of memory.
pub(crate) fn memory() -> Memory {
    let of = |fill: &dyn Fn()| {
        let spent = allocation_counter::measure(fill);
        spent.bytes_current.max(0).unsigned_abs() / KEYS
    };
    let governor: DefaultKeyedRateLimiter<u64> = RateLimiter::keyed(Quota::per_second(RATE));
    let [handle, three] = [two(), three()]
        .map(|limits| TokenBucketLayer::new(limits).max_keys(NonZeroUsize::new(4 << 20).expect("not zero")).handle());
    let fill = |handle: &LimitsHandle| {
        (0..KEYS).for_each(|key| assert!(take(handle, handle.fingerprint(&key), Instant::now())));
    };
    Memory(vec![
        ("governor, keyed by u64", of(&|| (0..KEYS).for_each(|key| assert!(governor.check_key(&key).is_ok())))),
        ("buttress, keys of any length, two limits", of(&|| fill(&handle))),
        ("buttress, keys of any length, three limits", of(&|| fill(&three))),
    ])
}

fn three() -> Limits {
    let all =
        [limit("a", Dimension::REQUESTS), limit("b", Dimension::INPUT_TOKENS), limit("c", Dimension::OUTPUT_TOKENS)];
    Limits::try_new(all).expect("three limits")
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "memory of a key, where there are {KEYS}, bytes")?;
        self.0.iter().try_for_each(|(name, bytes)| writeln!(f, "{name:46} | {bytes:6}"))
    }
}
