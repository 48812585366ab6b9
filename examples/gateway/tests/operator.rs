//! What an operator sees, and what comes of what one tells the gateway. Real sockets on loopback behind the gateway.

mod support;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use support::{CHAT, CHAT_PATH, Running};

/// Tells the operators' side of the gateway something, and returns status and body.
async fn tell(running: &Running, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("it is one");
    let response = running.operator.clone().router().oneshot(request).await.expect("it answers");
    let status = response.status().as_u16();
    #[expect(clippy::disallowed_methods, reason = "the answers of the operators' side are short")]
    let body = response.into_body().collect().await.expect("it comes to its end").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("it is text"))
}

async fn status(running: &Running) -> Value {
    let (status, body) = tell(running, "GET", "/status.json", "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("it is JSON")
}

#[tokio::test]
async fn a_weight_counts_from_the_next_request_on_until_it_is_taken_back() {
    let running = Running::start(&["eastus", "westeurope"], "[failover]\npolicy = \"weighted\"\nseed = 1").await;
    for (path, body) in [("/targets/westeurope/weigh?weight=1000000", ""), ("/targets/eastus/weigh", "{\"weight\":1}")]
    {
        assert_eq!(tell(&running, "POST", path, body).await, (204, String::new()));
    }
    let targets = &status(&running).await["targets"];
    assert_eq!((&targets[1]["weight"], &targets[1]["effective_weight"]), (&json!(1_000_000), &json!(1_000_000.0)));
    assert_eq!(targets[0]["outlier"], false);
    for _ in 0..20 {
        running.post(CHAT_PATH, CHAT).await;
    }
    assert_eq!(running.seen(), [0, 20]);
    assert_eq!(tell(&running, "POST", "/targets/westeurope/restore", "").await.0, 204);
    assert_eq!(status(&running).await["targets"][1]["weight"], 1);
}

#[tokio::test]
async fn a_priority_tells_what_it_got_gets_and_can_carry() {
    let running = Running::start(&["eastus", "westeurope"], "[failover]\npolicy = \"balanced\"\nseed = 1").await;
    for _ in 0..5 {
        running.post(CHAT_PATH, CHAT).await;
    }
    let all = |attempts: u64, available: u64| json!([{ "priority": 0, "targets": 2, "attempts": attempts, "share_percent": 100, "availability_percent": available }]);
    assert_eq!(status(&running).await["levels"], all(5, 100));
    assert_eq!(tell(&running, "POST", "/targets/eastus/eject", "").await.0, 204);
    assert_eq!(status(&running).await["levels"], all(5, 70), "a half, times 1.4");
    let (code, text) = tell(&running, "GET", "/metrics", "").await;
    assert_eq!(code, 200);
    for line in [
        "# TYPE gateway_level_attempts_total counter",
        "gateway_level_attempts_total{priority=\"0\"} 5",
        "gateway_level_share_percent{priority=\"0\"} 100",
        "gateway_level_availability_percent{priority=\"0\"} 70",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_told_with_what_can() {
    let running = Running::start(&["eastus"], "").await;
    for (path, body, status, says) in [
        ("/targets/nobody/weigh?weight=1", "", 404, "there is no such target"),
        ("/targets/nobody/drain", "", 404, "there is no such target"),
        ("/targets/eastus/weigh", "", 400, "`weight` must be a whole number from 1 to 4294967295"),
        ("/targets/eastus/weigh?weight=-1", "", 400, "`weight` must be a whole number"),
        ("/targets/eastus/weigh", "{\"weight\":4294967296}", 400, "`weight` must be a whole number"),
        ("/targets/eastus/weigh?weight=0", "", 400, "the weight of `eastus` is 0"),
        ("/targets/eastus/paint", "", 404, "a target can be told to `drain`, `eject`, `weigh` or `restore`"),
    ] {
        let (found, text) = tell(&running, "POST", path, body).await;
        assert!(found == status && text.contains(says), "{path} {body}: {found} {text}");
    }
    assert_eq!(running.operator.targets().list(tokio::time::Instant::now())[0].weight.get(), 1);
}

#[tokio::test]
async fn tenants_and_second_attempts_are_seen() {
    let limits = "[limits]\ncaller = \"header:x-tenant\"\n[limits.default]\nrpm = 5\n[[tenants]]\nname = \"acme\"";
    let running = Running::start(&["eastus"], limits).await;
    let mut request = running.request(CHAT_PATH, CHAT);
    request.headers_mut().insert("x-tenant", "acme".parse().expect("it is a header"));
    drop(running.send(request).await);
    let status = status(&running).await;
    let tenant = &status["tenants"][0];
    assert_eq!((&tenant["name"], &tenant["limits"][0]["name"]), (&json!("acme"), &json!("requests-per-minute")));
    assert_eq!((&tenant["limits"][0]["holds"], &tenant["limits"][0]["left"]), (&json!(5), &json!(4)));
    assert_eq!(status["hedges"]["sent"], 0);
}
