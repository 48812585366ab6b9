//! Every fault, on a real socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/client.rs"]
mod client;

use std::io::ErrorKind;
use std::time::Duration;

use buttress_sim::{Fault, ProviderError, Script, Simulator, StatusFault, Step, When};
use client::{AZURE, CHAT, ask, ask_stream, get, open, post, read, read_until};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_millis(100);

async fn sim() -> Simulator {
    Simulator::builder().length(6..=6).seed(7).start().await.unwrap()
}

async fn sim_with(fault: Fault) -> Simulator {
    let sim = sim().await;
    sim.set_fault(fault);
    sim
}

#[tokio::test]
async fn a_status_comes_with_the_body_of_the_provider() {
    let sim = sim_with(Fault::status(StatusCode::TOO_MANY_REQUESTS)).await;
    let answer = post(sim.addr(), CHAT, &ask()).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (429, &json!("rate_limit_exceeded")));
    assert!(error["message"].as_str().unwrap().ends_with("Please try again in 20s."), "{error}");
    assert_eq!(answer.header("retry-after"), None);
    assert!(answer.header("x-request-id").is_some());
    for (status, code) in [(401, json!("invalid_api_key")), (503, json!("overloaded")), (418, json!(null))] {
        sim.set_fault(Fault::status(StatusCode::from_u16(status).unwrap()));
        let answer = post(sim.addr(), CHAT, &ask()).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &code));
    }
}

#[tokio::test]
async fn a_status_comes_with_the_headers_and_body_it_was_given() {
    let fault = StatusFault::new(StatusCode::BAD_GATEWAY)
        .header(header::RETRY_AFTER, HeaderValue::from_static("3"))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))
        .body("<h1>bad gateway</h1>");
    let sim = sim_with(fault.into()).await;
    let answer = post(sim.addr(), CHAT, &ask()).await;
    assert_eq!((answer.status, answer.text().as_str()), (502, "<h1>bad gateway</h1>"));
    assert_eq!((answer.header("retry-after"), answer.header("content-type")), (Some("3"), Some("text/html")));
    sim.set_fault(Fault::from(StatusFault::new(StatusCode::CONFLICT).body(json!({"a": 1}))));
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.json(), json!({"a": 1}));
}

#[tokio::test]
async fn provider_errors_come_in_the_dialect_of_the_path() {
    let sim = sim_with(Fault::provider(ProviderError::ContentFilter)).await;
    let azure = post(sim.addr(), AZURE, &ask()).await;
    assert_eq!(
        (azure.status, &azure.json()["error"]["innererror"]["code"]),
        (400, &json!("ResponsibleAIPolicyViolation"))
    );
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.json()["error"]["code"], "content_policy_violation");
    sim.set_fault(Fault::provider(ProviderError::InsufficientQuota));
    let quota = post(sim.addr(), CHAT, &ask()).await;
    assert_eq!((quota.status, &quota.json()["error"]["type"]), (429, &json!("insufficient_quota")));
    assert_eq!(quota.header("retry-after"), None);
    sim.set_fault(Fault::provider(ProviderError::ContextLengthExceeded));
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.json()["error"]["code"], "context_length_exceeded");
}

#[tokio::test]
async fn a_rate_limit_carries_its_hints() {
    let error = ProviderError::RateLimit;
    let sim = sim_with(Fault::Provider { error, retry_after_ms: Some(1500) }).await;
    for (path, reset) in [(CHAT, "1.5s"), (AZURE, "2")] {
        let answer = post(sim.addr(), path, &ask()).await;
        assert_eq!(answer.status, 429);
        assert_eq!((answer.header("retry-after"), answer.header("retry-after-ms")), (Some("2"), Some("1500")));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
        assert_eq!(answer.header("x-ratelimit-reset-requests"), Some(reset));
    }
}

#[tokio::test]
async fn refused_connections_are_refused_by_the_kernel_and_the_port_comes_back() {
    let sim = sim().await;
    let addr = sim.addr();
    for _ in 0..3 {
        assert_eq!(post(addr, CHAT, &ask()).await.status, 200);
        sim.set_fault(Fault::Refuse);
        assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(std::net::TcpListener::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        sim.heal();
    }
    assert_eq!((post(addr, CHAT, &ask()).await.status, sim.addr()), (200, addr));
}

#[tokio::test]
async fn refusing_ends_the_connections_that_live() {
    let sim = sim_with(Fault::StallAfter { events: 2 }).await;
    let mut stream = open(sim.addr(), "POST", CHAT, &[], &ask_stream().to_string()).await;
    read_until(&mut stream, "content").await;
    sim.set_fault(Fault::Refuse);
    let rest = timeout(Duration::from_secs(5), read(stream)).await.expect("the connection ends");
    assert!(rest.0.is_none());
    let stats = sim.wait_for(|stats| stats.in_flight == 0).await;
    assert_eq!((stats.aborted, stats.cancelled), (1, 0));
}

#[tokio::test]
async fn a_hanging_target_reads_and_never_answers() {
    let sim = sim_with(Fault::Hang).await;
    let stream = open(sim.addr(), "POST", CHAT, &[], &ask().to_string()).await;
    sim.wait_for(|stats| stats.faults == 1).await;
    assert!(timeout(SOON, read(stream)).await.is_err());
    let stats = sim.wait_for(|stats| stats.in_flight == 0).await;
    assert_eq!((stats.cancelled, stats.completed), (1, 0));
}

#[tokio::test]
async fn a_reset_comes_instead_of_an_answer() {
    let sim = sim_with(Fault::Reset).await;
    let (answer, error) = read(open(sim.addr(), "POST", CHAT, &[], &ask().to_string()).await).await;
    assert!(answer.is_none());
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    assert_eq!(sim.stats().aborted, 1);
}

#[tokio::test]
async fn the_first_token_is_late_and_the_role_chunk_is_not() {
    let sim = sim_with(Fault::SlowFirstToken { ms: 150 }).await;
    let start = Instant::now();
    let mut stream = open(sim.addr(), "POST", CHAT, &[], &ask_stream().to_string()).await;
    let head = read_until(&mut stream, "\"role\"").await;
    assert!(!head.contains("{\"content\":"));
    read_until(&mut stream, "{\"content\":").await;
    assert!(Instant::now() - start >= Duration::from_millis(150));
    let start = Instant::now();
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.status, 200);
    assert!(Instant::now() - start >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_stalled_stream_keeps_its_connection_and_sends_no_more() {
    let sim = sim_with(Fault::StallAfter { events: 3 }).await;
    let mut stream = open(sim.addr(), "POST", CHAT, &[], &ask_stream().to_string()).await;
    let mut text = String::new();
    while text.matches("data: ").count() < 3 {
        text.push_str(&read_until(&mut stream, "\n\n").await);
    }
    assert_eq!(text.matches("data: ").count(), 3);
    assert!(timeout(SOON, read_until(&mut stream, "data")).await.is_err());
    assert_eq!(sim.stats().in_flight, 1);
    drop(stream);
    assert_eq!(sim.wait_for(|stats| stats.in_flight == 0).await.cancelled, 1);
}

#[tokio::test]
async fn a_truncated_message_misses_its_end() {
    let sim = sim_with(Fault::TruncateAfter { events: 3 }).await;
    let stream = post(sim.addr(), CHAT, &ask_stream()).await;
    assert_eq!((stream.events().len(), stream.whole, stream.error), (3, false, None));
    let json = post(sim.addr(), CHAT, &ask()).await;
    assert!(!json.whole && !json.body.is_empty() && json.error.is_none());
    sim.set_fault(Fault::TruncateAfter { events: 0 });
    let json = post(sim.addr(), CHAT, &ask()).await;
    assert!(!json.whole && json.body.is_empty());
    assert_eq!(sim.stats().aborted, 3);
}

#[tokio::test]
async fn an_ended_stream_is_correct_http_without_its_last_events() {
    let sim = sim_with(Fault::EndAfter { events: 3 }).await;
    let stream = post(sim.addr(), CHAT, &ask_stream()).await;
    assert_eq!((stream.events().len(), stream.whole), (3, true));
    let json = post(sim.addr(), CHAT, &ask()).await;
    assert!(json.whole && serde_json::from_slice::<serde_json::Value>(&json.body).is_err());
}

#[tokio::test]
async fn a_reset_in_the_middle_is_a_reset_on_the_wire() {
    let sim = sim_with(Fault::ResetAfter { events: 3 }).await;
    for body in [ask_stream(), ask()] {
        let stream = open(sim.addr(), "POST", CHAT, &[], &body.to_string()).await;
        let (_, error) = read(stream).await;
        assert_eq!(error, Some(ErrorKind::ConnectionReset));
    }
    assert_eq!(sim.wait_for(|stats| stats.in_flight == 0).await.aborted, 2);
}

#[tokio::test]
async fn a_malformed_event_is_followed_by_good_ones() {
    let sim = sim_with(Fault::MalformedEvent { after: 2 }).await;
    let answer = post(sim.addr(), CHAT, &ask_stream()).await;
    let bad: Vec<_> =
        answer.events().iter().map(|event| serde_json::from_str::<serde_json::Value>(event).is_err()).collect();
    assert_eq!(bad, [false, false, true, false, false, false, false, false, true]);
    assert!(answer.whole);
    let json = post(sim.addr(), CHAT, &ask()).await;
    assert!(json.whole && serde_json::from_slice::<serde_json::Value>(&json.body).is_err());
}

#[tokio::test]
async fn an_error_event_comes_under_status_200() {
    let sim = sim_with(Fault::ErrorEvent { after: 2, error: None }).await;
    let stream = post(sim.addr(), CHAT, &ask_stream()).await;
    assert_eq!((stream.status, stream.events().len(), stream.whole), (200, 3, true));
    assert_eq!(stream.chunks()[2]["error"]["type"], "server_error");
    sim.set_fault(Fault::ErrorEvent { after: 0, error: Some(json!({"code": "x"})) });
    assert_eq!(post(sim.addr(), CHAT, &ask_stream()).await.text(), "data: {\"error\":{\"code\":\"x\"}}\n\n");
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.json(), json!({"error": {"code": "x"}}));
}

#[tokio::test]
async fn an_empty_answer_is_a_success_of_nothing() {
    let sim = sim_with(Fault::Empty).await;
    for body in [ask(), ask_stream()] {
        let answer = post(sim.addr(), CHAT, &body).await;
        assert_eq!((answer.status, answer.body.len(), answer.whole), (200, 0, true));
    }
    sim.set_fault(Fault::OnlyDone);
    let answer = post(sim.addr(), CHAT, &ask_stream()).await;
    assert_eq!(answer.text(), "data: [DONE]\n\n");
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(sim.stats().completed, 3);
}

#[tokio::test]
async fn faults_hit_other_endpoints_too_and_spare_refusals() {
    let sim = sim_with(Fault::TruncateAfter { events: 1 }).await;
    assert!(!get(sim.addr(), "/v1/models").await.whole);
    let answer = get(sim.addr(), "/v1/nothing").await;
    assert_eq!((answer.status, answer.whole), (404, true));
}

#[tokio::test]
async fn a_script_fails_the_requests_it_names() {
    let sim = sim().await;
    let number = |number| std::num::NonZeroU64::new(number).unwrap();
    let steps = [
        Step::new(When::Nth(vec![number(2)]), Fault::Reset),
        Step::new(When::Every(number(3)), Fault::status(StatusCode::SERVICE_UNAVAILABLE)),
    ];
    post(sim.addr(), CHAT, &ask()).await;
    sim.set_script(Script::try_new(steps).unwrap());
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        let stream = open(sim.addr(), "POST", CHAT, &[], &ask().to_string()).await;
        outcomes.push(read(stream).await.0.map_or(0, |answer| answer.status));
    }
    assert_eq!(outcomes, [200, 0, 503, 200, 200, 503]);
    sim.set_fault(Fault::status(StatusCode::FORBIDDEN));
    assert_eq!(post(sim.addr(), CHAT, &ask()).await.status, 403);
    sim.reset();
    assert_eq!((post(sim.addr(), CHAT, &ask()).await.status, sim.stats().requests), (200, 1));
}
