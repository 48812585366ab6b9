//! What replicas of the gateway share through a real Redis.
#![cfg(unix)]

mod support;

use buttress_testkit::RedisServer;
use gateway::{Config, reload::Reload, stack};
use tokio::{task::yield_now, time::timeout};

use support::{CHAT, CHAT_PATH, FAR, Running, read};

/// Limits in `redis`, for two replicas.
fn settings(redis: &str, default: &str) -> String {
    format!(
        "[limits]\ncaller = \"header:x-tenant\"\nstrangers = \"each\"\nredis = {{ url = \"{redis}\", replicas = 2 }}\n\
         [limits.default]\n{default}\n[prices.\"*\"]\ninput = 1\noutput = 1\n[[tenants]]\nname = \"a\"\n"
    )
}

async fn replica(redis: &RedisServer, default: &str) -> Running {
    let mut running = Running::start(&["eastus"], &settings(&redis.url(), default)).await;
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
    assert_eq!(answer.status == 429, !answer.header("retry-after").is_empty(), "{answer:?}");
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
        ("{ prefix = \"x\" }", &["limits.redis: either `url` or `url_env` must be given"]),
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
    let error = by_variable.book(|_| Some("s3cret".to_owned())).expect_err("it is no address").to_string();
    assert!(error.contains("the variable `REDIS_URL`: ") && !error.contains("s3cret"), "{error}");
}
