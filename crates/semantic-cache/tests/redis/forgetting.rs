//! What is forgotten on one replica is forgotten on all.

use std::time::Duration;

use buttress_redis::redis;
use buttress_semantic_cache::Mark;
use buttress_testkit::RedisServer;

use super::support::*;

/// Two replicas that both have it in their own memory.
async fn both(server: &RedisServer) -> (Replica, Replica, Answer) {
    let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
    let mut tagged = request("t", "/", "what is it");
    tagged.headers_mut().insert("x-cache-tags", "red, blue".parse().expect("a value"));
    a.send(tagged, "old").await;
    a.written().await;
    let answer = b.ask("t", "what is it", "").await;
    assert!(answer.is_hit());
    (a, b, answer)
}

/// Waits until the other one has heard of so many.
async fn heard(replica: &Replica, number: u64) {
    until(|| replica.counts().heard >= number).await;
}

#[test]
fn by_key_tag_tenant_and_altogether() {
    for forget in [
        |a: &Replica, answer: &Answer| {
            assert!(a.cache.forget(answer.key.expect("it has one")));
        },
        |a, _| a.cache.forget_all_of(Mark::tag("blue")),
        |a, _| a.cache.forget_all_of(Mark::tenant("t".as_bytes())),
        |a, _| a.cache.forget_everything(),
    ] as [fn(&Replica, &Answer); 4]
    {
        let server = RedisServer::start();
        run(async {
            let (a, b, answer) = both(&server).await;
            forget(&a, &answer);
            // The one that forgot does not read it from Redis, whether or not that knows yet.
            assert_eq!(a.ask("t", "what is it", "new").await.text, "new");
            heard(&b, 1).await;
            let other = b.ask("t", "what is it", "newer").await;
            assert!(other.text == "newer" || other.text == "new", "{}", other.text);
            // One that comes later finds nothing old either.
            let c = Replica::start(server.url()).await;
            assert_ne!(c.ask("t", "what is it", "newest").await.text, "old");
        });
    }
}

#[test]
fn a_mark_that_was_forgotten_leaves_others_alone() {
    let server = RedisServer::start();
    run(async {
        let (a, b, _) = both(&server).await;
        a.cache.forget_all_of(Mark::tag("green"));
        a.cache.forget_all_of(Mark::tenant("u".as_bytes()));
        heard(&b, 2).await;
        assert!(a.ask("t", "what is it", "new").await.is_hit());
        assert!(b.ask("t", "what is it", "new").await.is_hit());
        let c = Replica::start(server.url()).await;
        assert!(c.ask("t", "what is it", "new").await.is_hit());
    });
}

#[test]
fn an_answer_that_was_under_way_does_not_come_back_by_way_of_redis() {
    let server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        // The call begins on one, and before it ends, the other one forgets.
        let held = a.hold("t", "what is it", "old").await;
        b.cache.forget_all_of(Mark::tenant("t".as_bytes()));
        until(|| b.counts().heard >= 1).await;
        assert_eq!(held.finish().await, "old");
        a.written().await;
        assert_eq!(b.ask("t", "what is it", "new").await.text, "new");
    });
}

#[test]
fn what_was_missed_of_the_log_is_made_up_for_by_forgetting_all() {
    for missed in ["a lesson", "what was forgotten"] {
        let server = RedisServer::start();
        run(async {
            let (a, b, _) = both(&server).await;
            let book = "t:cache1-book:{answers}:";
            // An entry of the log is gone before anybody has read it.
            let mut set = redis::cmd("HSET");
            set.arg(book).arg("n").arg(1);
            if missed == "what was forgotten" {
                set.arg("clock").arg(7);
            }
            let _: u64 = a.query(&set).await;
            until(|| b.counts().gaps >= 1 && b.counts().follows).await;
            let _: u64 = a.query(redis::cmd("DEL").arg(b.place().await)).await;
            let again = b.ask("t", "what is it", "new").await;
            assert_eq!(again.text, if missed == "a lesson" { "old" } else { "new" });
        });
    }
}

#[test]
fn marks_beyond_the_bound_are_forgotten_with_all_the_rest() {
    let server = RedisServer::start();
    run(async {
        let (a, b, _) = both(&server).await;
        for number in 0..10_050 {
            a.cache.forget_all_of(Mark::tag(&number.to_string()));
        }
        let fields = async || -> u64 { a.query(redis::cmd("HLEN").arg("t:cache1-book:{answers}:")).await };
        soon(async {
            while a.is_forgetting() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(fields().await <= 10_005, "{}", fields().await);
        until(|| a.counts().heard == b.counts().heard).await;
        assert_eq!(b.ask("t", "what is it", "new").await.text, "new");
    });
}

#[test]
fn what_was_told_to_an_emptied_redis_before_it_was_seen_again_is_forgotten_too() {
    run(async {
        // When it looks again is random: now and then it is at once.
        let mut tries = 1;
        while !told_before_it_was_seen_again().await {
            tries += 1;
            assert!(tries < 20, "it has always been seen at once");
        }
    });
}

/// Returns whether Redis was told all before one of two replicas had seen it again.
async fn told_before_it_was_seen_again() -> bool {
    let mut server = RedisServer::start();
    let a = Replica::start(server.url()).await;
    // It looks for Redis so seldom that the other one has told it everything by then.
    let seldom = Duration::from_secs(2);
    let config = config(server.url()).probe_between(seldom, seldom);
    let b = Replica::begin(&config, |layer| layer, |shared| shared);
    soon(b.cache.following()).await;
    a.ask("t", "one", "one").await;
    a.written().await;
    for text in ["one", "two"] {
        b.ask("t", text, text).await;
    }
    b.written().await;
    server.kill();
    until(|| !a.counts().follows && !b.counts().follows).await;
    a.cache.forget_all_of(Mark::tag("another"));
    a.cache.forget_all_of(Mark::tenant("t".as_bytes()));
    server.restart();
    until(|| !a.is_forgetting()).await;
    if b.counts().follows {
        return false;
    }
    soon(b.cache.following()).await;
    until(|| b.counts().heard >= 2).await;
    for text in ["one", "two"] {
        assert_eq!(b.ask("t", text, "new").await.text, "new");
    }
    true
}
