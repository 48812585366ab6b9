//! What a healthy target puts on the wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/client.rs"]
mod client;

use buttress_sim::{Builder, Simulator};
use client::{AZURE, Answer, CHAT, ask, ask_stream, get, post, send};
use serde_json::{Value, json};

fn builder() -> Builder {
    Simulator::builder().target("eastus").seed(7).created(1_700_000_000)
}

fn is_base62(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[tokio::test]
async fn a_completion_has_the_shape_of_openai() {
    let sim = builder().length(5..=5).start().await.unwrap();
    let answer = post(sim.addr(), CHAT, &ask()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let body = answer.json();
    assert!(is_base62(body["id"].as_str().unwrap().strip_prefix("chatcmpl-").unwrap(), 29), "{body}");
    assert_eq!(body["model"], "gpt-4o-mini-2024-07-18");
    assert_eq!(body["created"], 1_700_000_000);
    assert_eq!(body["choices"][0]["message"]["content"].as_str().unwrap().split(' ').count(), 5);
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["completion_tokens"], 5);
    assert!(body["system_fingerprint"].as_str().unwrap().starts_with("fp_"));
}

#[tokio::test]
async fn every_openai_answer_has_its_headers() {
    let sim = builder().start().await.unwrap();
    for answer in [
        post(sim.addr(), CHAT, &ask()).await,
        get(sim.addr(), "/v1/models").await,
        get(sim.addr(), "/v1/nothing").await,
    ] {
        let id = answer.header("x-request-id").unwrap();
        assert!(is_base62(id.strip_prefix("req_").unwrap(), 32), "{id}");
        assert_eq!(answer.header("openai-version"), Some("2020-10-01"));
        assert_eq!(answer.header("openai-processing-ms"), Some("0"));
        assert!(answer.header("openai-organization").is_some());
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("10000"));
        assert!(answer.header("x-ratelimit-reset-tokens").unwrap().ends_with('s'));
        assert_eq!(answer.header("x-ms-region"), None);
    }
}

#[tokio::test]
async fn a_stream_has_the_shape_of_openai() {
    let sim = builder().length(3..=3).start().await.unwrap();
    let answer = post(sim.addr(), CHAT, &ask_stream()).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.whole);
    let chunks = answer.chunks();
    assert_eq!(chunks.len(), 5);
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "", "refusal": null}));
    assert_eq!(chunks[4]["choices"][0], json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"}));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk.get("usage").is_none()));
    assert_eq!(answer.streamed().split(' ').count(), 3);
}

#[tokio::test]
async fn a_stream_ends_with_its_usage_when_asked() {
    let sim = builder().length(3..=3).start().await.unwrap();
    let mut ask = ask_stream();
    ask["stream_options"] = json!({"include_usage": true});
    let chunks = post(sim.addr(), CHAT, &ask).await.chunks();
    let (last, rest) = chunks.split_last().unwrap();
    assert!(rest.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(3)));
}

#[tokio::test]
async fn max_tokens_ends_an_answer_for_its_length() {
    let sim = builder().length(10..=10).start().await.unwrap();
    for name in ["max_tokens", "max_completion_tokens"] {
        let mut ask = ask();
        ask[name] = 4.into();
        let body = post(sim.addr(), CHAT, &ask).await.json();
        assert_eq!(body["choices"][0]["finish_reason"], "length");
        assert_eq!(body["usage"]["completion_tokens"], 4);
    }
}

#[tokio::test]
async fn azure_has_its_own_headers_and_filter_results() {
    let sim = builder().region("East US").start().await.unwrap();
    let answer = send(sim.addr(), "POST", AZURE, &[("x-ms-client-request-id", "mine")], &ask().to_string()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-ms-region"), Some("East US"));
    assert_eq!(answer.header("x-ms-client-request-id"), Some("mine"));
    assert_eq!(answer.header("apim-request-id").unwrap().len(), 36);
    let reset = answer.header("x-ratelimit-reset-requests").unwrap();
    assert!(reset.parse::<u32>().is_ok(), "{reset}");
    let body = answer.json();
    assert_eq!(body["choices"][0]["content_filter_results"]["violence"]["filtered"], false);
    assert_eq!(body["prompt_filter_results"][0]["prompt_index"], 0);
    assert_eq!(body["model"], "gpt-4o-mini-2024-07-18");
}

#[tokio::test]
async fn an_azure_stream_begins_with_an_empty_chunk() {
    let sim = builder().start().await.unwrap();
    let chunks = post(sim.addr(), AZURE, &ask_stream()).await.chunks();
    assert_eq!((&chunks[0]["id"], &chunks[0]["choices"], &chunks[0]["model"]), (&json!(""), &json!([]), &json!("")));
    assert!(chunks[0]["prompt_filter_results"].is_array());
    assert_eq!(chunks[1]["choices"][0]["delta"]["role"], "assistant");
}

#[tokio::test]
async fn azure_v1_takes_the_model_from_the_body_and_no_version() {
    let sim = builder().models(["mine"]).start().await.unwrap();
    let mut ask = ask();
    ask["model"] = "mine".into();
    let answer = post(sim.addr(), "/openai/v1/chat/completions", &ask).await;
    assert_eq!((answer.status, answer.header("x-ms-region")), (200, Some("eastus")));
    ask["model"] = "other".into();
    let answer = post(sim.addr(), "/openai/v1/chat/completions", &ask).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("DeploymentNotFound")));
}

#[tokio::test]
async fn azure_misses_what_it_does_not_have() {
    let sim = builder().models(["chat"]).start().await.unwrap();
    let unversioned = post(sim.addr(), "/openai/deployments/chat/chat/completions", &ask()).await;
    assert_eq!(
        (unversioned.status, unversioned.json()),
        (404, json!({"error": {"code": "404", "message": "Resource not found"}}))
    );
    let path = "/openai/deployments/other/chat/completions?api-version=2024-10-21";
    let undeployed = post(sim.addr(), path, &ask()).await;
    assert_eq!((undeployed.status, &undeployed.json()["error"]["code"]), (404, &json!("DeploymentNotFound")));
    assert_eq!(post(sim.addr(), AZURE, &ask()).await.status, 200);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_shape_of_openai() {
    let sim = builder().models(["gpt-4o-mini"]).start().await.unwrap();
    let messages = json!([{"role": "user", "content": "x"}]);
    for (body, status, code, param) in [
        ("{", 400, Value::Null, Value::Null),
        (&json!({ "messages": messages }).to_string(), 400, Value::Null, Value::Null),
        (r#"{"model":"gpt-4o-mini"}"#, 400, json!("missing_required_parameter"), json!("messages")),
        (&json!({"model": "x", "messages": messages}).to_string(), 404, json!("model_not_found"), Value::Null),
    ] {
        let answer = send(sim.addr(), "POST", CHAT, &[], body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"], &error["param"]), (status, &code, &param), "{body}");
        assert_eq!(error["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_refused() {
    let sim = builder().start().await.unwrap();
    let answer = get(sim.addr(), "/v1/nothing").await;
    assert_eq!((answer.status, &answer.json()["error"]["message"]), (404, &json!("Invalid URL (GET /v1/nothing)")));
    let answer = get(sim.addr(), CHAT).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (405, &json!("method_not_supported")));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    let sim = builder().start().await.unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: 33554433\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(sim.addr()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    let answer = client::read(stream).await.0.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (413, &json!("invalid_request_error")));
}

#[tokio::test]
async fn a_key_is_checked_where_each_dialect_has_it() {
    let sim = builder().api_key("sk-0123456789abcdef").start().await.unwrap();
    let ask = ask().to_string();
    let right = "Bearer sk-0123456789abcdef";
    for (path, header, value, status) in [
        (CHAT, "authorization", right, 200),
        (CHAT, "api-key", "sk-0123456789abcdef", 401),
        (CHAT, "authorization", "Bearer sk-wrong-key-wxyz", 401),
        (AZURE, "authorization", right, 200),
        (AZURE, "api-key", "sk-0123456789abcdef", 200),
        (AZURE, "api-key", "wrong", 401),
    ] {
        assert_eq!(send(sim.addr(), "POST", path, &[(header, value)], &ask).await.status, status, "{path} {header}");
    }
    let refused = send(sim.addr(), "POST", CHAT, &[("authorization", "Bearer sk-wrong-key-wxyz")], &ask).await;
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    assert!(refused.text().contains("sk-wrong****wxyz"), "{}", refused.text());
    assert_eq!(send(sim.addr(), "POST", AZURE, &[], &ask).await.json()["error"]["code"], "401");
}

#[tokio::test]
async fn models_are_listed_and_shown() {
    let sim = builder().models(["a", "b"]).start().await.unwrap();
    let list = get(sim.addr(), "/v1/models").await.json();
    assert_eq!((&list["object"], &list["data"][1]["id"]), (&json!("list"), &json!("b")));
    assert_eq!(get(sim.addr(), "/v1/models/a").await.json()["object"], "model");
    assert_eq!(get(sim.addr(), "/v1/models/c").await.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn embeddings_are_the_same_everywhere_and_in_both_encodings() {
    let (here, there) = (builder().start().await.unwrap(), builder().target("b").seed(8).start().await.unwrap());
    let mut ask = json!({"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8});
    let floats = post(here.addr(), "/v1/embeddings", &ask).await.json();
    assert_eq!(floats["data"], post(there.addr(), "/v1/embeddings", &ask).await.json()["data"]);
    assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
    assert_eq!(floats["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    ask["encoding_format"] = "base64".into();
    let base64 = post(here.addr(), "/v1/embeddings", &ask).await.json();
    assert_eq!(base64["data"][0]["embedding"].as_str().unwrap().len(), 44);
    ask = json!({"model": "text-embedding-3-small", "input": [1, 2, 3]});
    let tokens = post(here.addr(), "/v1/embeddings", &ask).await.json();
    assert_eq!(tokens["data"][0]["embedding"].as_array().unwrap().len(), 1536);
    let path = "/openai/deployments/e/embeddings?api-version=2024-10-21";
    assert_eq!(post(here.addr(), path, &json!({"input": "a"})).await.status, 200);
    assert_eq!(post(here.addr(), "/v1/embeddings", &json!({"model": "m"})).await.status, 400);
}

#[tokio::test]
async fn equal_seeds_names_and_requests_give_equal_bytes() {
    async fn run(seed: u64) -> Vec<Vec<u8>> {
        let sim = builder().seed(seed).start().await.unwrap();
        let mut bytes = Vec::new();
        for (path, body) in [(CHAT, ask()), (CHAT, ask_stream()), (AZURE, ask()), (AZURE, ask_stream())] {
            let Answer { mut headers, body, .. } = post(sim.addr(), path, &body).await;
            headers.retain(|(name, _)| name != "date");
            bytes.push(format!("{headers:?}").into_bytes());
            bytes.push(body);
        }
        bytes
    }
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
    let (east, west) = (builder().start().await.unwrap(), builder().target("westeurope").start().await.unwrap());
    let (east, west) = (post(east.addr(), CHAT, &ask()).await, post(west.addr(), CHAT, &ask()).await);
    assert_ne!(east.json()["id"], west.json()["id"]);
}

#[tokio::test]
async fn an_address_for_others_must_be_asked_for() {
    let remote = "0.0.0.0:0".parse().unwrap();
    let refused = builder().listen(remote).start().await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    builder().listen(remote).allow_remote().start().await.unwrap();
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    for builder in [builder().target("a/b"), builder().region("\n"), builder().length(1..=Builder::MAX_LENGTH + 1)] {
        assert_eq!(builder.start().await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
}
