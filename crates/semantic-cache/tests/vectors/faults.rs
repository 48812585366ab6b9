//! Redis while it is away, or slow.

use buttress_semantic_cache::Reason;

use super::*;

#[test]
fn a_frozen_redis_is_waited_for_once_and_then_nothing_is_found() {
    let server = RedisServer::start();
    run(async {
        let (a, at_a) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let other = |number: usize| format!("{ASKED} in case {number}");
        server.freeze();
        let first = a.ask("t", &other(1), "anew").await;
        assert!(first.text == "anew" && first.took < SLOWEST, "{:?}", first.took);
        soon(a.redis.away()).await;
        for number in 2..10 {
            let next = a.ask("t", &other(number), "anew").await;
            assert!(next.text == "anew" && next.took < BOUND, "{:?}", next.took);
        }
        assert!(at_a.counts().not_searched >= 8, "{:?}", at_a.counts());
        assert!(a.ask("t", ASKED, "").await.is_hit(), "local memory goes on");
        server.thaw();
        soon(a.cache.following()).await;
        soon(a.redis.connected()).await;
        soon(async { while !a.ask("t", LIKE, "not yet").await.is_like() {} }).await;
    });
}

#[test]
fn a_redis_that_comes_back_empty_is_filled_again() {
    let mut server = RedisServer::start();
    run(async {
        let (a, at_a) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        server.kill();
        a.ask("t", "who finds out about this", "nobody").await;
        soon(a.redis.away()).await;
        server.restart();
        soon(a.redis.connected()).await;
        soon(async {
            let mut number = 0;
            loop {
                let text = format!("which way leads to the house number {number}");
                a.ask("t", &text, "three").await;
                a.written().await;
                number += 1;
                if a.ask("t", &format!("please {text}"), "another").await.is_like() {
                    return;
                }
            }
        })
        .await;
        assert_eq!(a.counts().search, Search::Redis);
        assert!(at_a.decided_for(Reason::Similar) > 0);
    });
}

#[test]
fn garbage_beside_an_answer_is_no_question() {
    // What is no value is broken; what is too long is not even read.
    for (garbage, broken, stale) in [(vec![0_u8; 40], 1, 0), (vec![7; 100_000], 0, 1)] {
        let server = RedisServer::start();
        run(async {
            let (a, _) = searching(&server).await;
            a.ask("t", ASKED, "like this").await;
            a.written().await;
            let place = a.place().await;
            let fields: Vec<Vec<u8>> = a.query(redis::cmd("HKEYS").arg(&place)).await;
            let own = fields.iter().find(|field| field.len() == 17).expect("it has a question");
            let _: u64 = a.query(redis::cmd("HSET").arg(&place).arg(own).arg(&garbage)).await;
            let (b, at_b) = searching(&server).await;
            assert_eq!(b.ask("t", LIKE, "anew").await.text, "anew");
            assert_eq!((b.counts().broken, b.counts().stale), (broken, stale));
            assert_eq!(at_b.decided_for(Reason::Unknown), 1);
        });
    }
}

#[test]
fn what_is_no_element_is_left_out() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let vectors = keys(&a, "vectors").await.remove(0);
        let element: Vec<Vec<u8>> = a.query(redis::cmd("VRANDMEMBER").arg(&vectors).arg(1)).await;
        let like: Vec<String> = a.query(redis::cmd("VEMB").arg(&vectors).arg(&element[0])).await;
        let mut add = redis::cmd("VADD");
        add.arg(&vectors).arg("VALUES").arg(like.len()).arg(&like).arg("nonsense").arg("Q8");
        let _: u64 = a.query(&add).await;
        let (b, _) = searching(&server).await;
        let answer = b.ask("t", LIKE, "").await;
        assert!(answer.is_like() && answer.text == "like this", "{:?}", b.counts());
    });
}
