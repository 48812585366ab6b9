//! How a request is fitted to a target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{convert::Infallible, future::ready};

use buttress_core::{Body, Class, Label, Payload, Refusal, RefusalKind, Rewrite, Rewritten, Target, Verdict};
use buttress_llm::{
    Call, Credential, Dialect, Endpoint, EndpointBuilder, Format, Inspect, LlmRewrite, Provider, UsageAsked,
};
use bytes::Bytes;
use http::{Request, Response, Version};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

const BODY: &str = r#"{ "messages" : [ 1.0e5, "\u0061" ], "model" : "gpt-4o" , "stream":false }"#;
const CHAT: &str = "/v1/chat/completions";
const DEPLOYMENT: &str = "/openai/deployments/gpt-4o/chat/completions";

fn openai() -> EndpointBuilder {
    Endpoint::builder(Dialect::OpenAi, "https://api.openai.com/v1").credential(Credential::bearer("sk-target").unwrap())
}

fn azure() -> EndpointBuilder {
    Endpoint::builder(Dialect::Azure, "https://res.openai.azure.com")
        .credential(Credential::api_key("target-key").unwrap())
}

fn azure_v1() -> EndpointBuilder {
    Endpoint::builder(Dialect::AzureV1, "https://res.openai.azure.com/")
}

fn anthropic() -> EndpointBuilder {
    Endpoint::builder(Dialect::Anthropic, "https://api.anthropic.com")
        .credential(Credential::x_api_key("sk-ant-target").unwrap())
}

fn gemini() -> EndpointBuilder {
    Endpoint::builder(Dialect::Gemini, "https://generativelanguage.googleapis.com/v1beta")
        .credential(Credential::x_goog_api_key("target-goog").unwrap())
}

fn ollama() -> EndpointBuilder {
    Endpoint::builder(Dialect::Ollama, "http://localhost:11434/")
}

fn request(method: &str, path: &str, body: &str) -> Request<Payload> {
    let body = Payload::new(Bytes::copy_from_slice(body.as_bytes()));
    Request::builder().method(method).uri(path).body(body).unwrap()
}

fn post(path: &str, body: &str) -> Request<Payload> {
    request("POST", path, body)
}

fn try_fit(endpoint: EndpointBuilder, request: Request<Payload>) -> Result<Rewritten<Request<Payload>>, Refusal> {
    let target = Target::named("east").unwrap();
    let rewrite = LlmRewrite::new([(target.name().clone(), endpoint.build().unwrap())]);
    rewrite.rewrite(request, &target)
}

fn fit(endpoint: EndpointBuilder, request: Request<Payload>) -> Request<Payload> {
    try_fit(endpoint, request).unwrap().request
}

#[test]
fn the_address_is_that_of_the_target() {
    let default = "api-version=2024-10-21";
    for (endpoint, path, expected) in [
        (openai(), CHAT, "https://api.openai.com/v1/chat/completions".to_owned()),
        (openai(), DEPLOYMENT, "https://api.openai.com/v1/chat/completions".to_owned()),
        (azure(), CHAT, format!("https://res.openai.azure.com{DEPLOYMENT}?{default}")),
        (azure(), DEPLOYMENT, format!("https://res.openai.azure.com{DEPLOYMENT}?{default}")),
        (azure_v1(), CHAT, "https://res.openai.azure.com/openai/v1/chat/completions".to_owned()),
        (
            azure_v1().api_version("preview"),
            CHAT,
            "https://res.openai.azure.com/openai/v1/chat/completions?api-version=preview".to_owned(),
        ),
        (
            azure(),
            "/v1/embeddings",
            format!("https://res.openai.azure.com/openai/deployments/gpt-4o/embeddings?{default}"),
        ),
        (
            azure().model("gpt-4o", "my gpt é"),
            CHAT,
            format!("https://res.openai.azure.com/openai/deployments/my%20gpt%20%C3%A9/chat/completions?{default}"),
        ),
        (
            Endpoint::builder(Dialect::OpenAi, "http://localhost:11434/v1/"),
            CHAT,
            "http://localhost:11434/v1/chat/completions".to_owned(),
        ),
        (
            Endpoint::builder(Dialect::OpenAi, "http://localhost:8000"),
            CHAT,
            "http://localhost:8000/chat/completions".to_owned(),
        ),
    ] {
        assert_eq!(fit(endpoint, post(path, BODY)).uri().to_string(), expected);
    }
}

#[test]
fn each_dialect_is_asked_at_its_own_paths() {
    let google = "https://generativelanguage.googleapis.com/v1beta";
    for (endpoint, path, expected) in [
        (openai(), "/v1/responses", "https://api.openai.com/v1/responses".to_owned()),
        (azure(), "/v1/responses", "https://res.openai.azure.com/openai/responses?api-version=2024-10-21".to_owned()),
        (azure_v1(), "/openai/responses", "https://res.openai.azure.com/openai/v1/responses".to_owned()),
        (anthropic(), "/v1/messages?beta=true", "https://api.anthropic.com/v1/messages?beta=true".to_owned()),
        (anthropic(), "/v1/messages/count_tokens", "https://api.anthropic.com/v1/messages/count_tokens".to_owned()),
        (
            Endpoint::builder(Dialect::Anthropic, "https://api.deepseek.com/anthropic/"),
            "/v1/messages",
            "https://api.deepseek.com/anthropic/v1/messages".to_owned(),
        ),
        (gemini(), "/v1/models/g:generateContent", format!("{google}/models/g:generateContent")),
        (
            gemini().model("g", "é:1"),
            "/v1beta/models/g:streamGenerateContent?alt=sse&key=callers&access_token=t",
            format!("{google}/models/%C3%A9:1:streamGenerateContent?alt=sse"),
        ),
        (gemini(), "/v1beta/models/g:countTokens", format!("{google}/models/g:countTokens")),
        (gemini(), "/v1beta/models/g:embedContent", format!("{google}/models/g:embedContent")),
        (
            Endpoint::provider(Provider::GEMINI_OPENAI),
            "/v1/chat/completions",
            format!("{google}/openai/chat/completions"),
        ),
        (ollama(), "/api/chat", "http://localhost:11434/api/chat".to_owned()),
        (ollama(), "/api/generate", "http://localhost:11434/api/generate".to_owned()),
        (ollama(), "/api/embed", "http://localhost:11434/api/embed".to_owned()),
    ] {
        let fitted = fit(endpoint, post(path, r#"{"n":1}"#));
        assert_eq!((fitted.uri().to_string(), &fitted.body().bytes()[..]), (expected, &br#"{"n":1}"#[..]));
    }
    for (endpoint, path, expected) in [
        (anthropic(), "/v1/models", "https://api.anthropic.com/v1/models"),
        (anthropic().model("a", "b"), "/v1/models/a", "https://api.anthropic.com/v1/models/b"),
        (ollama(), "/api/tags", "http://localhost:11434/api/tags"),
        (ollama(), "/api/version", "http://localhost:11434/api/version"),
    ] {
        assert_eq!(fit(endpoint, request("GET", path, "")).uri(), expected);
    }
}

#[test]
fn a_target_of_another_dialect_is_passed_over_with_a_clear_word() {
    let paths = [
        (CHAT, "o"),
        ("/v1/completions", "o"),
        ("/v1/embeddings", "o"),
        ("/v1/responses", "o"),
        ("/v1/messages", "a"),
        ("/v1/messages/count_tokens", "a"),
        ("/v1beta/models/g:generateContent", "g"),
        ("/v1beta/models/g:streamGenerateContent", "g"),
        ("/v1beta/models/g:countTokens", "g"),
        ("/v1beta/models/g:embedContent", "g"),
        ("/api/chat", "l"),
        ("/api/generate", "l"),
        ("/api/embed", "l"),
    ];
    let targets =
        [("o", openai()), ("o", azure()), ("o", azure_v1()), ("a", anthropic()), ("g", gemini()), ("l", ollama())];
    for (path, speaks) in paths {
        for (dialect, endpoint) in &targets {
            match try_fit(endpoint.clone(), post(path, BODY)) {
                Ok(_) => assert_eq!(speaks, *dialect, "{path}"),
                Err(refusal) => {
                    assert_ne!(speaks, *dialect, "{path}");
                    assert_eq!(refusal.kind(), RefusalKind::NotFound);
                    assert!(refusal.message().starts_with("the target east speaks "), "{}", refusal.message());
                }
            }
        }
    }
    assert!(try_fit(gemini(), request("GET", "/v1/models", "")).is_err());
    assert!(try_fit(openai(), request("GET", "/api/tags", "")).is_err());
}

#[test]
fn usage_is_asked_for_where_it_is_wanted_and_the_caller_has_not() {
    let asking = || openai().ask_for_usage();
    let full = r#"{"stream_options":{"include_usage":true},"stream":true}"#;
    for (body, expected) in [
        (r#"{"stream":true}"#, full),
        (r#" { "stream" : true } "#, r#" {"stream_options":{"include_usage":true}, "stream" : true } "#),
        (r#"{"stream":true,"stream_options":null}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        (r#"{"stream":true,"stream_options":{}}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        (
            r#"{"stream":true,"stream_options":{ "include_obfuscation":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true, "include_obfuscation":false}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage": false }}"#,
            r#"{"stream":true,"stream_options":{"include_usage": true }}"#,
        ),
        // Nothing to do, or for the target to refuse.
        (full, full),
        (r#"{"stream":false}"#, r#"{"stream":false}"#),
        (r#"{"stream":true,"stream_options":7}"#, r#"{"stream":true,"stream_options":7}"#),
        (
            r#"{"stream":true,"stream_options":{"include_usage":"no"}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":"no"}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
        ),
    ] {
        let fitted = fit(asking(), post(CHAT, body));
        assert_eq!(fitted.body().bytes(), expected, "{body}");
        assert_eq!(fitted.extensions().get::<UsageAsked>().is_some(), body != expected, "{body}");
        assert_eq!(fit(openai(), post(CHAT, body)).body().bytes(), body, "off unless set");
    }
    let streamed = r#"{"stream":true}"#;
    assert_eq!(fit(asking(), post("/v1/responses", streamed)).body().bytes(), streamed);
    assert_eq!(fit(anthropic().ask_for_usage(), post("/v1/messages", streamed)).body().bytes(), streamed);
    let mistral = Endpoint::provider(Provider::MISTRAL).ask_for_usage();
    assert_eq!(fit(mistral, post(CHAT, streamed)).body().bytes(), streamed, "Mistral would refuse it");
    let renamed = fit(asking().model("a", "b"), post(CHAT, r#"{"model":"a","stream":true}"#));
    assert_eq!(renamed.body().bytes(), r#"{"stream_options":{"include_usage":true},"model":"b","stream":true}"#);
}

proptest! {
    #[test]
    fn to_ask_for_usage_changes_nothing_else(
        members in prop::collection::btree_map("[a-z\"\\\\{é]{0,6}", "[a-z\"\\\\{}é,:]{0,9}", 0..4),
        options in prop::option::of(prop::collection::btree_map("[a-z_]{1,5}", any::<bool>(), 0..3)),
        pretty in any::<bool>(),
    ) {
        let mut object = json!(members);
        object["stream"] = json!(true);
        if let Some(options) = options {
            object["stream_options"] = json!(options);
        }
        let body = if pretty { format!("{object:#}") } else { object.to_string() };
        let fitted = fit(openai().ask_for_usage(), post(CHAT, &body));
        let sent = fitted.body().bytes();
        object["stream_options"]["include_usage"] = json!(true);
        prop_assert_eq!(&serde_json::from_slice::<Value>(sent).unwrap(), &object);
        let common = body.bytes().zip(sent.iter().copied()).take_while(|(a, b)| a == b).count();
        let tail = body.len() - common;
        prop_assert!(sent.ends_with(&body.as_bytes()[body.len() - tail..]), "an insertion in one place");
    }
}

#[test]
fn how_the_answer_is_written_goes_along() {
    for (endpoint, path, format) in [
        (openai(), CHAT, Format::Chat),
        (azure(), "/v1/completions", Format::Completions),
        (openai(), "/v1/responses", Format::Responses),
        (openai(), "/v1/embeddings", Format::Json),
        (anthropic(), "/v1/messages", Format::Messages),
        (anthropic(), "/v1/messages/count_tokens", Format::Json),
        (gemini(), "/v1beta/models/g:streamGenerateContent", Format::Gemini),
        (gemini(), "/v1beta/models/g:countTokens", Format::Json),
        (ollama(), "/api/chat", Format::Ollama),
        (ollama(), "/api/generate", Format::Ollama),
        (ollama(), "/api/embed", Format::Json),
    ] {
        assert_eq!(fit(endpoint, post(path, BODY)).extensions().get(), Some(&format), "{path}");
    }
}

#[test]
fn a_model_is_renamed_where_the_dialect_names_it() {
    for (endpoint, path, body, expected) in [
        (anthropic().model("c", "claude"), "/v1/messages", r#"{"model":"c"}"#, r#"{"model":"claude"}"#),
        (ollama().model("l", "llama3:8b"), "/api/chat", r#"{"model":"l"}"#, r#"{"model":"llama3:8b"}"#),
        (ollama().default_model("m"), "/api/generate", "{}", r#"{"model":"m"}"#),
        (azure().model("gpt", "east"), "/v1/responses", r#"{"model":"gpt"}"#, r#"{"model":"east"}"#),
        (gemini().model("g", "h"), "/v1beta/models/g:generateContent", "{}", "{}"),
        (gemini().model("g", "h"), "/v1/models/g:embedContent", r#"{"model":"models/g"}"#, r#"{"model":"models/h"}"#),
        (gemini(), "/v1beta/models/g:embedContent", r#"{"model":"g"}"#, r#"{"model":"g"}"#),
    ] {
        assert_eq!(fit(endpoint, post(path, body)).body().bytes(), expected, "{path}");
    }
    let fitted = try_fit(gemini().model("g", "h"), post("/v1beta/models/g:generateContent", "{}")).unwrap();
    assert_eq!(fitted.model, Some(Label::try_new("h").unwrap()));
    assert_eq!(fitted.request.uri().path(), "/v1beta/models/h:generateContent");
}

#[test]
fn each_dialect_is_shown_its_credential_and_no_other() {
    let keys = ["authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"];
    let asked = |path| {
        let mut asked = post(path, BODY);
        for key in keys {
            asked.headers_mut().insert(key, "callers".parse().unwrap());
        }
        asked
    };
    for (endpoint, path, key, secret) in [
        (anthropic(), "/v1/messages", "x-api-key", "sk-ant-target"),
        (gemini(), "/v1beta/models/g:generateContent?key=callers", "x-goog-api-key", "target-goog"),
        (ollama(), "/api/chat", "", ""),
    ] {
        let fitted = fit(endpoint, asked(path));
        for name in keys {
            let value = fitted.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(value, (name == key).then_some(secret), "{path} {name}");
        }
        assert!(!fitted.uri().to_string().contains("callers") && !fitted.uri().to_string().contains("target"));
    }
}

#[test]
fn anthropic_is_told_a_version_unless_somebody_sets_one() {
    let version = |endpoint, callers: Option<&str>| {
        let mut asked = post("/v1/messages", BODY);
        if let Some(callers) = callers {
            asked.headers_mut().insert("anthropic-version", callers.parse().unwrap());
        }
        fit(endpoint, asked).headers()["anthropic-version"].to_str().unwrap().to_owned()
    };
    assert_eq!(version(anthropic(), None), "2023-06-01");
    assert_eq!(version(anthropic(), Some("2024-01-01")), "2024-01-01");
    assert_eq!(version(anthropic().header("anthropic-version", "2025-01-01"), Some("2024-01-01")), "2025-01-01");
    assert!(!fit(openai(), post(CHAT, BODY)).headers().contains_key("anthropic-version"));
}

#[test]
fn models_are_asked_for_where_the_target_lists_them() {
    for (endpoint, path, expected) in [
        (openai(), "/v1/models", "https://api.openai.com/v1/models"),
        (openai(), "/openai/models?api-version=x", "https://api.openai.com/v1/models"),
        (azure(), "/v1/models", "https://res.openai.azure.com/openai/models?api-version=2024-10-21"),
        (azure_v1(), "/v1/models", "https://res.openai.azure.com/openai/v1/models"),
        (openai().model("a", "b"), "/v1/models/a", "https://api.openai.com/v1/models/b"),
        (openai().model("a", "meta/b"), "/v1/models/a", "https://api.openai.com/v1/models/meta/b"),
    ] {
        assert_eq!(fit(endpoint, request("GET", path, "")).uri().to_string(), expected);
    }
}

#[test]
fn the_query_goes_on_save_for_the_version_and_what_could_be_a_key() {
    let path = "/v1/chat/completions?a=1&api-version=2023-05-15&API%2DVersion=x&key=k&subscription-key=k&&b=%20&flag";
    assert_eq!(fit(openai(), post(path, BODY)).uri().query(), Some("a=1&b=%20&flag"));
    let fitted = fit(azure().api_version("2025-01-01-preview"), post(path, BODY));
    assert_eq!(fitted.uri().query(), Some("a=1&b=%20&flag&api-version=2025-01-01-preview"));
}

#[test]
fn the_callers_credentials_and_hop_by_hop_headers_never_go_on() {
    let gone = [
        "authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "cookie",
        "host",
        "proxy-authorization",
        "proxy-connection",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "expect",
        "x-served-by",
        "x-served-region",
        "x-named",
        "x-also-named",
        "openai-organization",
        "openai-project",
    ];
    let kept =
        ["content-type", "x-request-id", "x-ms-client-request-id", "x-stainless-retry-count", "user-agent", "x-kept"];
    let mut asked = post(CHAT, BODY);
    for name in gone.iter().chain(&kept).filter(|name| **name != "connection") {
        asked.headers_mut().append(*name, "callers".parse().unwrap());
        asked.headers_mut().append(*name, "callers-too".parse().unwrap());
    }
    asked.headers_mut().append("connection", "close, X-Named".parse().unwrap());
    asked.headers_mut().append("connection", ",, x-also-named ,not a name".parse().unwrap());
    asked.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());

    let fitted = fit(Endpoint::builder(Dialect::OpenAi, "http://local/v1"), asked);
    for name in gone {
        assert!(!fitted.headers().contains_key(name), "{name}");
    }
    for name in kept {
        assert_eq!(fitted.headers().get_all(name).iter().count(), 2, "{name}");
    }
    assert_eq!(fitted.headers()["accept-encoding"], "identity");
}

#[test]
fn the_target_is_shown_its_own_credential() {
    let asked = || {
        let mut asked = post(CHAT, BODY);
        asked.headers_mut().insert("authorization", "Bearer callers".parse().unwrap());
        asked.headers_mut().insert("api-key", "callers".parse().unwrap());
        asked
    };
    let fitted = fit(openai().header("OpenAI-Organization", "org-ours"), asked());
    assert_eq!(fitted.headers()["authorization"], "Bearer sk-target");
    assert!(fitted.headers()["authorization"].is_sensitive() && !fitted.headers().contains_key("api-key"));
    assert_eq!(fitted.headers()["openai-organization"], "org-ours");
    let fitted = fit(azure(), asked());
    assert_eq!(fitted.headers()["api-key"], "target-key");
    assert!(!fitted.headers().contains_key("authorization"));
}

#[test]
fn the_model_in_the_body_changes_only_where_the_target_calls_it_otherwise() {
    let renamed = BODY.replace("\"gpt-4o\"", "\"llama \\\"3\\\"\"");
    for (endpoint, path, expected) in [
        (openai(), CHAT, BODY),
        (openai().model("other", "x"), CHAT, BODY),
        (openai().model("gpt-4o", "llama \"3\""), CHAT, &renamed),
        (openai().default_model("llama \"3\""), CHAT, &renamed),
        (azure_v1().model("gpt-4o", "llama \"3\""), CHAT, &renamed),
        (azure().model("gpt-4o", "llama"), CHAT, BODY),
        (openai(), "/openai/deployments/llama%20%223%22/chat/completions", &renamed),
    ] {
        assert_eq!(fit(endpoint, post(path, BODY)).body().bytes(), expected);
    }
}

#[test]
fn a_model_that_only_the_path_names_is_put_into_the_body() {
    let fitted = fit(openai().model("gpt-4o", "m"), post(DEPLOYMENT, r#"{"messages":[]}"#));
    assert_eq!(fitted.body().bytes(), r#"{"model":"m","messages":[]}"#);
    let fitted = fit(openai().default_model("m"), post(CHAT, "{}"));
    assert_eq!(fitted.body().bytes(), r#"{"model":"m"}"#);
    assert_eq!(fit(openai(), post(CHAT, "{}")).body().bytes(), "{}", "whether a model must be named is for the target");
    assert_eq!(fit(azure(), post(DEPLOYMENT, "{}")).body().bytes(), "{}");
}

#[test]
fn the_model_asked_for_at_the_target_is_told_where_it_is_a_label() {
    let model = |endpoint, body| try_fit(endpoint, post(CHAT, body)).unwrap().model;
    assert_eq!(model(azure().model("gpt-4o", "east-4o"), BODY), Some(Label::try_new("east-4o").unwrap()));
    assert_eq!(model(openai(), BODY), Some(Label::try_new("gpt-4o").unwrap()));
    assert_eq!(model(openai(), r#"{"model":"not a label"}"#), None);
    assert!(try_fit(openai().default_model("m"), request("GET", "/v1/models", "")).unwrap().model.is_none());
}

#[test]
fn a_body_that_changed_since_it_was_read_is_read_again() {
    let mut asked = post(CHAT, BODY);
    let call = Call::of_or_read(&mut asked).unwrap();
    let longer = r#"{"inserted":true,"messages":[],"model":"gpt-4o"}"#;
    *asked.body_mut() = Payload::new(Bytes::from_static(longer.as_bytes()));
    asked.extensions_mut().insert(call);
    let fitted = fit(openai().model("gpt-4o", "m"), asked);
    assert_eq!(fitted.body().bytes(), r#"{"inserted":true,"messages":[],"model":"m"}"#);
}

#[test]
fn a_name_that_is_escaped_in_the_body_is_replaced_whole() {
    let fitted = fit(openai().model("gpt-4o", "m"), post(CHAT, r#"{"model":"gpt\u002d4o","n":1}"#));
    assert_eq!(fitted.body().bytes(), r#"{"model":"m","n":1}"#);
}

#[test]
fn what_cannot_be_put_to_a_target_is_refused() {
    let kind = |endpoint, asked| try_fit(endpoint, asked).unwrap_err().kind();
    assert_eq!(kind(azure(), post(CHAT, "{}")), RefusalKind::BadRequest, "no deployment");
    assert_eq!(kind(openai(), post("/v1/nothing", "{}")), RefusalKind::NotFound);
    assert_eq!(kind(openai(), post(CHAT, "{")), RefusalKind::BadRequest);
    for climbing in ["..", "a/../../x", "a/b", "a\\\\b", "a\\u0000b", "a\\nb"] {
        let body = format!(r#"{{"model":"{climbing}"}}"#);
        assert_eq!(kind(azure(), post(CHAT, &body)), RefusalKind::BadRequest, "{climbing}");
    }
    let rewrite = LlmRewrite::new([]);
    let refusal = rewrite.rewrite(post(CHAT, BODY), &Target::named("west").unwrap()).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Unavailable);
    assert!(refusal.message().contains("west"));
}

/// A prompt of about so many tokens: short words, of which each is one.
fn prompt(tokens: usize) -> String {
    let text = "and so on ".repeat(tokens / 3);
    json!({"contents": [{"parts": [{"text": text}]}]}).to_string()
}

async fn verdict_of(endpoint: EndpointBuilder, path: &str, body: &str, status: u16) -> Verdict {
    let client = service_fn(move |_: Request<Payload>| {
        ready(Ok::<_, Infallible>(Response::builder().status(status).body(Body::empty()).unwrap()))
    });
    let answer = Inspect::new(client).oneshot(fit(endpoint, post(path, body))).await.unwrap();
    answer.extensions().get::<Class>().unwrap().verdict
}

#[tokio::test]
async fn a_failure_of_gemini_at_a_huge_prompt_is_one_of_length() {
    let path = "/v1beta/models/gemini-2.5-pro:generateContent";
    let (huge, long) = (prompt(400_000), prompt(90_000));
    assert!(long.len() > 200_000);
    for (status, expected) in [
        (500, Verdict::ContextTooLong),
        (504, Verdict::ContextTooLong),
        (503, Verdict::Transient),
        (429, Verdict::RateLimited),
        (401, Verdict::CredentialDead),
    ] {
        assert_eq!(verdict_of(gemini(), path, &huge, status).await, expected, "{status}");
        let otherwise = if status == 504 || status == 500 { Verdict::Transient } else { expected };
        assert_eq!(verdict_of(gemini(), path, &long, status).await, otherwise, "{status}, not as long");
    }
    // A picture of megabytes is a few hundred tokens.
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "A".repeat(4 << 20)}});
    let picture = json!({"contents": [{"parts": [picture]}]}).to_string();
    assert_eq!(verdict_of(gemini(), path, &picture, 500).await, Verdict::Transient, "a picture");
    let chat = json!({"model": "gpt-4o", "messages": [{"content": "and so on ".repeat(150_000)}]}).to_string();
    assert_eq!(verdict_of(openai(), CHAT, &chat, 500).await, Verdict::Transient, "another dialect");
}

#[test]
fn a_target_that_speaks_several_dialects_is_asked_at_the_first_that_serves() {
    let target = Target::named("east").unwrap();
    let named = |endpoint: EndpointBuilder| (target.name().clone(), endpoint.build().unwrap());
    let other = Endpoint::builder(Dialect::OpenAi, "https://never.example/v1");
    let rewrite = LlmRewrite::new([openai(), anthropic(), ollama(), other].map(named));
    for (path, host, dialect, format, key) in [
        (CHAT, "api.openai.com", Dialect::OpenAi, Format::Chat, Some("authorization")),
        ("/v1/responses", "api.openai.com", Dialect::OpenAi, Format::Responses, Some("authorization")),
        ("/v1/messages", "api.anthropic.com", Dialect::Anthropic, Format::Messages, Some("x-api-key")),
        ("/api/chat", "localhost", Dialect::Ollama, Format::Ollama, None),
    ] {
        let fitted = rewrite.rewrite(post(path, BODY), &target).unwrap().request;
        assert_eq!(fitted.uri().host(), Some(host), "{path}");
        assert_eq!(fitted.extensions().get(), Some(&dialect), "{path}");
        assert_eq!(fitted.extensions().get(), Some(&format), "{path}");
        let shown = ["authorization", "x-api-key"].into_iter().filter(|name| fitted.headers().contains_key(*name));
        assert!(shown.eq(key), "{path}: each address is shown its own key alone");
    }
    let refusal = rewrite.rewrite(post("/v1beta/models/g:generateContent", "{}"), &target).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::NotFound);
    let spoken = "the target east speaks openai, anthropic, ollama, openai, which has no such generate_content";
    assert_eq!(refusal.message(), spoken);
    assert_eq!(rewrite.endpoints(&target).len(), 4);
    assert!(rewrite.endpoints(&Target::named("west").unwrap()).is_empty());
}

#[test]
fn what_the_client_needs_to_know_goes_along() {
    let mut asked = post(CHAT, BODY);
    *asked.version_mut() = Version::HTTP_2;
    asked.extensions_mut().insert(7_u8);
    let fitted = fit(azure(), asked);
    assert_eq!(fitted.version(), Version::HTTP_11);
    assert_eq!(fitted.extensions().get(), Some(&Dialect::Azure));
    assert_eq!(fitted.extensions().get(), Some(&7_u8));
    assert_eq!(fitted.extensions().get::<Call>().unwrap().model(), Some("gpt-4o"));
}

#[test]
fn the_credential_is_the_one_that_the_target_is_to_be_shown() {
    let [first, second, third] = ["first", "second", "third"].map(|name| Label::try_new(name).unwrap());
    let several = || {
        openai()
            .credential_named(first.clone(), Credential::bearer("sk-first").unwrap())
            .credential_named(second.clone(), Credential::api_key("sk-second").unwrap())
    };
    let east = Target::named("east").unwrap().with_credentials([first.clone(), second.clone(), third.clone()]);
    let rewrite = LlmRewrite::new([(east.name().clone(), several().build().unwrap())]);
    let shown = |target: &Target| {
        let request = rewrite.rewrite(post(CHAT, BODY), target).map(|rewritten| rewritten.request);
        request.map(|request| ["authorization", "api-key"].map(|name| request.headers().get(name).cloned()))
    };
    let text = |value: &str| Some(http::HeaderValue::from_str(value).unwrap());
    assert_eq!(shown(&east).unwrap(), [text("Bearer sk-target"), None]);
    assert_eq!(shown(&east.clone().using(first.clone())).unwrap(), [text("Bearer sk-first"), None]);
    assert_eq!(
        shown(&east.clone().using(second.clone())).unwrap(),
        [None, text("sk-second")],
        "and no other beside it"
    );
    let refusal = shown(&east.using(third)).unwrap_err();
    assert_eq!(refusal.to_string(), "the target east has no credential called third");

    let base = "https://api.openai.com/v1";
    let only =
        Endpoint::builder(Dialect::OpenAi, base).credential_named(first.clone(), Credential::bearer("sk-1").unwrap());
    let sent = fit(only, post(CHAT, BODY));
    assert_eq!(sent.headers()["authorization"], "Bearer sk-1", "where nobody says which, it is the first");
    let twice = several().credential_named(first.clone(), Credential::none()).build().unwrap_err();
    assert_eq!(twice.to_string(), "`credentials` must name each credential once");
    let printed = format!("{:?} {:?}", several(), several().build().unwrap());
    assert!(!printed.contains("sk-"), "{printed}");
}

#[test]
fn a_secret_is_never_printed() {
    let endpoint = openai().header("x-ms-secret", "hush-sk");
    let (built, builder) = (endpoint.clone().build().unwrap(), endpoint);
    let rewrite = LlmRewrite::new([(Label::try_new("a").unwrap(), built.clone())]);
    let fitted = fit(builder.clone(), post(CHAT, BODY));
    let printed =
        format!("{built:#?} {builder:?} {rewrite:?} {:?} {fitted:?}", Credential::api_key("sk-other").unwrap());
    assert!(!printed.contains("sk-") && !printed.contains("hush"), "{printed}");
    assert!(printed.contains("api.openai.com"));
    let wrong = Endpoint::builder(Dialect::OpenAi, "https://user:sk-word@host");
    let printed = format!("{wrong:?} {:?}", wrong.clone().build().unwrap_err());
    assert!(!printed.contains("sk-"), "{printed}");
    let others = [Credential::x_api_key("sk-x").unwrap(), Credential::x_goog_api_key("sk-g").unwrap()];
    assert!(!format!("{others:?} {:?}", built.probe()).contains("sk-"));
    let error = Credential::bearer("sk-with space\n").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sk-"));
}

#[test]
fn a_setting_that_cannot_be_used_names_its_field() {
    let at = |dialect, base: &str| Endpoint::builder(dialect, base).build().map(drop).map_err(|e| e.to_string());
    for base in [
        "",
        "api.openai.com/v1",
        "/v1",
        "ftp://a/v1",
        "https://user:pw@a/v1",
        "https://a/v1?x=1",
        "https://a/#x",
        "https://",
        "https:// a/",
    ] {
        assert!(at(Dialect::OpenAi, base).unwrap_err().starts_with("`base` must"), "{base}");
    }
    for base in ["https://a/openai", "https://a/openai/", "https://a/openai/v1"] {
        assert_eq!(at(Dialect::Azure, base).unwrap_err(), "`base` must end before /openai");
    }
    for (dialect, base, says) in [
        (Dialect::Anthropic, "https://a/v1", "`base` must end before /v1"),
        (Dialect::Anthropic, "https://a/x/v1/messages", "`base` must end before /v1"),
        (Dialect::Gemini, "https://a", "`base` must end with the version, such as /v1beta"),
        (Dialect::Gemini, "https://a/v1beta/models/", "`base` must end with the version, such as /v1beta"),
        (Dialect::Gemini, "https://a/v1beta/openai", "`base` is an address for the dialect of OpenAI"),
        (Dialect::Ollama, "http://a/api", "`base` must end before /api"),
        (Dialect::Ollama, "http://a/v1/", "`base` is an address for the dialect of OpenAI"),
    ] {
        assert_eq!(at(dialect, base).unwrap_err(), says);
    }
    for (endpoint, field) in [
        (gemini().model("a", "b/c"), "models"),
        (ollama().api_version("1"), "api_version"),
        (Endpoint::provider(Provider::AZURE), "base"),
        (openai().api_version("2024-10-21"), "api_version"),
        (azure().api_version(""), "api_version"),
        (azure().api_version("1&x=2"), "api_version"),
        (azure().model("a", ""), "models"),
        (azure().model("a", "../b"), "models"),
        (azure().model("a", "b/c"), "models"),
        (openai().model("a", "b/../c"), "models"),
        (openai().model("a", "b").model("a", "c"), "models"),
        (openai().default_model("a\nb"), "default_model"),
        (openai().header("content-length", "1"), "headers"),
        (openai().header("Accept-Encoding", "gzip"), "headers"),
        (openai().header("a b", "1"), "headers"),
        (openai().header("a", "1\n2"), "headers"),
    ] {
        assert_eq!(endpoint.build().map(drop).unwrap_err().field(), field);
    }
    for secret in ["", "a b", "a\n", "é"] {
        assert_eq!(Credential::api_key(secret).unwrap_err().field(), "credential");
    }
}
