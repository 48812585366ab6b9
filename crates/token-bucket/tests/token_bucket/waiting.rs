//! Calls that wait.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{CallContext, Payload, Refusal};
use buttress_testkit::Reply;
use buttress_token_bucket::{ByFn, ByShare, Costs, Fingerprint, Queue, RateLimited, TokenBucketLayer};
use http::Request;
use tokio::{task::LocalSet, time::Instant};
use tower::{Layer as _, Service as _, ServiceExt as _, limit::ConcurrencyLimitLayer, service_fn};

use crate::support::{ask, estimate, from, left, n, over_probe, requests, send, streams, tokens};

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn queue(length: u32) -> Queue {
    Queue::of(n(length)).max_wait(seconds(600))
}

/// A call of one tenant: its name, its size, its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call(&'static str, u64, u32);

/// Sends all calls at once, and returns when each was served, in the order in which they were.
async fn served(length: u32, calls: &[Call]) -> Vec<(Call, u64)> {
    let layer = TokenBucketLayer::new(tokens(60))
        .queue(queue(length))
        .estimate(|call: &Call| Costs::tokens(call.1, 0))
        .share(ByShare(|call: &Call| (call.0, n(call.2))))
        .plain(|refusal: Refusal| -> Result<(), Refusal> { Err(refusal) });
    // All that there is at first is taken.
    let now = Instant::now();
    layer.handle().reserve(Fingerprint::SHARED, Costs::tokens(60, 0), now).expect("the bucket is full").keep();
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let service = layer.layer(service_fn(move |call: Call| {
        noted.lock().expect("no panic").push((call, (Instant::now() - now).as_millis() as u64 / 1_000));
        std::future::ready(Ok(()))
    }));
    let tasks = LocalSet::new();
    for call in calls {
        let call = service.clone().oneshot(*call);
        tasks.spawn_local(async move { drop(call.await) });
        // Each comes a moment after the one before.
        tasks.run_until(tokio::task::yield_now()).await;
    }
    tasks.await;
    assert_eq!(layer.handle().waiting(), 0);
    std::mem::take(&mut order.lock().expect("no panic"))
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_flow_are_served_as_they_came_each_as_soon_as_there_is_enough() {
    let served = served(10, &[Call("a", 3, 1), Call("a", 20, 1), Call("a", 1, 1)]).await;
    assert_eq!(served, [(Call("a", 3, 1), 3), (Call("a", 20, 1), 23), (Call("a", 1, 1), 24)]);
}

#[tokio::test(start_paused = true)]
async fn a_large_call_is_not_starved_by_small_ones() {
    let mut calls = vec![Call("small", 1, 1), Call("large", 60, 1)];
    calls.extend([Call("small", 1, 1); 90]);
    let served = served(100, &calls).await;
    let position = served.iter().position(|(call, _)| call.0 == "large").expect("it is served");
    assert!(position <= 2, "its start is its turn: {position}");
    assert_eq!(served.len(), 92);
}

#[tokio::test(start_paused = true)]
async fn tenants_share_by_weight_however_many_calls_each_sends() {
    let mut calls = vec![Call("noisy", 1, 1); 60];
    calls.extend([Call("heavy", 1, 3); 30]);
    calls.extend([Call("light", 1, 1); 10]);
    let served = served(200, &calls).await;
    let among = |name: &str, first: usize| served[..first].iter().filter(|(call, _)| call.0 == name).count();
    let shares = ["noisy", "heavy", "light"].map(|name| among(name, 40));
    assert!(
        (7..=9).contains(&shares[0]) && (23..=25).contains(&shares[1]) && (7..=9).contains(&shares[2]),
        "{shares:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn tenants_share_by_what_their_calls_cost_and_not_by_their_number() {
    let mut calls = vec![Call("large", 10, 1); 10];
    calls.extend([Call("small", 1, 1); 80]);
    let served = served(200, &calls).await;
    let tokens =
        |name: &str| served[..50].iter().filter(|(call, _)| call.0 == name).map(|(call, _)| call.1).sum::<u64>();
    let [large, small] = ["large", "small"].map(tokens);
    assert!(large.abs_diff(small) <= 10, "{large} and {small}");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_from_the_longest_flow_for_one_that_has_few() {
    let mut calls = vec![Call("noisy", 1, 1); 10];
    calls.push(Call("quiet", 1, 1));
    calls.push(Call("noisy", 1, 1));
    let served = served(10, &calls).await;
    assert_eq!(served.len(), 10);
    assert_eq!(served.iter().filter(|(call, _)| call.0 == "quiet").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_to_make_room_in_a_full_queue_is_told_so_at_once() {
    let layer = TokenBucketLayer::new(tokens(60))
        .queue(queue(2))
        .estimate(|_: &&str| Costs::tokens(10, 0))
        .share(ByShare(|name: &&'static str| (*name, n(1))))
        .plain(|refusal: Refusal| -> Result<(), Refusal> { Err(refusal) });
    let now = Instant::now();
    layer.handle().reserve(Fingerprint::SHARED, Costs::tokens(60, 0), now).expect("the bucket is full").keep();
    let service = layer.layer(service_fn(|_: &str| std::future::ready(Ok::<_, Refusal>(()))));
    let mut calls =
        ["noisy", "noisy", "quiet"].map(|name| tokio_test::task::spawn(Box::pin(service.clone().oneshot(name))));
    calls.iter_mut().for_each(|call| tokio_test::assert_pending!(call.poll()));
    assert_eq!([0, 1, 2].map(|at| calls[at].is_woken()), [false, true, false], "the latest of the flow that has most");
    let refused = tokio_test::assert_ready!(calls[1].poll()).expect_err("its place is another's");
    assert_eq!(refused.kind(), buttress_core::RefusalKind::RateLimited);
    assert_eq!((layer.handle().waiting(), Instant::now()), (2, now));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_can_never_fit_or_not_in_time_is_told_at_once() {
    let layer = TokenBucketLayer::new(tokens(60)).queue(queue(10).max_wait(seconds(30))).estimate(estimate);
    let (service, probe) = over_probe(&layer);
    let begun = Instant::now();
    let never = send(&service, ask(61, 0)).await;
    assert_eq!((never.status().as_u16(), never.headers().get("retry-after")), (413, None));
    assert!(never.extensions().get::<RateLimited>().expect("the reason").is_never());
    drop(send(&service, ask(60, 0)).await);
    let late = send(&service, ask(31, 0)).await;
    assert_eq!((late.status().as_u16(), late.headers()["retry-after"].to_str().expect("text")), (429, "31"));

    let mut hurried = ask(20, 0);
    CallContext::of_or_insert(&mut hurried, n(1)).limit_deadline(Instant::now() + seconds(19));
    assert_eq!(send(&service, hurried).await.status(), 429);
    let mut too_late = ask(20, 0);
    CallContext::of_or_insert(&mut too_late, n(1)).limit_deadline(Instant::now());
    assert_eq!(send(&service, too_late).await.status(), 504);
    assert_eq!((Instant::now(), probe.calls(), layer.handle().waiting()), (begun, 1, 0), "and nobody has waited");
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_a_call_that_waits() {
    let layer = TokenBucketLayer::new(tokens(60)).queue(queue(10)).estimate(estimate);
    let (service, _probe) = over_probe(&layer);
    drop(send(&service, ask(50, 0)).await);
    let mut large = Box::pin(service.clone().oneshot(ask(40, 0)));
    assert!(is_pending(large.as_mut()).await);
    let begun = Instant::now();
    let mut small = Box::pin(service.clone().oneshot(ask(1, 0)));
    assert!(is_pending(small.as_mut()).await, "there would be enough for it");
    large.await.expect("it is served");
    assert_eq!((Instant::now() - begun).as_secs(), 30);
    small.await.expect("it is served");
    assert_eq!((Instant::now() - begun).as_secs(), 31);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_wakes_who_waits() {
    let layer = TokenBucketLayer::new(tokens(60)).queue(queue(10)).estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(streams(None));
    let streaming = send(&service, ask(10, 50)).await;
    let mut next = tokio_test::task::spawn(service.clone().oneshot(ask(20, 0)));
    tokio_test::assert_pending!(next.poll());
    drop(streaming);
    assert!(next.is_woken());
    assert_eq!(tokio_test::assert_ready!(next.poll()).expect("it is served").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_away_leaves_no_gap_and_holds_nothing() {
    let layer = TokenBucketLayer::new(tokens(60)).queue(queue(10)).estimate(estimate);
    let (service, probe) = over_probe(&layer);
    drop(send(&service, ask(60, 0)).await);
    let level = left(&layer.handle());
    let mut first = tokio_test::task::spawn(service.clone().oneshot(ask(50, 0)));
    let mut second = tokio_test::task::spawn(service.clone().oneshot(ask(5, 0)));
    tokio_test::assert_pending!(first.poll());
    tokio_test::assert_pending!(second.poll());
    assert_eq!((left(&layer.handle()), layer.handle().waiting()), (level, 2), "waiting takes nothing");
    drop(first);
    assert!(second.is_woken(), "it is first now");
    tokio_test::assert_pending!(second.poll());
    drop(second);
    assert_eq!((layer.handle().waiting(), probe.calls()), (0, 1));
    tokio::time::advance(seconds(60)).await;
    assert_eq!(left(&layer.handle()), [60]);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_that_wait_are_woken_when_it_is_their_turn_and_not_before() {
    let layer = TokenBucketLayer::new(requests(60)).queue(queue(200));
    let (service, _probe) = over_probe(&layer);
    layer
        .handle()
        .reserve(
            Fingerprint::SHARED,
            Costs::request().with(buttress_token_bucket::Dimension::REQUESTS, 60),
            Instant::now(),
        )
        .expect("full")
        .keep();
    let polls = Arc::new(Mutex::new(0));
    let tasks = LocalSet::new();
    for _ in 0..200 {
        let (mut call, polls) = (Box::pin(service.clone().oneshot(ask(0, 0))), Arc::clone(&polls));
        tasks.spawn_local(std::future::poll_fn(move |cx| {
            *polls.lock().unwrap() += 1;
            call.as_mut().poll(cx).map(|answer| assert_eq!(answer.expect("an answer").status(), 200))
        }));
    }
    tasks.await;
    let polls = *polls.lock().unwrap();
    assert!(polls <= 200 * 4, "one to begin, one to be first, one or two to be served: {polls}, not n²/2");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_keeps_no_place_of_the_inner_service() {
    let layer = TokenBucketLayer::new(requests(1))
        .queue(queue(10).max_wait(seconds(120)))
        .keyed(ByFn(|request: &u64| *request))
        .plain(|refusal: Refusal| -> Result<u64, Refusal> { Err(refusal) });
    let shared =
        ConcurrencyLimitLayer::new(1).layer(service_fn(|request: u64| std::future::ready(Ok::<_, Refusal>(request))));
    let mut service = layer.layer(shared.clone());
    service.ready().await.expect("it is ready").call(1).await.expect("it is served");
    let mut waits = Box::pin(service.ready().await.expect("it is ready").call(1));
    assert!(is_pending(waits.as_mut()).await);
    // Another user of the inner service finds it free.
    let begun = Instant::now();
    let mut other = shared.clone();
    other.ready().await.expect("it is ready");
    assert_eq!(Instant::now(), begun);
    // It is this call's turn, but the inner service is another's: what it took goes back.
    tokio::time::advance(seconds(61)).await;
    assert!(is_pending(waits.as_mut()).await);
    assert_eq!(crate::support::left_of(&layer.handle(), layer.handle().fingerprint(&1_u64)), [1]);
    drop(other);
    assert_eq!(waits.await, Ok(1));
    assert_eq!(layer.handle().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_inner_service_that_is_never_ready_is_refused_in_time() {
    let layer = TokenBucketLayer::new(requests(60)).queue(queue(10).max_wait(seconds(5)));
    let (mut service, probe) = over_probe(&layer);
    layer
        .handle()
        .reserve(Fingerprint::SHARED, Costs::ZERO.with(buttress_token_bucket::Dimension::REQUESTS, 60), Instant::now())
        .expect("full")
        .keep();
    let call = tower::ServiceExt::<Request<Payload>>::ready(&mut service).await.expect("it is ready").call(ask(0, 0));
    probe.be_unready();
    let begun = Instant::now();
    let refused = call.await.expect("a refusal is a response");
    assert_eq!((refused.status().as_u16(), (Instant::now() - begun).as_secs()), (429, 5));
    assert_eq!((layer.handle().waiting(), left(&layer.handle())), (0, vec![5]));
    probe.be_ready();
    probe.fail_readiness("broken");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_those_who_wait_is_bounded_for_each_key_and_for_all() {
    let queue = queue(3).total(std::num::NonZeroUsize::new(5).expect("not zero"));
    let layer = TokenBucketLayer::new(requests(1)).queue(queue).keyed(buttress_token_bucket::ByApiKey);
    let (service, _probe) = over_probe(&layer);
    let mut waiting = Vec::new();
    for (key, room) in [("a", 3), ("b", 2), ("c", 0)] {
        drop(send(&service, from(key, 0, 0)).await);
        for turn in 0..10 {
            let mut call = Box::pin(service.clone().oneshot(from(key, 0, 0)));
            assert_eq!(is_pending(call.as_mut()).await, turn < room, "{key} {turn}");
            waiting.push(call);
        }
    }
    assert_eq!(layer.handle().waiting(), 5);
    drop(waiting);
    assert_eq!(layer.handle().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn limits_that_are_raised_let_those_pass_who_wait() {
    let layer = TokenBucketLayer::new(requests(1)).queue(queue(3));
    let (service, probe) = over_probe(&layer);
    probe.always(Reply::ok());
    drop(send(&service, ask(0, 0)).await);
    let mut call = tokio_test::task::spawn(service.clone().oneshot(ask(0, 0)));
    tokio_test::assert_pending!(call.poll());
    assert!(layer.handle().set_tier("default", requests(5)));
    assert!(call.is_woken());
    assert_eq!(tokio_test::assert_ready!(call.poll()).expect("an answer").status(), 200);
    assert_eq!(left(&layer.handle()), [3]);
}

async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
