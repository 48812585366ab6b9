//! Connections of one's own.
#![cfg(feature = "pool")]

mod common;

use std::{num::NonZeroUsize, time::Duration};

use buttress_redis::{Config, ErrorKind, Pool, redis};
use buttress_testkit::RedisServer;
use common::{config, connected, ping, run};

fn size(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).expect("not zero")
}

#[test]
fn a_blocking_command_holds_up_nobody_else() {
    let server = RedisServer::start();
    run(async {
        let client = connected(config(server.url())).await;
        let pool = Pool::try_new(config(server.url()), size(1)).expect("allowed");
        let mut own = pool.take().await.expect("a connection");
        let mut block = redis::cmd("BLPOP");
        block.arg("list").arg(0);
        let blocked = block.query_async::<(String, String)>(&mut own);
        let others = async {
            // Longer than any bound of a call.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(ping(&client).await.is_ok());
            let error = pool.take().await.err().expect("there is only one");
            assert_eq!((error.kind(), error.away_reason()), (ErrorKind::Away, None));
            client.query::<u64>(redis::cmd("LPUSH").arg("list").arg("v")).await
        };
        let (blocked, pushed) = tokio::join!(blocked, others);
        assert_eq!(blocked.expect("pushed"), ("list".to_owned(), "v".to_owned()));
        assert_eq!(pushed, Ok(1));
        drop(own);
        assert!(pool.take().await.is_ok(), "it went back");
    });
}

#[test]
fn a_server_that_is_gone_or_frozen_is_away_within_the_bound() {
    let mut server = RedisServer::start();
    run(async {
        let pool = Pool::try_new(config(server.url()), size(2)).expect("allowed");
        drop(pool.take().await.expect("a connection"));
        server.freeze();
        let (taken, took) = common::timed(pool.take()).await;
        assert!(taken.is_err_and(|error| error.kind() == ErrorKind::Away));
        assert!(took < Duration::from_secs(2), "{took:?}");
        server.kill();
        assert!(pool.take().await.is_err_and(|error| error.kind() == ErrorKind::Away));
        server.restart();
        assert!(pool.take().await.is_ok());
    });
}

#[test]
fn several_servers_have_no_pool() {
    let error = Pool::try_new(Config::sentinel(["redis://h"], "main"), size(1)).expect_err("not supported");
    assert!(error.to_string().contains("single server"), "{error}");
}
