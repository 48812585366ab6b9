//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{future::Future, time::Duration};

use buttress_redis::{Config, Error, ErrorKind, Redis, redis};
use futures_util::FutureExt as _;
use tokio::{
    runtime::{Handle, Runtime},
    time::{Instant, timeout},
};

/// The bound of a call in these tests. Generous towards a machine with much to do.
pub(crate) const BOUND: Duration = Duration::from_millis(100);
/// The longest that a call with that bound may take here: what the machine adds is not what is tested.
pub(crate) const SLOWEST: Duration = Duration::from_millis(600);

/// A configuration that looks for Redis soon again.
pub(crate) fn config(url: impl Into<String>) -> Config {
    Config::new(url)
        .command_timeout(BOUND)
        .connect_timeout(Duration::from_millis(250))
        .probe_between(Duration::from_millis(5), Duration::from_millis(50))
        .heartbeat(Duration::from_secs(60))
        .seed(7)
}

pub(crate) fn client(config: Config) -> Redis {
    Redis::spawn_on(&Handle::current(), config).expect("the configuration is right")
}

pub(crate) async fn connected(config: Config) -> Redis {
    let client = client(config);
    soon(client.connected()).await;
    client
}

/// Waits for what must come, and fails if it does not.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(Duration::from_secs(10), what).await.expect("it came within ten seconds")
}

/// Runs a test with real time and real sockets.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    Runtime::new().expect("a runtime can be made").block_on(test)
}

pub(crate) async fn get(client: &Redis, key: &str) -> Result<Option<String>, Error> {
    client.query(redis::cmd("GET").arg(key)).await
}

pub(crate) async fn ping(client: &Redis) -> Result<String, Error> {
    client.query(&redis::cmd("PING")).await
}

/// Calls, and asserts that the answer is there at once: that Redis is away.
pub(crate) fn away_at_once(client: &Redis) -> Error {
    let outcome = ping(client).now_or_never().expect("nobody waits for a redis that is away");
    let error = outcome.expect_err("it is away");
    assert_eq!(error.kind(), ErrorKind::Away, "{error:?}");
    error
}

/// Does something and tells how long it took.
pub(crate) async fn timed<F: Future>(what: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = what.await;
    (output, Instant::now() - start)
}
