//! How long callers wait for their limits when the Redis behind them stops, freezes, becomes slow, begins empty, or fails over.

use std::{cell::Cell, future::Future, rc::Rc, time::Duration};

use buttress_redis::{Config, Namespace, Redis};
use buttress_testkit::{RedisServer, SlowProxy};
use buttress_token_bucket::{
    Costs, Dimension, Fingerprint, Limit, LimitsHandle, Reservation, Secret, SharedLimits, TokenBucketLayer,
};
use tokio::{
    runtime::Handle,
    task::LocalSet,
    time::{Instant, sleep},
};

/// Nobody waits longer than this, and nobody more than once.
const BOUND: Duration = Duration::from_millis(60);
const CALLERS: usize = 64;
/// How long each part of a story is: before, while it is broken, and after.
const PART: Duration = Duration::from_secs(1);
/// A machine that others use stalls now and then: one round of these is to be within the bound.
const ROUNDS: usize = 3;

/// What callers met.
#[derive(Default)]
struct Met {
    calls: usize,
    refused: usize,
    longest: Duration,
    /// More than [`BOUND`]: of all callers, and of the one that met most.
    slow: usize,
    most_slow: usize,
}

/// What came of one fault.
struct Story {
    met: Met,
    /// After which time Redis decided again.
    back: Duration,
}

// === impl Met ===

impl Met {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.longest = self.longest.max(other.longest);
        self.slow += other.slow;
        self.most_slow = self.most_slow.max(other.slow);
    }
}

// === impl Story ===

impl Story {
    fn is_good(&self) -> bool {
        self.met.longest <= BOUND && self.met.refused == 0
    }
}

fn handle(redis: &Redis) -> LimitsHandle {
    let limit = Limit::try_new("requests", Dimension::REQUESTS, 1_000_000_000, Duration::from_secs(1));
    let namespace = Namespace::try_new("faults").expect("allowed");
    let shared = SharedLimits::new(redis.clone(), &namespace, "all".try_into().expect("a label"), Secret::new([1; 16]));
    // Without leases, so that each call asks.
    let layer = TokenBucketLayer::new(limit.expect("it makes sense")).shared(shared.lease(Duration::ZERO));
    let handle = layer.expect("it can be shared").handle();
    drop(Handle::current().spawn(handle.sharing()));
    handle
}

/// Asks every few milliseconds until it is told to stop.
async fn call(handle: LimitsHandle, stop: Rc<Cell<bool>>) -> Met {
    let mut met = Met::default();
    while !stop.get() {
        let begun = Instant::now();
        let passed = handle.reserve_shared(Fingerprint::SHARED, Costs::request()).await.map(Reservation::keep);
        let took = Instant::now() - begun;
        met.calls += 1;
        met.refused += usize::from(passed.is_err());
        met.slow += usize::from(took > BOUND);
        met.longest = met.longest.max(took);
        sleep(Duration::from_millis(5)).await;
    }
    met
}

/// Breaks Redis while all call, and heals it.
async fn story<B: Future<Output = ()>, H: Future<Output = ()>>(
    config: Config,
    breaks: impl FnOnce() -> B,
    heals: impl FnOnce() -> H,
) -> Story {
    let redis = Redis::spawn_on(&Handle::current(), config).expect("allowed");
    redis.connected().await;
    let (handle, stop, callers) = (handle(&redis), Rc::new(Cell::new(false)), LocalSet::new());
    let calls: Vec<_> = (0..CALLERS).map(|_| callers.spawn_local(call(handle.clone(), Rc::clone(&stop)))).collect();
    callers
        .run_until(async {
            sleep(PART).await;
            breaks().await;
            sleep(PART).await;
            heals().await;
            let healed = Instant::now();
            redis.connected().await;
            let asked = handle.shared_counts().map(|counts| counts.asked);
            while handle.shared_counts().map(|counts| counts.asked) == asked {
                sleep(Duration::from_millis(1)).await;
            }
            let back = Instant::now() - healed;
            sleep(PART).await;
            stop.set(true);
            let mut met = Met::default();
            for call in calls {
                met.add(&call.await.expect("it goes on until it is told to stop"));
            }
            Story { met, back }
        })
        .await
}

async fn stopped() -> Story {
    let server = Cell::new(Some(RedisServer::start_on_port(&[])));
    let url = with(&server, |server| format!("redis://127.0.0.1:{}", server.port()));
    story(Config::new(url), async || with(&server, RedisServer::kill), async || with(&server, RedisServer::restart))
        .await
}

async fn frozen() -> Story {
    let server = RedisServer::start_on_port(&[]);
    let url = format!("redis://127.0.0.1:{}", server.port());
    story(Config::new(url), async || server.freeze(), async || server.thaw()).await
}

async fn slow() -> Story {
    let server = RedisServer::start();
    let proxy = SlowProxy::start(server.socket()).await;
    let slowly = async || proxy.delay(Duration::from_millis(200));
    story(Config::new(proxy.url()), slowly, async || proxy.delay(Duration::ZERO)).await
}

async fn failed_over() -> Story {
    let old = Cell::new(Some(RedisServer::start_on_port(&[])));
    let new = RedisServer::start_on_port(&[]);
    let sentinel = RedisServer::start_sentinel();
    let watch = |port: u16| {
        drop(sentinel.tell(&["SENTINEL", "REMOVE", "main"]));
        drop(sentinel.tell(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port.to_string(), "1"]));
    };
    watch(with(&old, |old| old.port()));
    let config = Config::sentinel([format!("redis://127.0.0.1:{}", sentinel.port())], "main");
    // What sentinels do in the end, without the seconds they take to agree.
    story(config, async || with(&old, RedisServer::kill), async || watch(new.port())).await
}

fn with<T>(server: &Cell<Option<RedisServer>>, f: impl FnOnce(&mut RedisServer) -> T) -> T {
    let mut held = server.take().expect("nobody else has it");
    let done = f(&mut held);
    server.set(Some(held));
    done
}

/// Tells how long callers waited under each fault. Returns whether that was within the bound.
pub(crate) async fn measure() -> bool {
    println!("\n{CALLERS} callers ask all the time while Redis is broken for {} s", PART.as_secs());
    println!(
        "{:<28} {:>8} {:>8} {:>11} {:>8} {:>8} {:>10}",
        "", "calls", "refused", "longest ms", "> 60 ms", "by one", "back ms"
    );
    let mut good = true;
    for name in ["stopped, and begins empty", "frozen", "200 ms slower", "failed over"] {
        let mut within = false;
        for _ in 0..ROUNDS {
            let told = match name {
                "frozen" => frozen().await,
                "200 ms slower" => slow().await,
                "failed over" => failed_over().await,
                _ => stopped().await,
            };
            let Story { met, back } = &told;
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{name:<28} {:>8} {:>8} {:>11.1} {:>8} {:>8} {:>10.1}",
                met.calls,
                met.refused,
                millis(met.longest),
                met.slow,
                met.most_slow,
                millis(*back)
            );
            within = told.is_good();
            if within {
                break;
            }
        }
        good &= within;
    }
    good
}
