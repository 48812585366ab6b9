//! What is particular to each dialect: shapes, headers, errors, keys.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/client.rs"]
mod client;

use std::time::Duration;

use buttress_sim::{At, Fault, Hint, Profile, ProviderError, Simulator, Then};
use cases::{CASES, Case};
use client::{Answer, get, read_until, send};
use serde_json::{Value, json};

async fn sim() -> Simulator {
    let builder = Simulator::builder().target("eastus").length(3..=3).seed(7).created(1_700_000_000);
    builder.start().await.unwrap()
}

fn case(name: &str) -> Case {
    *CASES.iter().find(|case| case.name == name).unwrap()
}

/// Each JSON value of a stream of events.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

async fn failed(sim: &Simulator, name: &str, error: ProviderError) -> Answer {
    case(name).send(sim, Some(Fault::provider(error)), false).await
}

#[tokio::test]
async fn responses_come_as_the_full_sequence_of_events() {
    let sim = sim().await;
    let answer = case("openai responses").send(&sim, None, true).await;
    let events = events(&answer);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let delta = "response.output_text.delta";
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            delta,
            delta,
            delta,
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let text = answer.text();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        assert!(text.contains(&format!("event: {}\n", event["type"].as_str().unwrap())));
    }
    let last = &events[10]["response"];
    assert_eq!((&last["status"], &last["usage"]["output_tokens"]), (&json!("completed"), &json!(3)));
    let whole = case("openai responses").send(&sim, None, false).await.json();
    assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(whole["output"][0]["content"][0]["text"].as_str().unwrap().split(' ').count(), 3);
    assert!(whole["id"].as_str().unwrap().starts_with("resp_"));
}

#[tokio::test]
async fn messages_come_in_the_order_of_anthropic() {
    let sim = sim().await;
    let answer = case("anthropic").send(&sim, None, true).await;
    let events = events(&answer);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let delta = "content_block_delta";
    let head = ["message_start", "content_block_start", "ping", delta, delta, delta];
    assert_eq!(kinds, [&head[..], &["content_block_stop", "message_delta", "message_stop"]].concat());
    assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(events[7]["delta"]["stop_reason"], "end_turn");
    assert_eq!(events[7]["usage"]["output_tokens"], 3);
    assert!(answer.header("request-id").unwrap().starts_with("req_011C"));
    let reset = answer.header("anthropic-ratelimit-requests-reset").unwrap();
    assert!(reset.starts_with("2023-11-14T22:13:2") && reset.ends_with('Z'), "{reset}");
    let whole = case("anthropic").send(&sim, None, false).await.json();
    assert_eq!((&whole["type"], &whole["stop_reason"]), (&json!("message"), &json!("end_turn")));
}

#[tokio::test]
async fn messages_need_a_version_and_a_bound() {
    let sim = sim().await;
    let ask = case("anthropic").ask(false).to_string();
    let answer = send(sim.addr(), "POST", "/v1/messages", &[], &ask).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!("invalid_request_error")));
    let version = [("anthropic-version", "2023-06-01")];
    let unbounded = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(send(sim.addr(), "POST", "/v1/messages", &version, unbounded).await.status, 400);
    let answer = send(sim.addr(), "POST", "/v1/messages/count_tokens", &version, unbounded).await;
    assert!(answer.json()["input_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn gemini_tells_its_usage_with_every_chunk_and_has_no_done() {
    let sim = sim().await;
    let answer = case("gemini events").send(&sim, None, true).await;
    let counts: Vec<_> =
        events(&answer).iter().map(|chunk| chunk["usageMetadata"]["candidatesTokenCount"].clone()).collect();
    assert_eq!(counts, [1, 2, 3, 3]);
    assert!(!answer.text().contains("[DONE]") && !answer.text().contains("event:"));
    let array = case("gemini array").send(&sim, None, true).await;
    assert_eq!(array.header("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(array.json().as_array().unwrap().len(), 4);
    let whole = case("gemini events").send(&sim, None, false).await.json();
    assert_eq!(whole["candidates"][0]["finishReason"], "STOP");
    let models = get(sim.addr(), "/v1beta/models").await.json();
    assert_eq!(models["models"][0]["name"], "models/gpt-4o-mini");
    let path = "/v1beta/models/g:countTokens";
    let count = send(sim.addr(), "POST", path, &[], &case("gemini events").ask(false).to_string()).await;
    assert!(count.json()["totalTokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn ollama_streams_lines_by_default_and_tells_about_itself() {
    let sim = sim().await;
    let ask = r#"{"model":"llama3.2","messages":[{"role":"user","content":"x"}]}"#;
    let answer = send(sim.addr(), "POST", "/api/chat", &[], ask).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let text = answer.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, rest) = lines.split_last().unwrap();
    assert!(rest.len() == 3 && rest.iter().all(|line| line["done"] == false && line["message"]["content"].is_string()));
    assert_eq!((&last["done"], &last["done_reason"], &last["eval_count"]), (&json!(true), &json!("stop"), &json!(3)));
    assert_eq!(last["created_at"], "2023-11-14T22:13:20Z");
    let ask = r#"{"model":"llama3.2","prompt":"x","stream":false}"#;
    let whole = send(sim.addr(), "POST", "/api/generate", &[], ask).await.json();
    assert_eq!((&whole["done"], whole["response"].as_str().unwrap().split(' ').count()), (&json!(true), 3));
    assert_eq!(get(sim.addr(), "/").await.text(), "Ollama is running");
    assert!(get(sim.addr(), "/api/version").await.json()["version"].is_string());
    for path in ["/api/tags", "/api/ps"] {
        assert!(get(sim.addr(), path).await.json()["models"][0]["name"].is_string());
    }
    assert_eq!((get(sim.addr(), "/health").await.status, get(sim.addr(), "/health").await.text().len()), (200, 0));
}

#[tokio::test]
async fn usage_padding_and_tools_are_there_when_asked_for() {
    let sim = sim().await;
    let mut ask = case("openai chat").ask(true);
    ask["stream_options"] = json!({"include_usage": true, "include_obfuscation": true});
    let chunks = send(sim.addr(), "POST", "/v1/chat/completions", &[], &ask.to_string()).await.chunks();
    assert!(chunks[1]["obfuscation"].is_string());
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 3);
    let mut ask = case("openai completions").ask(true);
    ask["stream_options"] = json!({"include_usage": true});
    let chunks = send(sim.addr(), "POST", "/v1/completions", &[], &ask.to_string()).await.chunks();
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 3);
    assert_eq!(chunks[0]["object"], "text_completion");
}

#[tokio::test]
async fn known_errors_have_the_envelope_and_status_of_the_dialect() {
    use ProviderError::{
        DailyQuota, FlexUnavailable, InFlightBudget, InvalidApiKey, KeyLimit, MissingApiKey, ModelGone, Overloaded,
        PaymentRequired, RequestTooLarge, Unprocessable,
    };
    let sim = sim().await;
    for (name, error, status, pointer, value) in [
        ("openai chat", ProviderError::CreditBalanceExhausted, 429, "/error/code", json!("credit_balance_exhausted")),
        ("openai chat", ProviderError::OrganizationSpendLimit, 429, "/error/type", json!("insufficient_quota")),
        ("azure chat", ModelGone, 410, "/error/code", json!("ModelDeprecated")),
        ("azure chat", ProviderError::ProvisionedThroughput, 429, "/error/code", json!("429")),
        ("anthropic", Overloaded, 529, "/error/type", json!("overloaded_error")),
        ("anthropic", PaymentRequired, 402, "/error/type", json!("billing_error")),
        ("anthropic", RequestTooLarge, 413, "/error/type", json!("request_too_large")),
        ("anthropic", ProviderError::GatewayTimeout, 504, "/error/type", json!("timeout_error")),
        ("gemini events", Overloaded, 503, "/error/status", json!("UNAVAILABLE")),
        ("gemini events", InvalidApiKey, 400, "/error/details/0/reason", json!("API_KEY_INVALID")),
        ("gemini events", ProviderError::Forbidden, 400, "/error/status", json!("FAILED_PRECONDITION")),
        ("gemini's openai", Overloaded, 503, "/0/error/code", json!(503)),
        (
            "ollama chat",
            Overloaded,
            503,
            "/error",
            json!("server busy, please try again.  maximum pending requests exceeded"),
        ),
        ("ollama's openai", ProviderError::ModelNotFound, 404, "/error/type", json!("not_found_error")),
        ("vllm", ProviderError::ModelNotFound, 404, "/error/code", json!(404)),
        ("vllm", ProviderError::ContextLengthExceeded, 400, "/error/type", json!("BadRequestError")),
        ("vllm", InvalidApiKey, 401, "/error", json!("Unauthorized")),
        ("groq", RequestTooLarge, 413, "/error/type", json!("tokens")),
        ("groq", FlexUnavailable, 498, "/error/code", json!("capacity_exceeded")),
        ("openrouter", InFlightBudget, 402, "/error/metadata/limit_source", json!("openrouter_in_flight_budget")),
        ("openrouter", PaymentRequired, 402, "/error/metadata/limit_source", json!("openrouter_credits")),
        ("openrouter", KeyLimit, 402, "/error/metadata/limit_source", json!("openrouter_key_limit")),
        ("deepseek", PaymentRequired, 402, "/error/message", json!("Insufficient Balance")),
        ("deepseek", InvalidApiKey, 401, "/error/type", json!("authentication_error")),
        ("mistral", Overloaded, 503, "/object", json!("error")),
        ("mistral", InvalidApiKey, 401, "/detail", json!("Unauthorized")),
        ("mistral", Unprocessable, 422, "/detail/0/msg", json!("Field required")),
        ("openai responses", Overloaded, 503, "/error/code", json!("overloaded")),
    ] {
        let answer = failed(&sim, name, error).await;
        let body = answer.json();
        assert_eq!((answer.status, body.pointer(pointer)), (status, Some(&value)), "{name} {error:?}: {body}");
    }
    let daily = failed(&sim, "gemini events", DailyQuota).await.text();
    assert!(daily.contains("PerDay") && daily.contains("RetryInfo"), "{daily}");
    let missing = failed(&sim, "deepseek", MissingApiKey).await;
    assert_eq!((missing.status, missing.text().as_str()), (401, "Authentication Fails (governor)"));
    assert_eq!(missing.header("content-type"), Some("text/plain; charset=utf-8"));
    let array = case("gemini array").send(&sim, Some(Fault::provider(Overloaded)), true).await.json();
    assert_eq!(array[0]["error"]["code"], 503);
}

#[tokio::test]
async fn every_error_is_answered_in_every_dialect() {
    let sim = sim().await;
    for case in CASES {
        for error in ProviderError::ALL {
            let answer = case.send(&sim, Some(Fault::provider(error)), false).await;
            assert!(answer.status >= 400 && answer.whole && !answer.body.is_empty(), "{} {error:?}", case.name);
        }
    }
}

#[tokio::test]
async fn rate_limits_carry_the_hints_of_the_dialect() {
    let sim = sim().await;
    for (name, seconds, millis) in [
        ("openai chat", Some("2"), Some("1500")),
        ("azure chat", Some("2"), Some("1500")),
        ("anthropic", Some("2"), None),
        ("groq", Some("2"), None),
        ("openrouter", Some("2"), None),
        ("gemini events", None, None),
        ("deepseek", None, None),
        ("mistral", None, None),
        ("ollama chat", None, None),
        ("vllm", None, None),
    ] {
        let fault = Fault::Provider { error: ProviderError::RateLimit, retry_after_ms: Some(1500) };
        let answer = case(name).send(&sim, Some(fault), false).await;
        let told = (answer.header("retry-after"), answer.header("retry-after-ms"));
        assert_eq!(told, (seconds, millis), "{name}");
    }
    let fault = Fault::Provider { error: ProviderError::RateLimit, retry_after_ms: Some(46_302) };
    let body = case("gemini events").send(&sim, Some(fault.clone()), false).await.json();
    assert_eq!(body["error"]["details"][1]["retryDelay"], "46.302s");
    assert!(body["error"]["message"].as_str().unwrap().ends_with("Please retry in 46.302s."), "{body}");
    let answer = case("anthropic").send(&sim, Some(fault), false).await;
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-reset"), Some("2023-11-14T22:14:07Z"));
}

#[tokio::test]
async fn a_hint_comes_in_one_form_alone() {
    let sim = sim().await;
    for (hint, header, value) in [
        (Hint::Seconds, "retry-after", "2"),
        (Hint::FloatSeconds, "retry-after", "1.5"),
        (Hint::HttpDate, "retry-after", "Tue, 14 Nov 2023 22:13:22 GMT"),
        (Hint::HttpDateRfc850, "retry-after", "Tuesday, 14-Nov-23 22:13:22 GMT"),
        (Hint::HttpDateAsctime, "retry-after", "Tue Nov 14 22:13:22 2023"),
        (Hint::Garbage, "retry-after", "soon"),
        (Hint::Negative, "retry-after", "-1"),
        (Hint::Huge, "retry-after", "999999999999"),
        (Hint::Millis, "retry-after-ms", "1500"),
        (Hint::MsMillis, "x-ms-retry-after-ms", "1500"),
        (Hint::ResetGo, "x-ratelimit-reset-tokens", "1.5s"),
        (Hint::ResetSeconds, "x-ratelimit-reset-tokens", "2"),
        (Hint::ResetEpoch, "x-ratelimit-reset-tokens", "1700000002"),
        (Hint::ResetUnknown, "x-ratelimit-reset-tokens", "-1"),
        (Hint::ResetRfc3339, "anthropic-ratelimit-tokens-reset", "2023-11-14T22:13:22Z"),
    ] {
        for name in ["openai chat", "azure chat", "anthropic", "gemini events", "groq"] {
            let fault = Fault::Hinted { error: ProviderError::TokenLimit, hint, retry_after_ms: Some(1500) };
            let answer = case(name).send(&sim, Some(fault), false).await;
            assert_eq!((answer.status, answer.header(header)), (429, Some(value)), "{name} {hint:?}");
            let told =
                |name: &str| name.contains("retry-after") || (name.contains("ratelimit") && name.ends_with("-reset"));
            let tellers = answer.headers.iter().filter(|(name, _)| told(name)).count();
            assert!(tellers <= 1, "{name} {hint:?}: {:?}", answer.headers);
            assert!(!answer.text().contains("again in") && !answer.text().contains("retryDelay"), "{name} {hint:?}");
        }
    }
    for (hint, text) in [
        (Hint::Message, "Please try again in 1.5s."),
        (Hint::RetryInfo, r#""retryDelay":"1.5s""#),
        (Hint::Metadata, r#""retry_after_seconds":1.5"#),
    ] {
        let fault = Fault::Hinted { error: ProviderError::RateLimit, hint, retry_after_ms: Some(1500) };
        let answer = case("openai chat").send(&sim, Some(fault), false).await;
        assert!(answer.text().contains(text), "{hint:?}: {}", answer.text());
        assert_eq!((answer.header("retry-after"), answer.header("x-ratelimit-reset-tokens")), (None, None));
    }
}

#[tokio::test]
async fn an_answer_of_one_piece_fails_under_status_200() {
    let sim = sim().await;
    for (name, pointer, value) in [
        ("openai chat", "/error/code", json!("overloaded")),
        ("openrouter", "/choices/0/error/code", json!(503)),
        ("openai responses", "/status", json!("failed")),
        ("anthropic", "/error/type", json!("overloaded_error")),
        ("gemini events", "/error/status", json!("UNAVAILABLE")),
    ] {
        let fault = Fault::at(At::Start, Then::Error(ProviderError::Overloaded));
        let answer = case(name).send(&sim, Some(fault), false).await;
        assert_eq!((answer.status, answer.json().pointer(pointer)), (200, Some(&value)), "{name}");
    }
}

#[tokio::test]
async fn an_asynchronous_filter_speaks_between_the_words_and_after_the_end() {
    let sim = sim().await;
    let chunks = case("azure chat").send(&sim, Some(Fault::AsyncFilter), true).await.chunks();
    let told: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["content_filter_offsets"].is_object()).collect();
    assert_eq!(told, [false, false, false, false, true, false, false, true]);
    assert_eq!((&chunks[6]["choices"][0]["finish_reason"], &chunks[7]["id"]), (&json!("stop"), &json!("")));
    let plain = case("openai chat").send(&sim, None, true).await.text();
    assert_eq!(case("openai chat").send(&sim, Some(Fault::AsyncFilter), true).await.text(), plain);
}

#[tokio::test]
async fn deepseek_sends_blank_lines_before_an_answer_and_comments_in_a_stream() {
    let sim = sim().await;
    sim.set_fault(Fault::SlowFirstToken { ms: 60_000 });
    let mut stream = case("deepseek").open(&sim, false).await;
    let head = read_until(&mut stream, "\r\n\r\n2\r\n\n\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut stream = case("deepseek").open(&sim, true).await;
    let early = read_until(&mut stream, "\"role\"").await;
    assert!(early.contains(": keep-alive\n\n"), "{early}");
    let again = read_until(&mut stream, ": keep-alive\n\n").await;
    assert!(!again.contains("\"content\":\"a"), "{again}");
    let answer = case("deepseek").send(&sim, None, false).await;
    assert!(answer.text().starts_with("\n\n{") && answer.json()["object"] == "chat.completion");
}

#[tokio::test]
async fn a_key_is_where_each_dialect_has_it() {
    let sim = Simulator::builder().api_key("k").start().await.unwrap();
    for (name, header, value) in [
        ("openai chat", "authorization", "Bearer k"),
        ("azure v1 chat", "api-key", "k"),
        ("anthropic", "x-api-key", "k"),
        ("anthropic", "authorization", "Bearer k"),
        ("gemini events", "x-goog-api-key", "k"),
        ("gemini events", "authorization", "Bearer k"),
        ("groq", "authorization", "Bearer k"),
    ] {
        let case = case(name);
        sim.set_profile(case.profile);
        for (value, right) in [(value, true), ("wrong", false)] {
            let headers = [("anthropic-version", "2023-06-01"), (header, value)];
            let answer = send(sim.addr(), "POST", case.path, &headers, &case.ask(true).to_string()).await;
            let refused =
                if name == "gemini events" { [400, 403].contains(&answer.status) } else { answer.status == 401 };
            assert_eq!((answer.status == 200, refused), (right, !right), "{name} {header} {}", answer.text());
        }
    }
    sim.set_profile(Profile::Standard);
    let ask = case("ollama chat").ask(true).to_string();
    assert_eq!(send(sim.addr(), "POST", "/api/chat", &[], &ask).await.status, 200);
}

#[tokio::test]
async fn operations_are_counted_apart() {
    let sim = sim().await;
    for case in CASES {
        sim.set_profile(case.profile);
        client::read(case.open(&sim, false).await).await;
    }
    let stats = sim.wait_for(|stats| stats.in_flight == 0).await;
    let operations = stats.operations;
    assert_eq!((operations.chat, operations.completions, operations.responses), (10, 1, 2));
    assert_eq!((operations.messages, operations.generate, operations.ollama, operations.unknown), (1, 2, 2, 0));
    assert!(stats.bytes_sent > 0 && stats.open_streams == 0);
}

#[tokio::test]
async fn open_streams_are_counted_until_the_client_leaves() {
    let sim = sim().await;
    sim.set_fault(Fault::at(At::Content(1), Then::Stall));
    let first = case("anthropic").open(&sim, true).await;
    let second = case("gemini events").open(&sim, true).await;
    assert_eq!(sim.wait_for(|stats| stats.open_streams == 2).await.cancelled, 0);
    drop((first, second));
    let stats = tokio::time::timeout(Duration::from_secs(30), sim.wait_for(|stats| stats.open_streams == 0));
    assert_eq!(stats.await.unwrap().cancelled, 2);
}
