//! What the arithmetic promises, beside a model of it that is slow and plain.

use std::time::Duration;

use proptest::prelude::*;

use crate::{Bucket, Costs, Dimension, Limit, Limits};

#[derive(Clone, Copy, Debug)]
enum Op {
    Advance(u64),
    /// The clock goes back.
    Rewind(u64),
    Reserve(u64, u64),
    /// Of the calls under way, the nth ends, and has used so many tokens.
    Settle(usize, u64),
    /// Of the calls under way, the nth is never heard of again.
    Crash(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let time = prop_oneof![Just(0), 1..1_000u64, 1..5_000_000_000u64, Just(u64::MAX / 4)];
    let op = prop_oneof![
        4 => time.clone().prop_map(Op::Advance),
        1 => time.prop_map(Op::Rewind),
        5 => (0..4u64, 0..120u64).prop_map(|(requests, tokens)| Op::Reserve(requests, tokens)),
        3 => (0..8usize, 0..200u64).prop_map(|(nth, tokens)| Op::Settle(nth, tokens)),
        1 => (0..8usize).prop_map(Op::Crash),
    ];
    prop::collection::vec(op, 1..80)
}

fn limits() -> impl Strategy<Value = (Limits, [(u64, u64, u64); 2])> {
    let one = || (1..50u64, 1..3_000_000_000u64, 1..200u64);
    (one(), one()).prop_map(|(requests, tokens)| {
        let limit = |name: &str, dimension, (amount, period, burst)| {
            let limit = Limit::try_new(name, dimension, amount, Duration::from_nanos(period)).unwrap();
            limit.burst(burst).unwrap()
        };
        let both = [limit("requests", Dimension::REQUESTS, requests), limit("tokens", Dimension::TOKENS, tokens)];
        (Limits::try_new(both).unwrap(), [requests, tokens])
    })
}

fn costs(requests: u64, tokens: u64) -> Costs {
    Costs::ZERO.with(Dimension::REQUESTS, requests).with(Dimension::TOKENS, tokens)
}

proptest! {
    /// In every interval that ends with an admission, what was taken, less what came back, is no more than what the bucket holds
    /// and what came in that time: Σ admitted ≤ capacity + rate·t.
    #[test]
    fn no_interval_admits_more_than_the_bucket_holds_and_the_rate_brings((limits, numbers) in limits(), ops in ops()) {
        let (mut now, mut latest, mut bucket) = (0u64, 0u64, Bucket::full(&limits, 0));
        let mut under_way: Vec<(u64, u64)> = Vec::new();
        // The time, what was taken of each limit at it (less than zero came back), and whether it was an admission.
        let mut events: Vec<(u64, [i128; 2], bool)> = Vec::new();
        for op in ops {
            match op {
                Op::Advance(by) => now = now.saturating_add(by),
                Op::Rewind(by) => now = now.saturating_sub(by),
                Op::Reserve(requests, tokens) => {
                    latest = latest.max(now);
                    if bucket.reserve(&limits, &costs(requests, tokens), now).is_ok() {
                        under_way.push((requests, tokens));
                        events.push((latest, [i128::from(requests), i128::from(tokens)], true));
                    }
                }
                Op::Settle(nth, actual) if !under_way.is_empty() => {
                    latest = latest.max(now);
                    let (requests, tokens) = under_way.remove(nth % under_way.len());
                    let before = levels(&mut bucket, &limits, now);
                    bucket.settle(&limits, &costs(requests, tokens), &costs(requests, actual), now);
                    let after = levels(&mut bucket, &limits, now);
                    prop_assert_eq!(before[0], after[0], "the requests are as they were");
                    prop_assert!(after[1] - before[1] <= i128::from(tokens) - i128::from(actual).min(i128::from(tokens)));
                    // What is not remembered of a debt, and what a full bucket cannot take back, is in nobody's favour but the
                    // caller's and the limit's; the sum is made with what the bucket took.
                    events.push((latest, [0, before[1] - after[1]], false));
                }
                Op::Crash(nth) if !under_way.is_empty() => {
                    under_way.remove(nth % under_way.len());
                }
                Op::Settle(..) | Op::Crash(_) => {}
            }
        }
        for (from, (begin, ..)) in events.iter().enumerate() {
            let mut sum = [0i128; 2];
            for (end, taken, admitted) in &events[from..] {
                for dimension in 0..2 {
                    sum[dimension] += taken[dimension];
                    let (amount, period, burst) = numbers[dimension];
                    let came = i128::from(end - begin) * i128::from(amount);
                    let most = i128::from(burst) * i128::from(period) + came;
                    prop_assert!(!admitted || sum[dimension] * i128::from(period) <= most);
                }
            }
        }
    }

    /// Whatever the order in which calls are reserved, settled, given up and lost in one moment: the levels are the same.
    #[test]
    fn levels_do_not_depend_on_the_order_in_which_calls_end(
        calls in prop::collection::vec((0..100u64, 0..300u64, any::<bool>()), 1..20),
        order in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let limit = Limit::try_new("tokens", Dimension::TOKENS, 10_000, Duration::from_secs(60)).unwrap();
        let limits = Limits::from(limit);
        let end = |calls: &[(u64, u64, bool)]| {
            let mut bucket = Bucket::full(&limits, 0);
            for (reserved, ..) in calls {
                bucket.reserve(&limits, &costs(0, *reserved), 5).unwrap();
            }
            for (reserved, actual, lost) in calls {
                if !lost {
                    bucket.settle(&limits, &costs(0, *reserved), &costs(0, *actual), 7);
                }
            }
            bucket
        };
        let mut in_order = end(&calls);
        let mut shuffled = calls.clone();
        let at = order.index(calls.len());
        shuffled.rotate_left(at);
        let swap = (seed % calls.len() as u64) as usize;
        shuffled.swap(0, swap);
        prop_assert_eq!(&in_order, &end(&shuffled));
        let spent: u64 = calls.iter().map(|(reserved, actual, lost)| if *lost { *reserved } else { *actual }).sum();
        let level = i128::from(10_000 - spent);
        prop_assert_eq!(levels(&mut in_order, &limits, 0)[0], level);
    }

    /// The wait that is told is exact: a nanosecond before it there is too little, and then there is enough.
    #[test]
    fn the_wait_is_exact((limits, _) in limits(), ops in ops(), requests in 0..60u64, tokens in 0..120u64) {
        let (mut now, mut bucket) = (0u64, Bucket::full(&limits, 0));
        for op in ops {
            match op {
                Op::Advance(by) => now = now.saturating_add(by.min(1 << 40)),
                Op::Reserve(requests, tokens) => drop(bucket.reserve(&limits, &costs(requests, tokens), now)),
                Op::Settle(_, actual) => bucket.settle(&limits, &Costs::ZERO, &costs(0, actual), now),
                Op::Rewind(_) | Op::Crash(_) => {}
            }
        }
        let costs = costs(requests, tokens);
        if let Err(shortage) = bucket.check(&limits, &costs, now) {
            match shortage.wait() {
                Some(wait) => {
                    let wait = wait.as_nanos() as u64;
                    prop_assert!(bucket.check(&limits, &costs, now + wait - 1).is_err());
                    prop_assert!(bucket.check(&limits, &costs, now + wait).is_ok());
                }
                None => prop_assert!(bucket.check(&limits, &costs, u64::MAX).is_err()),
            }
        }
    }

    /// Numbers at the edges of what fits: no panic, and never more than there is.
    #[test]
    fn no_number_is_too_large(
        amount in edges(), burst in edges(), debt in edges(), period in 1..=366 * 86_400 * 1_000_000_000u64,
        ops in prop::collection::vec((edges(), edges(), edges()), 1..20),
    ) {
        let (amount, burst) = (amount.max(1), burst.max(1));
        let limit = Limit::try_new("a", Dimension::REQUESTS, amount, Duration::from_nanos(period)).unwrap();
        let limits = Limits::from(limit.burst(burst).unwrap().max_debt(debt));
        let other = Limits::from(Limit::try_new("a", Dimension::REQUESTS, burst, Duration::from_nanos(1)).unwrap());
        let mut bucket = Bucket::full(&limits, 0);
        for (now, reserved, actual) in ops {
            let [reserved, actual] = [reserved, actual].map(|amount| Costs::ZERO.with(Dimension::REQUESTS, amount));
            let taken = bucket.reserve(&limits, &reserved, now).is_ok();
            prop_assert!(!taken || reserved.amount(Dimension::REQUESTS) <= burst);
            bucket.settle(&limits, &reserved, &actual, now);
            bucket.observe(&limits, Dimension::REQUESTS, actual.amount(Dimension::REQUESTS), Duration::MAX, now);
            let level = bucket.standings(&limits, now).next().unwrap().level;
            prop_assert!(level <= i128::from(burst) && level >= -i128::from(debt), "{}", level);
            let level = bucket.refit(&limits, &other, now).standings(&other, now).next().unwrap().level;
            prop_assert!(level <= i128::from(burst), "{}", level);
        }
    }
}

fn edges() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), any::<u64>()]
}

fn levels(bucket: &mut Bucket, limits: &Limits, now: u64) -> [i128; 2] {
    let mut all = bucket.standings(limits, now).map(|standing| standing.level);
    [all.next().unwrap_or(0), all.next().unwrap_or(0)]
}

#[test]
fn a_clock_that_goes_back_brings_nothing_and_takes_nothing() {
    let limits = Limits::from(Limit::try_new("a", Dimension::REQUESTS, 1, Duration::from_nanos(10)).unwrap());
    let mut bucket = Bucket::full(&limits, 100);
    bucket.reserve(&limits, &Costs::request(), 100).unwrap();
    assert!(bucket.reserve(&limits, &Costs::request(), 0).is_err());
    assert!(bucket.reserve(&limits, &Costs::request(), 105).is_err(), "the time that is lived twice counts once");
    assert!(bucket.reserve(&limits, &Costs::request(), 110).is_ok());
}

#[test]
fn a_rate_that_divides_into_no_whole_nanoseconds_is_kept_exactly() {
    // 700 million in a second: a limiter with a whole number of nanoseconds for each would let a thousand million pass.
    let limits = Limits::from(
        Limit::try_new("a", Dimension::REQUESTS, 700_000_000, Duration::from_secs(1)).unwrap().burst(7).unwrap(),
    );
    let mut bucket = Bucket::full(&limits, 0);
    bucket.reserve(&limits, &costs(7, 0), 0).unwrap();
    let admitted = (1..=100_000).filter(|now| bucket.reserve(&limits, &Costs::request(), *now).is_ok()).count();
    assert_eq!(admitted, 70_000);
}

#[test]
fn limits_that_change_keep_what_was_used() {
    let limit =
        |amount: u64, seconds| Limit::try_new("a", Dimension::TOKENS, amount, Duration::from_secs(seconds)).unwrap();
    let [old, more, less] = [limit(100, 60), limit(300, 7), limit(20, 60)].map(Limits::from);
    let mut bucket = Bucket::full(&old, 0);
    bucket.reserve(&old, &costs(0, 60), 0).unwrap();
    assert_eq!(levels(&mut bucket.refit(&old, &more, 0), &more, 0)[0], 240);
    assert_eq!(levels(&mut bucket.refit(&old, &less, 0), &less, 0)[0], -20, "as deep as its debt goes");
    let other = Limits::from(Limit::try_new("b", Dimension::TOKENS, 9, Duration::from_secs(1)).unwrap());
    assert_eq!(levels(&mut bucket.refit(&old, &other, 0), &other, 0)[0], 9, "nothing was used of a new limit");
}

#[test]
fn what_somebody_else_says_is_left_lowers_a_level_and_never_raises_it() {
    let limits = Limits::from(Limit::try_new("a", Dimension::TOKENS, 600, Duration::from_secs(60)).unwrap());
    let mut bucket = Bucket::full(&limits, 0);
    bucket.observe(&limits, Dimension::REQUESTS, 0, Duration::from_secs(1), 0);
    assert_eq!(levels(&mut bucket, &limits, 0)[0], 600, "another dimension");
    bucket.observe(&limits, Dimension::TOKENS, 70, Duration::from_secs(53), 0);
    bucket.observe(&limits, Dimension::TOKENS, 500, Duration::from_secs(1), 0);
    assert_eq!(levels(&mut bucket, &limits, 0)[0], 70);
    bucket.observe(&limits, Dimension::TOKENS, 0, Duration::from_secs(90), 0);
    let standing = bucket.standings(&limits, 0).next().unwrap();
    assert_eq!((standing.level, standing.full_in), (-300, Duration::from_secs(90)));
}
