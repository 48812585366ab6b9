//! Calls while Redis is there.

mod common;

use std::{num::NonZeroUsize, time::Duration};

use buttress_redis::{AwayReason, Config, ErrorKind, Namespace, Redis, Script, Status, redis};
use buttress_testkit::{RedisServer, SlowProxy};
use common::{away_at_once, client, config, connected, get, ping, run, soon};
use futures_util::future::join_all;

#[test]
fn commands_pipelines_and_scripts_have_results() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        let key = Namespace::try_new("t").expect("allowed").key("k", "a}b", "");
        assert_eq!(client.query(redis::cmd("SET").arg(&key).arg("v")).await, Ok(()));
        assert_eq!(get(&client, &key).await, Ok(Some("v".to_owned())));
        let mut pipeline = redis::pipe();
        pipeline.cmd("APPEND").arg(&key).arg("w").cmd("GET").arg(&key);
        assert_eq!(client.pipeline(&pipeline).await, Ok((2, "vw".to_owned())));
        let script = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
        let call = script.call(&[&key]).arg(1).arg("x");
        assert_eq!(client.invoke(&call).await, Ok((key.clone(), 1, "x".to_owned())));
        let counts = client.counts();
        assert_eq!((counts.answered, counts.connected, counts.scripts_loaded), (4, 1, 1));
        assert_eq!((counts.went_away, counts.refused, counts.timed_out), (0, 0, 0));
    });
}

#[test]
fn a_script_is_sent_in_full_once_and_again_when_the_server_forgot_it() {
    let mut server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        let call = Script::new("return 7").call::<&str>(&[]);
        for _ in 0..10 {
            assert_eq!(client.invoke(&call).await, Ok(7));
        }
        assert_eq!(client.counts().scripts_loaded, 1);
        assert!(server.tell(&["SCRIPT", "FLUSH"]).starts_with("+OK"));
        assert_eq!(client.invoke(&call).await, Ok(7));
        assert_eq!(client.counts().scripts_loaded, 2);
        server.restart();
        // Who calls first may be the one to find out; whoever calls when it is back is served.
        drop(client.invoke::<i32>(&call).await);
        soon(client.connected()).await;
        assert_eq!(client.invoke(&call).await, Ok(7));
        assert_eq!(client.counts().scripts_loaded, 3);
    });
}

#[test]
fn errors_of_the_server_are_typed_and_quote_nothing() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        assert_eq!(client.query(redis::cmd("SET").arg("hush-key").arg("hush-value")).await, Ok(()));

        let wrong_data = client.query::<u64>(redis::cmd("GET").arg("hush-key")).await.expect_err("no number");
        let wrong_type = client.query::<u64>(redis::cmd("LLEN").arg("hush-key")).await.expect_err("no list");
        let unknown = client.query::<u64>(redis::cmd("HUSH").arg("hush-argument")).await.expect_err("no command");
        let broken = Script::new("return redis.call('LLEN', KEYS[1])").call(&["hush-key"]);
        let script = client.invoke::<u64>(&broken).await.expect_err("no list");
        let own = Script::new("return redis.error_reply('MINE hush')").call::<&str>(&[]);
        let own = client.invoke::<u64>(&own).await.expect_err("its own error");
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").cmd("LLEN").arg("hush-key");
        let of_pipeline = client.pipeline::<(String, u64)>(&pipeline).await.expect_err("no list");

        let kinds = [&wrong_data, &wrong_type, &unknown, &script, &own, &of_pipeline].map(|error| error.kind());
        use ErrorKind::{Refused, Script as InScript, WrongData};
        assert_eq!(kinds, [WrongData, Refused, Refused, InScript, InScript, Refused]);
        assert_eq!(wrong_type.code(), Some("WRONGTYPE"));
        assert_eq!(own.code(), Some("MINE"));
        for error in [wrong_data, wrong_type, unknown, script, own, of_pipeline] {
            let text = format!("{error} {error:?}").to_lowercase();
            assert!(!text.contains("hush"), "{text}");
            assert!(!error.is_unavailable() && !error.may_have_run(), "{text}");
        }
        assert!(!format!("{client:?}").contains("redis.sock"), "{client:?}");
        assert!(client.status().is_connected(), "an error is an answer");
        assert_eq!((client.counts().refused, client.counts().wrong_data), (5, 1));
    });
}

#[test]
fn too_many_calls_under_way_are_refused_at_once_and_places_are_free_again() {
    let server = RedisServer::start();
    run(async {
        let proxy = SlowProxy::start(server.socket()).await;
        let limit = NonZeroUsize::new(4).expect("not zero");
        let config = config(proxy.url()).max_in_flight(limit).command_timeout(Duration::from_secs(5));
        let client = connected(config).await;
        proxy.delay(Duration::from_millis(300));
        let four = join_all((0..4).map(|_| ping(&client)));
        let six = async {
            for _ in 0..6 {
                assert_eq!(away_at_once(&client).away_reason(), None);
            }
        };
        let (outcomes, ()) = tokio::join!(four, six);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(client.counts().overloaded, 6);

        // Dropped calls give back their places.
        let waiting = join_all((0..4).map(|_| ping(&client)));
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        proxy.delay(Duration::ZERO);
        let outcomes = join_all((0..4).map(|_| ping(&client))).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(client.status().is_connected());
    });
}

#[test]
fn a_call_with_a_bound_of_its_own_has_that_bound() {
    let server = RedisServer::start();
    run(async {
        let proxy = SlowProxy::start(server.socket()).await;
        let client = connected(config(proxy.url())).await;
        proxy.delay(Duration::from_millis(250));
        let cmd = redis::cmd("PING");
        assert_eq!(client.query_within(&cmd, Duration::from_secs(5)).await, Ok("PONG".to_owned()));
        let error = client.query_within::<String>(&cmd, Duration::ZERO).await.expect_err("no time at all");
        assert!(error.kind() == ErrorKind::TimedOut && error.may_have_run());
    });
}

#[test]
fn credentials_and_database_are_used_and_wrong_ones_are_said_without_being_shown() {
    let server = RedisServer::start_with(&["--requirepass", "hush"]);
    run(async {
        let client = connected(config(server.url()).password("hush").database(3)).await;
        assert_eq!(client.query(redis::cmd("SET").arg("k").arg(1)).await, Ok(()));
        let other = connected(config(server.url()).password("hush").database(4)).await;
        assert_eq!(get(&other, "k").await, Ok(None));

        for wrong in [config(server.url()).password("hush-hush"), config(server.url())] {
            let client = common::client(wrong);
            let reason = soon(async {
                loop {
                    match client.status() {
                        Status::Away { reason: AwayReason::Starting, .. } => tokio::task::yield_now().await,
                        status => break status,
                    }
                }
            });
            let status = reason.await;
            assert!(matches!(status, Status::Away { reason: AwayReason::Credentials, .. }), "{status:?}");
            let error = ping(&client).await.expect_err("away");
            assert!(!format!("{error} {error:?} {client:?}").contains("hush"), "{error:?}");
        }
    });
}

#[test]
fn the_worker_ends_with_the_last_handle_and_redis_is_away_without_it() {
    let server = RedisServer::start();
    run(async {
        let (client, worker) = Redis::pair(config(server.url())).expect("allowed");
        assert_eq!(ping(&client).await.expect_err("not begun").away_reason(), Some(AwayReason::Starting));
        let worker = tokio::runtime::Handle::current().spawn(worker);
        soon(client.connected()).await;
        let clone = client.clone();
        drop(client);
        assert!(ping(&clone).await.is_ok(), "a handle is left");
        drop(clone);
        soon(worker).await.expect("it completes");

        let (client, worker) = Redis::pair(config(server.url())).expect("allowed");
        let worker = tokio::runtime::Handle::current().spawn(worker);
        soon(client.connected()).await;
        worker.abort();
        soon(client.away()).await;
        let error = ping(&client).await.expect_err("nobody connects");
        assert_eq!(error.away_reason(), Some(AwayReason::Stopped));
    });
}

#[test]
fn an_address_where_nobody_is_makes_no_client_wait() {
    run(async {
        let client = client(
            Config::new("redis://127.0.0.1:1").probe_between(Duration::from_millis(1), Duration::from_millis(5)),
        );
        for _ in 0..100 {
            away_at_once(&client);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(client.counts().away, 100);
    });
}
