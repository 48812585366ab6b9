//! How a request is fitted to a target.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use buttress_core::{Label, Payload, Refusal, RefusalKind, Rewrite, Rewritten, Target};
use buttress_llm::{Call, Credential, Dialect, Endpoint, EndpointBuilder, LlmRewrite};
use bytes::Bytes;
use http::{Request, Version};

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
    for (endpoint, field) in [
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
