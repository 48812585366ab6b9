//! What an operator, or the layer before a target, can do.

use std::time::Duration;

use buttress_core::{Headroom, Measure, Payload, Refusal, Room};
use buttress_token_bucket::{ByApiKey, Charge, Costs, Dimension, Settling, TokenBucketLayer};
use http::Request;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{MINUTE, ask, both, ends, estimate, from, left, left_of, over_probe, requests, send, tokens};

#[tokio::test(start_paused = true)]
async fn keys_are_listed_up_to_a_number_and_can_be_reset() {
    let layer = TokenBucketLayer::new(requests(5)).keyed(ByApiKey);
    let (service, _probe) = over_probe(&layer);
    let handle = layer.handle();
    for key in ["a", "b", "b", "c"] {
        drop(send(&service, from(key, 0, 0)).await);
    }
    let now = Instant::now();
    assert_eq!([0, 2, 9].map(|most| handle.list(most, now).len()), [0, 2, 3]);
    let b = handle.fingerprint("b");
    let listed = handle.list(9, now).into_iter().find(|(key, _)| *key == b).expect("it is listed");
    assert_eq!((listed.1[0].level, listed.1[0].limit.name().as_str()), (3, "requests"));
    handle.reset(b, now);
    assert_eq!(left_of(&handle, b), [5]);
    handle.reset(handle.fingerprint("unknown"), now);
    assert_eq!(handle.keys(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_for_good_is_taken_whole_or_not_at_all() {
    let handle = TokenBucketLayer::new(both(60, 600)).handle();
    let (key, now) = (handle.fingerprint("a"), Instant::now());
    handle.take(key, &Costs::tokens(500, 0), now).expect("there is enough");
    assert_eq!(left_of(&handle, key), [59, 100]);
    let short = handle.take(key, &Costs::tokens(101, 0), now).expect_err("there is not");
    assert_eq!(short.wait(), Some(Duration::from_millis(100)));
    assert_eq!(left_of(&handle, key), [59, 100]);
    handle.take(key, &Costs::tokens(101, 0), now + Duration::from_millis(100)).expect("it has come");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_tell_is_charged_as_it_is_set_up_however_it_ends() {
    for (settling, costs, after_failure, after_drop) in [
        (Settling::default(), Costs::request(), 9, 8),
        (Settling::default().failed(Charge::Nothing), Costs::request(), 10, 9),
        (Settling::default().dropped(Charge::Nothing), Costs::request(), 9, 9),
        (Settling::default().dropped(Charge::Nothing), Costs::tokens(7, 7), 9, 9),
    ] {
        let layer = TokenBucketLayer::new(requests(10)).settling(settling);
        let handle = layer.handle();
        let layer = layer.estimate(move |_: &bool| costs).plain(|_: Refusal| -> Result<(), ()> { Err(()) });
        let service = layer
            .layer(service_fn(|fails: bool| async move { if fails { Err(()) } else { std::future::pending().await } }));
        service.clone().oneshot(true).await.expect_err("it fails");
        assert_eq!(left(&handle), [after_failure]);
        let mut hangs = tokio_test::task::spawn(service.oneshot(false));
        assert!(hangs.poll().is_pending());
        drop(hangs);
        assert_eq!(left(&handle), [after_drop]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_never_called_stands_as_its_tier_does() {
    let tiers = [("small", requests(5).into()), ("large", both(60, 600))];
    let layer = TokenBucketLayer::new(requests(1)).keyed(ByApiKey).tiered(tiers, |_: &Request<Payload>| 1);
    let layer = layer.expect("the tiers are good");
    let (service, _probe) = over_probe(&layer);
    let (handle, now) = (layer.handle(), Instant::now());
    let under = |tier, name: &str| {
        let standings = handle.standings_under(tier, handle.fingerprint(name), now);
        standings.iter().map(|standing| standing.level).collect::<Vec<_>>()
    };
    assert_eq!((under(0, "a"), under(1, "a"), under(usize::MAX, "a")), (vec![5], vec![60, 600], vec![5]));
    drop(send(&service, from("a", 0, 0)).await);
    assert_eq!(under(0, "a"), [59, 600], "of a key that is known, its own tier counts");
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_says_is_left_shapes_what_is_sent_to_it() {
    let layer = TokenBucketLayer::new(both(60, 600));
    let (service, _probe) = over_probe(&layer);
    let (handle, all) = (layer.handle(), buttress_token_bucket::Fingerprint::SHARED);
    let observe = |dimension, left, seconds| {
        handle.observe(all, dimension, left, Duration::from_secs(seconds), Instant::now());
    };
    observe(Dimension::REQUESTS, 1, 59);
    assert_eq!(left(&handle), [1, 600]);
    assert_eq!(send(&service, ask(0, 0)).await.status(), 200);
    let refused = send(&service, ask(0, 0)).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().expect("text")), (429, "1"));
    observe(Dimension::REQUESTS, 50, 1);
    assert_eq!(left(&handle), [0, 600], "a word that comes late raises nothing");
    observe(Dimension::TOKENS, 0, 90);
    assert_eq!(left(&handle), [0, -300]);
}

#[tokio::test(start_paused = true)]
async fn check_takes_nothing_and_a_reservation_by_hand_is_settled_once() {
    let handle = TokenBucketLayer::new(tokens(100)).handle();
    let key = handle.fingerprint("batch");
    let now = Instant::now();
    let costs = Costs::tokens(60, 0);
    assert!(handle.check(key, &costs, now).is_ok());
    let reservation = handle.reserve(key, costs, now).expect("it is full");
    assert_eq!((reservation.costs().amount(Dimension::TOKENS), reservation.key()), (60, key));
    let short = handle.check(key, &costs, now).expect_err("40 are left");
    assert_eq!((short.wait(), short.is_never()), (Some(Duration::from_secs(12)), false));
    drop(reservation);
    assert_eq!(left_of(&handle, key), [40], "dropped: charged in full");
    let never = handle.reserve(key, Costs::tokens(101, 0), now).expect_err("it never fits");
    assert!(never.is_never() && never.wait().is_none());
    let unknown = handle.fingerprint("unknown");
    assert!(handle.check(unknown, &Costs::tokens(101, 0), now).expect_err("it never fits").is_never());
}

fn told(left: u64) -> buttress_testkit::Reply {
    let headroom = Headroom::default()
        .with_measured(Measure::Requests, Room::new(90, Some(100), MINUTE))
        .with_measured(Measure::Tokens, Room::new(left, Some(1_000), MINUTE));
    ends(Some(buttress_core::Usage::new(10, 10))).extension(headroom)
}

#[tokio::test(start_paused = true)]
async fn a_layer_beneath_a_target_heeds_what_answers_say_is_left() {
    let layer = TokenBucketLayer::new(both(100, 1_000)).heed_headroom().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(told(300));
    let answer = send(&service, ask(100, 100)).await;
    assert_eq!(left(&layer.handle()), [90, 300], "others use it too");
    drop(answer);
    assert_eq!(left(&layer.handle()), [90, 300], "what came back was in the provider's word already");
    tokio::time::advance(MINUTE / 10).await;
    assert_eq!(left(&layer.handle()), [100, 400], "time brings it back");
    probe.always(told(700));
    drop(send(&service, ask(0, 0)).await);
    assert_eq!(left(&layer.handle())[1], 380, "no level is raised");
}

#[tokio::test(start_paused = true)]
async fn what_came_since_an_answer_began_is_there_at_its_end() {
    let layer = TokenBucketLayer::new(both(100, 1_000)).heed_headroom().estimate(estimate);
    let (service, probe) = over_probe(&layer);
    probe.always(told(300));
    let answer = send(&service, ask(300, 300)).await;
    assert_eq!(left(&layer.handle())[1], 300);
    tokio::time::advance(MINUTE / 4).await;
    drop(answer);
    assert_eq!(left(&layer.handle())[1], 550, "300, and a quarter of a minute's tokens");
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_not_told_to_heeds_nothing() {
    let layer = TokenBucketLayer::new(both(100, 1_000));
    let (service, probe) = over_probe(&layer);
    probe.always(told(0));
    drop(send(&service, ask(0, 0)).await);
    assert_eq!(left(&layer.handle())[0], 99);
}
