//! What shared limits cost, and what the guard around Redis costs: a script, called by its hash, through `buttress-redis`, through the client's own
//! `ConnectionManager`, and through a pool of connections.
//!
//! `cargo bench -p bench --bench redis`, with `-- --quick` for a shorter run. Server and client share the machine, so calls
//! per second are a ratio to read, not a capacity; the contenders take turns, so that what else the machine does meets them
//! alike. CPU per call is that of this process, and the steadier figure. Last comes how long callers wait while Redis is broken,
//! and the bench fails if one waits for more than 60 ms.

mod faults;
mod limits;

use std::{future::Future, num::NonZeroUsize, process::ExitCode, time::Duration};

use buttress_redis::{Config, Pool, Redis, Script, redis};
use buttress_testkit::RedisServer;
use cpu_time::ProcessTime;
use tokio::{
    runtime::{self, Handle},
    task::JoinSet,
    time::Instant,
};

/// A token bucket of the usual form: a look at the clock, one read, one write.
const BUCKET: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('HMGET', KEYS[1], 'level', 'last')
local level, last = tonumber(state[1] or ARGV[1]), tonumber(state[2] or now)
level = math.min(tonumber(ARGV[1]), level + math.max(0, now - last))
redis.call('HSET', KEYS[1], 'level', string.format('%.0f', level), 'last', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], 60000)
return level >= 1 and 1 or 0
";

/// What one turn came to.
#[derive(Clone, Copy)]
struct Turn {
    calls_per_second: f64,
    cpu_micros: f64,
    p50_micros: f64,
    p99_micros: f64,
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, time) = if quick { (2, Duration::from_millis(200)) } else { (5, Duration::from_millis(500)) };
    let server = RedisServer::start_on_port(&[]);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        for callers in [1, 64] {
            compare(&server, callers, rounds, time).await;
        }
        for callers in [1, 64] {
            limits::compare(&server, callers, rounds, time).await;
        }
        if faults::measure().await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

async fn compare(server: &RedisServer, callers: usize, rounds: usize, time: Duration) {
    let url = format!("redis://127.0.0.1:{}", server.port());
    let config = || Config::new(&url).command_timeout(Duration::from_secs(5));
    let client = Redis::spawn_on(&Handle::current(), config()).expect("allowed");
    client.connected().await;
    let raw = redis::Client::open(&*url).expect("a URL");
    let manager = raw.get_connection_manager().await.expect("it connects");
    let pool = Pool::try_new(config(), NonZeroUsize::new(callers).expect("not zero")).expect("allowed");
    let script = Script::new(BUCKET);
    let sha: &'static str = Box::leak(script.sha().to_owned().into_boxed_str());
    client.invoke::<u8>(&script.call(&["bucket"]).arg(1000)).await.expect("it loads");

    let mut turns = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let (client, script, pool, manager) = (client.clone(), script.clone(), pool.clone(), manager.clone());
        turns[0].push(
            load(callers, time, move || {
                let (client, script) = (client.clone(), script.clone());
                async move { client.invoke::<u8>(&script.call(&["bucket"]).arg(1000)).await.expect("it answers") }
            })
            .await,
        );
        turns[1].push(
            load(callers, time, move || {
                let mut manager = manager.clone();
                async move { evalsha(sha).query_async::<u8>(&mut manager).await.expect("it answers") }
            })
            .await,
        );
        turns[2].push(
            load(callers, time, move || {
                let pool = pool.clone();
                async move {
                    let mut connection = pool.take().await.expect("one is free");
                    evalsha(sha).query_async::<u8>(&mut connection).await.expect("it answers")
                }
            })
            .await,
        );
    }
    println!("\n{callers} caller(s), {rounds} turns of {} ms, the median turn", time.as_millis());
    print(&["buttress-redis", "redis: ConnectionManager", "deadpool-redis"], &mut turns);
}

fn print(names: &[&str], turns: &mut [Vec<Turn>]) {
    println!("{:<28} {:>10} {:>12} {:>10} {:>10}", "", "calls/s", "CPU µs/call", "p50 µs", "p99 µs");
    for (name, turns) in names.iter().zip(turns) {
        turns.sort_by(|a: &Turn, b| a.calls_per_second.total_cmp(&b.calls_per_second));
        let turn = turns[turns.len() / 2];
        let Turn { calls_per_second, cpu_micros, p50_micros, p99_micros } = turn;
        println!("{name:<28} {calls_per_second:>10.0} {cpu_micros:>12.1} {p50_micros:>10.1} {p99_micros:>10.0}");
    }
}

fn evalsha(sha: &str) -> redis::Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(sha).arg(1).arg("bucket").arg(1000);
    cmd
}

/// Calls from `callers` tasks at once for `time`.
async fn load<F: Future<Output = u8> + Send + 'static>(
    callers: usize,
    time: Duration,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Turn {
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut took = Vec::with_capacity(64 * 1024);
            while Instant::now() - start < time {
                let begun = Instant::now();
                call().await;
                took.push(Instant::now() - begun);
            }
            took
        });
    }
    let mut took = tasks.join_all().await.concat();
    let (elapsed, cpu) = (Instant::now() - start, cpu.elapsed());
    took.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Turn {
        calls_per_second: took.len() as f64 / elapsed.as_secs_f64(),
        cpu_micros: micros(cpu) / took.len() as f64,
        p50_micros: micros(took[took.len() / 2]),
        p99_micros: micros(took[took.len() * 99 / 100]),
    }
}
