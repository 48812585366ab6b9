//! What is in Redis is not what was written.

use buttress_redis::redis;
use buttress_testkit::RedisServer;

use super::support::*;

async fn written(server: &RedisServer, text: &str) -> Replica {
    let a = Replica::start(server.url()).await;
    a.ask("t", "what is it", text).await;
    a.written().await;
    a
}

async fn set(a: &Replica, field: &str, value: &[u8]) {
    let _: u64 = a.query(redis::cmd("HSET").arg(a.place().await).arg(field).arg(value)).await;
}

#[test]
fn garbage_is_a_miss_and_is_written_over() {
    let server = RedisServer::start();
    run(async {
        let a = written(&server, "an answer").await;
        let value: Vec<u8> = a.query(redis::cmd("HGET").arg(a.place().await).arg("value")).await;
        let mut changed = value.clone();
        let last = changed.len() - 20;
        changed[last] ^= 1;
        let mut newer = value.clone();
        newer[0] += 1;
        let bomb = [&[1, 0, 0xff, 0xff, 0xff, 0xff, 1][..], &[0xff; 64]].concat();
        for garbage in [&b""[..], b"\x01", b"garbage", &value[..value.len() / 2], &changed, &newer, &bomb] {
            set(&a, "value", garbage).await;
            let b = Replica::start(server.url()).await;
            assert_eq!(b.ask("t", "what is it", "anew").await.text, "anew");
            assert_eq!((b.counts().broken, b.counts().recalled), (1, 0));
            b.written().await;
            let c = Replica::start(server.url()).await;
            assert_eq!(c.ask("t", "what is it", "").await.text, "anew");
        }
    });
}

#[test]
fn fields_that_are_not_what_they_were_are_a_miss() {
    for (field, value) in [
        ("marks", &b"garbage"[..]),
        ("marks", b""),
        ("marks", &[7; 32]),
        ("marks", &[7; 32 * 100]),
        ("born", b"never"),
        ("came", b"never"),
        ("came", b"9999999999999"),
        ("run", b"another"),
    ] {
        let server = RedisServer::start();
        run(async {
            let a = written(&server, "an answer").await;
            set(&a, field, value).await;
            let b = Replica::start(server.url()).await;
            assert_eq!(b.ask("t", "what is it", "anew").await.text, "anew", "{field}");
            assert_eq!(b.counts().recalled, 0);
        });
    }
}

#[test]
fn keys_of_another_type_are_a_miss() {
    let server = RedisServer::start();
    run(async {
        let a = written(&server, "an answer").await;
        let place = a.place().await;
        let _: u64 = a.query(redis::cmd("DEL").arg(&place)).await;
        let _: () = a.query(redis::cmd("SET").arg(&place).arg("a string")).await;
        let b = Replica::start(server.url()).await;
        assert_eq!(b.ask("t", "what is it", "anew").await.text, "anew");
        assert_eq!(b.counts().unavailable, 1);
    });
}

#[test]
fn an_answer_cannot_be_made_younger_by_one_clock_alone() {
    let server = RedisServer::start();
    run(async {
        let a = written(&server, "an answer").await;
        // Redis's clock was set back, or somebody says it came just now: the wall clock of who wrote it counts as well.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let time: (String, String) = a.query(&redis::cmd("TIME")).await;
        set(&a, "came", format!("{}000", time.0).as_bytes()).await;
        let b = Replica::start(server.url()).await;
        let answer = b.ask("t", "what is it", "anew").await;
        assert!(answer.is_hit() && answer.age() >= 1, "{}", answer.age());
    });
}

#[test]
fn what_is_too_large_is_neither_written_nor_read() {
    let server = RedisServer::start();
    run(async {
        let small = std::num::NonZeroUsize::new(4_096).expect("not zero");
        let strict = || Replica::start_with(server.url(), |layer| layer, |shared| shared.max_value_bytes(small));
        let noise: String =
            (0..20_000_u32).map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 26) as u8)).collect();
        let a = strict().await;
        a.ask("t", "large", &noise).await;
        a.written().await;
        assert_eq!((a.counts().dropped, a.counts().written), (1, 0));
        let b = written(&server, &noise).await;
        assert_eq!(b.counts().written, 1);
        assert_eq!(a.ask("t", "what is it", "small").await.text, "small");
        assert_eq!(a.counts().too_large, 1);
    });
}

#[test]
fn long_answers_are_packed() {
    let server = RedisServer::start();
    run(async {
        let text = "the same words again and again. ".repeat(2_000);
        let a = written(&server, &text).await;
        let length: usize = a.query(redis::cmd("HSTRLEN").arg(a.place().await).arg("value")).await;
        assert!(length < text.len() / 20, "{length}");
        let b = Replica::start(server.url()).await;
        assert_eq!(b.ask("t", "what is it", "").await.text, text);
    });
}
