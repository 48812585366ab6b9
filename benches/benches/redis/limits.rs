//! Shared limits of rates: by the script alone, with leases, and as others do it.
//!
//! The two forms beside ours are what is usually written: GCRA in a script, one timestamp for a key (as `redis-cell` computes it),
//! and a bucket that is read, computed here and written back, which admits too much when two do it at once.

use std::time::Duration;

use buttress_redis::{Config, Namespace, Redis, Script, redis};
use buttress_testkit::RedisServer;
use buttress_token_bucket::{
    Costs, Dimension, Fingerprint, Limit, Limits, LimitsHandle, Reservation, Secret, SharedLimits, TokenBucketLayer,
};
use tokio::runtime::Handle;

use crate::{Turn, load, print};

/// One emission interval of 1 µs, and a burst of a million: nobody is refused.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local new = at + tonumber(ARGV[1])
if new - tonumber(ARGV[2]) > now then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000) + 1)
return 1
";

const CASES: [&str; 5] = [
    "read, compute, write",
    "GCRA in a script",
    "buttress, one limit",
    "buttress, two limits",
    "buttress, two limits, leased",
];

fn limit(name: &str, dimension: Dimension) -> Limit {
    Limit::try_new(name, dimension, 1_000_000, Duration::from_secs(1)).expect("it makes sense")
}

fn handle(redis: Redis, name: &str, limits: Limits, lease: Duration) -> LimitsHandle {
    let namespace = Namespace::try_new("bench").expect("allowed");
    let shared = SharedLimits::new(redis, &namespace, name.try_into().expect("a label"), Secret::new([1; 16]));
    let layer = TokenBucketLayer::new(limits).shared(shared.lease(lease)).expect("they can be shared");
    // It ends with the runtime.
    drop(Handle::current().spawn(layer.handle().sharing()));
    layer.handle()
}

async fn by_layer(handle: LimitsHandle) -> u8 {
    let passed = handle.reserve_shared(Fingerprint::SHARED, Costs::tokens(1, 1)).await.map(Reservation::keep);
    u8::from(passed.is_ok())
}

async fn naively(redis: Redis) -> u8 {
    let level: Option<u64> = redis.query(redis::cmd("GET").arg("naive")).await.expect("it answers");
    let level = level.unwrap_or(1_000_000_000);
    let mut set = redis::cmd("SET");
    set.arg("naive").arg(level.saturating_sub(1)).arg("PX").arg(60_000);
    redis.query::<()>(&set).await.expect("it answers");
    u8::from(level > 0)
}

pub(crate) async fn compare(server: &RedisServer, callers: usize, rounds: usize, time: Duration) {
    let config = Config::new(format!("redis://127.0.0.1:{}", server.port())).command_timeout(Duration::from_secs(5));
    let redis = Redis::spawn_on(&Handle::current(), config).expect("allowed");
    redis.connected().await;
    let gcra = Script::new(GCRA);
    let one = || Limits::from(limit("requests", Dimension::REQUESTS));
    let two = || {
        Limits::try_new([limit("requests", Dimension::REQUESTS), limit("tokens", Dimension::TOKENS)])
            .expect("two limits")
    };
    let handles = [
        handle(redis.clone(), "one", one(), Duration::ZERO),
        handle(redis.clone(), "two", two(), Duration::ZERO),
        handle(redis.clone(), "leased", two(), Duration::from_millis(250)),
    ];
    let mut turns: [Vec<Turn>; 5] = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        let client = redis.clone();
        turns[0].push(load(callers, time, move || naively(client.clone())).await);
        let (client, script) = (redis.clone(), gcra.clone());
        turns[1].push(
            load(callers, time, move || {
                let (client, script) = (client.clone(), script.clone());
                async move {
                    let call = script.call(&["gcra"]).arg(1).arg(1_000_000);
                    client.invoke::<u8>(&call).await.expect("it answers")
                }
            })
            .await,
        );
        for (at, handle) in handles.iter().enumerate() {
            let handle = handle.clone();
            turns[2 + at].push(load(callers, time, move || by_layer(handle.clone())).await);
        }
    }
    println!("\ndecisions: {callers} caller(s), {rounds} turns of {} ms, the median turn", time.as_millis());
    print(&CASES, &mut turns);
    let counts = handles[2].shared_counts().expect("limits are shared");
    println!("of the leased: {} asked, {} from leases", counts.asked, counts.leased);
}
