//! A second attempt for a request that takes long.

use buttress_core::{Body, Label, ReplayBody};
use buttress_region_failover::{Hedge, HedgeCounts, HedgeRoute, RegionFailoverLayer};
use buttress_testkit::send;
use http_body_util::BodyExt as _;
use tokio::time::sleep;

use super::*;

fn slow_east() -> Reply {
    Reply::ok().after(ms(1_000))
}

/// A layer that hedges, around a probe that has answered `known` requests within 10 ms.
async fn trained(layer: Failover, known: usize) -> (Probed, Handle, Failover) {
    let layer = layer.hedge(Hedge::DEFAULT);
    let (mut service, handle) = over(&layer, []);
    for _ in 0..known {
        handle.next(Reply::ok().after(ms(10)));
        send(&mut service, get()).await.expect("an answer");
    }
    (service, handle, layer)
}

fn counts(layer: &Failover) -> (u64, u64, u64, u64) {
    let HedgeCounts { sent, won, lost, suppressed, .. } = layer.handle().hedges();
    (sent, won, lost, suppressed)
}

fn pending(layer: &Failover) -> Vec<u32> {
    layer.handle().list(Instant::now()).iter().map(|report| report.pending).collect()
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_is_sent_to_a_second_target_and_the_first_success_wins() {
    let (mut service, handle, layer) = trained(failover("east west"), 150).await;
    handle.next(slow_east());
    handle.next(Reply::ok().after(ms(20)));
    let (response, took) = timed(send(&mut service, get())).await;
    let response = response.expect("an answer");
    assert_eq!(served_by(&response), Some("west"));
    assert!(took >= ms(30) && took < ms(33), "after the percentile: {took:?}");
    assert_eq!((counts(&layer), pending(&layer)), ((1, 1, 0, 0), vec![0, 0]));
    let trail = trail(&response);
    drop(response);
    assert!(trail.starts_with("west;200;20ms, east;cancelled;3"), "{trail}");
    handle.assert_idle();
    let latency = layer.handle().list(Instant::now())[0].latency.expect("it was measured");
    assert!(latency >= ms(30), "it takes at least as long as it was waited for: {latency:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_may_still_win_and_the_second_is_dropped() {
    let (mut service, handle, layer) = trained(failover("east west"), 150).await;
    handle.next(Reply::ok().after(ms(30)));
    handle.next(slow_east());
    let response = send(&mut service, get()).await.expect("an answer");
    assert_eq!(served_by(&response), Some("east"));
    assert!(trail(&response).starts_with("east;200;30ms, west;cancelled;"), "{}", trail(&response));
    drop(response);
    assert_eq!((counts(&layer), pending(&layer)), ((1, 0, 1, 0), vec![0, 0]));
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn if_one_of_two_fails_the_other_goes_on_and_if_both_fail_the_walk_does() {
    let (mut service, handle, layer) = trained(failover("east west north"), 200).await;
    handle.next(Reply::status(503).after(ms(30)));
    handle.next(Reply::ok().after(ms(100)));
    let tried = trail(&send(&mut service, get()).await.expect("an answer"));
    assert!(tried.starts_with("east;503;30ms, west;200;100ms"), "{tried}");

    handle.next(Reply::ok().after(ms(100)));
    handle.next(Reply::status(503).after(ms(5)));
    let tried = trail(&send(&mut service, get()).await.expect("an answer"));
    assert!(tried.starts_with("west;503;5ms, east;200;100ms"), "{tried}");

    handle.next(Reply::status(503).after(ms(30)));
    handle.next(Reply::status(503).after(ms(30)));
    let tried = trail(&send(&mut service, get()).await.expect("an answer"));
    assert!(tried.starts_with("east;503;30ms, west;503;30ms, north;200;"), "{tried}");
    assert_eq!((counts(&layer), pending(&layer)), ((3, 1, 2, 0), vec![0, 0, 0]));
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_sooner_fails_over_as_ever() {
    let (mut service, handle, layer) = trained(failover("east west"), 150).await;
    handle.next(Reply::status(503).after(ms(5)));
    let response = send(&mut service, get()).await.expect("an answer");
    assert_eq!(trail(&response), "east;503;5ms, west;200;0ms");
    assert_eq!(counts(&layer), (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_without_samples_a_second_domain_an_attempt_or_the_right() {
    let domain = |name: &str| target(name).with_failure_domain(Label::try_new("one").expect("a valid name"));
    let one = RegionFailoverLayer::try_new([domain("east"), domain("west")]).expect("names that differ").replay(Http);
    for (layer, known, request, suppressed) in [
        (failover("east west"), 99, get(), 0),
        (one, 150, get(), 1),
        (failover("east"), 150, get(), 1),
        (failover("east west"), 150, post(), 1),
        (failover("east west"), 150, with_context(&CallContext::new(n(1))), 1),
        (failover("east west"), 49, get(), 0),
    ] {
        let (mut service, handle, layer) = trained(layer, known).await;
        handle.next(slow_east());
        let (response, took) = timed(send(&mut service, request)).await;
        assert_eq!((status(&response), took), (200, ms(1_000)));
        assert_eq!(counts(&layer), (0, 0, 0, suppressed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_draws_on_the_one_allowance() {
    let (mut service, handle, _layer) = trained(failover("east west"), 150).await;
    handle.next(slow_east());
    let context = CallContext::new(n(3));
    drop(send(&mut service, with_context(&context)).await);
    assert_eq!((context.attempts_left(), context.attempts_made()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn when_every_request_is_slow_hedging_adds_no_load_to_speak_of() {
    let (mut service, handle, layer) = trained(failover("east west"), 1_000).await;
    handle.always(Reply::ok().after(ms(500)));
    for _ in 0..1_000 {
        send(&mut service, get()).await.expect("an answer");
    }
    let (sent, _, _, suppressed) = counts(&layer);
    assert!(sent <= 25 && suppressed > 0, "{sent} sent, {suppressed} suppressed");
    assert!(handle.calls() as u64 <= 2_000 + 40, "no more than 2 % of all requests");
}

#[tokio::test(start_paused = true)]
async fn routes_are_known_apart() {
    let (mut service, handle, layer) = trained(failover("east west"), 150).await;
    let mut request = get();
    request.extensions_mut().insert(HedgeRoute::new("long prompts"));
    handle.next(slow_east());
    assert_eq!(timed(send(&mut service, request)).await.1, ms(1_000), "nothing is known of these");
    assert_eq!(counts(&layer), (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hedged_call_that_is_dropped_drops_both_attempts() {
    let (mut service, handle, layer) = trained(failover("east west"), 150).await;
    handle.next(slow_east());
    handle.next(slow_east());
    let mut call = begin(&mut service, get()).await;
    assert!(call.poll().is_pending());
    sleep(ms(15)).await;
    assert!(call.is_woken() && call.poll().is_pending());
    assert_eq!(pending(&layer), [1, 1]);
    drop(call);
    assert_eq!(pending(&layer), [0, 0]);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_sent_is_not_taken_from_the_first_attempt() {
    for (whole, targets) in [(false, "east"), (true, "east west")] {
        let layer = RegionFailoverLayer::try_new(["east", "west"].map(target)).expect("names that differ");
        let layer = layer.hedge(Hedge::DEFAULT.samples(1).extra_load(u16::MAX).slow_share(100)).repeat_all();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let upstream = service_fn(move |request: Request<ReplayBody<Body>>| {
            let name = request.extensions().get::<Target>().expect("the layer aims").name().to_string();
            seen.lock().expect("nothing panics in here").push(name);
            async move {
                let mut body = request.into_body();
                if whole {
                    while body.frame().await.is_some() {}
                }
                sleep(ms(50)).await;
                while let Some(frame) = body.frame().await {
                    assert!(frame.is_ok(), "the body was taken away");
                }
                Ok::<_, Infallible>(Response::new(Payload::default()))
            }
        });
        let mut service = layer.layer(upstream);
        let request = || Request::new(Body::from(Bytes::from_static(b"question")));
        for _ in 0..2 {
            sleep(ms(50)).await;
            send(&mut service, request()).await.expect("an answer");
            asked.lock().expect("nothing panics in here").clear();
        }
        let (_, took) = timed(send(&mut service, request())).await;
        assert!(took <= ms(160), "{took:?}");
        let asked = asked.lock().expect("nothing panics in here").join(" ");
        assert!(asked == "east" || asked == targets, "{asked}");
    }
}
