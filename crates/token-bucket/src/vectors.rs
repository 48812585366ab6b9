//! Published tables, and what this crate decides where it differs from them.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use serde_json::Value;

use crate::{Bucket, Costs, Dimension, Fingerprint, Limit, Limits, queue::Line};

const MS: u64 = 1_000_000;

fn section(name: &str) -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/rate_limit.json"));
    let mut all: Value = serde_json::from_str(text).expect("the vectors are valid JSON");
    all[name].take()
}

fn list(value: &Value) -> &[Value] {
    let list = value.as_array().expect("a list");
    assert!(!list.is_empty(), "a table without rows proves nothing");
    list
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number from 0 up")
}

fn per(amount: u64, period: Duration, burst: u64) -> Limits {
    let limit = Limit::try_new("requests", Dimension::REQUESTS, amount, period).expect("it makes sense");
    limit.burst(burst).expect("not zero").into()
}

fn requests(count: u64) -> Costs {
    Costs::ZERO.with(Dimension::REQUESTS, count)
}

/// The GCRA of redis-cell and throttled.
///
/// One known difference: what is larger than the bucket is told that it never fits, as it is there by −1.
#[test]
fn remaining_reset_and_retry_are_those_of_gcra() {
    let gcra = section("gcra");
    let config = &gcra["config"];
    // Their first cell is free, so that a burst of 5 is a bucket that holds 5.
    let limits = per(number(&config["rate_per_s"]), Duration::from_secs(1), number(&config["burst_limit"]));
    let mut bucket = Bucket::full(&limits, 0);
    for (row, cells) in list(&gcra["rows"]).iter().enumerate() {
        let now = number(&cells[0]) * MS;
        let result = bucket.reserve(&limits, &requests(number(&cells[1])), now);
        let standing = bucket.standings(&limits, now).next().expect("one limit");
        assert_eq!(result.is_err(), cells[5].as_bool().expect("true or false"), "row {row}");
        assert_eq!(standing.level, i128::from(number(&cells[2])), "row {row}: remaining");
        assert_eq!(standing.full_in.as_millis(), u128::from(number(&cells[3])), "row {row}: reset");
        let retry = result.err().and_then(|shortage| shortage.wait()).map_or(-1, |wait| wait.as_millis() as i64);
        assert_eq!(retry, cells[4].as_i64().expect("a number"), "row {row}: retry");
    }
}

#[test]
fn admissions_are_those_of_governor() {
    for case in list(&section("governor")["cases"]) {
        let name = &case["name"];
        let limits = per(number(&case["rate_per_s"]), Duration::from_secs(1), number(&case["burst"]));
        let mut bucket = Bucket::full(&limits, 0);
        for step in list(&case["steps"]) {
            let result = bucket.reserve(&limits, &requests(number(&step[1])), number(&step[0]) * MS);
            match &step[2] {
                Value::Bool(allowed) => assert_eq!(result.is_ok(), *allowed, "{name}: {step}"),
                _ => assert!(result.is_err_and(|shortage| shortage.is_never()), "{name}: {step}"),
            }
        }
    }
}

/// governor keeps keys for a while after their buckets are full. That is the known difference: here they go as soon as nothing is
/// lost, and never before.
#[test]
fn keys_that_are_forgotten_have_lost_nothing_and_are_forgotten_no_later_than_by_governor() {
    let governor = section("governor");
    let gc = &governor["keyed_gc"];
    let limits = per(number(&gc["rate_per_s"]), Duration::from_secs(1), number(&gc["burst"]));
    let touched = gc["touch_ms"].as_object().expect("keys and times");
    for (at, retained) in gc["retained_after_gc_at_ms"].as_object().expect("times and keys") {
        let now: u64 = at.parse().expect("a time");
        for (key, touch) in touched {
            let touch = number(touch);
            let mut bucket = Bucket::full(&limits, 0);
            bucket.reserve(&limits, &requests(1), touch * MS).expect("the bucket is full");
            let kept = !bucket.is_full(&limits, now * MS);
            assert_eq!(kept, now < touch + 1_000, "{key} at {at}");
            let theirs = retained.as_array().expect("a list").iter().any(|name| name == key.as_str());
            assert!(!kept || theirs, "{key} at {at}: kept here, and forgotten there");
        }
    }
}

/// resilience4j fills the bucket once in a period, and here it is filled all the time. That is the known difference: the same
/// callers pass at once, wait and are refused, and those who wait do so for no longer, and never all for the same moment.
#[test]
fn who_waits_and_who_is_refused_is_as_in_resilience4j() {
    let table = section("reservation");
    let (limit, period) = (number(&table["limit"]), Duration::from_nanos(number(&table["period_ns"])));
    let limits = per(limit, period, limit);
    let mut bucket = Bucket::full(&limits, number(&table["t0_ns"]));
    let mut line = Line::default();
    let flow = Fingerprint::SHARED;
    let costs = requests(1);
    let mut last = 0;
    for (at, theirs) in list(&table["reserve_at_ns"]).iter().zip(list(&table["wait_ns"])) {
        let (now, theirs) = (number(at), theirs.as_i64().expect("a number"));
        let place = line.place(flow);
        let wait = bucket.view(&limits).wait_behind(&line.before(place), &costs, now).expect("one fits");
        if wait == 0 {
            bucket.reserve(&limits, &costs, now).expect("there is enough");
        }
        let ours = if wait > number(&table["timeout_ns"]) { -1 } else { wait as i64 };
        if ours > 0 {
            line.enter(place, flow, NonZeroU32::MIN, costs, &limits);
            assert!(now + wait > last, "at {at}: each waits for a moment of its own");
            last = now + wait;
        }
        assert_eq!(ours.signum(), theirs.signum(), "at {at}");
        // The bucket begins to fill with the first caller, which comes 1 ns after the period has begun there.
        assert!(ours <= theirs + 1, "at {at}: {ours} is longer than {theirs}");
    }
}

const DIMENSIONS: [(&str, Dimension); 2] = [("rpm", Dimension::REQUESTS), ("tpm", Dimension::TOKENS)];

fn costs(amounts: &Value) -> Costs {
    let amount = |costs: Costs, (name, dimension): (&str, Dimension)| match &amounts[name] {
        Value::Null => costs,
        amount => costs.with(dimension, number(amount)),
    };
    DIMENSIONS.into_iter().fold(Costs::ZERO, amount)
}

#[test]
fn decisions_are_as_they_were_written_down() {
    for scenario in list(&section("decisions")) {
        let name = &scenario["name"];
        let limit = |limit: &Value| {
            let id = limit["id"].as_str().expect("a name");
            let (_, dimension) = DIMENSIONS.into_iter().find(|(known, _)| *known == id).expect("a known name");
            Limit::try_new(id, dimension, number(&limit["cap"]), Duration::from_secs(number(&limit["per_s"])))
        };
        let limits: Vec<_> =
            list(&scenario["limits"]).iter().map(|each| limit(each).expect("it makes sense")).collect();
        let limits = Limits::try_new(limits).expect("not too many");
        let mut bucket = Bucket::full(&limits, 0);
        let mut reserved = HashMap::new();
        for step in list(&scenario["steps"]) {
            let now = number(&step["t"]) * 1_000 * MS;
            let need = if step["need"].is_null() { &step["reserve"] } else { &step["need"] };
            if !need.is_null() {
                let result = bucket.reserve(&limits, &costs(need), now);
                assert_eq!(result.is_ok(), step["ok"] == true, "{name}: {step}");
                let names = |shortage: &crate::Shortage| -> Vec<_> {
                    shortage.limits().map(|limit| Value::from(limit.name().as_str())).collect()
                };
                if let (Some(limited), Err(shortage)) = (step["limited_by"].as_array(), &result) {
                    assert_eq!(&names(shortage), limited, "{name}: {step}");
                }
                if let (Some(wait), Err(shortage)) = (step["retry_after_s"].as_u64(), &result) {
                    assert_eq!(shortage.wait(), Some(Duration::from_secs(wait)), "{name}: {step}");
                }
            }
            if let Some(id) = step["as"].as_str() {
                reserved.insert(id.to_owned(), costs(need));
            }
            if let Some(id) = step["settle"].as_str() {
                bucket.settle(&limits, &reserved[id], &costs(&step["actual"]), now);
            }
            for expected in [&step["level_after"], &step["level"]] {
                for (id, level) in expected.as_object().into_iter().flatten() {
                    let standing = bucket.standings(&limits, now).find(|each| each.limit.name().as_str() == id);
                    let expected = i128::from(level.as_i64().expect("a number"));
                    assert_eq!(standing.expect("a known limit").level, expected, "{name}: {step}");
                }
            }
        }
    }
}
