//! Many streams at once, while targets fail and recover.

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use buttress_core::Label;
use buttress_sim::{
    At::{Content, Opening, Start},
    Fault, ProviderError, Simulator,
    Then::{Close, End, Error, Malformed, Reset},
};
use gateway::Config;
use http::StatusCode;
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use support::{Answer, CHAT_PATH, FAR, Running, STREAM, read};

const STREAMS: usize = 300;
const LASTS: Duration = Duration::from_secs(2);
/// After so many answers the faults change.
const TURN: u64 = 50;

const SETTINGS: &str = r#"
listen = "127.0.0.1:0"
[failover]
stream_timeout = "30s"
probe_every = "100ms"
return_after = "100ms"
slow_start = "100ms"
[breaker]
open = "100ms"
max_open = "200ms"
[streams]
idle = "30s"
[retry]
attempts = 2
"#;

/// What the targets meet, one after the other; between two of them they are well. None of them is a matter of time: a busy
/// machine would reach its limits too.
fn faults() -> Vec<Fault> {
    vec![
        Fault::status(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Refuse,
        Fault::at(Start, Error(ProviderError::Overloaded)),
        Fault::at(Opening, Error(ProviderError::RateLimit)),
        Fault::at(Opening, Reset),
        Fault::at(Content(2), End),
        Fault::Empty,
        Fault::at(Content(3), Reset),
        Fault::at(Content(2), Malformed),
        Fault::at(Opening, Close),
        Fault::at(Content(1), Error(ProviderError::ServerError)),
    ]
}

/// Breaks one region and heals the others, each time another one.
fn turn(regions: &[Simulator], number: u64) {
    let (number, faults) = (usize::try_from(number).expect("few turns"), faults());
    for (index, region) in regions.iter().enumerate() {
        let broken = number % 2 == 0 && index == (number / 2) % regions.len();
        region.set_fault(broken.then(|| faults[(number / 2) % faults.len()].clone()));
    }
}

/// How an answer ended, which must be in one of the ways that its caller can tell apart.
fn ending(answer: &Answer) -> &'static str {
    let text = answer.text();
    if answer.status != 200 {
        assert!(answer.json()["error"]["message"].is_string(), "an error has its envelope: {answer:?}");
        return "refused";
    }
    assert_ne!(answer.header("x-served-by"), "", "{answer:?}");
    let mut events = text.trim_end().split("\n\n").collect::<Vec<_>>();
    let last = events.pop().unwrap_or_default();
    let failed = |event: &str| event.starts_with(r#"data: {"error":"#);
    assert!(!events.iter().any(|event| failed(event)), "nothing comes after an error: {text}");
    assert!(text.contains(r#""content":""#), "a 200 has content: {text}");
    if failed(last) {
        assert!(!text.contains(r#""finish_reason":"stop""#), "an end and an error: {text}");
        return "told of its failure";
    }
    assert!(last == "data: [DONE]" && text.contains(r#""finish_reason":"stop""#), "no end: {text}");
    "whole"
}

#[tokio::test]
async fn every_stream_ends_in_a_way_that_can_be_told_and_nothing_is_left_over() {
    let (mut regions, mut config) = (Vec::new(), SETTINGS.to_owned());
    for name in ["eastus", "westeurope", "swedencentral"] {
        let region =
            Simulator::builder().target(name).length(8..=8).gap(Duration::from_millis(10)).start().await.unwrap();
        let url = region.url();
        config += &format!("[[targets]]\nname = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n");
        regions.push(region);
    }
    let running = Arc::new(Running::from_config(&Config::parse(&config, "soak.toml").unwrap(), regions).await);
    let (answers, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + LASTS);
    turn(&running.regions, 0);

    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (running, answers) = (Arc::clone(&running), Arc::clone(&answers));
        streams.spawn(async move {
            let mut endings = Vec::new();
            while endings.len() < 2 || Instant::now() < end {
                let response = running.client().oneshot(running.request(CHAT_PATH, STREAM)).await;
                endings.push(ending(&read(response.expect("the gateway answers")).await));
                let count = answers.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_multiple_of(TURN) {
                    turn(&running.regions, count / TURN);
                }
            }
            endings
        });
    }
    let endings = timeout(FAR * 3, streams.join_all()).await.expect("every stream ends");

    let mut counts = BTreeMap::new();
    endings.into_iter().flatten().for_each(|ending| *counts.entry(ending).or_insert(0_u32) += 1);
    println!("{counts:?}");
    assert!(counts.values().sum::<u32>() as usize >= STREAMS && counts.contains_key("whole"), "{counts:?}");
    running.regions.iter().for_each(Simulator::heal);
    let idle = |region: &Simulator| {
        let (name, stats) = (Label::try_new(region.name()).unwrap(), region.stats());
        running.operator.in_flight(&name) == 0 && stats.in_flight == 0 && stats.open_streams == 0
    };
    let rest = async {
        while !running.regions.iter().all(idle) {
            yield_now().await;
        }
    };
    timeout(FAR, rest).await.expect("nothing is left over");
}
