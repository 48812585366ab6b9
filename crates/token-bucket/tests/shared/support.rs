//! What the tests share.

use std::{future::Future, num::NonZeroU32, time::Duration};

use buttress_redis::{Config, Namespace, Redis};
use buttress_testkit::RedisServer;
pub(crate) use buttress_testkit::SlowProxy;
use buttress_token_bucket::{
    Costs, Dimension, Fingerprint, Limit, Limits, LimitsHandle, RateLimited, Reservation, Secret, SharedCounts,
    SharedLimits, TokenBucketLayer,
};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// The bound of a call to Redis in these tests. Generous towards a machine with much to do.
pub(crate) const BOUND: Duration = Duration::from_millis(100);
/// The longest that a call with that bound may take here: what the machine adds is not what is tested.
pub(crate) const SLOWEST: Duration = Duration::from_millis(600);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const SECRET: Secret = Secret::new([5; 16]);

/// One process of several: a layer, its work in the background, and a client of its own.
pub(crate) struct Replica {
    pub(crate) layer: TokenBucketLayer,
    pub(crate) handle: LimitsHandle,
    pub(crate) redis: Redis,
    work: JoinHandle<()>,
}

impl Replica {
    pub(crate) async fn start(url: String, limits: impl Into<Limits>) -> Self {
        Self::start_with(url, limits, |shared| shared).await
    }

    pub(crate) async fn start_with(
        url: String,
        limits: impl Into<Limits>,
        set: impl FnOnce(SharedLimits) -> SharedLimits,
    ) -> Self {
        Self::start_on(config(url), limits, set).await
    }

    /// Starts one that waits for Redis for as long as a busy machine needs: where nothing is to be away, nothing is.
    pub(crate) async fn start_patient(
        url: String,
        limits: impl Into<Limits>,
        set: impl FnOnce(SharedLimits) -> SharedLimits,
    ) -> Self {
        Self::start_on(config(url).command_timeout(Duration::from_secs(20)), limits, set).await
    }

    async fn start_on(
        config: Config,
        limits: impl Into<Limits>,
        set: impl FnOnce(SharedLimits) -> SharedLimits,
    ) -> Self {
        let redis = connected(config).await;
        let shared = set(shared(redis.clone()));
        let layer = TokenBucketLayer::new(limits).shared(shared).expect("they can be shared");
        let handle = layer.handle();
        let work = Handle::current().spawn(handle.sharing());
        Self { layer, handle, redis, work }
    }

    pub(crate) async fn ask(&self, costs: Costs) -> Result<Reservation, Box<RateLimited>> {
        self.handle.reserve_shared(Fingerprint::SHARED, costs).await
    }

    /// Asks, and keeps what it gets.
    pub(crate) async fn passes(&self, costs: Costs) -> bool {
        self.ask(costs).await.map(Reservation::keep).is_ok()
    }

    /// Asks until it is refused, and returns how often it was not.
    pub(crate) async fn exhaust(&self, costs: Costs) -> u64 {
        let mut passed = 0;
        while self.passes(costs).await {
            passed += 1;
            assert!(passed < 1_000_000, "there is no limit");
        }
        passed
    }

    pub(crate) fn counts(&self) -> SharedCounts {
        self.handle.shared_counts().expect("limits are shared")
    }

    /// Waits until all that waits has been written.
    pub(crate) async fn written(&self) {
        until(|| self.counts().waiting == 0).await;
    }

    /// Stops the work in the background, as a crash does.
    pub(crate) fn crash(&self) {
        self.work.abort();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.work.abort();
    }
}

pub(crate) fn shared(redis: Redis) -> SharedLimits {
    let namespace = Namespace::try_new("t").expect("allowed");
    SharedLimits::new(redis, &namespace, "tenants".try_into().expect("a label"), SECRET).replicas(three())
}

pub(crate) fn three() -> NonZeroU32 {
    NonZeroU32::new(3).expect("not zero")
}

pub(crate) fn requests(amount: u64, period: Duration) -> Limit {
    Limit::try_new("requests", Dimension::REQUESTS, amount, period).expect("it makes sense")
}

pub(crate) fn tokens(amount: u64, period: Duration) -> Limit {
    Limit::try_new("tokens", Dimension::TOKENS, amount, period).expect("it makes sense")
}

pub(crate) fn config(url: String) -> Config {
    Config::new(url)
        .command_timeout(BOUND)
        .connect_timeout(Duration::from_millis(250))
        .probe_between(Duration::from_millis(5), Duration::from_millis(50))
        .heartbeat(Duration::from_secs(60))
        .seed(7)
}

pub(crate) async fn connected(config: Config) -> Redis {
    let redis = Redis::spawn_on(&Handle::current(), config).expect("the configuration is right");
    soon(redis.connected()).await;
    redis
}

/// Runs a test with real time and real sockets.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    Runtime::new().expect("a runtime can be made").block_on(test)
}

pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(Duration::from_secs(30), what).await.expect("it came within half a minute")
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) async fn timed<F: Future>(what: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = what.await;
    (output, Instant::now() - start)
}

/// Where the levels of the one key are.
pub(crate) const LEVELS: &str = "t:tb:{tenants/00000000000000000000000000000000}:v2";

/// Returns how many whole units are missing there of the one limit, rounded up.
pub(crate) fn missing(server: &RedisServer) -> u64 {
    // The parts of a unit stand before the rate, and what is missing is the last number.
    let script = "\"local v = redis.call('GET', KEYS[1]) return {string.match(v, '/(%d+)/'), (struct.unpack('<d', v, #v - 7))}\"";
    let told = server.tell(&["EVAL", script, "1", LEVELS]);
    let numbers: Vec<u64> = told.lines().filter_map(|line| line.trim_start_matches(':').parse().ok()).collect();
    let [unit, missing] = numbers[..] else { panic!("the parts of a unit, and what is missing: {told}") };
    missing.div_ceil(unit)
}
