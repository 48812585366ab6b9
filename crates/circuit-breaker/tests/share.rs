//! Two replicas, each with its own breaker and client, on one real Redis.
#![cfg(feature = "redis")]

use std::{future::Future, time::Duration};

use buttress_circuit_breaker::{CircuitBreakerLayer, Handle, Key, Settings, Share, Snapshot, State};
use buttress_core::{Class, Label, Outcome, Verdict};
use buttress_redis::{Config, Namespace, Redis};
use buttress_testkit::RedisServer;
use tokio::{runtime, task::JoinHandle, time};

/// A breaker and its part in sharing.
struct Replica {
    handle: Handle,
    share: Share,
    worker: JoinHandle<()>,
    redis: Redis,
}

const MAX_ADVICE: Duration = Duration::from_secs(20);
const HINTS: &str = "t:cb:{hints}:v1";

impl Replica {
    async fn start(server: &RedisServer, settings: Settings) -> Self {
        let runtime = runtime::Handle::current();
        let config = Config::new(server.url())
            .command_timeout(Duration::from_millis(200))
            .probe_between(Duration::from_millis(5), Duration::from_millis(50));
        let redis = Redis::spawn_on(&runtime, config).expect("allowed");
        soon(redis.connected()).await;
        let namespace = Namespace::try_new("t").expect("allowed");
        let share = Share::new(redis.clone(), &namespace).interval(Duration::from_millis(10));
        let settings = settings.max_advice(MAX_ADVICE).on_change(share.observer());
        let handle = CircuitBreakerLayer::try_new(settings).expect("in range").handle();
        let worker = runtime.spawn(share.run(handle.clone()));
        Self { handle, share, worker, redis }
    }

    fn call(&self, key: &Key, verdict: Verdict) {
        if let Ok(permit) = self.handle.acquire(key) {
            permit.conclude(&Class::new(verdict, Outcome::Word("reset")));
        }
    }

    fn circuit(&self, key: &Key) -> Snapshot {
        self.handle.snapshot(key).expect("known")
    }

    /// Fails until its own rules open the circuit.
    fn open(&self, key: &Key) {
        for _ in 0..100 {
            self.call(key, Verdict::Transient);
        }
        assert_eq!(self.circuit(key).state, State::Open);
    }

    async fn hears(&self, count: u64) {
        until(|| self.share.counts().heard >= count).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

fn run<F: Future>(test: F) -> F::Output {
    runtime::Runtime::new().expect("a runtime can be made").block_on(test)
}

async fn soon<F: Future>(what: F) -> F::Output {
    time::timeout(Duration::from_secs(60), what).await.expect("it came within a minute")
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn key(name: &str) -> Key {
    Key::new(Label::try_new(name).expect("a label"))
}

#[test]
fn where_one_opened_a_single_failure_is_enough_for_the_other() {
    let server = RedisServer::start();
    run(async {
        let key = key("east").with_model(Label::try_new("gpt-4o").expect("a label"));
        let [a, b] = [Replica::start(&server, Settings::new()).await, Replica::start(&server, Settings::new()).await];
        b.call(&key, Verdict::Success);
        a.open(&key);
        b.hears(1).await;
        assert_eq!(b.circuit(&key).state, State::Closed, "a hint opens nothing by itself");
        b.call(&key, Verdict::Transient);
        assert_eq!(b.circuit(&key).state, State::Open);
        assert_eq!((a.share.counts().sent, a.share.counts().heard), (1, 0), "its own message is not for itself");
        time::sleep(Duration::from_millis(50)).await;
        assert_eq!(b.share.counts().sent, 0, "what opened on advice is not passed on");
        assert_eq!(b.share.counts().heard, 1, "a message is of use once");
    });
}

#[test]
fn one_that_trusts_opens_with_the_other_even_if_it_starts_later() {
    let server = RedisServer::start();
    run(async {
        let key = key("east");
        let a = Replica::start(&server, Settings::new()).await;
        a.open(&key);
        until(|| a.share.counts().sent == 1).await;
        let b = Replica::start(&server, Settings::new().trust_advice()).await;
        time::sleep(Duration::from_millis(50)).await;
        assert!(b.handle.snapshot(&key).is_none(), "a hint makes no circuit");
        b.call(&key, Verdict::Success);
        b.hears(1).await;
        let circuit = b.circuit(&key);
        assert_eq!(circuit.state, State::Open);
        assert!(circuit.open_for.is_some_and(|time| time <= MAX_ADVICE), "{circuit:?}");
    });
}

#[test]
fn without_redis_each_goes_by_what_it_sees_and_sharing_resumes_by_itself() {
    let mut server = RedisServer::start();
    run(async {
        let (east, west) = (key("east"), key("west"));
        let [a, b] = [Replica::start(&server, Settings::new()).await, Replica::start(&server, Settings::new()).await];
        server.kill();
        soon(async { tokio::join!(a.redis.away(), b.redis.away()) }).await;
        // Neither waits for anything: these are no futures.
        a.open(&east);
        b.open(&west);
        until(|| a.share.counts().failed > 0 && b.share.counts().failed > 0).await;
        assert_eq!((a.share.counts().sent, b.share.counts().sent), (0, 0));
        a.call(&west, Verdict::Success);
        b.call(&east, Verdict::Success);
        server.restart();
        a.hears(1).await;
        b.hears(1).await;
    });
}

#[test]
fn no_message_opens_for_longer_than_the_bound_and_garbage_opens_nothing() {
    let server = RedisServer::start();
    run(async {
        let key = key("east");
        let b = Replica::start(&server, Settings::new().trust_advice()).await;
        b.call(&key, Verdict::Success);
        let clock = server.tell(&["TIME"]);
        let now: u64 = clock.lines().nth(2).and_then(|line| line.trim().parse().ok()).expect("a time in seconds");
        let long = ((now + 599) * 1000).to_string();
        for garbage in ["x", "'2 r 1 east'", "'1 r 1 east east east'", "'1 r nan east'", "'1  1 east'"] {
            assert!(server.tell(&["ZADD", HINTS, &long, garbage]).starts_with(":1"), "{garbage}");
        }
        for forever in [(now * 1000 * 1000).to_string(), "inf".to_owned()] {
            assert!(server.tell(&["ZADD", HINTS, &forever, "'1 mallory 7 east'"]).starts_with(':'));
            until(|| server.tell(&["ZSCORE", HINTS, "'1 mallory 7 east'"]).starts_with("$-1")).await;
        }
        until(|| b.share.counts().ignored == 5).await;
        assert_eq!((b.circuit(&key).state, b.share.counts().heard), (State::Closed, 0));

        assert!(server.tell(&["ZADD", HINTS, &long, "'1 mallory 1 east'"]).starts_with(":1"));
        b.hears(1).await;
        let circuit = b.circuit(&key);
        assert_eq!(circuit.state, State::Open);
        assert!(circuit.open_for.is_some_and(|time| time <= MAX_ADVICE), "{circuit:?}");
        b.handle.reset(&key);
        time::sleep(Duration::from_millis(50)).await;
        assert_eq!(b.circuit(&key).state, State::Closed, "the same message is not heard twice");
    });
}

#[test]
fn something_else_under_the_key_stops_sharing_and_nothing_else() {
    let server = RedisServer::start();
    run(async {
        assert!(server.tell(&["SET", HINTS, "x"]).starts_with("+OK"));
        let a = Replica::start(&server, Settings::new()).await;
        until(|| a.share.counts().failed > 1).await;
        a.open(&key("east"));
        assert!(a.redis.status().is_connected());
        assert!(server.tell(&["DEL", HINTS]).starts_with(":1"));
        until(|| a.share.counts().sent == 1).await;
    });
}

#[test]
fn a_thousand_circuits_that_open_keep_within_the_bounds() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(&server, Settings::new()).await;
        let b = Replica::start(&server, Settings::new().trust_advice()).await;
        let keys: Vec<_> = (0..1000).map(|n| key(&format!("target-{n}"))).collect();
        for key in &keys {
            b.call(key, Verdict::Success);
        }
        for key in &keys {
            a.open(key);
        }
        until(|| a.share.counts().sent + a.share.counts().dropped >= 1000).await;
        let held = server.tell(&["ZCARD", HINTS]);
        let held: u64 = held.trim().trim_start_matches(':').parse().expect("a number");
        assert!((1..=256).contains(&held), "{held}");
        b.hears(held.min(200)).await;
        assert!(server.tell(&["PTTL", HINTS]).trim().trim_start_matches(':').parse::<i64>().is_ok_and(|ttl| ttl > 0));
    });
}
