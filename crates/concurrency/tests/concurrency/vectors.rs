//! Published scenarios.

use buttress_concurrency::{Aimd, Algorithm, Heard, Sample, Vegas};
use buttress_core::Verdict;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{bounds, ms};

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

fn algorithm(case: &Value) -> Box<dyn Algorithm> {
    let initial = number(&case["initial"]).expect("a beginning");
    // A limit of nothing is impossible here: the least is one.
    let bounds = bounds(number(&case["min"]).unwrap_or(1).max(1), number(&case["max"]).unwrap_or(1_000_000));
    match case["alg"].as_str() {
        Some("aimd") => Box::new(Aimd::new(initial, bounds)),
        Some("vegas") => {
            let mut vegas = Vegas::new(initial, bounds).seed(1);
            if case["decrease"] == "half" {
                vegas = vegas.decrease(|limit| limit / 2.0);
            }
            Box::new(match case["smoothing"].as_f64() {
                Some(smoothing) => vegas.smoothing(smoothing),
                None => vegas,
            })
        }
        other => panic!("no such algorithm: {other:?}"),
    }
}

#[test]
fn netflix_cases_hold() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/adaptive.json"));
    let all: Value = serde_json::from_str(text).expect("the vectors are valid JSON");
    let cases = all["concurrency"]["cases"].as_array().expect("a list");
    assert!(!cases.is_empty(), "a table without rows proves nothing");
    let mut wrong = Vec::new();
    for case in cases {
        let mut algorithm = algorithm(case);
        let mut now = Instant::now();
        for row in case["samples"].as_array().expect("samples") {
            let latency = ms(row[0].as_u64().expect("a latency"));
            let in_flight = number(&row[1]).expect("a number of calls");
            let heard = match row[2].as_bool().expect("dropped or not") {
                true => Heard::Overload { verdict: Verdict::Transient, after: None },
                false => Heard::Latency(latency),
            };
            let started = now;
            now += latency;
            algorithm.on_sample(&Sample { started, now, in_flight, heard });
            if Some(algorithm.limit()) != number(&row[3]) {
                wrong.push(format!("{case}: {} after {row}", algorithm.limit()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
