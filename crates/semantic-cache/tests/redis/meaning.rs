//! Questions that mean the same, on several replicas.

use std::sync::Arc;

use buttress_redis::redis;
use buttress_semantic_cache::{Bounds, ByMeaning, ErrorBound, Meaning as _, Policy};
use buttress_testkit::RedisServer;

use super::{bag::*, support::*};

#[test]
fn what_one_replica_learned_the_other_one_answers_from() {
    let server = RedisServer::start();
    run(async {
        let ((a, _), (b, at_b)) = (start(&server).await, start(&server).await);
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        until(|| known(&at_b) == 1).await;
        let like = b.ask("t", LIKE, "something else").await;
        assert!(like.is_like() && like.text == "like this", "{:?}", like.outcome);
        assert_eq!((b.probe.calls(), b.counts().recalled), (0, 1));
        assert_eq!(b.ask("u", LIKE, "for another tenant").await.text, "for another tenant");
        assert_eq!(b.send(request("t", "/x", LIKE), "in another scope").await.text, "in another scope");
    });
}

#[test]
fn one_that_comes_later_reads_it_all() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = start(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        drop(a);
        let (b, at_b) = start(&server).await;
        assert_eq!(known(&at_b), 1);
        assert!(b.ask("t", LIKE, "").await.is_like());
        // Of another embedder, nothing is taken in.
        let other = meaning("2");
        let c = Replica::with_meaning(server.url(), other.clone()).await;
        assert_eq!((known(&other), c.counts().heard), (0, 1));
        assert_eq!(c.ask("t", LIKE, "anew").await.text, "anew");
    });
}

#[test]
fn what_is_gone_from_redis_is_not_served_whatever_the_log_says() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = start(&server).await;
        let asked = a.ask("t", ASKED, "like this").await;
        a.written().await;
        let (b, at_b) = start(&server).await;
        let _: u64 = a.query(redis::cmd("DEL").arg(a.place().await)).await;
        assert_eq!(b.ask("t", LIKE, "anew").await.text, "anew");
        until(|| known(&at_b) == 1).await;

        let (c, at_c) = start(&server).await;
        until(|| known(&at_c) >= 1).await;
        a.cache.forget(asked.key.expect("it has one"));
        a.cache.forget_all_of(buttress_semantic_cache::Mark::tenant("t".as_bytes()));
        until(|| c.counts().heard >= 4).await;
        assert_eq!(c.ask("t", LIKE, "newest").await.text, "newest");
    });
}

#[test]
fn an_outage_does_not_unlearn_what_is_only_in_redis() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = start(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let (b, at_b) = start(&server).await;
        server.freeze();
        let away = b.ask("t", "please do tell how do I reset the password of my account", "anew").await;
        assert!(away.text == "anew" && away.took < SLOWEST, "{:?}", away.took);
        assert!(known(&at_b) >= 1);
        server.thaw();
        soon(b.cache.following()).await;
        soon(b.redis.connected()).await;
        until_asked(async || b.ask("t", LIKE, "not yet").await.is_like()).await;
    });
}

#[test]
fn what_the_policy_has_learned_outlives_the_process() {
    let server = RedisServer::start();
    run(async {
        let learning = || {
            let policy = Policy::error_bound(ErrorBound::new(0.01).expect("it makes sense"));
            let meaning = ByMeaning::new(policy.clone(), Arc::new(Bag::new("1")));
            Arc::new(meaning.remembering(policy, Bounds::default(), 7, 3))
        };
        let start = |meaning: &Arc<ByMeaning<Arc<Bag>>>| {
            let meaning = meaning.clone();
            let often = std::time::Duration::from_secs(1);
            let set = |layer: Layer| layer.meaning(meaning).patience(std::time::Duration::from_secs(5));
            Replica::start_with(server.url(), set, move |shared| shared.saving_every(often))
        };
        let at_a = learning();
        let a = start(&at_a).await;
        for number in 0..30 {
            a.ask("t", &format!("what is the rule number {number} of this house"), "an answer").await;
        }
        a.written().await;
        let saved = async || -> Vec<String> { a.query(redis::cmd("KEYS").arg("t:cache1-policy:*")).await };
        until_asked(async || !saved().await.is_empty()).await;
        let experience = at_a.experience(0).expect("it has some");
        let at_b = learning();
        assert!(at_b.classes().is_empty());
        let _b = start(&at_b).await;
        assert_eq!(at_b.experience(0).map(|bytes| bytes.len()), Some(experience.len()));

        // What is damaged there is not taken up.
        let _: u64 = a.query(redis::cmd("HSET").arg(&saved().await[0]).arg(0).arg("garbage")).await;
        let at_c = learning();
        let c = start(&at_c).await;
        assert!(at_c.classes().is_empty() && c.counts().broken == 1);
    });
}

#[test]
fn holes_and_garbage_in_the_log_hold_nobody_up() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = start(&server).await;
        for text in [ASKED, "where is the key of the door of the house", "who was the first author of this famous book"]
        {
            a.ask("t", text, "like this").await;
            a.written().await;
        }
        let log = "t:cache1-log:{answers}:";
        let entries: Vec<(String, Vec<String>)> = a
            .query::<Vec<(String, Vec<Vec<u8>>)>>(redis::cmd("XRANGE").arg(log).arg("-").arg("+"))
            .await
            .into_iter()
            .map(|(id, fields)| (id, fields.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect()))
            .collect();
        let run_field = entries[0].1.iter().position(|field| field == "r").expect("it names its run") + 1;
        let run = entries[0].1[run_field].clone();
        let _: u64 = a.query(redis::cmd("XDEL").arg(log).arg(&entries[1].0)).await;
        for fields in [&["nonsense", "x"][..], &["r", &run, "n", "zero"], &["r", "another", "n", "77", "t", "all"]] {
            let mut add = redis::cmd("XADD");
            add.arg(log).arg("*").arg(fields);
            let _: String = a.query(&add).await;
        }
        let (b, at_b) = start(&server).await;
        assert_eq!((known(&at_b), b.counts().gaps), (2, 0));
        assert!(b.ask("t", LIKE, "").await.is_like());
        a.cache.forget_everything();
        until(|| b.counts().heard >= 3).await;
        assert_eq!(b.ask("t", LIKE, "anew").await.text, "anew");
        assert_eq!(b.counts().gaps, 0);
    });
}

#[test]
fn ten_thousand_questions_are_read_at_the_beginning() {
    let server = RedisServer::start();
    run(async {
        let (a, at_a) = start(&server).await;
        for page in 0..100_u32 {
            let scope = format!("/{page}");
            let ask = |number: u32| {
                let text = format!("what does article {number} of the agreement say about case {}", number * 7);
                a.send(request("t", &scope, &text), "an answer")
            };
            futures_util::future::join_all((0..100).map(|number| ask(page * 100 + number))).await;
            a.written().await;
        }
        assert_eq!(a.counts().dropped, 0, "{:?}", a.counts());
        let (b, at_b) = start(&server).await;
        assert_eq!(known(&at_b), known(&at_a));
        // The rest was told to mean the same as others.
        assert!(known(&at_b) > 5_000, "{}", known(&at_b));
        assert!(b.counts().heard >= known(&at_b) as u64 && b.counts().gaps == 0);
    });
}
