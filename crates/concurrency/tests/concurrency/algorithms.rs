//! What the algorithms promise, each by itself.

use std::time::Duration;

use buttress_concurrency::{Aimd, Algorithm, Bounds, Cubic, Gradient2, Heard, Sample, Vegas};
use buttress_core::Verdict;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::support::{bounds, ms, n};

const OVERLOAD: Heard = Heard::Overload { verdict: Verdict::RateLimited, after: None };

fn all(initial: u32, bounds: Bounds) -> [(&'static str, Box<dyn Algorithm>); 4] {
    [
        ("aimd", Box::new(Aimd::new(initial, bounds))),
        ("gradient2", Box::new(Gradient2::new(initial, bounds))),
        ("vegas", Box::new(Vegas::new(initial, bounds).seed(1))),
        ("cubic", Box::new(Cubic::new(initial, bounds))),
    ]
}

/// A call that began and ended at one moment, with all places in use.
fn busy(algorithm: &dyn Algorithm, now: Instant, heard: Heard) -> Sample {
    Sample { started: now, now, in_flight: algorithm.limit(), heard }
}

/// A target that serves so many calls in 100 ms, and takes longer in proportion when there are more.
fn at_capacity(capacity: u32, in_flight: u32) -> Heard {
    Heard::Latency(ms(100).mul_f64(f64::from(in_flight.max(capacity)) / f64::from(capacity)))
}

#[test]
fn bounds_out_of_order_are_refused_by_name() {
    let error = Bounds::try_new(n(5), n(4)).unwrap_err();
    assert_eq!(error.to_string(), "the least limit, min, is 5: it must not be more than the most, max, which is 4");
    assert_eq!(Bounds::DEFAULT, bounds(1, 1_000));
    assert_eq!([f64::NAN, f64::INFINITY, -1.0].map(|limit| bounds(2, 9).clamp(limit)), [2.0, 9.0, 2.0]);
}

proptest! {
    /// Whatever comes: times forward and back, none at all, or for ever.
    #[test]
    fn a_limit_never_leaves_its_bounds(
        min in 1..50u32,
        more in 0..u32::MAX - 50,
        initial: u32,
        samples in prop::collection::vec((any::<u64>(), any::<u32>(), 0..4u8, 0..100_000u64), 1..200),
    ) {
        let bounds = bounds(min, min + more);
        let start = Instant::now() + Duration::from_secs(1_000);
        for (name, mut algorithm) in all(initial, bounds) {
            for (nanos, in_flight, kind, at) in &samples {
                let heard = match kind {
                    0 => OVERLOAD,
                    1 => Heard::Overload { verdict: Verdict::CapacityByDesign, after: Some(Duration::MAX) },
                    2 => Heard::Latency(Duration::from_nanos(*nanos)),
                    _ => Heard::Latency(if nanos % 2 == 0 { Duration::ZERO } else { Duration::MAX }),
                };
                let now = start + ms(*at);
                algorithm.on_sample(&Sample { started: start, now, in_flight: *in_flight, heard });
                prop_assert!((min..=min + more).contains(&algorithm.limit()), "{name}: {}", algorithm.limit());
            }
            algorithm.restart(u32::MAX);
            prop_assert_eq!(algorithm.limit(), min + more, "{}", name);
        }
    }

    #[test]
    fn a_limit_that_is_not_in_use_does_not_grow(latencies in prop::collection::vec(1..10_000u64, 1..200)) {
        for (name, mut algorithm) in all(100, bounds(1, 1_000)) {
            let mut now = Instant::now();
            for latency in &latencies {
                now += ms(100);
                let heard = Heard::Latency(ms(*latency));
                algorithm.on_sample(&Sample { started: now, now, in_flight: 10, heard });
            }
            prop_assert!(algorithm.limit() <= 100, "{name}: {}", algorithm.limit());
        }
    }
}

#[test]
fn a_hundred_calls_that_meet_one_overload_step_back_once() {
    for (name, mut algorithm) in all(100, bounds(1, 1_000)) {
        let now = Instant::now();
        let sample = |at| Sample { started: now, now: now + at, in_flight: 100, heard: OVERLOAD };
        algorithm.on_sample(&sample(ms(10)));
        let once = algorithm.limit();
        assert!((70..100).contains(&once), "{name}: {once}");
        (0..99).for_each(|_| algorithm.on_sample(&sample(ms(20))));
        assert_eq!(algorithm.limit(), once, "{name}");
        let started = now + ms(30);
        algorithm.on_sample(&Sample { started, now: started, in_flight: once, heard: OVERLOAD });
        assert!(algorithm.limit() < once, "{name}: a call that began after it is news");
    }
}

#[test]
fn vegas_settles_near_what_the_target_can_serve() {
    let mut vegas = Vegas::new(10, bounds(1, 1_000)).seed(1);
    let now = Instant::now();
    // So that an idle target has been seen.
    vegas.on_sample(&busy(&vegas.clone(), now, Heard::Latency(ms(100))));
    for _ in 0..300 {
        vegas.on_sample(&busy(&vegas.clone(), now, at_capacity(40, vegas.limit())));
    }
    assert!((35..=60).contains(&vegas.limit()), "{}", vegas.limit());
}

#[test]
fn gradient2_gives_way_to_a_slow_target_and_comes_back_when_it_is_well() {
    let mut gradient = Gradient2::new(100, bounds(1, 100));
    let now = Instant::now();
    let mut hear = |latency, times| {
        for _ in 0..times {
            gradient.on_sample(&busy(&gradient.clone(), now, Heard::Latency(latency)));
        }
        gradient.limit()
    };
    assert_eq!(hear(ms(100), 100), 100);
    assert!(hear(ms(500), 20) < 25, "it goes to less than a quarter within twenty answers");
    assert_eq!(hear(ms(100), 120), 100);
}

#[test]
fn gradient2_follows_its_formula() {
    let mut gradient = Gradient2::new(20, bounds(1, 200));
    let now = Instant::now();
    let mut after = |latency, in_flight| {
        gradient.on_sample(&Sample { started: now, now, in_flight, heard: Heard::Latency(latency) });
        gradient.limit()
    };
    // 20 · 1 + 4, a fifth of the way; then the same from 20.8.
    assert_eq!([after(ms(100), 20), after(ms(100), 20)], [20, 21]);
    // The average is 166.7 ms: 1.5 · 166.7 / 300 = 0.833; 21.6 + (21.6 · 0.833 + 4 − 21.6) / 5 = 21.68.
    assert_eq!(after(ms(300), 20), 21);
    // The average is 375 ms: 1.5 · 375 / 1000 = 0.5625; 21.68 + (21.68 · 0.5625 + 4 − 21.68) / 5 = 20.58.
    assert_eq!(after(ms(1_000), 20), 20);
    assert_eq!(after(ms(1), 9), 20, "fewer than half of the places were in use");
}

#[test]
fn cubic_goes_back_to_where_it_was_good_and_on_from_there() {
    let mut cubic = Cubic::new(100, bounds(1, 1_000));
    let start = Instant::now();
    cubic.on_sample(&busy(&cubic.clone(), start, OVERLOAD));
    assert_eq!(cubic.limit(), 70, "0.7 · 100");
    let mut by_second = Vec::new();
    for tenth in 1..=80_u32 {
        let now = start + ms(100) * tenth;
        cubic.on_sample(&busy(&cubic.clone(), now, Heard::Latency(ms(100))));
        if tenth % 10 == 0 {
            by_second.push(cubic.limit());
        }
    }
    // k = cbrt(30 / 0.4) = 4.217 s: 0.4 · (t − k)³ + 100, by the formula of RFC 9438, section 4.2.
    let curve = |t: f64| 0.4 * (t - 4.217_163_f64).powi(3) + 100.0;
    let expected: Vec<_> = (1..=8).map(|t| curve(f64::from(t))).collect();
    for (found, expected) in by_second.iter().zip(&expected) {
        assert!((f64::from(*found) - expected).abs() <= 1.0, "{by_second:?} {expected:?}");
    }
}

#[test]
fn cubic_comes_closer_when_it_is_refused_below_its_plateau() {
    let mut cubic = Cubic::new(100, bounds(1, 1_000));
    let mut now = Instant::now();
    cubic.on_sample(&busy(&cubic.clone(), now, OVERLOAD));
    now += ms(1);
    cubic.on_sample(&busy(&cubic.clone(), now, OVERLOAD));
    assert_eq!(cubic.limit(), 49, "0.7 · 70");
    for _ in 0..31 {
        now += ms(100);
        cubic.on_sample(&busy(&cubic.clone(), now, Heard::Latency(ms(1))));
    }
    // The plateau is at 70 · (1 + 0.7) / 2 = 59.5, reached after cbrt((59.5 − 49) / 0.4) = 2.97 s.
    assert_eq!(cubic.limit(), 59);
}

#[test]
fn cubic_keeps_still_for_as_long_as_the_target_asked() {
    let mut cubic = Cubic::new(100, bounds(1, 1_000));
    let start = Instant::now();
    let heard = Heard::Overload { verdict: Verdict::RateLimited, after: Some(ms(30_000)) };
    cubic.on_sample(&busy(&cubic.clone(), start, heard));
    for second in 1..30 {
        cubic.on_sample(&busy(&cubic.clone(), start + ms(1_000) * second, Heard::Latency(ms(1))));
        assert_eq!(cubic.limit(), 70);
    }
    cubic.on_sample(&busy(&cubic.clone(), start + ms(31_000), Heard::Latency(ms(1))));
    assert!(cubic.limit() > 70);
}

#[test]
fn cubic_hears_of_nothing_but_refusals_for_load() {
    let mut cubic = Cubic::new(100, bounds(1, 1_000));
    for verdict in [Verdict::Transient, Verdict::Slow] {
        cubic.on_sample(&busy(&cubic.clone(), Instant::now(), Heard::Overload { verdict, after: None }));
        assert_eq!(cubic.limit(), 100);
    }
}

#[test]
fn a_night_without_calls_does_not_carry_cubic_to_its_top() {
    let mut cubic = Cubic::new(100, bounds(1, 100_000));
    let start = Instant::now();
    cubic.on_sample(&busy(&cubic.clone(), start, OVERLOAD));
    cubic.on_sample(&busy(&cubic.clone(), start + Duration::from_secs(40_000), Heard::Latency(ms(1))));
    assert!(cubic.limit() <= 105, "{}", cubic.limit());
}

#[test]
fn vegas_measures_anew_what_an_idle_target_takes() {
    let mut vegas = Vegas::new(10, bounds(1, 10)).seed(3);
    let now = Instant::now();
    let mut sample = |latency| {
        vegas.on_sample(&busy(&vegas.clone(), now, Heard::Latency(latency)));
        vegas.limit()
    };
    sample(ms(10));
    // The target has become slower for good.
    let limits: Vec<_> = (0..400).map(|_| sample(ms(30))).collect();
    assert!(limits.iter().any(|limit| *limit < 10), "at first it looks like a queue");
    assert_eq!(limits.last(), Some(&10), "a probe has found out");
}

#[test]
fn aimd_can_count_slow_answers_as_overloads() {
    let mut aimd = Aimd::new(50, bounds(1, 100)).slow_after(ms(500)).ratio(0.5);
    let now = Instant::now();
    aimd.on_sample(&busy(&aimd.clone(), now, Heard::Latency(ms(500))));
    assert_eq!(aimd.limit(), 51);
    aimd.on_sample(&busy(&aimd.clone(), now, Heard::Latency(ms(501))));
    assert_eq!(aimd.limit(), 25);
}
