//! The layer beside models of it that are slow and plain.

use std::time::Duration;

use buttress_core::Refusal;
use buttress_token_bucket::{
    Bucket, ByShare, Costs, Fingerprint, Limits, Queue, Reservation, Settling, TokenBucketLayer,
};
use proptest::prelude::*;
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{both, left_of, n, tokens};

#[derive(Clone, Copy, Debug)]
enum Op {
    Reserve(u8, u64),
    /// Of the calls under way, the nth ends, and has used so many tokens.
    Settle(usize, u64),
    /// Of the calls under way, the nth is dropped: charged in full.
    Abort(usize),
    Cancel(usize),
    /// Of the calls under way, the nth is never heard of again, not even by a drop.
    Crash(usize),
    Sweep,
    Raise(bool),
    Advance(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let nth = || 0..6usize;
    let op = prop_oneof![
        6 => (0..5u8, 0..300u64).prop_map(|(key, tokens)| Op::Reserve(key, tokens)),
        2 => (nth(), 0..700u64).prop_map(|(nth, tokens)| Op::Settle(nth, tokens)),
        1 => nth().prop_map(Op::Abort),
        1 => nth().prop_map(Op::Cancel),
        1 => nth().prop_map(Op::Crash),
        2 => Just(Op::Sweep),
        1 => any::<bool>().prop_map(Op::Raise),
        3 => prop_oneof![1..5_000u64, Just(200_000)].prop_map(Op::Advance),
    ];
    prop::collection::vec(op, 1..60)
}

/// A key that is never forgotten, and who has taken from it under which limits.
struct Plain {
    bucket: Bucket,
    limits: Limits,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the order in which calls of several keys are reserved, settled, aborted, cancelled and lost, whatever is forgotten
    /// in between, and whenever limits change: the levels are those of buckets that are never forgotten.
    #[test]
    fn levels_are_those_of_buckets_that_are_never_forgotten(ops in ops()) {
        runtime().block_on(async {
            let handle = TokenBucketLayer::new(both(50, 600)).handle();
            let start = Instant::now();
            let nanos = |now: Instant| (now - start).as_nanos() as u64;
            let mut limits: Limits = both(50, 600);
            assert!(handle.set_tier("default", limits.clone()));
            let keys: Vec<_> = (0..5u8).map(|key| handle.fingerprint(&key)).collect();
            let fresh = |limits: &Limits| Plain { bucket: Bucket::full(limits, 0), limits: limits.clone() };
            let mut plain: Vec<_> = keys.iter().map(|_| fresh(&limits)).collect();
            // The reservation, its key, its costs, and how often the limits had changed.
            let mut under_way: Vec<(Reservation, usize, Costs, u32)> = Vec::new();
            let mut changes = 0;
            for op in ops {
                let now = Instant::now();
                let at = nanos(now);
                let mut end = |nth: usize| (!under_way.is_empty()).then(|| under_way.remove(nth % under_way.len()));
                match op {
                    Op::Reserve(key, tokens) => {
                        let (key, costs) = (usize::from(key), Costs::tokens(tokens, 0));
                        let Plain { bucket, limits } = &mut plain[key];
                        let expected = bucket.reserve(limits, &costs, at);
                        let actual = handle.reserve(keys[key], costs, now);
                        prop_assert_eq!(expected.is_ok(), actual.is_ok(), "{:?}", op);
                        if let Ok(reservation) = actual {
                            under_way.push((reservation, key, costs, changes));
                        }
                    }
                    Op::Settle(nth, _) | Op::Cancel(nth) => {
                        let Some((reservation, key, costs, changed)) = end(nth) else { continue };
                        let actual = if let Op::Settle(_, tokens) = op { Costs::tokens(tokens, 0) } else { Costs::ZERO };
                        reservation.settle(&actual, now);
                        let Plain { bucket, limits } = &mut plain[key];
                        if changed == changes {
                            bucket.settle(limits, &costs, &actual, at);
                        } else {
                            // Under other limits nothing comes back, and what is owed is owed.
                            let more = |dimension| actual.amount(dimension).saturating_sub(costs.amount(dimension));
                            let tokens = buttress_token_bucket::Dimension::INPUT_TOKENS;
                            bucket.settle(limits, &Costs::ZERO, &Costs::ZERO.with(tokens, more(tokens)), at);
                        }
                    }
                    Op::Abort(nth) => drop(end(nth)),
                    Op::Crash(nth) => end(nth).into_iter().for_each(std::mem::forget),
                    Op::Sweep => drop(handle.sweep(now)),
                    Op::Raise(up) => {
                        changes += 1;
                        limits = if up { both(70, 900) } else { both(50, 600) };
                        assert!(handle.set_tier("default", limits.clone()));
                        // A key learns of it when it is next touched; the model is touched now, and so is the key.
                        for (key, plain) in keys.iter().zip(&mut plain) {
                            drop(handle.reserve(*key, Costs::ZERO, now).map(Reservation::keep));
                            let bucket = plain.bucket.refit(&plain.limits, &limits, at);
                            *plain = Plain { bucket, limits: limits.clone() };
                        }
                    }
                    Op::Advance(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
                }
                let now = Instant::now();
                for (key, Plain { bucket, limits }) in keys.iter().zip(&mut plain) {
                    let expected: Vec<_> = bucket.standings(limits, nanos(now)).map(|standing| standing.level).collect();
                    prop_assert_eq!(left_of(&handle, *key), expected, "{:?}", op);
                }
            }
            drop(under_way);
            tokio::time::advance(Duration::from_secs(3_600)).await;
            handle.sweep(Instant::now());
            prop_assert_eq!(handle.keys(), 0, "all is refilled, and nothing is kept");
            Ok(())
        })?;
    }
}

#[derive(Clone, Copy, Debug)]
enum Wait {
    Call(u8, u64),
    /// Of the calls that wait, the nth is dropped.
    Drop(usize),
    /// Tokens are taken by hand, and given back.
    Refund(u64),
    Advance(u64),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Calls that are polled only when they are woken, dropped at any time: all that stay are answered, what is served is no more
    /// than the bucket holds and the rate brings, and nobody is left in the queue.
    #[test]
    fn no_wake_up_is_lost_and_no_token_is_made(
        ops in prop::collection::vec(
            prop_oneof![
                4 => (0..4u8, 1..60u64).prop_map(|(flow, tokens)| Wait::Call(flow, tokens)),
                2 => (0..8usize).prop_map(Wait::Drop),
                1 => (1..30u64).prop_map(Wait::Refund),
                3 => (1..20_000u64).prop_map(Wait::Advance),
            ],
            1..60,
        ),
    ) {
        runtime().block_on(async {
            let charge = buttress_token_bucket::Charge::InFull;
            let layer = TokenBucketLayer::new(tokens(60))
                .queue(Queue::of(n(8)).max_wait(Duration::from_secs(300)))
                .settling(Settling::default().dropped(charge))
                .estimate(|call: &(u8, u64)| Costs::tokens(call.1, 0))
                .share(ByShare(|call: &(u8, u64)| (call.0, n(u32::from(call.0) + 1))))
                .plain(|refusal: Refusal| -> Result<u64, Refusal> { Err(refusal) });
            let handle = layer.handle();
            let service = layer.layer(service_fn(|call: (u8, u64)| std::future::ready(Ok::<_, Refusal>(call.1))));
            let (start, mut served) = (Instant::now(), 0);
            let mut waiting = Vec::new();
            for op in ops {
                match op {
                    Wait::Call(flow, tokens) => {
                        let mut call = tokio_test::task::spawn(Box::pin(service.clone().oneshot((flow, tokens))));
                        match call.poll() {
                            std::task::Poll::Ready(answer) => served += answer.unwrap_or(0),
                            std::task::Poll::Pending => waiting.push(call),
                        }
                    }
                    Wait::Drop(nth) if !waiting.is_empty() => drop(waiting.remove(nth % waiting.len())),
                    Wait::Refund(tokens) => {
                        let now = Instant::now();
                        let taken = handle.reserve(Fingerprint::SHARED, Costs::tokens(tokens, 0), now);
                        taken.into_iter().for_each(|taken| taken.cancel(now));
                    }
                    Wait::Advance(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
                    Wait::Drop(_) => {}
                }
                served += poll_woken(&mut waiting);
                prop_assert_eq!(handle.waiting(), waiting.len(), "{:?}", op);
                let most = 60_000 + (Instant::now() - start).as_millis();
                prop_assert!(u128::from(served) * 1_000 <= most, "{} of {}", served, most);
            }
            for _ in 0..700 {
                tokio::time::advance(Duration::from_secs(1)).await;
                served += poll_woken(&mut waiting);
                let most = 60_000 + (Instant::now() - start).as_millis();
                prop_assert!(u128::from(served) * 1_000 <= most, "{} of {}", served, most);
            }
            prop_assert!(waiting.is_empty() && handle.waiting() == 0, "{} wait for ever", waiting.len());
            Ok(())
        })?;
    }
}

/// Polls who was woken until nobody is, and returns what was served.
fn poll_woken<F>(waiting: &mut Vec<tokio_test::task::Spawn<F>>) -> u64
where
    F: Future<Output = Result<u64, Refusal>> + Unpin,
{
    let mut served = 0;
    while let Some(at) = waiting.iter().position(tokio_test::task::Spawn::is_woken) {
        if let std::task::Poll::Ready(answer) = waiting[at].poll() {
            served += answer.unwrap_or(0);
            drop(waiting.remove(at));
        }
    }
    served
}
