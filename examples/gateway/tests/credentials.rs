//! Several keys of one target. Real sockets on loopback.

mod support;

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use buttress_sim::Simulator;
use gateway::{Config, reload::Reload};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use support::{CHAT, CHAT_PATH, Running, STREAM};

const BOTH: &str = "[[targets.credentials]]\nname = \"first\"\napi_key_env = \"FIRST\"\n\
                    [[targets.credentials]]\nname = \"second\"\napi_key_env = \"SECOND\"\n";

/// A provider whose answer depends on the key that it is shown.
struct Provider {
    url: String,
    shown: Shown,
    _server: JoinSet<()>,
}

/// Which keys were shown, and what each is good for.
#[derive(Clone)]
struct Shown(Arc<Mutex<Vec<String>>>, fn(&str) -> Option<Response>);

impl Provider {
    async fn start(fails: fn(&str) -> Option<Response>) -> Self {
        let shown = Shown(Arc::default(), fails);
        let app = Router::new().fallback(answer).with_state(shown.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { url, shown, _server: server }
    }

    /// Returns the keys that were shown since the last time.
    fn shown(&self) -> Vec<String> {
        std::mem::take(&mut self.shown.0.lock().expect("nobody has panicked"))
    }
}

async fn answer(State(Shown(shown, fails)): State<Shown>, headers: HeaderMap) -> Response {
    let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let key = key.trim_start_matches("Bearer key-of-");
    shown.lock().expect("nobody has panicked").push(key.to_owned());
    let whole =
        || json!({ "choices": [{ "message": { "role": "assistant", "content": "x" }, "finish_reason": "stop" }] });
    fails(key).unwrap_or_else(|| Json(whole()).into_response())
}

fn no_credit(key: &str) -> Option<Response> {
    let error =
        || json!({ "error": { "message": "no credit", "type": "insufficient_quota", "code": "insufficient_quota" } });
    (key == "FIRST").then(|| (StatusCode::TOO_MANY_REQUESTS, Json(error())).into_response())
}

fn target(name: &str, url: &str, keys: &str) -> String {
    format!("[[targets]]\nname = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n{keys}")
}

async fn running(targets: &str, regions: Vec<Simulator>) -> Running {
    let text = format!("listen = \"127.0.0.1:0\"\n{targets}");
    Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), regions).await
}

async fn credentials(running: &Running) -> Value {
    let request = Request::get("/status.json").body(Body::empty()).expect("it is one");
    let response = running.operator.clone().router().oneshot(request).await.expect("it answers");
    #[expect(clippy::disallowed_methods, reason = "the answers of the operators' side are short")]
    let body = response.into_body().collect().await.expect("it comes to its end").to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("key-of-"), "{body:?}");
    let mut status = serde_json::from_slice::<Value>(&body).expect("it is JSON");
    status["targets"][0]["credentials"].take()
}

#[tokio::test]
async fn a_dead_key_is_left_alone_and_the_caller_is_answered_by_the_same_target() {
    let mut regions = Vec::new();
    for name in ["eastus", "westeurope"] {
        let region = Simulator::builder().target(name).length(5..=5).api_key("key-of-SECOND");
        regions.push(region.start().await.expect("a port is free"));
    }
    let targets = target("eastus", &regions[0].url(), BOTH) + &target("westeurope", &regions[1].url(), BOTH);
    let running = running(&targets, regions).await;

    let first = running.post(CHAT_PATH, CHAT).await;
    assert_eq!((first.status.as_u16(), first.header("x-served-by"), first.header("x-attempts")), (200, "eastus", "2"));
    for body in [STREAM, CHAT, STREAM, CHAT] {
        let next = running.post(CHAT_PATH, body).await;
        assert_eq!((next.status.as_u16(), next.header("x-served-by"), next.header("x-attempts")), (200, "eastus", "1"));
    }
    assert_eq!(running.seen(), [6, 0], "the dead one was shown once");
}

#[tokio::test]
async fn a_key_without_credit_is_parked_by_its_name_until_an_operator_says_otherwise() {
    let provider = Provider::start(no_credit).await;
    let running = running(&target("eastus", &provider.url, BOTH), Vec::new()).await;
    assert_eq!(
        credentials(&running).await,
        json!([{ "name": "first", "parked_ms": null }, { "name": "second", "parked_ms": null }])
    );
    for _ in 0..3 {
        let answer = running.post(CHAT_PATH, CHAT).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "eastus"), "{answer:?}");
    }
    assert_eq!(provider.shown(), ["FIRST", "SECOND", "SECOND", "SECOND"]);
    let parked = credentials(&running).await;
    assert!(parked[0]["parked_ms"].as_u64() > Some(0) && parked[1]["parked_ms"].is_null(), "{parked}");

    let restore = Request::post("/targets/eastus/restore").body(Body::empty()).expect("it is one");
    let restored = running.operator.clone().router().oneshot(restore).await.expect("it answers");
    assert_eq!(restored.status(), StatusCode::NO_CONTENT);
    assert_eq!(running.post(CHAT_PATH, CHAT).await.status, 200);
    assert_eq!(provider.shown(), ["FIRST", "SECOND"], "it may have been topped up");
}

#[tokio::test]
async fn keys_of_several_organizations_are_shown_in_turn() {
    let provider = Provider::start(|_| None).await;
    let keys = format!("limits_by_credential = true\n{BOTH}");
    let running = running(&target("eastus", &provider.url, &keys), Vec::new()).await;
    for _ in 0..4 {
        assert_eq!(running.post(CHAT_PATH, CHAT).await.status, 200);
    }
    assert_eq!(provider.shown(), ["FIRST", "SECOND", "FIRST", "SECOND"]);
}

#[tokio::test]
async fn keys_can_be_replaced_while_it_runs_and_what_is_known_goes_by_their_names() {
    let provider = Provider::start(no_credit).await;
    let text = |keys: &str| format!("listen = \"127.0.0.1:0\"\n{}", target("eastus", &provider.url, keys));
    let config = Config::parse(&text(BOTH), "test.toml").expect("it is good");
    let running = Running::from_config(&config, Vec::new()).await;
    let variable: fn(&str) -> Option<String> = |name| Some(format!("key-of-{name}"));
    let mut reload = Reload::new("test.toml".as_ref(), String::new(), config, running.operator.clone(), variable);
    assert_eq!(running.post(CHAT_PATH, CHAT).await.status, 200);
    assert_eq!(provider.shown(), ["FIRST", "SECOND"]);
    for (keys, shown) in [
        (BOTH.replace("SECOND", "THIRD"), "THIRD"),
        (BOTH.replace("first", "fresh").replace("FIRST", "FOURTH"), "FOURTH"),
        ("api_key_env = \"FIFTH\"\n".to_owned(), "FIFTH"),
    ] {
        reload.apply(&text(&keys)).expect("it is good");
        assert_eq!(running.post(CHAT_PATH, CHAT).await.status, 200);
        assert_eq!(provider.shown(), [shown]);
    }
}
