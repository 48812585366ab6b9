//! What replicas decide together.

use std::time::Duration;

use buttress_testkit::RedisServer;
use buttress_token_bucket::{
    Costs, Dimension, Fingerprint, Limit, Limits, Reservation, SharedLimits, TokenBucketLayer,
};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{HOUR, LEVELS, Replica, config, connected, missing, requests, run, shared, soon, tokens};

async fn replicas(server: &RedisServer, limits: impl Into<Limits>, lease: Duration) -> [Replica; 3] {
    let limits = limits.into();
    let start = || Replica::start_patient(server.url(), limits.clone(), move |shared| shared.lease(lease));
    [start().await, start().await, start().await]
}

#[test]
fn three_replicas_admit_what_one_would() {
    let server = RedisServer::start();
    run(async {
        let replicas = replicas(&server, requests(200, HOUR), Duration::ZERO).await;
        let mut passed = 0;
        for at in 0..600 {
            passed += u64::from(replicas[at % 3].passes(Costs::request()).await);
        }
        assert_eq!(passed, 200);
        let refused = replicas[0].ask(Costs::request()).await.expect_err("all is used");
        let wait = refused.retry_after().expect("it comes back").as_secs_f64();
        assert!((1.0..=18.0).contains(&wait), "one comes in 18 s: {wait}");
        assert_eq!(refused.limits().map(|limit| limit.name().as_str()).collect::<Vec<_>>(), ["requests"]);
    });
}

#[test]
fn with_leases_they_admit_no_more_and_less_only_by_what_is_leased() {
    let server = RedisServer::start();
    run(async {
        let replicas = replicas(&server, requests(1_000, HOUR * 24), Duration::from_millis(100)).await;
        let mut passed = 0;
        for _ in 0..3 {
            for replica in &replicas {
                passed += replica.exhaust(Costs::request()).await;
            }
            for replica in &replicas {
                // Leases end, and what is left of them goes back.
                sleep(Duration::from_millis(300)).await;
                replica.written().await;
            }
        }
        for replica in &replicas {
            passed += replica.exhaust(Costs::request()).await;
        }
        assert_eq!(passed, 1_000);
        assert!(replicas.iter().any(|replica| replica.counts().leased > 100), "{:?}", replicas[0].counts());
    });
}

#[test]
fn a_hundred_calls_at_once_never_take_more_tokens_than_there_are() {
    let server = RedisServer::start();
    run(async {
        // None goes by what it was told before another one has settled.
        let ask_always = |shared: SharedLimits| shared.lease(Duration::ZERO).remember(Duration::ZERO);
        let start = || Replica::start_patient(server.url(), tokens(100, HOUR), ask_always);
        let replicas = [start().await, start().await, start().await];
        let mut calls = JoinSet::new();
        for at in 0..100 {
            let handle = replicas[at % 3].handle.clone();
            calls.spawn(async move { handle.reserve_shared(Fingerprint::SHARED, Costs::tokens(5, 2)).await.ok() });
        }
        let reservations: Vec<Reservation> = calls.join_all().await.into_iter().flatten().collect();
        assert_eq!(reservations.len(), 14, "seven each");
        // Each has used more than it had reserved: that is owed, and nobody passes before it is refilled.
        let now = tokio::time::Instant::now();
        reservations.into_iter().for_each(|reservation| reservation.settle(&Costs::tokens(5, 5), now));
        for replica in &replicas {
            replica.written().await;
        }
        for replica in &replicas {
            assert!(!replica.passes(Costs::tokens(1, 0)).await);
        }
        // 140 used of 100, and a hundred may be owed.
        assert!(server.tell(&["EXISTS", LEVELS]).starts_with(":1"), "it is kept");
        let wait = replicas[1].ask(Costs::tokens(1, 0)).await.expect_err("it is owed").retry_after();
        let wait = wait.expect("it comes back").as_secs();
        assert!((1_400..=1_476).contains(&wait), "41 tokens come in 1476 s: {wait}");
    });
}

#[test]
fn leases_of_a_hundred_calls_at_once_take_a_tenth_for_each_replica_at_most() {
    let server = RedisServer::start();
    run(async {
        let replicas = replicas(&server, requests(1_000, HOUR * 24), Duration::from_secs(5)).await;
        let mut calls = JoinSet::new();
        for at in 0..300 {
            let handle = replicas[at % 3].handle.clone();
            calls.spawn(async move { handle.reserve_shared(Fingerprint::SHARED, Costs::request()).await });
        }
        for outcome in calls.join_all().await {
            outcome.expect("there is enough").keep();
        }
        let missing = missing(&server);
        assert!((300..=600).contains(&missing), "{missing}");
    });
}

#[test]
fn a_call_takes_from_all_limits_or_from_none() {
    let server = RedisServer::start();
    run(async {
        let limits = Limits::try_new([requests(10, HOUR), tokens(100, HOUR)]).expect("two limits");
        let replica = &replicas(&server, limits, Duration::ZERO).await[0];
        for _ in 0..5 {
            assert!(!replica.passes(Costs::tokens(101, 0)).await, "more than there can be");
            let before = replica.redis.counts().answered;
            assert!(replica.ask(Costs::tokens(101, 0)).await.expect_err("again").is_never());
            assert_eq!(replica.redis.counts().answered, before, "nobody is asked what is known");
        }
        assert!(replica.passes(Costs::tokens(60, 0)).await);
        assert!(!replica.passes(Costs::tokens(60, 0)).await, "too few tokens");
        let mut passed = 0;
        while replica.passes(Costs::request()).await {
            passed += 1;
        }
        assert_eq!(passed, 9, "the refused ones took no request");
    });
}

#[test]
fn what_was_too_much_comes_back_for_all_replicas_and_once() {
    let server = RedisServer::start();
    run(async {
        let [a, b, _] = &replicas(&server, tokens(100, HOUR), Duration::ZERO).await;
        let reserved = a.ask(Costs::tokens(100, 0)).await.expect("it is full");
        assert!(!b.passes(Costs::tokens(1, 0)).await);
        reserved.settle(&Costs::tokens(30, 10), tokio::time::Instant::now());
        a.written().await;
        sleep(Duration::from_millis(1_100)).await;
        assert_eq!(b.exhaust(Costs::tokens(1, 0)).await, 60);
        assert_eq!(a.counts().settled, 1);
    });
}

#[test]
fn a_refusal_is_remembered_and_costs_no_round_trip() {
    let server = RedisServer::start();
    run(async {
        let [a, b, _] = &replicas(&server, requests(20, HOUR), Duration::ZERO).await;
        assert_eq!(a.exhaust(Costs::request()).await, 20);
        let before = a.redis.counts().answered;
        for _ in 0..100 {
            assert!(!a.passes(Costs::request()).await);
        }
        assert_eq!(a.redis.counts().answered, before);
        assert!(a.counts().remembered >= 100, "{:?}", a.counts());
        // Another replica fills it by hand; the first believes what it knows for no longer than a second.
        b.handle.reset(Fingerprint::SHARED, tokio::time::Instant::now());
        b.written().await;
        assert!(b.passes(Costs::request()).await);
        soon(async {
            while !a.passes(Costs::request()).await {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    });
}

#[test]
fn what_is_refilled_passes_again_by_the_time_of_the_server() {
    let server = RedisServer::start();
    run(async {
        let [a, b, _] = &replicas(&server, requests(10, Duration::from_secs(2)), Duration::ZERO).await;
        assert!(a.exhaust(Costs::request()).await >= 10);
        let wait = b.ask(Costs::request()).await.expect_err("all is used").retry_after().expect("it comes back");
        assert!(wait <= Duration::from_millis(200), "{wait:?}");
        sleep(wait + Duration::from_millis(20)).await;
        assert!(b.passes(Costs::request()).await);
    });
}

#[test]
fn keys_that_are_idle_expire_when_they_are_full() {
    let server = RedisServer::start();
    run(async {
        let replica = &replicas(&server, requests(100, Duration::from_secs(10)), Duration::ZERO).await[0];
        assert!(replica.passes(Costs::ZERO.with(Dimension::REQUESTS, 30)).await);
        let left = server.tell(&["PTTL", LEVELS]);
        let left: u64 = left.trim().trim_start_matches(':').parse().expect("it expires");
        assert!((1_000..=4_000).contains(&left), "full in three seconds: {left}");
        let reserved = replica.ask(Costs::request()).await.expect("there is enough");
        reserved.cancel(tokio::time::Instant::now());
        replica.handle.reset(Fingerprint::SHARED, tokio::time::Instant::now());
        replica.written().await;
        assert!(server.tell(&["EXISTS", LEVELS]).starts_with(":0"), "what is full is not kept");
    });
}

#[test]
fn limits_that_change_keep_what_was_used() {
    let server = RedisServer::start();
    run(async {
        let [a, b, _] = &replicas(&server, requests(100, HOUR), Duration::ZERO).await;
        assert!(a.passes(Costs::ZERO.with(Dimension::REQUESTS, 60)).await);
        for replica in [a, b] {
            assert!(replica.handle.set_tier("default", requests(130, HOUR)));
            assert!(!replica.handle.set_tier("default", requests(u64::MAX, HOUR)), "it cannot be shared");
        }
        assert_eq!(b.exhaust(Costs::request()).await, 70);
    });
}

#[test]
fn somebody_elses_word_lowers_what_all_replicas_have() {
    let server = RedisServer::start();
    run(async {
        let [a, b, _] = &replicas(&server, requests(100, HOUR), Duration::ZERO).await;
        let now = tokio::time::Instant::now();
        a.handle.observe(Fingerprint::SHARED, Dimension::REQUESTS, 7, Duration::from_secs(60), now);
        a.written().await;
        assert_eq!(b.exhaust(Costs::request()).await, 7);
    });
}

#[test]
fn something_else_under_the_key_is_as_if_redis_were_away_for_it() {
    let server = RedisServer::start();
    run(async {
        let replica = &replicas(&server, requests(30, HOUR), Duration::ZERO).await[0];
        assert!(server.tell(&["HSET", LEVELS, "t", "x"]).starts_with(":1"));
        assert_eq!(replica.exhaust(Costs::request()).await, 10, "its share of three");
        assert!(server.tell(&["DEL", LEVELS]).starts_with(":1"));
        assert!(server.tell(&["SET", LEVELS, "x"]).starts_with("+OK"));
        soon(async {
            while !replica.passes(Costs::request()).await {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    });
}

#[test]
fn limits_that_cannot_be_shared_are_refused_by_name() {
    let server = RedisServer::start();
    run(async {
        let redis = connected(config(server.url())).await;
        let limit = |amount| Limit::try_new("tpd", Dimension::TOKENS, amount, HOUR * 24).expect("it makes sense");
        let error = TokenBucketLayer::new(limit(u64::MAX)).shared(shared(redis.clone())).expect_err("too large");
        assert_eq!((error.limit().as_str(), error.field()), ("tpd", "amount"));
        let layer = TokenBucketLayer::new(limit(1)).shared(shared(redis)).expect("small enough");
        let tiers = [("a", Limits::from(limit(u64::MAX)))];
        let error = layer.tiered(tiers, buttress_token_bucket::OneTier).expect_err("too large");
        assert!(error.to_string().contains("too large to be shared"), "{error}");
    });
}
