//! Whose buckets calls take from, and how many there are.

use std::{net::IpAddr, num::NonZeroUsize};

use buttress_core::Payload;
use buttress_token_bucket::{ByApiKey, ByFn, ByIp, Costs, Fingerprint, Reservation, TokenBucketLayer};
use http::{Extensions, Request};
use tokio::time::Instant;

use crate::support::{ask, both, from, left_of, over_probe, requests, send, tokens};

fn most(keys: usize) -> NonZeroUsize {
    NonZeroUsize::new(keys).expect("not zero")
}

fn numbered() -> ByFn<fn(&Request<Payload>) -> u64> {
    ByFn(|request| {
        let value = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    })
}

#[tokio::test(start_paused = true)]
async fn keys_have_buckets_of_their_own() {
    let layer = TokenBucketLayer::new(requests(1)).keyed(ByApiKey);
    let (service, _probe) = over_probe(&layer);
    assert_eq!(send(&service, from("a", 0, 0)).await.status(), 200);
    assert_eq!(send(&service, from("a", 0, 0)).await.status(), 429);
    assert_eq!(send(&service, from("b", 0, 0)).await.status(), 200);
    assert_eq!(send(&service, ask(0, 0)).await.status(), 200, "without a key");
    assert_eq!(send(&service, ask(0, 0)).await.status(), 429, "all without a key are one");
    assert_eq!(layer.handle().keys(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_take_the_room_of_a_thousand_and_busy_ones_are_not_forgotten() {
    let layer = TokenBucketLayer::new(requests(10)).max_keys(most(1_000));
    let handle = layer.handle();
    let busy: Vec<_> = (0..100).map(|key: u64| handle.fingerprint(&("busy", key))).collect();
    for key in &busy {
        handle.reserve(*key, ten(), Instant::now()).expect("it is full").keep();
    }
    let now = Instant::now();
    for key in 0..1_000_000_u64 {
        // Each of them is done with at once.
        handle.reserve(handle.fingerprint(&key), Costs::ZERO, now).expect("nothing is asked for").keep();
    }
    assert!(handle.keys() <= 1_000, "{}", handle.keys());
    assert!(busy.iter().all(|key| left_of(&handle, *key) == [0]), "no debt is forgotten");
    assert!(handle.evicted() > 900_000);
}

fn ten() -> Costs {
    Costs::ZERO.with(buttress_token_bucket::Dimension::REQUESTS, 10)
}

#[tokio::test(start_paused = true)]
async fn where_all_keys_are_busy_new_ones_share_one_bucket_and_are_not_without_a_limit() {
    let layer = TokenBucketLayer::new(requests(10)).max_keys(most(50)).keyed(numbered());
    let (service, probe) = over_probe(&layer);
    let mut served = 0;
    for key in 1..=2_000_u64 {
        served += u64::from(send(&service, from(&key.to_string(), 0, 0)).await.status() == 200);
    }
    assert_eq!((served, probe.calls()), (60, 60), "50 keys once each, and 10 for all the others");
    assert_eq!((layer.handle().keys(), layer.handle().overflowed()), (50, 1_950));
    let refused = send(&service, from("9999", 0, 0)).await;
    assert_eq!(refused.headers()["x-ratelimit-remaining-requests"], "0", "of the bucket that it takes from");
    // An operator's word is kept in any case.
    let named = layer.handle().fingerprint(&77_777_u64);
    assert!(layer.handle().set_override(named, requests(2)));
    assert_eq!(send(&service, from("77777", 0, 0)).await.status(), 200);
    assert_eq!(left_of(&layer.handle(), named), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_debt_of_a_key_that_was_forgotten_meanwhile_is_remembered() {
    let layer = TokenBucketLayer::new(tokens(600));
    let handle = layer.handle();
    let key = handle.fingerprint("a");
    let reservation = handle.reserve(key, Costs::tokens(500, 0), Instant::now()).expect("it is full");
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!((handle.sweep(Instant::now()), handle.keys()), (1, 0));
    reservation.settle(&Costs::tokens(1_200, 0), Instant::now());
    assert_eq!(left_of(&handle, key), [-100]);
    let reservation =
        handle.reserve(handle.fingerprint("b"), Costs::tokens(500, 0), Instant::now()).expect("it is full");
    tokio::time::advance(std::time::Duration::from_secs(600)).await;
    handle.sweep(Instant::now());
    reservation.cancel(Instant::now());
    assert_eq!(left_of(&handle, handle.fingerprint("b")), [600], "and never more than full");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_made_up_anew_for_each_call_gains_nothing() {
    let by_ip = ByIp::new(|extensions: &Extensions| extensions.get::<IpAddr>().copied())
        .trusting(["10.0.0.0/8".parse().expect("a network")]);
    let layer = TokenBucketLayer::new(requests(1)).keyed(by_ip);
    let (service, probe) = over_probe(&layer);
    for turn in 0..100_u8 {
        for (peer, forwarded) in [
            ("203.0.113.9".to_owned(), format!("1.2.3.{turn}")),
            // The trusted proxy adds what it sees to what the caller wrote.
            ("10.0.0.1".to_owned(), format!("1.2.3.{turn}, 198.51.100.7")),
            (format!("2001:db8:1:2::{turn:x}"), format!("1.2.3.{turn}")),
        ] {
            let mut request = ask(0, 0);
            request.extensions_mut().insert(peer.parse::<IpAddr>().expect("an address"));
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().expect("a value"));
            let status = send(&service, request).await.status();
            assert_eq!(status == 200, turn == 0, "{peer} {forwarded}");
        }
    }
    assert_eq!((probe.calls(), layer.handle().keys()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn tiers_have_limits_of_their_own_that_change_while_calls_are_under_way() {
    let tier = |request: &Request<Payload>| usize::from(request.headers().contains_key("x-paid"));
    let layer = TokenBucketLayer::new(requests(1))
        .keyed(ByApiKey)
        .tiered([("free", both(1, 100)), ("paid", both(5, 1_000))], tier)
        .expect("two tiers");
    let (service, _probe) = over_probe(&layer);
    let handle = layer.handle();
    let key = handle.fingerprint("a");
    let paid = || {
        let mut request = from("a", 0, 0);
        request.headers_mut().insert("x-paid", "1".parse().expect("a value"));
        request
    };
    assert_eq!(send(&service, from("a", 0, 0)).await.status(), 200);
    assert_eq!(send(&service, from("a", 0, 0)).await.status(), 429);
    assert_eq!(send(&service, paid()).await.status(), 200, "a higher tier");
    assert_eq!(left_of(&handle, key), [3, 1_000], "what was used stays used");

    assert!(handle.set_tier("paid", both(2, 1_000)) && !handle.set_tier("gold", both(1, 1)));
    assert_eq!(send(&service, paid()).await.status(), 429);
    assert!(handle.set_override(key, both(9, 9)));
    assert_eq!(send(&service, paid()).await.status(), 200);
    assert_eq!(left_of(&handle, key), [6, 9]);
    assert!(handle.clear_override(key) && !handle.clear_override(key));
    assert_eq!(send(&service, paid()).await.status(), 429);
    assert_eq!(left_of(&handle, Fingerprint::NO_KEY), [1, 100]);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_by_hand_is_taken_under_the_tier_that_the_key_came_under_last_whatever_changes() {
    let layer = TokenBucketLayer::new(requests(1))
        .keyed(ByApiKey)
        .tiered([("free", both(1, 100)), ("paid", both(5, 1_000))], |_: &Request<Payload>| 1)
        .expect("two tiers");
    let (service, _probe) = over_probe(&layer);
    let handle = layer.handle();
    let key = handle.fingerprint("a");
    assert_eq!(send(&service, from("a", 0, 0)).await.status(), 200);
    for change in 0..3 {
        // Rules of others change.
        assert!(handle.set_override(handle.fingerprint(&change), both(1, 1)));
        assert!(handle.take(key, &Costs::request(), Instant::now()).is_ok(), "a paid key has five");
        assert_eq!(left_of(&handle, key)[0], i128::from(3 - change));
    }
    assert!(handle.set_tier("paid", both(9, 1_000)) && handle.set_tier("free", both(2, 100)));
    assert!(handle.reserve(key, Costs::request(), Instant::now()).map(Reservation::keep).is_ok());
    assert_eq!(left_of(&handle, key)[0], 9 - 5, "of the new limits of its tier");
}

#[test]
fn tiers_that_make_no_sense_are_refused_in_words() {
    let text = |tiers: Vec<(&str, _)>| {
        let layer = TokenBucketLayer::new(requests(1)).tiered(tiers, |_: &Request<Payload>| 0);
        layer.map(|_| ()).expect_err("it makes no sense").to_string()
    };
    assert!(text(vec![]).starts_with("tiers: there are none"));
    assert!(text(vec![("a b", both(1, 1))]).starts_with("name of a tier"));
    assert!(text(vec![("a", both(1, 1)), ("a", both(1, 1))]).contains("same name"));
}
