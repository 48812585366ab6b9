//! Counts, cancellation, limits and the end of a simulator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/client.rs"]
mod client;

use std::io::ErrorKind;
use std::time::Duration;

use buttress_sim::{Fault, Limits, Simulator};
use client::{AZURE, CHAT, ask, ask_stream, get, open, post, read, read_until};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn complete_answers_are_counted() {
    let sim = Simulator::builder().start().await.unwrap();
    post(sim.addr(), CHAT, &ask()).await;
    post(sim.addr(), CHAT, &ask_stream()).await;
    get(sim.addr(), "/v1/nothing").await;
    let stats = sim.stats();
    assert_eq!((stats.connections, stats.requests, stats.streams), (3, 3, 1));
    assert_eq!((stats.completed, stats.cancelled, stats.aborted, stats.in_flight), (3, 0, 0, 0));
}

#[tokio::test]
async fn answers_that_have_no_body_are_complete_too() {
    let sim = Simulator::builder().start().await.unwrap();
    assert_eq!(read(open(sim.addr(), "HEAD", CHAT, &[], "").await).await.1, None);
    sim.set_fault(Fault::status(http::StatusCode::NO_CONTENT));
    assert_eq!(read(open(sim.addr(), "POST", CHAT, &[], &ask().to_string()).await).await.1, None);
    let stats = sim.wait_for(|stats| stats.in_flight == 0).await;
    assert_eq!((stats.completed, stats.cancelled), (2, 0));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_headers_is_seen() {
    let sim = Simulator::builder().first_token(LONG).start().await.unwrap();
    let stream = open(sim.addr(), "POST", CHAT, &[], &ask().to_string()).await;
    sim.wait_for(|stats| stats.in_flight == 1).await;
    drop(stream);
    let stats = timeout(LONG, sim.wait_for(|stats| stats.in_flight == 0)).await.unwrap();
    assert_eq!((stats.cancelled, stats.completed), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_seen() {
    let sim = Simulator::builder().gap(LONG).start().await.unwrap();
    let mut stream = open(sim.addr(), "POST", CHAT, &[], &ask_stream().to_string()).await;
    read_until(&mut stream, "{\"content\":").await;
    drop(stream);
    let stats = timeout(LONG, sim.wait_for(|stats| stats.in_flight == 0)).await.unwrap();
    assert_eq!((stats.streams, stats.cancelled), (1, 1));
}

#[tokio::test]
async fn a_client_that_leaves_before_its_body_is_seen() {
    let sim = Simulator::builder().start().await.unwrap();
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: sim\r\ncontent-length: 10\r\n\r\n{{");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    sim.wait_for(|stats| stats.in_flight == 1).await;
    drop(stream);
    let stats = timeout(LONG, sim.wait_for(|stats| stats.in_flight == 0)).await.unwrap();
    assert_eq!(stats.cancelled, 1);
}

#[tokio::test]
async fn words_come_one_by_one() {
    let gap = Duration::from_millis(20);
    let sim = Simulator::builder().first_token(gap).gap(gap).length(5..=5).start().await.unwrap();
    let start = tokio::time::Instant::now();
    let mut stream = open(sim.addr(), "POST", CHAT, &[], &ask_stream().to_string()).await;
    let early = read_until(&mut stream, "{\"content\":").await;
    assert!(!early.contains("[DONE]"));
    read_until(&mut stream, "[DONE]").await;
    assert!(tokio::time::Instant::now() - start >= gap * 5);
}

#[tokio::test]
async fn requests_over_the_limit_get_429_with_its_headers() {
    let sim = Simulator::builder().limits(Limits::new(3, 100_000)).start().await.unwrap();
    for remaining in ["2", "1", "0"] {
        let answer = post(sim.addr(), CHAT, &ask()).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining-requests")), (200, Some(remaining)));
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("3"));
    }
    let answer = post(sim.addr(), CHAT, &ask()).await;
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status, &error["type"], &error["code"]),
        (429, &json!("requests"), &json!("rate_limit_exceeded"))
    );
    assert!(
        error["message"].as_str().unwrap().contains("Limit 3, Used 3, Requested 1. Please try again in"),
        "{error}"
    );
    let millis: u64 = answer.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=20_000).contains(&millis), "{millis}");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
    let azure = post(sim.addr(), AZURE, &ask()).await;
    assert_eq!((azure.status, &azure.json()["error"]["code"]), (429, &json!("429")));
    assert!(azure.header("x-ratelimit-reset-requests").unwrap().parse::<u64>().is_ok());
    assert_eq!(sim.stats().limited, 2);
    sim.reset();
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.status, 200);
}

#[tokio::test]
async fn tokens_are_estimated_with_the_most_an_answer_may_have() {
    let sim = Simulator::builder().limits(Limits::new(100, 1000)).start().await.unwrap();
    let mut ask = ask();
    ask["max_tokens"] = 900.into();
    assert_eq!(post(sim.addr(), CHAT, &ask).await.status, 200);
    let answer = post(sim.addr(), CHAT, &ask).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (429, &json!("tokens")));
    assert!(answer.header("retry-after").is_some());
    ask["max_tokens"] = 2000.into();
    let answer = post(sim.addr(), CHAT, &ask).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, None));
    assert!(answer.text().contains("Request too large"), "{}", answer.text());
}

#[tokio::test]
async fn a_shutdown_closes_the_port_and_the_connections() {
    let sim = Simulator::builder().first_token(LONG).start().await.unwrap();
    let (addr, stats) = (sim.addr(), sim.watch());
    let stream = open(addr, "POST", CHAT, &[], &ask().to_string()).await;
    sim.wait_for(|stats| stats.in_flight == 1).await;
    sim.shutdown().await;
    assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(read(stream).await.0.is_none());
    assert_eq!((stats.borrow().in_flight, stats.borrow().aborted), (0, 1));
}

#[tokio::test]
async fn a_port_can_be_used_again_and_is_not_shared() {
    let sim = Simulator::builder().start().await.unwrap();
    let addr = sim.addr();
    post(addr, CHAT, &ask()).await;
    let taken = Simulator::builder().listen(addr).start().await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    sim.shutdown().await;
    let again = Simulator::builder().listen(addr).start().await.unwrap();
    assert_eq!(post(again.addr(), CHAT, &ask()).await.status, 200);
}
