//! Limits that change, and keys that are forgotten, while reservations are out and calls wait.

use std::{num::NonZeroUsize, time::Duration};

use buttress_core::Refusal;
use buttress_token_bucket::{ByFn, ByShare, Costs, Dimension, Fingerprint, Limits, Queue, TokenBucketLayer};
use proptest::prelude::*;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{MINUTE, ask, both, estimate, left_of, n, over_probe, requests, tokens};

#[tokio::test(start_paused = true)]
async fn what_comes_back_for_a_key_that_was_forgotten_is_no_gift_to_the_bucket_that_new_keys_share() {
    let handle = TokenBucketLayer::new(tokens(600)).max_keys(NonZeroUsize::MIN).handle();
    let [forgotten, busy, new] = ["forgotten", "busy", "new"].map(|key| handle.fingerprint(key));
    let reserved = handle.reserve(forgotten, Costs::tokens(500, 0), Instant::now()).expect("it is full");
    tokio::time::advance(MINUTE).await;
    assert_eq!(handle.sweep(Instant::now()), 1, "it is full again");
    handle.reserve(busy, Costs::tokens(500, 0), Instant::now()).expect("it is full").keep();
    handle.reserve(new, Costs::tokens(600, 0), Instant::now()).expect("what new keys share is full").keep();
    assert_eq!(left_of(&handle, new), [0]);
    reserved.cancel(Instant::now());
    assert_eq!(left_of(&handle, new), [0], "nothing had been taken from it");
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_for_a_key_that_was_forgotten_is_owed_by_what_new_keys_share() {
    let handle = TokenBucketLayer::new(tokens(600)).max_keys(NonZeroUsize::MIN).handle();
    let [forgotten, busy, new] = ["forgotten", "busy", "new"].map(|key| handle.fingerprint(key));
    let reserved = handle.reserve(forgotten, Costs::tokens(500, 0), Instant::now()).expect("it is full");
    tokio::time::advance(MINUTE).await;
    handle.sweep(Instant::now());
    handle.reserve(busy, Costs::tokens(500, 0), Instant::now()).expect("it is full").keep();
    reserved.settle(&Costs::tokens(700, 0), Instant::now());
    assert_eq!(left_of(&handle, new), [400]);
}

#[tokio::test(start_paused = true)]
async fn who_looks_at_a_key_sees_it_under_the_limits_that_hold_now() {
    let handle = TokenBucketLayer::new(requests(10)).handle();
    let [key, named] = ["a", "b"].map(|key| handle.fingerprint(key));
    let now = Instant::now();
    for key in [key, named] {
        handle.reserve(key, ten(), now).expect("it is full").keep();
    }
    assert!(handle.set_tier("default", requests(30)) && handle.set_override(named, requests(50)));
    assert_eq!((left_of(&handle, key), left_of(&handle, named)), (vec![20], vec![40]));
    assert!(handle.check(key, &ten(), now).is_ok(), "{:?}", handle.check(key, &ten(), now));
    let never = Costs::ZERO.with(Dimension::REQUESTS, 31);
    assert!(handle.check(key, &never, now).expect_err("more than there is").is_never());
    assert!(handle.check(named, &never, now).is_ok());
    let listed = |key| handle.list(9, now).into_iter().find(|(listed, _)| *listed == key).expect("it is known").1;
    assert_eq!((listed(key)[0].limit.refill(), listed(named)[0].limit.refill()), (30, 50));
    assert!(handle.clear_override(named));
    assert_eq!(left_of(&handle, named), [20]);
}

fn ten() -> Costs {
    Costs::ZERO.with(Dimension::REQUESTS, 10)
}

#[tokio::test(start_paused = true)]
async fn an_override_that_is_set_and_cleared_while_a_reservation_is_out_makes_no_token() {
    for between in [both(100, 5_000), both(1, 10), Limits::from(tokens(1_000))] {
        let handle = TokenBucketLayer::new(both(100, 1_000)).handle();
        let (key, now) = (handle.fingerprint("a"), Instant::now());
        let reserved = handle.reserve(key, Costs::tokens(600, 0), now).expect("it is full");
        assert!(handle.set_override(key, between) && left_of(&handle, key).len() <= 2);
        assert!(handle.clear_override(key));
        assert_eq!(left_of(&handle, key)[1], 400, "what was used stays used");
        handle.reserve(key, Costs::tokens(400, 0), now).expect("that is left").keep();
        reserved.settle(&Costs::tokens(100, 0), now);
        assert_eq!(left_of(&handle, key)[1], 500, "and what was not used comes back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_calls_wait_for_is_not_forgotten_and_nobody_overtakes_them_for_it() {
    let layer = TokenBucketLayer::new(tokens(60)).queue(Queue::of(n(6)).max_wait(MINUTE * 2)).estimate(estimate);
    let (service, _probe) = over_probe(&layer);
    let handle = layer.handle();
    handle.reserve(Fingerprint::SHARED, Costs::tokens(60, 0), Instant::now()).expect("it is full").keep();
    let mut waits = tokio_test::task::spawn(Box::pin(service.clone().oneshot(ask(50, 0))));
    tokio_test::assert_pending!(waits.poll());
    tokio::time::advance(MINUTE).await;
    assert_eq!((handle.sweep(Instant::now()), handle.keys()), (0, 1), "full as it is");
    let mut late = tokio_test::task::spawn(Box::pin(service.clone().oneshot(ask(20, 0))));
    tokio_test::assert_pending!(late.poll());
    assert_eq!(tokio_test::assert_ready!(waits.poll()).expect("an answer").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn buckets_that_are_filled_by_hand_let_those_pass_who_wait() {
    let layer = TokenBucketLayer::new(tokens(60)).queue(Queue::of(n(6)).max_wait(MINUTE)).estimate(estimate);
    let (service, _probe) = over_probe(&layer);
    let handle = layer.handle();
    handle.reserve(Fingerprint::SHARED, Costs::tokens(60, 0), Instant::now()).expect("it is full").keep();
    let mut waits = tokio_test::task::spawn(Box::pin(service.oneshot(ask(50, 0))));
    tokio_test::assert_pending!(waits.poll());
    handle.reset(Fingerprint::SHARED, Instant::now());
    assert!(waits.is_woken());
    assert_eq!(tokio_test::assert_ready!(waits.poll()).expect("an answer").status(), 200);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Call(u8, u8, u64),
    /// Of the calls that wait, the nth is dropped.
    Drop(usize),
    Tier(u64),
    Override(u8, u64),
    Clear(u8),
    Reset(u8),
    Observe(u8, u64),
    Sweep,
    Advance(u64),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Calls of several keys that are polled only when they are woken, while limits are raised and lowered, keys get limits of their
    /// own and lose them, and levels are filled and lowered: each call is served or refused in the end, and the queue is empty.
    #[test]
    fn no_wake_up_is_lost_whatever_changes_while_calls_wait(
        ops in prop::collection::vec(
            prop_oneof![
                6 => (0..3u8, 0..4u8, 1..60u64).prop_map(|(key, flow, tokens)| Op::Call(key, flow, tokens)),
                2 => (0..8usize).prop_map(Op::Drop),
                1 => (1..200u64).prop_map(Op::Tier),
                1 => (0..3u8, 1..200u64).prop_map(|(key, tokens)| Op::Override(key, tokens)),
                1 => (0..3u8).prop_map(Op::Clear),
                1 => (0..3u8).prop_map(Op::Reset),
                1 => (0..3u8, 0..60u64).prop_map(|(key, left)| Op::Observe(key, left)),
                1 => Just(Op::Sweep),
                3 => (1..20_000u64).prop_map(Op::Advance),
            ],
            1..60,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let layer = TokenBucketLayer::new(tokens(60))
                .max_keys(NonZeroUsize::MIN.saturating_add(2))
                .queue(Queue::of(n(6)).max_wait(Duration::from_secs(300)))
                .keyed(ByFn(|call: &(u8, u8, u64)| call.0))
                .estimate(|call: &(u8, u8, u64)| Costs::tokens(call.2, 0))
                .share(ByShare(|call: &(u8, u8, u64)| (call.1, n(u32::from(call.1) + 1))))
                .plain(|refusal: Refusal| -> Result<(), Refusal> { Err(refusal) });
            let handle = layer.handle();
            let service = layer.layer(service_fn(|_: (u8, u8, u64)| std::future::ready(Ok::<_, Refusal>(()))));
            let key = |number: u8| handle.fingerprint(&number);
            let mut waiting = Vec::new();
            for op in ops {
                let now = Instant::now();
                match op {
                    Op::Call(key, flow, tokens) => {
                        let mut call = tokio_test::task::spawn(Box::pin(service.clone().oneshot((key, flow, tokens))));
                        if call.poll().is_pending() {
                            waiting.push(call);
                        }
                    }
                    Op::Drop(nth) if !waiting.is_empty() => drop(waiting.remove(nth % waiting.len())),
                    Op::Drop(_) => {}
                    Op::Tier(amount) => assert!(handle.set_tier("default", tokens(amount))),
                    Op::Override(number, amount) => assert!(handle.set_override(key(number), tokens(amount))),
                    Op::Clear(number) => drop(handle.clear_override(key(number))),
                    Op::Reset(number) => handle.reset(key(number), now),
                    Op::Observe(number, left) => handle.observe(key(number), Dimension::TOKENS, left, MINUTE, now),
                    Op::Sweep => drop(handle.sweep(now)),
                    Op::Advance(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
                }
                poll_woken(&mut waiting);
                prop_assert_eq!(handle.waiting(), waiting.len(), "{:?}", op);
            }
            for _ in 0..301 {
                tokio::time::advance(Duration::from_secs(1)).await;
                poll_woken(&mut waiting);
            }
            prop_assert!(waiting.is_empty() && handle.waiting() == 0, "{} wait for ever", waiting.len());
            Ok(())
        })?;
    }
}

fn poll_woken<F: Future + Unpin>(waiting: &mut Vec<tokio_test::task::Spawn<F>>) {
    while let Some(at) = waiting.iter().position(tokio_test::task::Spawn::is_woken) {
        if waiting[at].poll().is_ready() {
            drop(waiting.remove(at));
        }
    }
}
