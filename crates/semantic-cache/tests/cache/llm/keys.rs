//! Which questions are the same.

use buttress_semantic_cache::Key;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn outcome(bench: &Bench<Conversations>, request: Request<Payload>) -> (String, Option<Key>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let answer = bench.send(request).await;
        let key = answer.head.extensions.get::<Key>().copied();
        (answer.cache().to_owned(), key)
    })
}

fn allowing() -> Bench<Conversations> {
    let bench = bench(Conversations::new().sampled().with_tools().personal());
    bench.probe.always(json(WHOLE));
    bench
}

#[test]
fn what_is_written_otherwise_and_means_the_same_is_the_same() {
    let bodies = [
        r#"{"model":"m","temperature":0,"messages":[{"role":"system","content":"s"},{"role":"user","content":"h\u0069"}]}"#,
        r#"{"messages":[{"content":"s","role":"system"},{"content":"hi","role":"user"}],"temperature":0.0,"model":"m"}"#,
        r#" { "model" : "m", "temperature":-0, "messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"hi"}]}], "n":1, "top_p":1.0, "stop":null, "stream":false, "presence_penalty":0 } "#,
    ];
    let bench = allowing();
    let outcomes = bodies.map(|body| outcome(&bench, post("/v1/chat/completions", body)).0);
    assert_eq!(outcomes, ["miss", "hit", "hit"]);
}

#[test]
fn what_looks_alike_and_is_not_is_not() {
    let bench = allowing();
    for body in [
        r#"{"model":"m","messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":1}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":" 1"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"1"},{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","name":"u","content":"1"}]}"#,
        r#"{"model":"m","messages":[{"role":"assistant","content":"1"}]}"#,
        r#"{"model":"m","messages":[{"role":"system","content":"1"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":["1"]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"1","content":"2"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"2","content":"1"}]}"#,
        r#"{"model":"m","seed":9007199254740993,"messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","seed":9007199254740992,"messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","seed":"1","messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","seed":1,"messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","seed":true,"messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","user":"u","messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","messages":[],"prompt":"1"}"#,
    ] {
        assert_ne!(outcome(&bench, post("/v1/chat/completions", body)).0, "hit", "{body}");
    }
}

#[test]
fn what_says_something_twice_is_left_alone() {
    let bench = allowing();
    for body in [
        r#"{"model":"m","messages":[{"role":"user","content":"1"}],"messages":[{"role":"user","content":"2"}]}"#,
        r#"{"model":"m","temperature":0.5,"temperature":1,"messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","stop":"a","stop":null,"messages":[{"role":"user","content":"1"}]}"#,
        r#"{"model":"m","stop":"a","st\u006fp":"b","messages":[{"role":"user","content":"1"}]}"#,
    ] {
        assert_eq!(outcome(&bench, post("/v1/chat/completions", body)).0, "bypass", "{body}");
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("a".to_owned()), Just("b".to_owned()), "[ab\\\\\"\\[{,:]{0,4}"]
}

/// A request, small enough that two of them are often nearly the same.
fn body() -> impl Strategy<Value = (String, Value)> {
    let turn = (prop_oneof![Just("user"), Just("assistant"), Just("system")], text())
        .prop_map(|(role, content)| json!({ "role": role, "content": content }));
    let tool = text()
        .prop_map(|name| json!({ "type": "function", "function": { "name": name, "parameters": { "x": [1, name] } } }));
    (
        text(),
        prop_oneof![Just("m"), Just("n")],
        prop::collection::vec(turn, 1..4),
        prop::collection::vec(tool, 0..2),
        prop::option::of(prop_oneof![Just(json!(0)), Just(json!(0.5)), Just(json!("0"))]),
        prop::option::of(text()),
    )
        .prop_map(|(tenant, model, messages, tools, temperature, stop)| {
            let mut body = json!({ "model": model, "messages": messages });
            if !tools.is_empty() {
                body["tools"] = tools.into();
            }
            if let Some(temperature) = temperature {
                body["temperature"] = temperature;
            }
            if let Some(stop) = stop {
                body["stop"] = stop.into();
            }
            (tenant, body)
        })
}

fn of(tenant: &str, body: &Value) -> Request<Payload> {
    let mut request = post("/v1/chat/completions", &body.to_string());
    let tenant = http::HeaderValue::from_bytes(tenant.as_bytes()).expect("it can stand in a header");
    request.headers_mut().insert("x-tenant", tenant);
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_difference_ever_gives_a_hit(first in body(), second in body(), change in 0..6_u8, with in text()) {
        let (tenant, first) = first;
        let (mut other_tenant, mut other) = second;
        // Often the same but for one thing.
        match change {
            0 => (other_tenant, other) = (with, first.clone()),
            1 => (other_tenant, other) = (tenant.clone(), { let mut o = first.clone(); o["model"] = "n".into(); o }),
            2 => (other_tenant, other) = (tenant.clone(), { let mut o = first.clone(); o["messages"][0]["content"] = with.into(); o }),
            3 => (other_tenant, other) = (tenant.clone(), { let mut o = first.clone(); o["tools"] = json!([{ "type": "function", "function": { "name": with } }]); o }),
            4 => (other_tenant, other) = (tenant.clone(), { let mut o = first.clone(); o["stop"] = with.into(); o }),
            _ => {}
        }
        let bench = allowing();
        let (_, key) = outcome(&bench, of(&tenant, &first));
        let (cache, other_key) = outcome(&bench, of(&other_tenant, &other));
        let same = tenant == other_tenant && first == other;
        prop_assert_eq!(cache == "hit", same);
        prop_assert_eq!(key == other_key, same);
        prop_assert_eq!(outcome(&bench, of(&tenant, &first)).0, "hit");
    }
}
