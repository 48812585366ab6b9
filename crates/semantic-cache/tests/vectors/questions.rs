//! Who finds what.

use buttress_semantic_cache::{Mark, Reason};

use super::*;

#[test]
fn what_one_replica_was_asked_the_others_find_without_having_been_told() {
    let server = RedisServer::start();
    run(async {
        let ((a, _), (b, at_b)) = (searching(&server).await, searching(&server).await);
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        assert_eq!((sizes(&a).await, known(&at_b)), ((1, 1), 0));
        let like = b.ask("t", LIKE, "something else").await;
        assert!(like.is_like() && like.text == "like this", "{:?} {:?}", like.outcome, b.counts());
        assert_eq!((b.probe.calls(), b.counts().recalled, b.counts().searched), (0, 1, 1));
        assert_eq!((known(&at_b), b.counts().heard), (1, 0), "it was met, and there is nothing in the log");
    });
}

#[test]
fn tenants_scopes_and_embedders_never_meet() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let (b, at_b) = searching(&server).await;
        assert_eq!(b.ask("u", LIKE, "for another tenant").await.text, "for another tenant");
        assert_eq!(b.send(request("t", "/x", LIKE), "in another scope").await.text, "in another scope");
        b.written().await;
        assert_eq!(b.probe.calls(), 2);
        assert_eq!(at_b.decided_for(Reason::Unknown), 2, "neither had a candidate, however far");
        let set = |layer: Layer| layer.meaning(meaning("2")).patience(Duration::from_secs(5));
        let most = NonZeroUsize::new(9).expect("not zero");
        let c = Replica::start_with(server.url(), set, |shared| shared.search_in_redis(most)).await;
        assert_eq!(c.ask("t", LIKE, "by another embedder").await.text, "by another embedder");
        c.written().await;
        assert_eq!(keys(&a, "vectors").await.len(), 4, "a set for each");
    });
}

#[test]
fn the_same_is_decided_as_from_memory() {
    let server = RedisServer::start();
    run(async {
        // A search that is given up would be no difference in what is found.
        let patient = Duration::from_secs(1);
        let (at_there, most) = (meaning("1"), NonZeroUsize::new(1_000).expect("not zero"));
        let set = |layer: Layer| layer.meaning(at_there.clone()).patience(Duration::from_secs(5)).showing_similarity();
        let there =
            Replica::start_with(server.url(), set, |shared| shared.search_in_redis(most).patience(patient)).await;
        // Of the same tenant, in a log of its own.
        let other = RedisServer::start();
        let (here, at_here) = start(&other).await;
        let subjects = ["the rent", "my password", "the garden", "an invoice", "a parcel"];
        let verbs = ["pay", "reset", "return", "change", "cancel"];
        let mut served = 0;
        for round in 0..4 {
            for (subject, verb) in subjects.iter().flat_map(|subject| verbs.map(|verb| (subject, verb))) {
                let text = match round {
                    0 => format!("how do I {verb} {subject} of this house quickly"),
                    1 => format!("please how do I {verb} {subject} of this house quickly"),
                    2 => format!("how do I {verb} {subject} of this house number {}", verb.len()),
                    _ => format!("tell me how do I never {verb} {subject} of this house quickly"),
                };
                let (one, two) = (there.ask("t", &text, "new").await, here.ask("t", &text, "new").await);
                let why = one.head.headers.get("x-cache-decision");
                assert_eq!(one.is_like(), two.is_like(), "{text}: {:?}, {why:?}, {:?}", two.outcome, there.counts());
                served += usize::from(one.is_like());
                there.written().await;
                here.written().await;
            }
        }
        for reason in Reason::ALL {
            assert_eq!(at_there.decided_for(reason), at_here.decided_for(reason), "{reason}");
        }
        assert!(served > 10 && there.counts().unavailable == 0, "{served}, {:?}", there.counts());
    });
}

#[test]
fn the_answer_decides_and_what_lost_it_is_removed_when_it_is_found() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let (b, at_b) = searching(&server).await;
        let _: u64 = a.query(redis::cmd("DEL").arg(a.place().await)).await;
        assert_eq!(sizes(&b).await, (1, 1));
        let answer = b.ask("t", LIKE, "anew").await;
        assert_eq!((answer.text.as_str(), b.counts().stale), ("anew", 1));
        assert_eq!(at_b.decided_for(Reason::Unknown), 1);
        b.written().await;
        assert_eq!(sizes(&b).await, (1, 1), "the new one alone");
        let (c, _) = searching(&server).await;
        assert_eq!(c.ask("t", ASKED, "").await.text, "anew");
    });
}

#[test]
fn what_is_forgotten_by_key_tenant_or_altogether_is_found_by_nobody() {
    let server = RedisServer::start();
    run(async {
        for way in 0..3 {
            let tenant = format!("t{way}");
            let ((a, _), (b, at_b)) = (searching(&server).await, searching(&server).await);
            let asked = a.ask(&tenant, ASKED, "like this").await;
            a.written().await;
            assert!(b.ask(&tenant, LIKE, "").await.is_like());
            let heard = b.counts().heard;
            match way {
                0 => drop(a.cache.forget(asked.key.expect("it has one"))),
                1 => a.cache.forget_all_of(Mark::tenant(tenant.as_bytes())),
                _ => a.cache.forget_everything(),
            }
            until(|| b.counts().heard > heard).await;
            let before = at_b.decided_for(Reason::Unknown);
            let answer = b.ask(&tenant, &format!("{LIKE} now"), "anew").await;
            assert_eq!((answer.text.as_str(), way), ("anew", way));
            assert_eq!(at_b.decided_for(Reason::Unknown), before + 1);
            b.written().await;
            until(|| a.counts().heard > heard).await;
            let again = a.ask(&tenant, &format!("{LIKE} now please"), "").await;
            assert!(again.is_like() && again.text == "anew", "{way}: {:?}", a.counts());
        }
    });
}

#[test]
fn an_answer_that_is_renewed_keeps_its_questions_and_what_was_judged() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let place = a.place().await;
        let _: u64 = a.query(redis::cmd("HINCRBY").arg(&place).arg("right").arg(3)).await;
        let mut renewed = request("t", "/", ASKED);
        renewed.headers_mut().insert("cache-control", "no-cache".parse().expect("a value"));
        a.send(renewed, "newer").await;
        a.written().await;
        let right: Option<u64> = a.query(redis::cmd("HGET").arg(&place).arg("right")).await;
        assert_eq!(right, Some(3));
        let (b, _) = searching(&server).await;
        let like = b.ask("t", LIKE, "").await;
        assert!(like.is_like() && like.text == "newer", "{:?}", like.outcome);
    });
}

#[test]
fn a_bad_answer_is_bad_for_all_replicas() {
    let server = RedisServer::start();
    run(async {
        let (a, _) = searching(&server).await;
        a.ask("t", ASKED, "like this").await;
        a.written().await;
        let _: u64 = a.query(redis::cmd("HSET").arg(a.place().await).arg("bad").arg(1).arg("wrong").arg(1)).await;
        let (b, at_b) = searching(&server).await;
        assert_eq!(b.ask("t", LIKE, "anew").await.text, "anew");
        assert_eq!(at_b.decided_for(Reason::Quarantined), 1);
    });
}
