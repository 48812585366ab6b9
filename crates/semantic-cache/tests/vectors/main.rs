//! Questions that are searched for in Redis, by its vector sets: on a real Redis 8, which `cargo xtask vectors` gets.
#![cfg(feature = "redis")]

#[path = "../redis/bag.rs"]
mod bag;
mod bounds;
#[cfg(feature = "llm")]
mod chats;
mod faults;
mod questions;
#[path = "../redis/support.rs"]
#[expect(dead_code, reason = "these tests use a part")]
mod support;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use buttress_redis::redis;
use buttress_semantic_cache::{ByMeaning, Search};
use buttress_testkit::RedisServer;

use self::{bag::*, support::*};

/// Starts a replica that searches in Redis.
async fn searching(server: &RedisServer) -> (Replica, Arc<ByMeaning<Bag>>) {
    searching_among(server, 1_000).await
}

async fn searching_among(server: &RedisServer, most: usize) -> (Replica, Arc<ByMeaning<Bag>>) {
    let knows = meaning("1");
    let set = |layer: Layer| layer.meaning(knows.clone()).patience(Duration::from_secs(5)).showing_similarity();
    let most = NonZeroUsize::new(most).expect("not zero");
    let replica = Replica::start_with(server.url(), set, |shared| shared.search_in_redis(most)).await;
    assert_eq!(replica.counts().search, Search::Redis, "these tests need Redis 8: run them by `cargo xtask vectors`");
    (replica, knows)
}

/// Returns the keys of this kind: `vectors` or `ages`.
async fn keys(replica: &Replica, kind: &str) -> Vec<String> {
    replica.query(redis::cmd("KEYS").arg(format!("t:cache1-{kind}:*"))).await
}

/// Returns how many vectors there are in the only set, and how many ages beside them.
async fn sizes(replica: &Replica) -> (usize, usize) {
    let (vectors, ages) = (keys(replica, "vectors").await, keys(replica, "ages").await);
    let count = async |command: &str, keys: &[String]| match keys {
        [] => 0,
        [key] => replica.query(redis::cmd(command).arg(key)).await,
        _ => panic!("one scope: {keys:?}"),
    };
    (count("VCARD", &vectors).await, count("ZCARD", &ages).await)
}
