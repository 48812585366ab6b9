//! How a target falls out and comes back.

use super::*;
use crate::vectors::{list, number, section};
use proptest::prelude::*;

const POLICY: HealthPolicy = HealthPolicy::DEFAULT;

const fn s(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn out(now: Instant) -> Health {
    let mut health = Health::new();
    (0..5).for_each(|_| health.failed(&POLICY, now));
    assert!(!health.is_up(&POLICY, now));
    health
}

#[test]
fn a_hiccup_lowers_the_score_and_a_run_of_failures_is_an_outage() {
    let (now, mut health) = (Instant::now(), Health::new());
    (0..4).for_each(|_| health.failed(&POLICY, now));
    let low = health.factor(&POLICY, now);
    assert!(low < 0.7 && low > 0.5 && health.is_up(&POLICY, now));
    (0..30).for_each(|_| health.succeeded(&POLICY, now));
    assert!(health.factor(&POLICY, now) > 0.95);
    (0..5).for_each(|_| health.failed(&POLICY, now));
    assert_eq!(health.factor(&POLICY, now), 0.0);
}

#[test]
fn failures_without_a_run_are_an_outage_when_they_are_most_of_what_happens() {
    let (now, mut health) = (Instant::now(), Health::new());
    let calls = (0..200).take_while(|i| {
        if i % 5 == 4 {
            health.succeeded(&POLICY, now)
        } else {
            health.failed(&POLICY, now)
        }
        health.is_up(&POLICY, now)
    });
    assert!(calls.count() < 60, "four failures of five");
    let mut half = Health::new();
    for i in 0..1000 {
        if i % 2 == 0 { half.succeeded(&POLICY, now) } else { half.failed(&POLICY, now) }
    }
    assert!(half.is_up(&POLICY, now) && half.factor(&POLICY, now) < 0.6, "a brownout is carried by the score");
}

#[test]
fn a_target_that_is_out_sees_one_request_now_and_then_and_ever_more_rarely() {
    let begun = Instant::now();
    let (mut now, mut health, mut gaps) = (begun, out(begun), Vec::new());
    let mut last = begun;
    while gaps.len() < 6 {
        now += Duration::from_millis(100);
        if health.probe(&POLICY, now) {
            assert!(!health.probe(&POLICY, now), "one at a time");
            gaps.push(now.duration_since(last).as_secs());
            last = now;
            health.failed(&POLICY, now);
        }
    }
    assert_eq!(gaps, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_target_returns_after_30_s_without_a_failure_and_takes_up_its_load_in_60_s() {
    let begun = Instant::now();
    let mut health = out(begun);
    let back = begun + s(5);
    assert!(health.probe(&POLICY, back));
    health.succeeded(&POLICY, back);
    assert!(!health.is_up(&POLICY, back + s(29)) && health.is_up(&POLICY, back + s(30)));
    (0..60).for_each(|_| health.succeeded(&POLICY, back + s(30)));
    for (at, factor) in [(30, 0.1), (60, 0.5), (90, 1.0)] {
        let got = health.factor(&POLICY, back + s(at));
        assert!((got - factor).abs() < 0.01, "{at} s: {got}");
    }
}

#[test]
fn a_failure_on_the_way_back_begins_it_anew() {
    let begun = Instant::now();
    let mut health = out(begun);
    health.succeeded(&POLICY, begun + s(5));
    health.failed(&POLICY, begun + s(20));
    assert!(!health.is_up(&POLICY, begun + s(40)));
    health.succeeded(&POLICY, begun + s(41));
    assert!(health.is_up(&POLICY, begun + s(71)));
}

#[test]
fn a_probe_without_tokens_brings_the_next_look_forward_and_nothing_more() {
    let now = Instant::now();
    let mut health = out(now);
    assert!(!health.probe(&POLICY, now + s(1)));
    health.look_again(now + s(1));
    assert!(!health.is_up(&POLICY, now + s(1)) && health.probe(&POLICY, now + s(1)));
}

#[test]
fn the_ramp_is_envoys_slow_start() {
    for case in list(&section("slow_start")["cases"]) {
        let policy = POLICY.slow_start(s(number(&case["window_s"])));
        let factor = case["factor"].as_f64().expect("a number");
        assert!((policy.ramp(s(number(&case["t_s"]))) - factor).abs() < 1e-9, "{case}");
    }
    assert_eq!(POLICY.slow_start(Duration::ZERO).ramp(Duration::ZERO), 1.0);
}

#[test]
fn a_run_of_failures_ejects_as_envoy_and_finagle_have_it() {
    let now = Instant::now();
    // Finagle's other rows go by a moving average over a number of requests or a time that is ours by another rule.
    let rows = section("failure_accrual");
    let claimed =
        list(&rows["cases"]).iter().filter(|case| case["policy"].as_str().unwrap().starts_with("consecutive"));
    for case in claimed {
        let (policy, mut health) = (POLICY.outage_after(3), Health::new());
        let dead_on = list(&case["events"]).iter().position(|event| {
            match event.as_str().expect("a word") {
                "F" => health.failed(&policy, now),
                "S" => health.succeeded(&policy, now),
                _ => health = Health::new(),
            }
            !health.is_up(&policy, now)
        });
        assert_eq!(dead_on.map(|at| at as u64 + 1), Some(number(&case["dead_on"])), "{case}");
    }
    // Envoy's first row, up to the first ejection: what follows is its sweep, where ours is a look by single requests.
    // Its rows on ejection times, their cap, jitter and slots have nothing here to compare with for the same reason.
    let rows = section("outlier");
    let mut health = Health::new();
    for op in list(&list(&rows["cases"])[0]["ops"]) {
        if let Some(status) = op.get("send").map(number) {
            for _ in 0..number(&op["n"]) {
                if status >= 500 { health.failed(&POLICY, now) } else { health.succeeded(&POLICY, now) }
            }
        }
        if let Some(ejected) = op.get("expect_ejected") {
            let ejected = ejected["0"].as_bool().expect("yes or no");
            assert_eq!(health.is_up(&POLICY, now), !ejected, "{op}");
            if ejected {
                break;
            }
        }
    }
    let out = health.returns_at(&POLICY, now);
    health.failed(&POLICY, now + s(1));
    assert_eq!(health.returns_at(&POLICY, now + s(1)), out, "what is out is not put out twice");
}

proptest! {
    #[test]
    fn health_stays_within_its_bounds_whatever_happens(
        events in proptest::collection::vec((0..4_u8, 0..20_000_u64), 0..300),
        policy in (0..20_u32, 0..u64::MAX, 0..100_u64, 0..100_u64),
    ) {
        let (outage, probe, hysteresis, slow) = policy;
        let policy = POLICY.outage_after(outage).probe_every(Duration::from_secs(probe));
        let policy = policy.hysteresis(s(hysteresis)).slow_start(s(slow));
        let (mut now, mut health) = (Instant::now(), Health::new());
        for (event, ms) in events {
            now += Duration::from_millis(ms);
            match event {
                0 => health.succeeded(&policy, now),
                1 => health.failed(&policy, now),
                2 => drop(health.probe(&policy, now)),
                _ => health.look_again(now),
            }
            let factor = health.factor(&policy, now);
            prop_assert!((0.0..=1.0).contains(&factor));
            prop_assert_eq!(health.is_up(&policy, now), health.returns_at(&policy, now).is_none());
        }
    }
}
