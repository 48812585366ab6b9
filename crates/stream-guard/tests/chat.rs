//! Chats that are gone on with by another target.
#![cfg(feature = "llm")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use buttress_core::{AnswerReport, Body, CallContext, Http, Payload, Target, Trail, Verdict};
use buttress_llm::{Call, LlmStreams};
use buttress_region_failover::RegionFailoverLayer;
use buttress_stream_guard::{ChatContinue, ContinueLayer, StreamGuardLayer};
use buttress_testkit::{Script, read};
use http::{Request, Response};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

fn chunk(id: &str, model: &str, delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": id, "object": "chat.completion.chunk", "created": 7, "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

fn opening(id: &str, model: &str) -> String {
    chunk(id, model, &json!({"role": "assistant", "content": ""}), None)
}

fn word(id: &str, model: &str, text: &str) -> String {
    chunk(id, model, &json!({"content": text}), None)
}

fn broken() -> String {
    opening("one", "m1") + &word("one", "m1", "Once upon") + &word("one", "m1", " a time")
}

fn whole() -> String {
    opening("two", "m2")
        + &word("two", "m2", " there was")
        + &chunk("two", "m2", &json!({}), Some("stop"))
        + "data: [DONE]\n\n"
}

/// Sends `body` through a stack whose first target gives `first` and whose second gives a whole answer.
async fn ask(body: Value, first: String) -> (String, Verdict, String, Vec<Value>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let upstream = service_fn(move |request: Request<Payload>| {
        let body = serde_json::from_slice(request.body().bytes()).expect("the test is made right");
        seen.lock().expect("the test is made right").push(body);
        let east = request.extensions().get::<Target>().expect("the test is made right").name().as_str() == "east";
        let text = if east { first.clone() } else { whole() };
        let body = Body::from(Script::new().data(text).body());
        let response =
            Response::builder().header("content-type", "text/event-stream").body(body).expect("the test is made right");
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let targets = ["east", "west"].map(|name| Target::named(name).expect("the test is made right"));
    let service = ServiceBuilder::new()
        .layer(ContinueLayer::new(LlmStreams::new(), ChatContinue))
        .layer(RegionFailoverLayer::try_new(targets).expect("the test is made right").replay(Http).repeat_all())
        .layer(StreamGuardLayer::new(LlmStreams::new()))
        .service(upstream);
    let mut request = Request::post("/v1/chat/completions")
        .body(Payload::new(body.to_string().into()))
        .expect("the test is made right");
    Call::of_or_read(&mut request).expect("the test is made right");
    let response = service.oneshot(request).await.expect("the test is made right");
    let report = response.extensions().get::<AnswerReport>().expect("the test is made right").clone();
    let context = response.extensions().get::<CallContext>().expect("the test is made right").clone();
    let text = String::from_utf8(read(response.into_body()).await.bytes().to_vec()).expect("the test is made right");
    let asked = asked.lock().expect("the test is made right").clone();
    (text, report.class().expect("the test is made right").verdict, context.with_trail(Trail::to_string), asked)
}

fn question() -> Value {
    json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Tell me a story."}]})
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_breaks_is_gone_on_with_under_the_same_id_and_model() {
    let (text, verdict, trail, asked) = ask(question(), broken()).await;
    let (before, after) = text.split_once(": continued on west\n\n").expect("it says who goes on");
    assert_eq!(before, broken(), "what came first goes out as it came");
    let events: Vec<&str> = after
        .trim_end()
        .split("\n\n")
        .map(|event| event.strip_prefix("data: ").expect("the test is made right"))
        .collect();
    assert_eq!(events.len(), 3, "without a second opening: {after}");
    let first: Value = serde_json::from_str(events[0]).expect("the test is made right");
    assert_eq!((&first["id"], &first["model"]), (&json!("one"), &json!("m1")));
    assert_eq!(first["choices"][0]["delta"], json!({"content": " there was"}));
    assert_eq!(events[2], "[DONE]");
    assert_eq!((verdict, trail.as_str()), (Verdict::Success, "east;200;0ms, east;truncated;0ms, west;200;0ms"));
    let messages = asked[1]["messages"].as_array().expect("the test is made right");
    assert_eq!(messages[1], json!({"role": "assistant", "content": "Once upon a time"}));
    assert_eq!((messages.len(), messages[2]["role"].as_str()), (3, Some("user")));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_gone_on_with_ends_with_its_error() {
    let with = |name: &str, value: Value| {
        let mut question = question();
        question[name] = value;
        question
    };
    let called = opening("one", "m1") + &chunk("one", "m1", &json!({"tool_calls": [{"index": 0}]}), None);
    for (question, first) in [
        (with("tools", json!([{"type": "function"}])), broken()),
        (with("n", json!(2)), broken()),
        (with("response_format", json!({"type": "json_object"})), broken()),
        (question(), called),
    ] {
        let (text, verdict, _, asked) = ask(question.clone(), first).await;
        assert!(
            text.trim_end().rsplit("\n\n").next().expect("the test is made right").starts_with(r#"data: {"error":"#),
            "{question}: {text}"
        );
        assert_eq!((verdict, asked.len()), (Verdict::Truncated, 1), "{question}");
    }
}
