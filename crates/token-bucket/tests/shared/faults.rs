//! Redis stopped, frozen, slow, restarted, failing over.

use std::{num::NonZeroU32, time::Duration};

use buttress_testkit::RedisServer;
use buttress_token_bucket::{Costs, Dimension, Limits, SharedLimits, WhenAway};
use tokio::time::sleep;

use crate::support::{HOUR, Replica, SLOWEST, SlowProxy, requests, run, soon, timed, tokens, until};

/// Asks until Redis is found to be away, and returns how many were slow until then.
async fn until_away(replica: &Replica) -> usize {
    let mut slow = 0;
    soon(async {
        while replica.redis.status().is_connected() {
            let (_, took) = timed(replica.passes(Costs::ZERO)).await;
            assert!(took < SLOWEST, "{took:?}");
            slow += usize::from(took > Duration::from_millis(60));
        }
    })
    .await;
    slow
}

/// While Redis is away, nobody waits.
async fn nobody_waits(replica: &Replica) {
    let before = replica.redis.counts().timed_out;
    for _ in 0..50 {
        let (_, took) = timed(replica.passes(Costs::ZERO)).await;
        assert!(took < SLOWEST, "{took:?}");
    }
    assert_eq!(replica.redis.counts().timed_out, before, "nobody has asked in vain");
}

async fn alone(server: &RedisServer, amount: u64, away: WhenAway) -> Replica {
    let set = |shared: SharedLimits| shared.when_away(away).lease(Duration::ZERO);
    Replica::start_with(server.url(), requests(amount, HOUR), set).await
}

/// Waits until Redis is there, and what was used meanwhile is charged.
async fn back(replica: &Replica) {
    soon(replica.redis.connected()).await;
    // The work in the background looks every 50 ms.
    sleep(Duration::from_millis(300)).await;
    replica.written().await;
}

#[test]
fn a_stopped_server_leaves_each_replica_its_share_and_comes_back_by_itself() {
    let mut server = RedisServer::start();
    run(async {
        let replica = alone(&server, 300, WhenAway::LocalShare).await;
        assert!(replica.passes(Costs::request()).await);
        server.kill();
        assert!(until_away(&replica).await <= 1);
        nobody_waits(&replica).await;
        assert_eq!(replica.exhaust(Costs::request()).await, 99, "a third of what was left, as far as was known");
        let refused = replica.ask(Costs::request()).await.expect_err("its share is used");
        let wait = refused.retry_after().expect("it comes back").as_secs();
        assert!((1..=36).contains(&wait), "one comes in 12 s, or 36 s for a third: {wait}");

        server.restart();
        back(&replica).await;
        // It came back empty. What this replica used meanwhile is charged to it, and no more is known.
        let passed = replica.exhaust(Costs::request()).await;
        assert!((200..=202).contains(&passed), "{passed}");
    });
}

#[test]
fn a_frozen_server_makes_no_call_wait_beyond_its_bound_and_what_was_used_is_charged() {
    let server = RedisServer::start();
    run(async {
        let [a, b] = [alone(&server, 90, WhenAway::LocalShare).await, alone(&server, 90, WhenAway::LocalShare).await];
        assert!(a.passes(Costs::request()).await);
        server.freeze();
        let calls = (0..20).map(|_| timed(a.passes(Costs::request())));
        let mut passed = 0;
        for (ok, took) in join_all(calls).await {
            assert!(took < SLOWEST, "{took:?}");
            passed += u64::from(ok);
        }
        assert_eq!(passed, 20);
        assert!(!a.redis.status().is_connected());
        nobody_waits(&a).await;
        passed += a.exhaust(Costs::request()).await;
        assert!((29..=30).contains(&passed), "{passed}");
        server.thaw();
        back(&a).await;
        soon(b.redis.connected()).await;
        let left = b.exhaust(Costs::request()).await;
        // 1 before, and about 30 meanwhile: the 20 that were under way when the server thawed, and the others later.
        assert!((58..=62).contains(&left), "{left}");
    });
}

#[test]
fn a_slow_server_is_away_and_no_call_but_the_first_waits() {
    let server = RedisServer::start();
    run(async {
        let proxy = SlowProxy::start(server.socket()).await;
        let replica = Replica::start(proxy.url(), requests(300, HOUR)).await;
        assert!(replica.passes(Costs::request()).await);
        proxy.delay(Duration::from_millis(200));
        until_away(&replica).await;
        assert_eq!(replica.redis.counts().timed_out, 1, "one had to find out");
        nobody_waits(&replica).await;
        assert!(replica.passes(Costs::request()).await);
        proxy.delay(Duration::ZERO);
        back(&replica).await;
        let before = replica.counts().asked;
        assert!(replica.passes(Costs::request()).await);
        assert_eq!(replica.counts().asked, before + 1);
    });
}

#[test]
fn what_is_settled_while_redis_is_away_is_charged_as_it_was_settled() {
    let mut server = RedisServer::start();
    run(async {
        let replica = alone(&server, 90, WhenAway::LocalShare).await;
        let requests = |amount| Costs::ZERO.with(Dimension::REQUESTS, amount);
        server.kill();
        until_away(&replica).await;
        let now = tokio::time::Instant::now();
        replica.ask(requests(20)).await.expect("it is within the share").settle(&requests(5), now);
        replica.ask(requests(25)).await.expect("what was not used came back").settle(&requests(30), now);
        server.restart();
        back(&replica).await;
        let left = replica.exhaust(requests(1)).await;
        assert!((55..=57).contains(&left), "35 were used: {left}");
    });
}

#[test]
fn who_fails_open_lets_all_pass_and_charges_them_later() {
    let server = RedisServer::start();
    run(async {
        let replica = alone(&server, 30, WhenAway::FailOpen).await;
        server.freeze();
        until_away(&replica).await;
        for _ in 0..25 {
            assert!(replica.passes(Costs::request()).await);
        }
        for _ in 0..100 {
            assert!(replica.passes(Costs::request()).await);
        }
        server.thaw();
        back(&replica).await;
        // A third of a bucket and a third of the debt is the most that one of three replicas can owe.
        assert_eq!(replica.exhaust(Costs::request()).await, 10);
    });
}

#[test]
fn who_fails_closed_lets_nobody_pass_and_says_why() {
    let server = RedisServer::start();
    run(async {
        let replica = alone(&server, 30, WhenAway::FailClosed).await;
        assert!(replica.passes(Costs::request()).await);
        server.freeze();
        until_away(&replica).await;
        let refused = replica.ask(Costs::request()).await.expect_err("nobody passes");
        assert!(refused.is_away() && !refused.is_quota() && refused.retry_after().is_none());
        let refusal = buttress_core::Refusal::from(&*refused);
        assert_eq!(refusal.kind(), buttress_core::RefusalKind::Unavailable);
        assert_eq!(refusal.message(), "the store of the rate limits is away");
        server.thaw();
        back(&replica).await;
        assert_eq!(replica.exhaust(Costs::request()).await, 29, "nothing was used meanwhile");
    });
}

#[test]
fn each_limit_goes_by_its_own_rule() {
    let mut server = RedisServer::start();
    run(async {
        // The share of the requests is 10 calls, and that of the tokens were 2.
        let both = [requests(30, HOUR).when_away(WhenAway::LocalShare), tokens(60, HOUR)];
        let set = |shared: SharedLimits| shared.when_away(WhenAway::FailOpen).lease(Duration::ZERO);
        let limits = Limits::try_new(both).expect("two limits");
        let replica = Replica::start_with(server.url(), limits, set).await;
        server.kill();
        until_away(&replica).await;
        let call = Costs::tokens(10, 0);
        assert_eq!(replica.exhaust(call).await, 10);
        let refused = replica.ask(call).await.expect_err("the share of the requests is used");
        assert!(refused.limits().map(|limit| limit.name().as_str()).eq(["requests"]));
        assert!(replica.passes(Costs::ZERO.with(Dimension::TOKENS, 1_000)).await, "tokens are not looked at");

        server.restart();
        back(&replica).await;
        // A third of the bucket and of its debt is charged for the tokens: 40 of 60.
        assert_eq!(replica.exhaust(call).await, 2);
    });
}

#[test]
fn one_limit_that_fails_closed_refuses_all_calls_under_it() {
    let mut server = RedisServer::start();
    run(async {
        let both = [requests(30, HOUR), tokens(60, HOUR).when_away(WhenAway::FailClosed)];
        let limits = Limits::try_new(both).expect("two limits");
        let replica = Replica::start(server.url(), limits).await;
        assert!(replica.passes(Costs::request()).await);
        server.kill();
        until_away(&replica).await;
        assert!(replica.ask(Costs::request()).await.expect_err("nobody passes").is_away());
        let limit = requests(30, HOUR);
        let key = replica.handle.fingerprint("other");
        assert!(replica.handle.set_override(key, limit), "there is room");
        assert!(replica.handle.reserve_shared(key, Costs::request()).await.is_ok(), "who has no such limit passes");
    });
}

#[test]
fn a_call_larger_than_the_share_passes_when_nothing_is_missing() {
    let mut server = RedisServer::start();
    run(async {
        let replica = alone(&server, 30, WhenAway::LocalShare).await;
        server.kill();
        until_away(&replica).await;
        let requests = |amount| Costs::ZERO.with(Dimension::REQUESTS, amount);
        assert!(replica.ask(requests(31)).await.expect_err("more than the limit").is_never());
        assert!(replica.passes(requests(20)).await);
        assert!(!replica.passes(requests(1)).await, "it is owed");
    });
}

#[test]
fn a_server_that_forgot_its_scripts_is_told_once_and_nobody_notices() {
    let server = RedisServer::start();
    run(async {
        let replica = alone(&server, 300, WhenAway::FailClosed).await;
        assert!(replica.passes(Costs::request()).await);
        assert!(server.tell(&["SCRIPT", "FLUSH"]).starts_with("+OK"));
        for _ in 0..10 {
            assert!(replica.passes(Costs::request()).await);
        }
        assert_eq!(replica.redis.counts().scripts_loaded, 2, "once at first, and once again");
        assert_eq!(replica.counts().away, 0);
    });
}

#[test]
fn a_server_that_restarts_empty_is_used_again() {
    let mut server = RedisServer::start();
    run(async {
        let replica = alone(&server, 30, WhenAway::LocalShare).await;
        assert_eq!(replica.exhaust(Costs::request()).await, 30);
        server.restart();
        // What is remembered is believed for a second, whatever happened.
        sleep(Duration::from_millis(1_100)).await;
        soon(async {
            while !replica.passes(Costs::request()).await {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        back(&replica).await;
        assert!(replica.exhaust(Costs::request()).await >= 28);
    });
}

#[test]
fn a_server_that_became_a_replica_is_left_until_there_is_a_primary() {
    let server = RedisServer::start();
    run(async {
        let replica = alone(&server, 300, WhenAway::LocalShare).await;
        assert!(replica.passes(Costs::request()).await);
        assert!(server.tell(&["REPLICAOF", "127.0.0.1", "1"]).starts_with("+OK"));
        let (passed, took) = timed(replica.passes(Costs::request())).await;
        assert!(passed && took < SLOWEST, "{took:?}");
        assert!(replica.counts().away >= 1);
        assert!(server.tell(&["REPLICAOF", "NO", "ONE"]).starts_with("+OK"));
        soon(async {
            let before = replica.redis.counts().answered;
            while replica.redis.counts().answered == before {
                assert!(replica.passes(Costs::request()).await);
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    });
}

#[test]
fn settlements_wait_for_redis_and_each_counts_once() {
    let server = RedisServer::start();
    run(async {
        let replica = alone(&server, 100, WhenAway::LocalShare).await;
        let requests = |amount| Costs::ZERO.with(Dimension::REQUESTS, amount);
        let mut reserved = Vec::new();
        for _ in 0..10 {
            reserved.push(replica.ask(requests(10)).await.expect("there is enough"));
        }
        server.freeze();
        // They are sent, and nobody knows whether they were carried out. They are sent again.
        for reservation in reserved {
            reservation.settle(&requests(4), tokio::time::Instant::now());
        }
        soon(replica.redis.away()).await;
        until(|| replica.counts().waiting == 10).await;
        server.thaw();
        back(&replica).await;
        until(|| replica.counts().settled == 10).await;
        sleep(Duration::from_millis(1_100)).await;
        assert_eq!(replica.exhaust(requests(1)).await, 60, "{:?}", replica.counts());
        assert_eq!(replica.counts().dropped, 0);
    });
}

#[test]
fn what_a_replica_that_crashes_had_taken_stays_charged_and_no_more() {
    let server = RedisServer::start();
    run(async {
        let set = |shared: SharedLimits| shared.lease(HOUR).replicas(NonZeroU32::MIN);
        let crashed = Replica::start_with(server.url(), requests(1_000, HOUR), set).await;
        for _ in 0..100 {
            assert!(crashed.passes(Costs::request()).await);
        }
        assert!(crashed.counts().leased > 0);
        crashed.crash();
        drop(crashed);
        let other = alone(&server, 1_000, WhenAway::LocalShare).await;
        let left = other.exhaust(Costs::request()).await;
        assert!((790..=900).contains(&left), "what was used, and a lease of a tenth and a bit: {left}");
    });
}

/// Completes when all futures have.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut all {
            if output.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *output = Some(done);
            }
        }
        let all_done = all.iter().all(|(_, output)| output.is_some());
        if all_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}
