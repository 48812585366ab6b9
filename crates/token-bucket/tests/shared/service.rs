//! Calls through the layer.

use std::{convert::Infallible, num::NonZeroU32, time::Duration};

use buttress_core::{AnswerReport, Body, Payload, Usage};
use buttress_testkit::RedisServer;
use buttress_token_bucket::{Callers, Costs, Queue, TokenBucketLayer};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::support::{HOUR, Replica, SLOWEST, config, connected, requests, run, shared, soon, timed, tokens, until};

fn ask() -> Request<Payload> {
    Request::new(Payload::default())
}

async fn answer(_: Request<Payload>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::from(bytes::Bytes::from("an answer")));
    AnswerReport::of_or_new(response.extensions_mut()).count(Usage::new(10, 10));
    Ok(response)
}

#[test]
fn calls_of_two_replicas_take_from_one_bucket_and_are_settled_at_the_end_of_their_answers() {
    let server = RedisServer::start();
    run(async {
        let [a, b] = [
            Replica::start_patient(server.url(), tokens(100, HOUR), |shared| shared).await,
            Replica::start_patient(server.url(), tokens(100, HOUR), |shared| shared).await,
        ];
        let estimate = |_: &Request<Payload>| Costs::tokens(40, 60);
        let service = |replica: &Replica| replica.layer.clone().estimate(estimate).layer(service_fn(answer));
        let (first, second) = (service(&a), service(&b));
        let streaming = first.clone().oneshot(ask()).await.expect("infallible");
        assert_eq!(streaming.status(), 200);
        let refused = second.clone().oneshot(ask()).await.expect("infallible");
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["x-ratelimit-remaining-tokens"], "0", "as Redis told");
        assert!(refused.headers().contains_key("retry-after"));

        #[expect(clippy::disallowed_methods, reason = "it is bounded")]
        let body = Limited::new(streaming.into_body(), 1_000).collect().await.expect("it is whole").to_bytes();
        assert_eq!(body, "an answer");
        a.written().await;
        sleep(Duration::from_millis(1_100)).await;
        assert_eq!(b.exhaust(Costs::tokens(1, 0)).await, 80, "20 were used");
    });
}

#[test]
fn a_call_waits_for_what_another_replica_gives_back_or_time_brings() {
    let server = RedisServer::start();
    run(async {
        // One comes each 200 ms.
        let limit = requests(5, Duration::from_secs(1));
        let redis = connected(config(server.url()).command_timeout(SLOWEST * 20)).await;
        let layer = TokenBucketLayer::new(limit.clone())
            .queue(Queue::of(NonZeroU32::new(10).expect("not zero")))
            .shared(shared(redis))
            .expect("they can be shared");
        let work = Handle::current().spawn(layer.handle().sharing());
        let other = Replica::start(server.url(), limit).await;
        other.exhaust(Costs::request()).await;
        let service = layer.layer(service_fn(answer));
        let begun = Instant::now();
        for _ in 0..3 {
            let answer = soon(service.clone().oneshot(ask())).await.expect("infallible");
            assert_eq!(answer.status(), 200);
        }
        assert!(Instant::now() - begun >= Duration::from_millis(400), "they had to wait");
        assert_eq!(layer.handle().waiting(), 0);
        work.abort();
    });
}

#[test]
fn calls_that_wait_are_served_in_their_turn_and_one_that_is_dropped_holds_up_nobody() {
    let server = RedisServer::start();
    run(async {
        let redis = connected(config(server.url()).command_timeout(SLOWEST * 20)).await;
        let layer = TokenBucketLayer::new(requests(20, Duration::from_secs(1)))
            .queue(Queue::of(NonZeroU32::new(50).expect("not zero")))
            .shared(shared(redis))
            .expect("they can be shared");
        let work = Handle::current().spawn(layer.handle().sharing());
        let service = layer.layer(service_fn(answer));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            calls.spawn(service.clone().oneshot(ask()));
        }
        until(|| layer.handle().waiting() >= 10).await;
        let waits = service.clone().oneshot(ask());
        assert!(timeout(Duration::from_millis(5), waits).await.is_err(), "there are others before it");
        let answers = soon(calls.join_all()).await;
        let served = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200));
        assert_eq!(served.count(), 40);
        assert_eq!(layer.handle().waiting(), 0);
        work.abort();
    });
}

#[test]
fn a_call_that_is_dropped_while_redis_is_asked_leaves_nothing_behind() {
    let server = RedisServer::start();
    run(async {
        let replica = Replica::start(server.url(), requests(100, HOUR)).await;
        let mut service = replica.layer.layer(service_fn(answer));
        server.freeze();
        for _ in 0..10 {
            let call = service.ready().await.expect("infallible").call(ask());
            assert!(timeout(Duration::from_millis(5), call).await.is_err());
        }
        server.thaw();
        soon(replica.redis.connected()).await;
        let (answer, took) = timed(service.ready().await.expect("infallible").call(ask())).await;
        assert!(answer.is_ok_and(|answer| answer.status() == 200) && took < SLOWEST, "{took:?}");
        assert_eq!(replica.handle.waiting(), 0);
    });
}

#[test]
fn the_work_in_the_background_ends_with_the_layer() {
    let server = RedisServer::start();
    run(async {
        let redis = connected(config(server.url()).command_timeout(SLOWEST * 20)).await;
        let layer = TokenBucketLayer::<_, _, Callers>::new(requests(10, HOUR)).shared(shared(redis));
        let layer = layer.expect("they can be shared");
        let handle = layer.handle();
        let work = Handle::current().spawn(handle.sharing());
        let reserved = handle.reserve_shared(buttress_token_bucket::Fingerprint::SHARED, Costs::request()).await;
        drop((layer, handle));
        sleep(Duration::from_millis(100)).await;
        assert!(!work.is_finished(), "a reservation is left");
        reserved.expect("there is enough").cancel(Instant::now());
        soon(work).await.expect("it completes");
        let other = Replica::start(server.url(), requests(10, HOUR)).await;
        assert_eq!(other.exhaust(Costs::request()).await, 10, "and what was left was written");
    });
}
