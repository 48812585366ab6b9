//! Answers that replicas share.

use buttress_redis::redis;
use buttress_testkit::RedisServer;

use super::support::*;

#[test]
fn what_one_replica_was_told_the_other_one_knows() {
    let server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        let first = a.ask("t", "what is it", "it is a cache").await;
        assert!(!first.is_hit() && first.text == "it is a cache");
        a.written().await;
        let second = b.ask("t", "what is it", "something else").await;
        assert!(second.is_hit() && second.text == "it is a cache", "{}", second.text);
        assert_eq!((b.probe.calls(), b.counts().recalled), (0, 1));
        assert!(b.ask("t", "what is it", "something else").await.is_hit());
        assert_eq!(b.counts().recalled, 1, "it is in its own memory now");
        assert_eq!((b.cache.counts().hits, b.cache.counts().misses), (2, 0));
    });
}

#[test]
fn no_tenant_has_anothers_answer() {
    let server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        a.ask("t", "what is it", "for t").await;
        a.written().await;
        let other = b.ask("u", "what is it", "for u").await;
        assert!(!other.is_hit() && other.text == "for u");
        assert!(b.ask("t", "what is it", "").await.is_hit());
        let elsewhere = b.send(request("t", "/other", "what is it"), "in another scope").await;
        assert_eq!(elsewhere.text, "in another scope");
    });
}

#[test]
fn a_replica_that_comes_later_has_what_there_is_with_its_age() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        let key = a.ask("t", "what is it", "an answer").await.key;
        a.written().await;
        drop(a);
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let b = Replica::start(server.url()).await;
        let answer = b.ask("t", "what is it", "").await;
        assert!(answer.is_hit() && answer.key == key);
        assert!((1..60).contains(&answer.age()), "{}", answer.age());
        let ttl: i64 = b.query(redis::cmd("PTTL").arg(b.place().await)).await;
        assert!((3_500_000..3_600_000).contains(&ttl), "{ttl}");
    });
}

#[test]
fn who_wants_a_new_answer_does_not_get_one_of_redis() {
    let server = RedisServer::start();
    run(async {
        let (a, b) = (Replica::start(server.url()).await, Replica::start(server.url()).await);
        a.ask("t", "what is it", "old").await;
        a.written().await;
        let mut wants = request("t", "/", "what is it");
        wants.headers_mut().insert("cache-control", "no-cache".parse().expect("a value"));
        assert_eq!(b.send(wants, "new").await.text, "new");
        let mut wants = request("t", "/", "what is it");
        wants.headers_mut().insert("cache-control", "max-age=0".parse().expect("a value"));
        assert_eq!(b.send(wants, "newer").await.text, "newer");
        let mut wants = request("t", "/", "nobody knows");
        wants.headers_mut().insert("cache-control", "only-if-cached".parse().expect("a value"));
        // Redis is asked before it is refused.
        let absent = b.counts().absent;
        let refused = tower::Service::call(&mut b.service(), wants).await.expect("it is answered");
        assert_eq!((refused.status().as_u16(), b.counts().absent), (504, absent + 1));
    });
}

#[test]
fn no_more_waits_to_be_written_than_was_allowed_and_the_rest_is_counted() {
    let mut server = RedisServer::start();
    run(async {
        let few = std::num::NonZeroUsize::new(5).expect("not zero");
        let bytes = std::num::NonZeroUsize::new(1 << 20).expect("not zero");
        let a = Replica::start_with(server.url(), |layer| layer, |shared| shared.queue(few, bytes)).await;
        server.kill();
        a.ask("t", "who finds out", "an answer").await;
        soon(a.redis.away()).await;
        for number in 1..20 {
            assert!(!a.ask("t", &format!("question {number}"), "an answer").await.is_hit());
        }
        until(|| a.cache.in_background() == 0).await;
        let counts = a.counts();
        // One may have been on its way when Redis went.
        assert!((4..=5).contains(&counts.waiting) && counts.waiting + counts.dropped == 20, "{counts:?}");
        assert_eq!(a.cache.counts().entries, 20, "local memory goes on");
    });
}

#[test]
fn the_work_ends_with_the_layer_and_writes_what_waits() {
    let server = RedisServer::start();
    run(async {
        let a = Replica::start(server.url()).await;
        a.ask("t", "what is it", "an answer").await;
        let work = a.leave();
        soon(work).await.expect("it did not panic");
        let b = Replica::start(server.url()).await;
        assert!(b.ask("t", "what is it", "").await.is_hit());
    });
}
