//! The end of a process, long outages, and calls that wait for Redis's word.

use std::{convert::Infallible, num::NonZeroU32, num::NonZeroUsize, time::Duration};

use buttress_core::{Body, Payload, Refusal, RefusalKind};
use buttress_redis::{Config, Redis};
use buttress_testkit::RedisServer;
use buttress_token_bucket::{
    Costs, Dimension, Fingerprint, Queue, RateLimited, Reservation, SharedLimits, TokenBucketLayer, WhenAway,
};
use http::{Request, Response};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{HOUR, Replica, SLOWEST, config, connected, missing, requests, run, shared, soon, tokens, until};

async fn answer(_: Request<Payload>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::empty()))
}

fn ask() -> Request<Payload> {
    Request::new(Payload::default())
}

fn patient(url: String) -> Config {
    config(url).command_timeout(SLOWEST * 20)
}

#[test]
fn what_is_leased_goes_back_when_the_layer_goes() {
    let server = RedisServer::start();
    run(async {
        let redis = connected(patient(server.url())).await;
        let limits = shared(redis).lease(Duration::from_secs(10));
        let layer = TokenBucketLayer::new(requests(10_000, HOUR * 24)).shared(limits).expect("they can be shared");
        let handle = layer.handle();
        let work = Handle::current().spawn(handle.sharing());
        for _ in 0..100 {
            let reserved = handle.reserve_shared(Fingerprint::SHARED, Costs::request()).await;
            reserved.expect("there is enough").keep();
        }
        assert!(handle.shared_counts().expect("they are shared").leased > 0);
        drop((layer, handle));
        soon(work).await.expect("it completes");
        let other =
            Replica::start_patient(server.url(), requests(10_000, HOUR * 24), |shared| shared.lease(Duration::ZERO));
        let left = other.await.exhaust(Costs::request()).await;
        assert!((9_900..=9_950).contains(&left), "all but the hundred, and what came meanwhile: {left}");
    });
}

#[test]
fn a_process_that_ends_can_give_back_what_it_has_leased_and_write_what_waits() {
    let server = RedisServer::start();
    run(async {
        let set = |shared: SharedLimits| shared.lease(Duration::from_secs(10));
        let ends = Replica::start_patient(server.url(), requests(10_000, HOUR * 24), set).await;
        for _ in 0..100 {
            assert!(ends.passes(Costs::request()).await);
        }
        assert!(ends.counts().leased > 0);
        let open = ends.ask(Costs::request()).await.expect("there is enough");
        open.cancel(Instant::now());
        assert!(soon(ends.handle.hand_back()).await, "Redis is there");
        assert_eq!(ends.counts().waiting, 0);
        ends.crash();
        let other =
            Replica::start_patient(server.url(), requests(10_000, HOUR * 24), |shared| shared.lease(Duration::ZERO));
        let left = other.await.exhaust(Costs::request()).await;
        assert!((9_900..=9_950).contains(&left), "all but the hundred, and what came meanwhile: {left}");
    });
}

#[test]
fn nobody_waits_to_hand_back_while_redis_is_away() {
    run(async {
        let redis = Redis::spawn_on(&Handle::current(), config("redis://127.0.0.1:1".to_owned())).expect("allowed");
        let layer = TokenBucketLayer::new(requests(10, HOUR)).shared(shared(redis)).expect("they can be shared");
        let handle = layer.handle();
        let _work = Handle::current().spawn(handle.sharing());
        handle.reserve(Fingerprint::SHARED, Costs::request(), Instant::now()).expect("it is full").keep();
        assert!(!soon(handle.hand_back()).await);
    });
}

#[test]
fn who_waits_learns_soon_of_what_another_replica_has_given_back() {
    let server = RedisServer::start();
    run(async {
        // One comes each 36 s.
        let limit = tokens(100, HOUR);
        let other = Replica::start_patient(server.url(), limit.clone(), |shared| shared.lease(Duration::ZERO)).await;
        let reserved = other.ask(Costs::tokens(100, 0)).await.expect("it is full");
        let layer = TokenBucketLayer::new(limit)
            .queue(Queue::of(NonZeroU32::new(10).expect("not zero")).max_wait(HOUR * 2))
            .estimate(|_: &Request<Payload>| Costs::tokens(90, 0))
            .shared(shared(connected(patient(server.url())).await))
            .expect("they can be shared");
        let _work = Handle::current().spawn(layer.handle().sharing());
        let waits = Handle::current().spawn(layer.layer(service_fn(answer)).oneshot(ask()));
        until(|| layer.handle().waiting() == 1).await;
        sleep(Duration::from_millis(50)).await;
        reserved.cancel(Instant::now());
        let answer = soon(waits).await.expect("no panic").expect("infallible");
        assert_eq!(answer.status(), 200);
    });
}

#[test]
fn who_waits_under_a_limit_that_fails_closed_is_told_that_redis_is_away() {
    let mut server = RedisServer::start();
    run(async {
        let layer = TokenBucketLayer::new(requests(10, HOUR))
            .queue(Queue::of(NonZeroU32::new(10).expect("not zero")).max_wait(HOUR))
            .shared(shared(connected(config(server.url())).await).when_away(WhenAway::FailClosed))
            .expect("they can be shared");
        let handle = layer.handle();
        let _work = Handle::current().spawn(handle.sharing());
        let ten = Costs::ZERO.with(Dimension::REQUESTS, 10);
        while handle.reserve_shared(Fingerprint::SHARED, ten).await.map(Reservation::keep).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        let waits = Handle::current().spawn(layer.layer(service_fn(answer)).oneshot(ask()));
        until(|| handle.waiting() == 1).await;
        server.kill();
        let refused = soon(waits).await.expect("no panic").expect("infallible");
        assert_eq!(refused.status(), 503);
        assert!(refused.extensions().get::<RateLimited>().expect("the reason").is_away());
        assert_eq!(refused.extensions().get::<Refusal>().expect("the refusal").kind(), RefusalKind::Unavailable);
        assert_eq!(handle.waiting(), 0);
    });
}

#[test]
fn keys_that_are_full_again_are_forgotten_however_long_redis_is_away() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        // Nobody listens there.
        let redis = Redis::spawn_on(&Handle::current(), config("redis://127.0.0.1:1".to_owned())).expect("allowed");
        tokio::time::pause();
        let layer = TokenBucketLayer::new(requests(10, Duration::from_secs(10)))
            .max_keys(NonZeroUsize::new(20).expect("not zero"))
            .shared(shared(redis))
            .expect("they can be shared");
        let handle = layer.handle();
        for number in 0..1_000_u32 {
            let key = handle.fingerprint(&number);
            handle.reserve_shared(key, Costs::request()).await.expect("a key of its own has its share").keep();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(handle.overflowed(), 0, "of {} keys, hardly any is in use", handle.keys());
        // What was reserved long ago and is given back now makes nothing, and what is owed is owed.
        let key = handle.fingerprint("slow");
        let [less, more] = [
            handle.reserve_shared(key, Costs::request()).await.expect("it is full"),
            handle.reserve_shared(key, Costs::request()).await.expect("there is enough"),
        ];
        tokio::time::advance(HOUR).await;
        handle.sweep(Instant::now());
        assert_eq!(handle.keys(), 0);
        less.cancel(Instant::now());
        more.settle(&Costs::ZERO.with(Dimension::REQUESTS, 3), Instant::now());
        assert_eq!(handle.standings(key, Instant::now())[0].level, 4, "two more, three times");
        assert_eq!(handle.shared_counts().expect("they are shared").waiting, 0, "it is charged when Redis is back");
    });
}

#[test]
fn all_that_is_done_with_a_key_is_done_in_one_slot_of_a_cluster() {
    // A node that has all slots, and yet refuses a script whose keys are in two.
    let server = RedisServer::start_on_port(&["--cluster-enabled", "yes"]);
    assert!(server.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).starts_with("+OK"));
    run(async {
        until(|| server.tell(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
        let set = |shared: SharedLimits| shared.lease(Duration::from_secs(10));
        let replica = Replica::start_patient(server.url(), requests(10_000, HOUR), set).await;
        for number in 0..20_u32 {
            let key = replica.handle.fingerprint(&number);
            let reserved = replica.handle.reserve_shared(key, Costs::request()).await.expect("there is enough");
            reserved.cancel(Instant::now());
            replica.handle.observe(key, Dimension::REQUESTS, 5, HOUR, Instant::now());
            replica.handle.reset(key, Instant::now());
        }
        for _ in 0..20 {
            assert!(replica.passes(Costs::request()).await);
        }
        assert!(soon(replica.handle.hand_back()).await);
        let (counts, redis) = (replica.counts(), replica.redis.counts());
        assert_eq!((counts.dropped, counts.away, redis.refused), (0, 0, 0), "{counts:?} {redis:?}");
        assert!(counts.settled >= 61 && counts.leased > 0, "{counts:?}");
    });
}

#[test]
fn what_is_leased_under_limits_that_have_changed_meanwhile_goes_back() {
    let server = RedisServer::start();
    run(async {
        let day = HOUR * 24;
        let set = |shared: SharedLimits| shared.lease(Duration::from_secs(10));
        let replica = Replica::start_patient(server.url(), requests(10_000, day), set).await;
        for _ in 0..7 {
            assert!(replica.passes(Costs::request()).await);
        }
        // The eighth takes some in advance.
        server.freeze();
        let handle = replica.handle.clone();
        let eighth = Handle::current().spawn(async move {
            handle.reserve_shared(Fingerprint::SHARED, Costs::request()).await.map(Reservation::keep).is_ok()
        });
        until(|| replica.counts().asked == 8).await;
        sleep(Duration::from_millis(20)).await;
        assert!(replica.handle.set_tier("default", requests(10_001, day)));
        server.thaw();
        assert!(soon(eighth).await.expect("no panic"));
        replica.written().await;
        assert_eq!(missing(&server), 8, "those that passed, and none in advance");
        assert_eq!(replica.counts().settled, 1, "what was leased came back");
    });
}

#[test]
fn what_was_taken_under_limits_that_have_changed_makes_no_token_when_it_comes_back() {
    let server = RedisServer::start();
    run(async {
        let set = |shared: SharedLimits| shared.lease(Duration::ZERO);
        let replica = Replica::start_patient(server.url(), requests(100, HOUR * 24), set).await;
        let sixty = replica.ask(Costs::ZERO.with(Dimension::REQUESTS, 60)).await.expect("it is full");
        assert!(replica.handle.set_tier("default", requests(130, HOUR * 24)));
        assert!(replica.passes(Costs::request()).await);
        sixty.settle(&Costs::ZERO.with(Dimension::REQUESTS, 62), Instant::now());
        replica.written().await;
        let other = Replica::start_patient(server.url(), requests(130, HOUR * 24), set).await;
        assert_eq!(other.exhaust(Costs::request()).await, 130 - 62 - 1, "what is owed is owed");
        assert!(other.handle.set_tier("default", requests(200, HOUR * 24)));
        let five = Costs::ZERO.with(Dimension::REQUESTS, 5);
        let taken = other.ask(five).await.expect("there is more now");
        assert!(other.handle.set_tier("default", requests(201, HOUR * 24)));
        taken.cancel(Instant::now());
        other.written().await;
        assert_eq!(other.exhaust(Costs::request()).await, 201 - 130 - 5, "nothing comes back");
    });
}

#[test]
fn what_is_taken_by_hand_is_taken_under_the_tier_that_the_key_came_under_last() {
    let server = RedisServer::start();
    run(async {
        let redis = connected(config(server.url()).command_timeout(Duration::from_secs(20))).await;
        let layer = TokenBucketLayer::new(requests(1, HOUR * 24))
            .tiered(
                [("free", requests(2, HOUR * 24).into()), ("paid", requests(9, HOUR * 24).into())],
                |_: &Request<Payload>| 1,
            )
            .expect("two tiers")
            .shared(shared(redis).lease(Duration::ZERO))
            .expect("they can be shared");
        let service = layer.layer(service_fn(answer));
        let status = service.oneshot(Request::new(Payload::default())).await.expect("it answers").status();
        assert_eq!(status, 200);
        let (handle, key) = (layer.handle(), Fingerprint::SHARED);
        for left in (5..8).rev() {
            handle.reserve_shared(key, Costs::request()).await.expect("a paid key has nine").keep();
            assert_eq!(handle.standings(key, Instant::now())[0].level, left);
        }
        assert!(handle.take(key, &Costs::request(), Instant::now()).is_ok());
        assert_eq!(handle.standings(key, Instant::now())[0].level, 4);
    });
}
