//! What callers see when regions fail. Real sockets on loopback, no clock in the assertions.

mod support;

use buttress_core::{Client, Payload};
use buttress_sim::{Fault, ProviderError};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tower::ServiceExt as _;

use support::{Answer, CHAT, CHAT_PATH, FAR, Running, STREAM, read};

fn throttled_for_30s() -> Fault {
    Fault::Provider { error: ProviderError::RateLimit, retry_after_ms: Some(30_000) }
}

/// Sends `n` requests at once and returns the answers.
async fn flood(running: &Running, n: usize, body: &'static str) -> Vec<Answer> {
    let mut answers = JoinSet::new();
    for _ in 0..n {
        let request = running.request(CHAT_PATH, body);
        let client = running.client();
        answers.spawn(async move { read(client.oneshot(request).await.expect("it answers")).await });
    }
    timeout(FAR, answers.join_all()).await.expect("no call waits out a hint of 30 s")
}

async fn survives(fault: Fault) {
    let running = Running::three().await;
    running.break_region(0, fault.clone());
    for body in [CHAT, STREAM] {
        for answer in flood(&running, 50, body).await {
            assert_eq!(answer.status, 200, "{fault:?}: {answer:?}");
            assert_eq!(answer.header("x-served-by"), "westeurope", "{fault:?}");
            let first = if answer.header("x-attempts") == "1" { "westeurope;200;" } else { "eastus;" };
            assert!(answer.header("x-attempt-trail").starts_with(first), "{fault:?}: {answer:?}");
        }
    }
    let before = running.regions[0].stats().requests;
    for answer in flood(&running, 50, CHAT).await {
        assert_eq!(answer.header("x-attempts"), "1", "{fault:?}: by now it is known");
    }
    assert_eq!(running.regions[0].stats().requests, before, "{fault:?}");
    assert_eq!(running.regions[1].stats().completed, 150, "{fault:?}: the region that was named did answer");
}

#[tokio::test]
async fn a_region_that_answers_500_is_not_noticed() {
    survives(Fault::status(StatusCode::INTERNAL_SERVER_ERROR)).await;
}

#[tokio::test]
async fn a_region_that_refuses_connections_is_not_noticed() {
    survives(Fault::Refuse).await;
}

#[tokio::test]
async fn a_region_that_hangs_is_not_noticed() {
    survives(Fault::Hang).await;
}

#[tokio::test]
async fn a_region_that_resets_connections_is_not_noticed() {
    survives(Fault::Reset).await;
}

#[tokio::test]
async fn nobody_waits_for_a_region_that_asks_for_30_seconds() {
    survives(throttled_for_30s()).await;
}

#[tokio::test]
async fn a_spent_quota_and_a_dead_key_move_on() {
    for error in [ProviderError::InsufficientQuota, ProviderError::InvalidApiKey, ProviderError::ModelNotFound] {
        let running = Running::three().await;
        running.break_region(0, Fault::provider(error));
        assert_eq!(running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "westeurope", "{error:?}");
        assert_eq!(running.seen(), [1, 1, 0], "{error:?}: and the region is not asked twice");
    }
}

#[tokio::test]
async fn two_dead_regions_leave_the_third() {
    let running = Running::three().await;
    running.break_region(0, Fault::Refuse);
    running.break_region(1, throttled_for_30s());
    let answer = running.post(CHAT_PATH, CHAT).await;
    assert_eq!((answer.header("x-served-by"), answer.header("x-attempts")), ("swedencentral", "3"));
}

#[tokio::test]
async fn with_all_regions_down_the_answer_is_503_and_says_what_was_tried() {
    let running = Running::three().await;
    running.break_region(0, Fault::Refuse);
    running.break_region(1, Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    running.break_region(2, Fault::Hang);

    let answer = timeout(FAR, running.post(CHAT_PATH, CHAT)).await.unwrap();

    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (503, "upstream_unavailable"));
    assert_eq!(answer.header("x-should-retry"), "false");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("x-served-by"), "", "nobody answered, so nobody is named");
    let trail = answer.header("x-attempt-trail");
    let begins = ["eastus;connect;", "westeurope;500;", "swedencentral;ttft-timeout;"];
    for (entry, begin) in trail.split(", ").zip(begins) {
        assert!(entry.starts_with(begin), "{trail}");
    }
    assert_eq!(answer.header("x-attempts"), "5", "the allowance is spent and not passed");

    running.regions.iter().for_each(buttress_sim::Simulator::heal);
    assert_eq!(running.post(CHAT_PATH, CHAT).await.header("x-served-by"), "eastus");
}

#[tokio::test]
async fn a_caller_that_has_little_time_hears_so_in_time() {
    let running = Running::start(&["eastus", "westeurope"], "").await;
    running.break_region(0, Fault::Hang);
    let mut request = running.request(CHAT_PATH, CHAT);
    request.headers_mut().insert("x-request-timeout-ms", "200".parse().unwrap());

    let answer = timeout(FAR, async { read(running.send(request).await).await }).await.unwrap();

    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (504, "deadline_exceeded"));
    assert_eq!((answer.header("x-should-retry"), answer.header("x-served-by")), ("false", ""));
    assert_eq!(running.regions[0].wait_for(|stats| stats.in_flight == 0).await.cancelled, 1);
}

#[tokio::test]
async fn with_all_regions_throttling_the_answer_is_429_with_the_soonest_hint() {
    let running = Running::three().await;
    for (region, secs) in [(0, 90), (1, 70), (2, 80)] {
        running.break_region(
            region,
            Fault::Provider { error: ProviderError::RateLimit, retry_after_ms: Some(secs * 1_000) },
        );
    }
    let answer = running.post(CHAT_PATH, CHAT).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "70"));
    assert_eq!((answer.header("x-should-retry"), answer.header("x-attempts")), ("false", "3"));
}

#[tokio::test]
async fn a_client_that_retries_by_itself_costs_fewer_attempts() {
    let running = Running::three().await;
    for region in 0..3 {
        running.break_region(region, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    }
    let mut made = Vec::new();
    for count in ["0", "2"] {
        let mut request = running.request(CHAT_PATH, CHAT);
        request.headers_mut().insert("x-stainless-retry-count", count.parse().unwrap());
        made.push(read(running.send(request).await).await.header("x-attempts").to_owned());
    }
    assert_eq!(made, ["5", "3"]);
}

#[tokio::test]
async fn what_is_the_callers_fault_is_asked_once() {
    let faults = [
        Fault::status(StatusCode::BAD_REQUEST),
        Fault::status(StatusCode::NOT_FOUND),
        Fault::status(StatusCode::UNPROCESSABLE_ENTITY),
        Fault::provider(ProviderError::ContentFilter),
        Fault::provider(ProviderError::ContextLengthExceeded),
    ];
    for fault in faults {
        let running = Running::three().await;
        running.break_region(0, fault.clone());
        let answer = running.post(CHAT_PATH, CHAT).await;
        assert!(answer.status.is_client_error(), "{fault:?}: {answer:?}");
        assert_eq!(answer.header("x-served-by"), "eastus", "{fault:?}: the region did answer");
        assert_eq!(running.seen(), [1, 0, 0], "{fault:?}");
    }
}

#[tokio::test]
async fn after_the_first_byte_nothing_is_repeated_and_nothing_invented() {
    for fault in [Fault::TruncateAfter { events: 2 }, Fault::ResetAfter { events: 2 }] {
        let running = Running::three().await;
        running.break_region(0, fault.clone());
        let mut body = running.send(running.request(CHAT_PATH, STREAM)).await.into_body();
        let mut seen = Vec::new();
        while let Some(frame) = timeout(FAR, body.frame()).await.unwrap() {
            seen.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&seen);
        let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
        assert!(last.starts_with(r#"data: {"error":{"message":"#), "{fault:?}: the break is told: {text}");
        assert!(!text.contains("[DONE]") && !text.contains("finish_reason\":\"stop"), "{fault:?}: {text}");
        assert_eq!(running.seen(), [1, 0, 0], "{fault:?}");
    }
}

#[tokio::test]
async fn who_asks_for_it_gets_the_rest_of_a_broken_chat_from_another_region() {
    let running = Running::start(&["eastus", "westeurope"], "[streams]\ncontinue_elsewhere = true").await;
    running.break_region(0, Fault::TruncateAfter { events: 3 });
    let answer = running.post(CHAT_PATH, STREAM).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("\n\n: continued on westeurope\n\n"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("\"error\""), "{text}");
    let ids: std::collections::HashSet<&str> =
        text.split("\"id\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.len(), 1, "{text}");
    assert_eq!(running.seen(), [1, 1]);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_request_upstream() {
    for (fault, body) in [(Fault::Hang, CHAT), (Fault::StallAfter { events: 2 }, STREAM)] {
        let running = Running::start(&["eastus"], "").await;
        running.break_region(0, fault.clone());
        let request = running.request(CHAT_PATH, body);
        let call = async { read(running.send(request).await).await };
        let reached = running.regions[0].wait_for(|stats| stats.in_flight == 1);
        tokio::select! {
            biased;
            answer = call => panic!("{fault:?} does not answer: {answer:?}"),
            _ = async { reached.await; settle(&running, body).await } => {}
        }
        let left = Instant::now();
        let stats = timeout(FAR, running.regions[0].wait_for(|stats| stats.cancelled == 1)).await;
        let stats = stats.expect("the upstream hears of it");
        println!("{fault:?}: cancelled {:?} after the client left", Instant::now() - left);
        assert_eq!((stats.requests, stats.in_flight), (1, 0), "{fault:?}: and nobody tries again");
    }
}

/// Lets a stream begin, so that the client leaves in the middle of it.
async fn settle(running: &Running, body: &str) {
    if body == STREAM {
        running.regions[0].wait_for(|stats| stats.streams == 1).await;
    }
}

#[tokio::test]
async fn a_request_reaches_its_region_as_it_came() {
    let running = Running::three().await;
    running.break_region(0, Fault::status(StatusCode::BAD_GATEWAY));
    let models = running.get("/v1/models").await;
    assert_eq!((models.status.as_u16(), models.header("x-served-by")), (200, "westeurope"));
    assert!(models.json()["data"].is_array());

    let embedding = running.post("/v1/embeddings", r#"{"model":"text-embedding-3-small","input":"Hello"}"#).await;
    assert!(embedding.json()["data"][0]["embedding"].is_array());

    let path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21";
    let azure = running.post(path, r#"{"messages":[{"role":"user","content":"Hello"}]}"#).await;
    assert_eq!((azure.status.as_u16(), azure.header("x-served-model")), (200, "gpt-4o-mini"));
}

#[tokio::test]
async fn headers_that_name_a_server_cannot_be_planted() {
    let running = Running::three().await;
    running.break_region(0, Fault::status(StatusCode::BAD_REQUEST));
    let mut request = running.request(CHAT_PATH, CHAT);
    request.headers_mut().insert("x-served-by", "evil".parse().unwrap());
    assert_eq!(read(running.send(request).await).await.header("x-served-by"), "eastus");
}

#[tokio::test]
async fn a_client_may_speak_http_2_and_stream_over_it() {
    let running = Running::three().await;
    running.break_region(0, Fault::Refuse);
    let client: legacy::Client<_, Payload> =
        legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let client = Client::new(client);
    let mut answers = JoinSet::new();
    for body in [CHAT, STREAM].repeat(10) {
        answers.spawn(client.clone().oneshot(running.request(CHAT_PATH, body)));
    }
    for response in answers.join_all().await {
        let response = response.expect("the gateway answers");
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
        assert_eq!(read(response).await.header("x-served-by"), "westeurope");
    }
}

#[tokio::test]
async fn health_is_told_without_asking_a_region() {
    let running = Running::three().await;
    for (path, status) in [("/health/live", "alive"), ("/health/ready", "ready")] {
        assert_eq!(running.get(path).await.json()["status"], status);
    }
    assert_eq!(running.seen(), [0, 0, 0]);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_before_any_region_is_asked() {
    let running = Running::start(&["eastus"], "max_body_bytes = 1000").await;
    let long = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(2_000));
    let cases = [
        (CHAT_PATH, long, 413, "request_too_large"),
        (CHAT_PATH, "{".into(), 400, "invalid_request"),
        (CHAT_PATH, "[]".into(), 400, "invalid_request"),
        (CHAT_PATH, String::new(), 400, "invalid_request"),
        (CHAT_PATH, r#"{"model":7}"#.into(), 400, "invalid_request"),
        (CHAT_PATH, r#"{"model":"m","stream":"yes"}"#.into(), 400, "invalid_request"),
        ("/v1/nothing", CHAT.into(), 404, "not_found"),
    ];
    for (path, body, status, code) in cases {
        let answer = running.post(path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (status, code), "{path} {body}");
        assert_eq!(answer.header("x-should-retry"), "false", "{path} {body}");
    }
    assert_eq!(running.seen(), [0]);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() {
    let running = Running::start(&["eastus"], "max_body_bytes = 1000").await;
    let chunks = http_body_util::StreamBody::new(frames(vec![Bytes::from(vec![b' '; 600]); 2]));
    let request = Request::post(format!("{}{CHAT_PATH}", running.url)).body(chunks).unwrap();
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(running.seen(), [0]);
}

/// A stream of data frames that announces no length.
fn frames(
    chunks: Vec<Bytes>,
) -> impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, std::convert::Infallible>> + Unpin {
    futures_util::stream::iter(chunks.into_iter().map(|chunk| Ok(http_body::Frame::data(chunk))))
}
