//! The primary that sentinels name.

mod common;

use std::time::Duration;

use buttress_redis::{AwayReason, Config, Status, redis};
use buttress_testkit::RedisServer;
use common::{connected, get, run, soon};

/// A sentinel that watches a primary under the name `main`.
fn sentinel(primary: &RedisServer) -> RedisServer {
    let sentinel = RedisServer::start_sentinel();
    let port = primary.port().to_string();
    assert!(sentinel.tell(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]).starts_with("+OK"));
    sentinel
}

fn url(server: &RedisServer) -> String {
    format!("redis://127.0.0.1:{}", server.port())
}

fn config(urls: impl IntoIterator<Item = String>) -> Config {
    Config::sentinel(urls, "main")
        .command_timeout(common::BOUND)
        .connect_timeout(Duration::from_millis(500))
        .probe_between(Duration::from_millis(5), Duration::from_millis(50))
}

#[test]
fn the_primary_is_found_through_the_first_sentinel_that_knows_it() {
    let primary = RedisServer::start_on_port(&[]);
    let sentinel = sentinel(&primary);
    run(async {
        let client = connected(config(["redis://127.0.0.1:1".to_owned(), url(&sentinel)])).await;
        assert_eq!(client.query(redis::cmd("SET").arg("k").arg("v")).await, Ok(()));
        assert_eq!(get(&client, "k").await, Ok(Some("v".to_owned())));
    });
    assert!(primary.tell(&["GET", "k"]).contains('v'));
}

#[test]
fn a_new_primary_is_found_after_a_failover() {
    let mut old = RedisServer::start_on_port(&[]);
    let new = RedisServer::start_on_port(&[]);
    let sentinel = sentinel(&old);
    run(async {
        let client = connected(config([url(&sentinel)])).await;
        assert_eq!(client.query(redis::cmd("SET").arg("k").arg("old")).await, Ok(()));
        // What sentinels do in the end, without the seconds they take to agree.
        assert!(sentinel.tell(&["SENTINEL", "REMOVE", "main"]).starts_with("+OK"));
        let port = new.port().to_string();
        assert!(sentinel.tell(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]).starts_with("+OK"));
        old.kill();
        drop(get(&client, "k").await);
        soon(async {
            while get(&client, "k").await != Ok(None) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!(client.counts().went_away, 1);
    });
}

#[test]
fn a_named_primary_that_is_a_replica_is_not_taken() {
    let primary = RedisServer::start_on_port(&["--replicaof", "127.0.0.1", "1"]);
    let sentinel = sentinel(&primary);
    run(async {
        let client = common::client(config([url(&sentinel)]));
        soon(async {
            while client.counts().probes_failed < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let status = client.status();
        assert!(matches!(status, Status::Away { reason: AwayReason::NotPrimary, .. }), "{status:?}");
        assert!(primary.tell(&["REPLICAOF", "NO", "ONE"]).starts_with("+OK"));
        soon(client.connected()).await;
    });
}
