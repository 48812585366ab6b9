//! The control endpoint.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/client.rs"]
mod client;

use std::io::ErrorKind;

use buttress_sim::{Control, ControlServer, Fault, Simulator};
use client::{CHAT, ask, get, post, send};
use serde_json::json;
use tokio::net::TcpStream;

async fn start() -> (Simulator, Simulator, ControlServer) {
    let east = Simulator::builder().target("east").start().await.unwrap();
    let west = Simulator::builder().target("west").start().await.unwrap();
    let control = Control::new([&east, &west]);
    let server = ControlServer::start("127.0.0.1:0".parse().unwrap(), control).await.unwrap();
    (east, west, server)
}

#[tokio::test]
async fn targets_are_listed_with_their_state() {
    let (east, _west, control) = start().await;
    east.set_fault(Fault::Hang);
    let list = get(control.addr(), "/control/targets").await;
    assert_eq!(list.header("content-type"), Some("application/json"));
    let targets = &list.json()["targets"];
    assert_eq!((&targets[0]["name"], &targets[1]["name"]), (&json!("east"), &json!("west")));
    assert_eq!((&targets[0]["fault"], &targets[1]["fault"]), (&json!({"kind": "hang"}), &json!(null)));
    assert_eq!((&targets[0]["url"], &targets[0]["stats"]["requests"]), (&json!(east.url()), &json!(0)));
    assert_eq!(get(control.addr(), "/control/targets/west").await.json()["script"], json!({"steps": []}));
}

#[tokio::test]
async fn faults_are_switched_for_one_target_also_while_it_refuses() {
    let (east, west, control) = start().await;
    let path = "/control/targets/east/fault";
    let state = send(control.addr(), "PUT", path, &[], r#"{"kind":"refuse"}"#).await;
    assert_eq!((state.status, &state.json()["fault"]["kind"]), (200, &json!("refuse")));
    assert_eq!(TcpStream::connect(east.addr()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(post(west.addr(), CHAT, &ask()).await.status, 200);
    assert_eq!(send(control.addr(), "DELETE", path, &[], "").await.json()["fault"], json!(null));
    assert_eq!(post(east.addr(), CHAT, &ask()).await.status, 200);
}

#[tokio::test]
async fn scripts_are_set_and_removed() {
    let (east, _west, control) = start().await;
    let path = "/control/targets/east/script";
    let script = r#"{"steps":[{"when":{"nth":[1]},"fault":{"kind":"status","status":503}}]}"#;
    assert_eq!(send(control.addr(), "PUT", path, &[], script).await.status, 200);
    assert_eq!(post(east.addr(), CHAT, &ask()).await.status, 503);
    assert_eq!(post(east.addr(), CHAT, &ask()).await.status, 200);
    assert_eq!(send(control.addr(), "DELETE", path, &[], "").await.json()["script"], json!({"steps": []}));
    let state = send(control.addr(), "POST", "/control/targets/east/reset", &[], "").await;
    assert_eq!(state.json()["stats"]["requests"], 0);
}

#[tokio::test]
async fn profiles_are_switched_and_come_back_with_a_reset() {
    let (east, _west, control) = start().await;
    let path = "/control/targets/east/profile";
    assert_eq!(send(control.addr(), "PUT", path, &[], r#""groq""#).await.json()["profile"], "groq");
    assert_eq!(post(east.addr(), CHAT, &ask()).await.header("openai-version"), None);
    assert_eq!(send(control.addr(), "DELETE", path, &[], "").await.json()["profile"], "standard");
    send(control.addr(), "PUT", path, &[], r#""vllm""#).await;
    let state = send(control.addr(), "POST", "/control/targets/east/reset", &[], "").await;
    assert_eq!((&state.json()["profile"], &state.json()["stats"]["bytes_sent"]), (&json!("standard"), &json!(0)));
    assert_eq!(send(control.addr(), "PUT", path, &[], r#""grok""#).await.status, 400);
}

#[tokio::test]
async fn bad_input_is_told_what_was_expected() {
    let (_east, _west, control) = start().await;
    for (method, path, body, status, named) in [
        ("PUT", "/control/targets/east/fault", "{", 400, "EOF"),
        ("PUT", "/control/targets/east/fault", r#"{"kind":"x"}"#, 400, "expected one of `status`"),
        ("PUT", "/control/targets/east/fault", r#"{"kind":"hang","x":1}"#, 400, "unknown field `x`"),
        ("PUT", "/control/targets/east/fault", r#"{"kind":"status","status":1}"#, 400, "expected 200 to 599"),
        ("PUT", "/control/targets/east/script", r#"{"steps":[{"when":"x"}]}"#, 400, "expected one of `always`"),
        ("PUT", "/control/targets/north/fault", "", 404, "expected one of `east`, `west`"),
        ("PUT", "/control/targets/east/x", "", 404, "expected one of `fault`, `script`, `reset`"),
        ("POST", "/control/targets/east/fault", "", 405, "expected PUT, DELETE"),
        ("POST", "/control/targets", "", 405, "expected GET"),
        ("GET", "/control/targetsx", "", 404, "no such path"),
        ("GET", "/", "", 404, "no such path"),
    ] {
        let answer = send(control.addr(), method, path, &[], body).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(answer.status == status && message.contains(named), "{method} {path}: {} {message}", answer.status);
    }
}

#[tokio::test]
async fn a_dropped_simulator_is_no_longer_controlled() {
    let (east, west, control) = start().await;
    drop(west);
    tokio::task::yield_now().await;
    assert_eq!(get(control.addr(), "/control/targets").await.json()["targets"].as_array().unwrap().len(), 1);
    drop(east);
}

#[tokio::test]
async fn control_is_for_this_machine_only() {
    let control = Control::new([]);
    let refused = ControlServer::start("0.0.0.0:0".parse().unwrap(), control).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
}
