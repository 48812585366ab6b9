//! Redis stopped, frozen, slow, restarted, coming and going.

mod common;

use std::time::Duration;

use buttress_redis::{AwayReason, Error, ErrorKind, Redis, Status, redis};
use buttress_testkit::{RedisServer, SlowProxy};
use common::{SLOWEST, away_at_once, client, config, connected, get, ping, run, soon, timed};
use futures_util::future::join_all;
use tokio::time::sleep;

/// Calls until Redis is found to be away, and returns what callers had to wait until then.
async fn until_away(client: &Redis) -> Vec<(Error, Duration)> {
    let mut waited = Vec::new();
    while client.status().is_connected() {
        let (outcome, took) = timed(ping(client)).await;
        if let Err(error) = outcome {
            waited.push((error, took));
        }
        assert!(waited.len() < 5, "{waited:?}");
    }
    waited
}

/// While Redis is away, nobody waits.
fn nobody_waits(client: &Redis) {
    for _ in 0..50 {
        away_at_once(client);
    }
}

#[test]
fn a_killed_server_makes_nobody_wait_and_comes_back_by_itself() {
    let mut server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        assert_eq!(client.query(redis::cmd("SET").arg("k").arg("v")).await, Ok(()));
        server.kill();
        let waited = until_away(&client).await;
        assert!(waited.len() <= 1 && waited.iter().all(|(_, took)| *took < SLOWEST), "{waited:?}");
        nobody_waits(&client);
        sleep(Duration::from_millis(100)).await;
        nobody_waits(&client);
        let status = client.status();
        assert!(matches!(status, Status::Away { reason: AwayReason::Unreachable, .. }), "{status:?}");
        server.restart();
        soon(client.connected()).await;
        assert_eq!(get(&client, "k").await, Ok(None), "it came back empty");
        let counts = client.counts();
        assert_eq!((counts.went_away, counts.connected), (1, 2), "{counts:?}");
        assert!(counts.probes_failed > 0 && counts.away >= 100, "{counts:?}");
    });
}

#[test]
fn a_frozen_server_makes_each_caller_wait_once_at_most() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        server.freeze();
        let outcomes = join_all((0..64).map(|_| timed(ping(&client)))).await;
        for (outcome, took) in outcomes {
            let error = outcome.expect_err("it is frozen");
            assert!(error.is_unavailable(), "{error:?}");
            assert!(took < SLOWEST, "{took:?}");
        }
        assert!(!client.status().is_connected());
        nobody_waits(&client);
        sleep(Duration::from_millis(500)).await;
        nobody_waits(&client);
        server.thaw();
        soon(client.connected()).await;
        assert!(ping(&client).await.is_ok());
        let counts = client.counts();
        assert_eq!((counts.went_away, counts.timed_out), (1, 64), "{counts:?}");
    });
}

#[test]
fn a_hiccup_does_not_cost_the_connection() {
    let server = RedisServer::start();
    run(async {
        let proxy = SlowProxy::start(server.socket()).await;
        let client = connected(config(proxy.url()).command_timeout(Duration::from_millis(400))).await;
        proxy.delay(Duration::from_millis(450));
        assert_eq!(ping(&client).await.expect_err("late").kind(), ErrorKind::TimedOut);
        proxy.delay(Duration::ZERO);
        soon(client.connected()).await;
        assert!(ping(&client).await.is_ok());
        assert_eq!(client.counts().connected, 1, "the one that was silent is in use again");
    });
}

#[test]
fn a_slow_server_stays_away_until_it_is_fast_again() {
    let server = RedisServer::start();
    run(async {
        let proxy = SlowProxy::start(server.socket()).await;
        let client = connected(config(proxy.url())).await;
        proxy.delay(Duration::from_millis(200));
        let waited = until_away(&client).await;
        assert_eq!(waited.len(), 1);
        assert!(waited[0].0.kind() == ErrorKind::TimedOut && waited[0].1 < SLOWEST, "{waited:?}");
        for _ in 0..10 {
            nobody_waits(&client);
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(client.counts().went_away, 1, "it did not come back to go again");
        proxy.delay(Duration::ZERO);
        soon(client.connected()).await;
        assert!(ping(&client).await.is_ok());
    });
}

#[test]
fn a_server_that_comes_and_goes_makes_no_caller_wait_beyond_the_bound() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        let calls = async {
            for _ in 0..100 {
                let (outcome, took) = timed(ping(&client)).await;
                assert!(took < SLOWEST, "{took:?}");
                assert!(outcome.as_ref().err().is_none_or(Error::is_unavailable), "{outcome:?}");
                sleep(Duration::from_millis(8)).await;
            }
        };
        let flaps = async {
            for _ in 0..4 {
                server.freeze();
                sleep(Duration::from_millis(120)).await;
                server.thaw();
                sleep(Duration::from_millis(60)).await;
            }
        };
        tokio::join!(calls, flaps);
        soon(client.connected()).await;
        assert!(ping(&client).await.is_ok());
        let counts = client.counts();
        assert!(counts.went_away > 0, "{counts:?}");
        assert!(counts.timed_out <= counts.went_away, "one waits each time that it goes: {counts:?}");
    });
}

#[test]
fn the_background_finds_out_when_nobody_calls() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url()).heartbeat(Duration::from_millis(20))).await;
        server.freeze();
        soon(client.away()).await;
        nobody_waits(&client);
        assert_eq!(client.counts().timed_out, 0, "no caller had to find out");
        server.thaw();
        soon(client.connected()).await;
        assert!(ping(&client).await.is_ok());
    });
}

#[test]
fn callers_with_less_patience_than_the_bound_do_not_hide_an_outage() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url()).heartbeat(Duration::from_millis(50))).await;
        server.freeze();
        soon(async {
            while client.status().is_connected() {
                drop(tokio::time::timeout(Duration::from_millis(5), ping(&client)).await);
            }
        })
        .await;
        let counts = client.counts();
        assert_eq!((counts.timed_out, counts.went_away), (0, 1), "{counts:?}");
    });
}

#[test]
fn failures_in_a_row_are_counted_and_an_answer_between_them_forgives() {
    let server = RedisServer::start();
    run(async {
        let proxy = SlowProxy::start(server.socket()).await;
        let three = std::num::NonZeroU32::new(3).expect("not zero");
        let client = connected(config(proxy.url()).trip_after(three).command_timeout(Duration::from_millis(50))).await;
        let late = Duration::from_millis(200);
        for _ in 0..2 {
            proxy.delay(late);
            for _ in 0..2 {
                assert_eq!(ping(&client).await.expect_err("late").kind(), ErrorKind::TimedOut);
            }
            proxy.delay(Duration::ZERO);
            let patient = client.query_within::<String>(&redis::cmd("PING"), Duration::from_secs(5)).await;
            assert!(patient.is_ok() && client.status().is_connected());
        }
        proxy.delay(Duration::from_millis(400));
        for _ in 0..3 {
            assert_eq!(ping(&client).await.expect_err("late").kind(), ErrorKind::TimedOut);
        }
        assert!(!client.status().is_connected());
    });
}

#[test]
fn a_server_that_became_a_replica_is_left() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        let mut set = redis::cmd("SET");
        set.arg("k").arg("v");
        let calls = || client.query::<()>(&set);
        assert_eq!(calls().await, Ok(()));
        assert!(server.tell(&["REPLICAOF", "127.0.0.1", "1"]).starts_with("+OK"));
        let error = calls().await.expect_err("it takes no writes");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some("READONLY")));
        assert_eq!(client.counts().went_away, 1);
        assert!(server.tell(&["REPLICAOF", "NO", "ONE"]).starts_with("+OK"));
        soon(async {
            while calls().await.is_err() {
                sleep(Duration::from_millis(5)).await
            }
        })
        .await;
    });
}

#[test]
fn a_server_frozen_from_the_start_is_found_when_it_thaws() {
    let server = RedisServer::start();
    server.freeze();
    run(async {
        let client = client(config(server.url()));
        sleep(Duration::from_millis(400)).await;
        nobody_waits(&client);
        server.thaw();
        soon(client.connected()).await;
        assert!(ping(&client).await.is_ok());
    });
}

#[test]
fn what_is_no_redis_is_away_and_nothing_worse() {
    run(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let url = format!("redis://{}", listener.local_addr().expect("it has an address"));
        let mut set = tokio::task::JoinSet::new();
        set.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
                drop(tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await);
            }
        });
        let client = client(config(url));
        sleep(Duration::from_millis(200)).await;
        nobody_waits(&client);
        assert!(client.counts().probes_failed > 1);
    });
}
