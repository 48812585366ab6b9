//! What replicas of the gateway share through a real Redis.
#![cfg(unix)]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use buttress_core::Payload;
use buttress_sim::Simulator;
use buttress_testkit::RedisServer;
use gateway::{Config, reload::Reload, stack};
use http::Request;
use tokio::{
    task::{JoinSet, yield_now},
    time::timeout,
};
use tower::ServiceExt as _;

use support::{CHAT, CHAT_PATH, FAR, Running, read};

/// Limits in `redis`, for two replicas.
fn settings(redis: &str, default: &str) -> String {
    settings_in(&format!("url = \"{redis}\""), default)
}

/// The same in what the keys of a table say.
fn settings_in(redis: &str, default: &str) -> String {
    format!(
        "[limits]\ncaller = \"header:x-tenant\"\nstrangers = \"each\"\nredis = {{ {redis}, replicas = 2 }}\n\
         [limits.default]\n{default}\n[prices.\"*\"]\ninput = 1\noutput = 1\n[[tenants]]\nname = \"a\"\n"
    )
}

async fn replica(redis: &RedisServer, default: &str) -> Running {
    replica_in(&format!("url = \"{}\"", redis.url()), default).await
}

async fn replica_in(redis: &str, default: &str) -> Running {
    let mut running = Running::start(&["eastus"], &settings_in(redis, default)).await;
    running.workers.spawn(running.operator.sharing().expect("limits are shared"));
    until(&running, true).await;
    running
}

async fn until(running: &Running, connected: bool) {
    let waiting = async {
        while running.operator.redis_is_connected() != Some(connected) {
            yield_now().await;
        }
    };
    timeout(FAR, waiting).await.unwrap_or_else(|_| panic!("connected: {connected}"));
}

async fn ask(running: &Running, tenant: &str) -> u16 {
    let mut request = running.request(CHAT_PATH, CHAT);
    request.headers_mut().insert("x-tenant", tenant.parse().expect("it is a header"));
    let answer = read(running.send(request).await).await;
    let refused = matches!(answer.status.as_u16(), 429 | 503);
    assert_eq!(refused, !answer.header("retry-after").is_empty(), "{answer:?}");
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_at_one_replica_is_missing_at_another() {
    let redis = RedisServer::start();
    let (one, other) = (replica(&redis, "rpm = 4").await, replica(&redis, "rpm = 4").await);
    for running in [&one, &other, &one, &other] {
        assert_eq!(ask(running, "a").await, 200);
    }
    assert_eq!([ask(&one, "a").await, ask(&other, "a").await], [429, 429]);
    assert_eq!([ask(&one, "b").await, ask(&other, "b").await], [200, 200], "another caller has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_replica_goes_on_with_its_share() {
    let mut redis = RedisServer::start();
    let running = replica(&redis, "rpm = 40").await;
    assert_eq!(ask(&running, "a").await, 200);
    redis.kill();
    until(&running, false).await;
    let mut served = 0;
    while timeout(FAR, ask(&running, "c")).await.expect("nobody waits for Redis") == 200 {
        served += 1;
        assert!(served <= 40, "there is a limit");
    }
    assert!((15..=25).contains(&served), "half of it: {served}");
    redis.restart();
    until(&running, true).await;
    assert_eq!(ask(&running, "d").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_goes_by_its_own_rule_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let table = |rules: &str| format!("url = \"{}\", {rules}", redis.url());
    let open = table("when_away = \"closed\", when_away_for = { rpm = \"open\" }");
    let closed = table("when_away_for = { tpm = \"closed\" }");
    let open = replica_in(&open, "rpm = 2").await;
    let closed = replica_in(&closed, "rpm = 100\ntpm = 100000").await;
    assert_eq!([ask(&open, "a").await, ask(&closed, "b").await], [200, 200]);
    redis.kill();
    for running in [&open, &closed] {
        until(running, false).await;
    }
    for _ in 0..5 {
        assert_eq!([ask(&open, "a").await, ask(&closed, "b").await], [200, 503]);
    }
    redis.restart();
    until(&closed, true).await;
    assert_eq!(ask(&closed, "b").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_find_the_primary_that_sentinels_name() {
    let (primary, sentinel) = (RedisServer::start_on_port(&[]), RedisServer::start_sentinel());
    let port = primary.port().to_string();
    assert!(sentinel.tell(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]).starts_with("+OK"));
    let table =
        format!("sentinel = [\"redis://127.0.0.1:1\", \"redis://127.0.0.1:{}\"], primary = \"main\"", sentinel.port());
    let (one, other) = (replica_in(&table, "rpm = 2").await, replica_in(&table, "rpm = 2").await);
    assert_eq!([ask(&one, "a").await, ask(&other, "a").await, ask(&one, "a").await], [200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_cluster() {
    let node = RedisServer::start_on_port(&["--cluster-enabled", "yes"]);
    assert!(node.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).starts_with("+OK"));
    let table = format!("cluster = [\"redis://127.0.0.1:{}\"]", node.port());
    let (one, other) = (replica_in(&table, "rpm = 2").await, replica_in(&table, "rpm = 2").await);
    assert_eq!([ask(&one, "a").await, ask(&other, "a").await, ask(&one, "a").await], [200, 200, 429]);
}

/// How much of the money of the one caller is missing in `redis`, in tenths of a cent.
fn missing(redis: &RedisServer) -> u64 {
    let keys = redis.tell(&["KEYS", "*"]);
    let key = keys.lines().find(|line| line.ends_with(":v2"));
    let key = key.unwrap_or_else(|| panic!("no levels in {keys}"));
    // The parts of a unit stand before the rate, and what is missing of the one limit is the last number.
    let script = "\"local v = redis.call('GET', KEYS[1]) return {string.match(v, '/(%d+)/'), (struct.unpack('<d', v, #v - 7))}\"";
    let told = redis.tell(&["EVAL", script, "1", key]);
    let numbers: Vec<u64> = told.lines().filter_map(|line| line.trim_start_matches(':').parse().ok()).collect();
    let [unit, missing] = numbers[..] else { panic!("the parts of a unit, and what is missing: {told}") };
    missing / unit / 1_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_gives_back_what_it_has_not_used() {
    // A machine that holds Redis up for longer than a call waits for it makes a replica decide by itself: then once more.
    let mut told = Vec::new();
    while told.len() < 5 {
        let (used, missing) = used_and_missing().await;
        if (used - 10..=used).contains(&missing) {
            return;
        }
        told.push((used, missing));
    }
    panic!("used, and missing: {told:?}");
}

/// Lets a replica answer and stop, and returns what was used, and what is missing.
async fn used_and_missing() -> (u64, u64) {
    let redis = RedisServer::start();
    let region = Simulator::builder().target("eastus").length(5..=5).start().await.expect("a port is free");
    // A token costs a tenth of a cent, and ten dollars buy ten thousand.
    let limits = "[limits.default]\ndollars_per_day = 10\n[prices.\"*\"]\ninput = 1000\noutput = 1000\n";
    let file = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("stops-{}.toml", std::process::id()));
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[limits]\nassumed_output = 100\nredis = \"{}\"\n{limits}[[targets]]\nname = \"x\"\n\
         url = \"{}/v1\"\ndialect = \"openai\"\n",
        redis.url(),
        region.url()
    );
    std::fs::write(&file, text).expect("the target directory can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.arg("--config").arg(&file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut gateway = command.spawn().expect("the gateway starts");
    let mut line = String::new();
    BufReader::new(gateway.stdout.take().expect("it is a pipe")).read_line(&mut line).expect("it is text");
    let url = line.trim().strip_prefix("listening on ").expect("it says where it listens");
    let client = Running::new_client();
    let mut used = 0;
    // As many at once as make it worth while to take some in advance, again and again until it has.
    for _ in 0..3 {
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let request = Request::post(format!("{url}{CHAT_PATH}")).header("content-type", "application/json");
            let request = request.body(Payload::new(CHAT.into())).expect("a request");
            let client = client.clone();
            calls.spawn(async move { read(client.oneshot(request).await.expect("it answers")).await });
        }
        for answer in calls.join_all().await {
            assert_eq!(answer.status, 200, "{answer:?}");
            used += answer.json()["usage"]["total_tokens"].as_u64().expect("it tells");
        }
    }
    let id = gateway.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill is there").success());
    assert!(gateway.wait().expect("it ends").success());
    std::fs::remove_file(&file).expect("it is there");
    (used, missing(&redis))
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_known_by_the_secret_that_replicas_share() {
    let redis = RedisServer::start();
    let table = |rest: &str| format!("url = \"{}\"{rest}", redis.url());
    let same = table(", secret_env = \"A_SHARED_SECRET\"");
    let (one, other) = (replica_in(&same, "rpm = 1").await, replica_in(&same, "rpm = 1").await);
    assert_eq!([ask(&one, "a").await, ask(&other, "a").await], [200, 429]);
    for other in [table(", secret_env = \"ANOTHER_SECRET\""), table("")] {
        assert_eq!(ask(&replica_in(&other, "rpm = 1").await, "a").await, 200, "it is another caller there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_spoken_to_with_tls() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    let dir = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the target directory can be written");
    let path = |name: &str| dir.join(name).display().to_string();
    std::fs::write(path("cert"), cert.pem()).expect("written");
    std::fs::write(path("key"), signing_key.serialize_pem()).expect("written");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    let port = listener.local_addr().expect("a bound listener has an address").port().to_string();
    drop(listener);
    let (cert, key) = (path("cert"), path("key"));
    let args = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
    let _redis = RedisServer::start_with(&args);
    // The server asks for a certificate too.
    let table = format!(
        "url = \"rediss://localhost:{port}\", ca_file = \"{cert}\", cert_file = \"{cert}\", key_file = \"{key}\""
    );
    let running = replica_in(&table, "rpm = 1").await;
    assert_eq!([ask(&running, "a").await, ask(&running, "a").await], [200, 429]);
    drop(std::fs::remove_dir_all(&dir));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_cannot_be_shared_is_named_at_start_and_in_an_edit() {
    let redis = RedisServer::start();
    let running = replica(&redis, "dollars_per_month = 1000").await;
    let target =
        format!("[[targets]]\nname = \"x\"\nurl = \"{}/v1\"\ndialect = \"openai\"\n", running.regions[0].url());
    let text = |default: &str| settings(&redis.url(), default) + &target;
    let parse = |default: &str| Config::parse(&text(default), "test.toml").expect("it is well written");
    let odd = "dollars_per_month = 999999.99";
    let config = parse(odd);
    let upstreams = config.upstreams(|_| None).expect("no key is needed");
    let book = config.book(|_| None).expect("no key is needed");
    let error = stack::build(&config, &upstreams, book).expect_err("it needs numbers that are too large").to_string();
    assert!(error.contains("limit `dollars-per-month` cannot be shared: "), "{error}");

    let running_config = parse("dollars_per_month = 1000");
    let mut reload =
        Reload::new("test.toml".as_ref(), String::new(), running_config, running.operator.clone(), |_| None);
    let error = reload.apply(&text(odd)).expect_err("it cannot be taken over").to_string();
    assert!(error.starts_with("test.toml: limits.default: limit `dollars-per-month` cannot be shared: "), "{error}");
    assert_eq!(running.operator.targets().list(tokio::time::Instant::now())[0].target.name().as_str(), "eastus");
    assert!(reload.apply(&text("dollars_per_month = 2000")).is_ok());
}

#[test]
fn an_address_is_checked_and_its_password_never_shown() {
    let target = "[[targets]]\nname = \"x\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"openai\"\n";
    let parse = |redis: &str| {
        Config::parse(&format!("[limits]\nredis = {redis}\ndefault = {{ rpm = 1 }}\n{target}"), "test.toml")
    };
    for (redis, expected) in [
        ("\"http://:s3cret@localhost\"", &["test.toml:2:9: limits.redis: ", "url"][..]),
        ("{ prefix = \"x\" }", &["limits.redis: one of `url`, `url_env`, `sentinel` and `cluster` must be given"]),
        ("{ url = \"redis://x\", cluster = [\"redis://x\"] }", &["limits.redis: one of `url`, "]),
        ("{ sentinel = [], primary = \"main\" }", &["limits.redis: `sentinel` is a list of 0; allowed: 1 to 64 URLs"]),
        ("{ sentinel = [\"redis://:s3cret@x\"] }", &["limits.redis: `primary` is an empty text; allowed: the name"]),
        ("{ sentinel = [\"redis://:s3cret@x/7\"], primary = \"main\" }", &["`sentinel` is a URL with a database"]),
        ("{ cluster = [\"s3cret\"] }", &["limits.redis: `cluster` is a text of 6 bytes; allowed: a URL such as"]),
        ("{ url = \"redis://x\", primary = \"main\" }", &["`primary` means nothing without `sentinel`"]),
        ("{ url = \"redis://x\", secret_env = \"s3cret\" }", &["`secret_env`: must be the name of an environment"]),
        ("{ url = \"redis://x\", password_env = \"s3cret\" }", &["`password_env`: must be the name of an env"]),
        ("{ url = \"redis://x\", ca_file = \"x\" }", &["`ca_file`, `cert_file` and `key_file` mean nothing without"]),
        ("{ url = \"rediss://x\", cert_file = \"x\" }", &["`cert_file` and `key_file` belong together"]),
        ("{ url = \"redis://x\", when_away_for = { rpm = \"no\" } }", &["limits.redis", "`closed`"]),
        ("{ url = \"redis://x\", when_away_for = { rps = \"open\" } }", &["limits.redis", "`rps`", "`rpm`"]),
        ("{ url_env = \"redis://:s3cret@x\" }", &["limits.redis: `url_env`: must be the name of an environment"]),
        ("{ url = \"redis://x\", prefix = \"a b\" }", &["limits.redis: `prefix`: "]),
        ("{ url = \"redis://x\", when_away = \"no\" }", &["limits.redis", "`local-share`", "`open`", "`closed`"]),
        ("7", &["limits.redis: ", "an address such as `redis://localhost`, or a table"]),
    ] {
        let error = parse(redis).expect_err("it is no address").to_string();
        assert!(expected.iter().all(|part| error.contains(part)) && !error.contains("s3cret"), "{redis}: {error}");
    }
    let config = parse("\"redis://:s3cret@localhost\"").expect("it is good");
    assert!(!format!("{config:?} {:?}", config.book(|_| None)).contains("s3cret"));
    let by_variable = parse("{ url_env = \"REDIS_URL\" }").expect("it is good");
    let error = by_variable.book(|_| None).expect_err("it is not set").to_string();
    assert_eq!(error, "environment: limits.redis: the environment variable `REDIS_URL` is not set");
    for (redis, value, expected) in [
        (
            "sentinel = [\"rediss://x\"], primary = \"main\", password_env = \"P\"",
            None,
            "password_env: the environment var",
        ),
        ("cluster = [\"redis://x\"], secret_env = \"S\"", None, "secret_env: the environment variable `S` is not set"),
        (
            "url = \"redis://x\", secret_env = \"S\"",
            Some("s3cret"),
            "secret_env: the variable must hold at least 16 bytes",
        ),
        ("url = \"rediss://x\", ca_file = \"/is/not/there\"", None, "ca_file: `/is/not/there` cannot be read: "),
        (
            "url = \"rediss://x\", ca_file = \"Cargo.toml\"",
            None,
            "limits.redis: `ca_file`, `cert_file`, `key_file`: `tls` is",
        ),
    ] {
        let config = parse(&format!("{{ {redis} }}")).expect("it is well written");
        let error = config.book(|_| value.map(str::to_owned)).expect_err("it cannot be used").to_string();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{redis}: {error}");
    }
    let error = by_variable.book(|_| Some("s3cret".to_owned())).expect_err("it is no address").to_string();
    assert!(error.contains("the variable `REDIS_URL`: ") && !error.contains("s3cret"), "{error}");
}
