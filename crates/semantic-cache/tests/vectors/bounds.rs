//! How much is kept.

use super::*;

async fn ask_many(replica: &Replica, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let text = format!("word{number} means something quite different from other{number} or third{number}");
        replica.ask("t", &text, "an answer").await;
        replica.written().await;
    }
}

#[test]
fn no_more_questions_of_a_scope_are_kept_than_the_bound_and_the_oldest_go_first() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching_among(&server, 10).await;
        ask_many(&a, 0..25).await;
        assert_eq!(sizes(&a).await, (10, 10));
        let (b, _) = searching_among(&server, 10).await;
        let like = |number: usize| {
            format!("word{number} means something quite different from other{number} or third{number} please")
        };
        assert!(b.ask("t", &like(24), "").await.is_like());
        assert!(!b.ask("t", &like(3), "anew").await.is_like());
    });
}

#[test]
fn what_has_ended_goes_with_the_next_one_and_the_whole_set_with_its_last_answer() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        ask_many(&a, 0..5).await;
        let (vectors, ages) = (keys(&a, "vectors").await.remove(0), keys(&a, "ages").await.remove(0));
        for key in [&vectors, &ages] {
            let left: i64 = a.query(redis::cmd("PTTL").arg(key)).await;
            assert!((3_500_000..=3_600_000).contains(&left), "{left}");
        }
        let first: Vec<Vec<u8>> = a.query(redis::cmd("ZRANGE").arg(&ages).arg(0).arg(2)).await;
        for element in &first {
            let _: u64 = a.query(redis::cmd("ZADD").arg(&ages).arg(1).arg(element)).await;
        }
        ask_many(&a, 5..6).await;
        assert_eq!(sizes(&a).await, (3, 3));
    });
}

#[test]
fn where_redis_evicted_one_half_the_other_half_goes() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        for kind in ["vectors", "ages"] {
            ask_many(&a, 0..3).await;
            let _: u64 = a.query(redis::cmd("DEL").arg(keys(&a, kind).await.remove(0))).await;
            let start = 100 + kind.len() * 10;
            ask_many(&a, start..start + 1).await;
            assert_eq!(sizes(&a).await, (1, 1), "{kind}");
            a.cache.forget_everything();
            until(|| !a.is_forgetting()).await;
            let _: u64 = a.query(redis::cmd("DEL").arg(keys(&a, "vectors").await.remove(0))).await;
            let _: u64 = a.query(redis::cmd("DEL").arg(keys(&a, "ages").await.remove(0))).await;
        }
    });
}

#[test]
fn an_answer_has_so_many_questions_and_no_more() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let place = a.place().await;
        let fields: Vec<Vec<u8>> = a.query(redis::cmd("HKEYS").arg(&place)).await;
        let own = fields.iter().find(|field| field.len() == 17).expect("it has a question");
        let _: u64 = a.query(redis::cmd("HDEL").arg(&place).arg(own)).await;
        let mut fill = redis::cmd("HSET");
        fill.arg(&place);
        for number in 0..300 {
            fill.arg(format!("q{number:016}")).arg("x");
        }
        let _: u64 = a.query(&fill).await;
        // Asked anew, it is told again.
        let mut renewed = request("t", "/", ASKED);
        renewed.headers_mut().insert("cache-control", "no-cache".parse().expect("a value"));
        a.send(renewed, "newer").await;
        a.written().await;
        let there: bool = a.query(redis::cmd("HEXISTS").arg(&place).arg(own)).await;
        assert_eq!((there, a.counts().outdated), (false, 1));
        assert_eq!(sizes(&a).await, (0, 0), "what was found without its question is gone");
    });
}

#[test]
fn a_replica_remembers_what_it_met_and_no_more() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        ask_many(&a, 0..60).await;
        let (b, at_b) = searching(&server).await;
        b.ask("t", "word7 means something quite different from other7 or third7 please", "").await;
        assert!((1..=16).contains(&known(&at_b)), "{}", known(&at_b));
        assert_eq!(sizes(&b).await, (60, 60));
    });
}
