//! Regions that are processes, and fail as processes do.
//!
//! Each test sends some hundred requests. `cargo xtask outages` sends ten thousand in each, and looks at the times too.
#![cfg(unix)]

mod load;
mod process;

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
    time::Duration,
};

use load::{Load, Met};
use process::Process;

/// How many requests a test sends. Where it is given, times are looked at too: the machine has nothing else to do.
const REQUESTS: &str = "BUTTRESS_TEST_REQUESTS";

const NAMES: [&str; 3] = ["eastus", "westeurope", "swedencentral"];
const STREAM: &str = r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
const CHAT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#;

/// How long one attempt may take, in milliseconds.
const ATTEMPT: u64 = 1000;
const CALLERS: usize = 16;

fn regions(first_token_millis: [u64; 3]) -> Vec<Process> {
    NAMES.into_iter().zip(first_token_millis).map(|(name, millis)| Process::region(name, millis)).collect()
}

fn gateway<'u>(urls: impl IntoIterator<Item = &'u str>, settings: &str) -> Process {
    let mut config = format!(
        "listen = \"127.0.0.1:0\"\n[failover]\nanswer_timeout = \"{ATTEMPT}ms\"\nstream_timeout = \"{ATTEMPT}ms\"\n{settings}\n"
    );
    for (name, url) in NAMES.into_iter().zip(urls) {
        config +=
            &format!("[[targets]]\nname = \"{name}\"\nregion = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n");
    }
    Process::gateway(&config)
}

fn wanted() -> Option<usize> {
    std::env::var(REQUESTS).ok().map(|requests| requests.parse().expect("it is a number"))
}

fn load(body: &'static str) -> Load {
    Load { requests: wanted().unwrap_or(320), callers: CALLERS, body }
}

/// At most one request in ten thousand fails; and, where times are looked at, not one in a hundred takes longer than one attempt
/// may, and what an answer takes by itself.
#[track_caller]
fn assert_not_noticed(what: &str, met: &Met) {
    let answers = met.served_by.values().sum::<usize>();
    let (p50, p99, most) = (met.part(0.5), met.part(0.99), met.part(1.0));
    println!(
        "{what}: {answers} answers, {} failures, p50 {p50:.1?}, p99 {p99:.1?}, longest {most:.1?}, {:?}",
        met.failures.len(),
        met.served_by
    );
    assert!(met.failures.len() * 10_000 <= answers, "{:?}", met.failures.first());
    assert!(answers + met.failures.len() == load(CHAT).requests);
    if wanted().is_some() {
        assert!(p99 <= Duration::from_millis(ATTEMPT + 250), "{p99:?}");
    }
}

/// Sends requests, and after a quarter of them does this to the first region.
async fn fails_under_load(what: &str, body: &'static str, fails: impl Fn(&Process) + Send + Sync + 'static) {
    let mut regions = regions([0; 3]);
    let gateway = gateway(regions.iter().map(Process::url), "");
    let first = Mutex::new(Some(regions.remove(0)));
    let load = load(body);
    let met = load.run(gateway.url(), move |number| {
        if number == load.requests / 4 {
            fails(first.lock().expect("nothing panics with it").as_ref().expect("it is there"));
        }
    });
    let met = met.await;
    assert_not_noticed(what, &met);
    assert!(met.served_by[NAMES[0]] >= load.requests / 4 - CALLERS, "it served until then: {met:?}");
    assert!(met.served_by[NAMES[1]] > load.requests / 4, "the next one went on: {met:?}");
}

/// Sends requests while the first target is this address.
async fn never_answers(what: &str, url: &str) {
    let regions = regions([0; 3]);
    let gateway = gateway(std::iter::once(url).chain(regions[1..].iter().map(Process::url)), "");
    let met = load(CHAT).run(gateway.url(), |_| {}).await;
    assert_not_noticed(what, &met);
    assert!(!met.served_by.contains_key(NAMES[0]), "who never answers is never named: {met:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_stopped_under_load_is_not_noticed() {
    fails_under_load("kill -STOP", CHAT, |region| region.signal("-STOP")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_killed_under_load_is_not_noticed() {
    fails_under_load("kill -9", CHAT, |region| region.signal("-KILL")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_refuses_connections_is_not_noticed() {
    // A port that was free a moment ago, and that the system does not give to others soon.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it is bound").port();
    never_answers("refused", &format!("http://127.0.0.1:{port}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_nobody_serves_is_not_noticed() {
    // The kernel accepts, and keeps what is sent.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    never_answers("half open", &format!("http://{addr}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_byte_by_byte_for_ever_is_not_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let drip = |mut stream: TcpStream| {
        let head = b"HTTP/1.1 200 OK\r\nx-slow: ".iter().copied().chain(std::iter::repeat(b'a'));
        for byte in head {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    };
    // They end with the process.
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || drip(stream)))));
    never_answers("slow head", &format!("http://{addr}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_becomes_ten_times_as_slow_is_not_noticed_with_hedging() {
    /// What others do on the machine makes the one time or the other longer, and seldom thrice in a row the latter.
    const ROUNDS: usize = 3;
    let mut ratios = Vec::new();
    while ratios.len() < ROUNDS {
        let ratio = becomes_slow().await;
        ratios.push(ratio);
        if wanted().is_none() || ratio <= 1.3 {
            return;
        }
    }
    panic!("p99 of the first byte, beside when all was well: {ratios:.2?}");
}

/// Returns the p99 of the first byte while a region is ten times as slow, beside when all was well.
async fn becomes_slow() -> f64 {
    let regions = regions([40; 3]);
    let settings = "policy = \"balanced\"\nseed = 7\n[failover.hedge]";
    let gateway = gateway(regions.iter().map(Process::url), settings);
    let load = load(STREAM);

    let healthy = load.run(gateway.url(), |_| {}).await;
    assert_not_noticed("all well", &healthy);
    regions[0].tell("400");
    let slow = load.run(gateway.url(), |_| {}).await;

    assert_not_noticed("one ten times as slow", &slow);
    assert!(slow.served_by.get(NAMES[0]) < healthy.served_by.get(NAMES[0]), "{healthy:?} {slow:?}");
    let (before, after) = (healthy.usual_part(0.99), slow.usual_part(0.99));
    println!("p99 of the usual thousand: all well {before:.1?}, one ten times as slow {after:.1?}");
    after.as_secs_f64() / before.as_secs_f64()
}
