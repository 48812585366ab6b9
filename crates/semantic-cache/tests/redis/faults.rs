//! Redis is slow, frozen, or gone.

use std::time::Duration;

use buttress_testkit::RedisServer;

use super::support::*;

#[test]
fn a_frozen_redis_costs_one_caller_its_bound_and_then_nobody_anything() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        assert!(!a.ask("t", "before", "before").await.is_hit());
        a.written().await;
        server.freeze();
        // In the middle of a get.
        let first = a.ask("t", "one", "one").await;
        assert!(!first.is_hit() && first.text == "one" && first.took < SLOWEST, "{:?}", first.took);
        for number in 0..50 {
            let next = a.ask("t", &format!("more {number}"), "more").await;
            assert!(next.text == "more" && next.took < BOUND / 2, "{:?}", next.took);
        }
        assert!(a.ask("t", "before", "").await.is_hit(), "local memory goes on");
        server.thaw();
        soon(a.cache.following()).await;
        soon(a.redis.connected()).await;
        a.written().await;
        let b = Replica::start(server.url()).await;
        let answer = b.ask("t", "more 49", "").await;
        assert!(answer.is_hit() && answer.text == "more", "what waited was written: {:?}", a.counts());
    });
}

#[test]
fn callers_that_ask_at_once_wait_for_a_frozen_redis_together() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        server.freeze();
        let texts: Vec<_> = (0..40).map(|number| format!("question {number}")).collect();
        let answers = futures_util::future::join_all(texts.iter().map(|text| a.ask("t", text, "an answer"))).await;
        assert!(answers.iter().all(|answer| answer.text == "an answer" && answer.took < SLOWEST));
    });
}

#[test]
fn redis_freezes_in_the_middle_of_a_set() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        // It is read, then frozen, and then there is something to write.
        let mut frozen = request("t", "/", "what is it");
        frozen.headers_mut().insert("cache-control", "no-cache".parse().expect("a value"));
        server.freeze();
        let answer = a.send(frozen, "an answer").await;
        assert!(answer.text == "an answer" && answer.took < BOUND, "it is not asked for: {:?}", answer.took);
        // The set hangs; whoever comes meanwhile waits no longer than once.
        soon(a.redis.away()).await;
        let next = a.ask("t", "another", "another").await;
        assert!(next.text == "another" && next.took < BOUND / 2, "{:?}", next.took);
        server.thaw();
        soon(a.cache.following()).await;
        a.written().await;
        let b = Replica::start(server.url()).await;
        assert!(b.ask("t", "another", "").await.is_hit());
    });
}

#[test]
fn a_redis_that_is_never_there_costs_nothing() {
    run(async {
        let a = Replica::begin(&config("unix:///nobody/listens.sock"), |layer| layer, |shared| shared);
        for _ in 0..3 {
            let answer = a.ask("t", "what is it", "an answer").await;
            assert!(answer.text == "an answer" && answer.took < BOUND);
        }
        assert_eq!(a.cache.counts().hits, 2);
        a.cache.forget_everything();
        assert!(!a.ask("t", "what is it", "an answer").await.is_hit());
    });
}

#[test]
fn a_redis_that_comes_back_empty_is_filled_again_and_nothing_wrong_is_served() {
    let mut server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        a.ask("t", "one", "one").await;
        a.written().await;
        assert!(b.ask("t", "one", "").await.is_hit());
        server.kill();
        a.ask("t", "who finds out", "nobody").await;
        soon(a.redis.away()).await;
        // Nobody tells the others meanwhile; they hear of it once it is back.
        a.cache.forget_all_of(buttress_semantic_cache::Mark::tenant("t".as_bytes()));
        server.restart();
        for replica in [&a, &b] {
            soon(replica.redis.connected()).await;
        }
        soon(async {
            while b.ask("t", "one", "new").await.text == "one" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        for replica in [&a, &b] {
            soon(replica.cache.following()).await;
        }
        a.ask("t", "two", "two").await;
        a.written().await;
        soon(async {
            let mut number = 0;
            // What is asked while it is told of the forgetting is not kept; what is asked later is.
            loop {
                let text = format!("three {number}");
                a.ask("t", &text, "three").await;
                a.written().await;
                if b.ask("t", &text, "not three").await.is_hit() {
                    return;
                }
                number += 1;
            }
        })
        .await;
    });
}

#[test]
fn a_redis_that_freezes_while_the_log_is_read_holds_nobody_up() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        for number in 0..300 {
            a.cache.forget_all_of(buttress_semantic_cache::Mark::tag(&number.to_string()));
        }
        until(|| a.counts().heard >= 300).await;
        let b = Replica::begin(&config(server.url()), |layer| layer, |shared| shared);
        soon(b.redis.connected()).await;
        server.freeze();
        for number in 0..20 {
            let answer = b.ask("t", &format!("question {number}"), "an answer").await;
            assert!(answer.text == "an answer" && answer.took < SLOWEST, "{:?}", answer.took);
        }
        server.thaw();
        soon(b.cache.following()).await;
        assert!(b.counts().follows && b.counts().heard >= 300);
    });
}

#[test]
fn a_redis_that_freezes_while_an_answer_is_given_again_does_not_stop_it() {
    let server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        a.ask("t", "what is it", "an answer").await;
        a.written().await;
        let held = b.hold("t", "what is it", "another").await;
        server.freeze();
        let begun = tokio::time::Instant::now();
        assert_eq!(held.finish().await, "an answer");
        assert!(tokio::time::Instant::now() - begun < BOUND);
        assert!(b.ask("t", "what is it", "another").await.is_hit(), "it is in local memory");
        server.thaw();
    });
}

#[test]
fn a_caller_that_leaves_while_redis_is_asked_leaves_nothing_behind() {
    let server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        a.ask("t", "what is it", "an answer").await;
        a.written().await;
        server.freeze();
        let mut service = b.service();
        let mut call = Box::pin(tower_service::Service::call(&mut service, request("t", "/", "what is it")));
        assert!(futures_util::poll!(&mut call).is_pending(), "redis is asked");
        drop(call);
        server.thaw();
        soon(b.redis.connected()).await;
        soon(b.cache.following()).await;
        let answer = b.ask("t", "what is it", "another").await;
        assert!(answer.is_hit() && answer.text == "an answer", "{:?}", b.counts());
        assert_eq!(b.cache.counts().misses, 0, "the one that left was answered by nobody");
    });
}
