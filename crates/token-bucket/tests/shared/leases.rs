//! Keys that are asked for often.

use std::time::Duration;

use buttress_testkit::RedisServer;
use buttress_token_bucket::{Costs, SharedLimits};
use tokio::time::{Instant, sleep};

use crate::support::{HOUR, Replica, requests, run, tokens, until};

fn for_a_while(shared: SharedLimits) -> SharedLimits {
    shared.lease(Duration::from_secs(5))
}

#[test]
fn a_key_that_is_asked_for_often_is_asked_for_in_blocks() {
    let server = RedisServer::start();
    run(async {
        let replica = Replica::start_patient(server.url(), requests(1_000_000, HOUR), for_a_while).await;
        for _ in 0..10_000 {
            assert!(replica.passes(Costs::request()).await);
        }
        let counts = replica.counts();
        assert_eq!(counts.asked + counts.leased, 10_000);
        assert!(counts.asked < 200, "{counts:?}");
    });
}

#[test]
fn what_comes_back_of_a_leased_key_costs_no_round_trip() {
    let server = RedisServer::start();
    run(async {
        let replica = Replica::start_patient(server.url(), tokens(10_000_000, HOUR), for_a_while).await;
        for _ in 0..1_000 {
            let reserved = replica.ask(Costs::tokens(100, 100)).await.expect("there is enough");
            reserved.settle(&Costs::tokens(100, 20), Instant::now());
        }
        let counts = replica.counts();
        assert!(counts.settled < 100 && counts.leased > 800, "{counts:?}");
    });
}

#[test]
fn a_lease_that_is_not_used_goes_back_when_its_time_is_over() {
    let server = RedisServer::start();
    run(async {
        let set = |shared: SharedLimits| shared.lease(Duration::from_millis(300));
        let [a, b] = [
            Replica::start_patient(server.url(), requests(10_000, HOUR * 24), set).await,
            Replica::start_patient(server.url(), requests(10_000, HOUR * 24), |shared| shared.lease(Duration::ZERO))
                .await,
        ];
        for _ in 0..100 {
            assert!(a.passes(Costs::request()).await);
        }
        until(|| a.counts().settled > 0).await;
        sleep(Duration::from_millis(400)).await;
        a.written().await;
        let left = b.exhaust(Costs::request()).await;
        assert!((9_900..=9_950).contains(&left), "and what came meanwhile: {left}");
    });
}

#[test]
fn keys_that_are_asked_for_seldom_and_small_limits_have_no_leases() {
    let server = RedisServer::start();
    run(async {
        let replica = Replica::start_patient(server.url(), requests(9, HOUR), for_a_while).await;
        assert_eq!(replica.exhaust(Costs::request()).await, 9);
        assert_eq!(replica.counts().leased, 0);
    });
}

#[test]
fn the_last_fifth_is_leased_to_nobody() {
    let server = RedisServer::start();
    run(async {
        let [a, b] = [
            Replica::start_patient(server.url(), requests(1_000, HOUR), for_a_while).await,
            Replica::start_patient(server.url(), requests(1_000, HOUR), for_a_while).await,
        ];
        let mut passed = 0;
        while passed < 850 {
            passed += u64::from(a.passes(Costs::request()).await);
        }
        // The leases of the first end with what is left of them; the last fifth was never leased.
        let left = b.exhaust(Costs::request()).await;
        assert!(left >= 50, "{left}");
        assert_eq!(b.counts().leased, 0, "{:?}", b.counts());
    });
}
