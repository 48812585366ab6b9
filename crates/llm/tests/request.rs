//! What a request says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use buttress_core::{Payload, Refusal, RefusalKind};
use buttress_llm::{Call, Operation, RequestFacts, Route};
use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn read(body: &str) -> Result<RequestFacts<'_>, String> {
    RequestFacts::read(body.as_bytes()).map_err(|error| error.to_string())
}

fn request(method: &str, path: &str, body: &str) -> Request<Payload> {
    let body = Payload::new(Bytes::copy_from_slice(body.as_bytes()));
    Request::builder().method(method).uri(path).body(body).unwrap()
}

#[test]
fn a_body_says_its_model_and_whether_to_stream() {
    for (body, model, stream) in [
        (r#"{"model":"gpt-4o","stream":true}"#, Some("gpt-4o"), true),
        (r#" { "stream" : false , "model" : "gpt-4o" } "#, Some("gpt-4o"), false),
        (r#"{"model":"gpt-4o","stream":null}"#, Some("gpt-4o"), false),
        (r#"{"model":"gpt-4o"}"#, Some("gpt-4o"), false),
        (r#"{"messages":[{"role":"user","content":"\"model\":\"x\""}]}"#, None, false),
        (r#"{"metadata":{"model":"inner","stream":true},"model":"outer"}"#, Some("outer"), false),
        ("{}", None, false),
    ] {
        let facts = read(body).unwrap();
        assert_eq!((facts.model.as_deref(), facts.stream.unwrap_or_default()), (model, stream), "{body}");
    }
}

#[test]
fn the_range_of_the_model_holds_its_quotes() {
    let body = r#"{"a":1, "model" : "gpt-4o" }"#;
    let range = read(body).unwrap().model_range().unwrap().clone();
    assert_eq!(&body[range], "\"gpt-4o\"");
    assert_eq!(read("{}").unwrap().model_range(), None);
}

#[test]
fn an_escaped_name_is_read_as_the_provider_would_read_it() {
    let facts = read(r#"{"model":"gpt\u002d4o"}"#).unwrap();
    assert_eq!(facts.model.as_deref(), Some("gpt-4o"));
    let facts = read(r#"{"mod\u0065l":"gpt-4o","str\u0065am":true}"#).unwrap();
    assert_eq!((facts.model.as_deref(), facts.stream), (Some("gpt-4o"), Some(true)));
    assert!(matches!(read(r#"{"model":"gpt-4o"}"#).unwrap().model, Some(std::borrow::Cow::Borrowed(_))), "no copy");
}

#[test]
fn what_cannot_be_used_is_refused_with_the_field_and_what_it_may_be() {
    for (body, says) in [
        (r#"{"model":4}"#, "`model` must be a string, but it is a number"),
        (r#"{"model":null}"#, "`model` must be a string, but it is null"),
        (r#"{"model":["a"]}"#, "`model` must be a string, but it is an array"),
        (r#"{"model":{}}"#, "`model` must be a string, but it is an object"),
        (r#"{"model":true}"#, "`model` must be a string, but it is a boolean"),
        (r#"{"model":""}"#, "`model` must be a string with a name in it, but it is empty"),
        (r#"{"stream":"true"}"#, "`stream` must be a boolean or null, but it is a string"),
        (r#"{"stream":1}"#, "`stream` must be a boolean or null, but it is a number"),
        (r#"{"model":"a","model":"b"}"#, "`model` must be given once, but it is there twice"),
        (r#"{"model":"a","m\u006fdel":"b"}"#, "`model` must be given once, but it is there twice"),
        (r#"{"stream":true,"stream":false}"#, "`stream` must be given once, but it is there twice"),
        (r#"{"model":"a""#, "the body is not valid JSON (line 1, column 12)"),
        ("{\n  \"model\": oops\n}", "the body is not valid JSON (line 2, column 12)"),
        ("", "the body is not valid JSON (line 1, column 1)"),
        ("hello", "the body is not valid JSON (line 1, column 1)"),
        ("[1]", "the body is not a JSON object"),
        ("{} {}", "the body is not valid JSON (line 1, column 4)"),
    ] {
        assert_eq!(read(body).unwrap_err(), says, "{body}");
    }
}

#[test]
fn an_error_never_shows_what_the_body_holds() {
    for body in [r#"{"prompt":"secret" oops}"#, r#"{"model":["secret"]}"#, r#"{"secret"}"#, "secret"] {
        let error = RequestFacts::read(body.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_wherever_they_stand() {
    for body in [&b"{\"a\":\"\xff\"}"[..], b"{\"a\xc3\":1}", b"\xef\xbb\xbf{}"] {
        assert!(RequestFacts::read(body).is_err());
    }
}

#[test]
fn deep_nesting_does_not_recurse() {
    let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(read(&format!("{{\"x\":{open}")).unwrap_err().starts_with("the body is not valid JSON"));
    let facts = format!("{{\"x\":{open}{close},\"model\":\"a\"}}");
    assert_eq!(read(&facts).unwrap().model.as_deref(), Some("a"));
}

#[test]
fn a_body_of_ten_megabytes_is_read_whole() {
    let prompt = "a long line of text\\n".repeat(500_000);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{prompt}"}}],"model":"gpt-4o","stream":true}}"#);
    let facts = read(&body).unwrap();
    assert_eq!((facts.model.as_deref(), facts.stream), (Some("gpt-4o"), Some(true)));
    assert_eq!(facts.with_model(body.as_bytes(), "b").len(), body.len() - 5);
    assert!(read(&body[..body.len() - 1]).is_err(), "a missing brace at the end is seen");
}

#[test]
fn a_model_is_put_where_none_was() {
    for (body, expected) in [
        ("{}", r#"{"model":"m"}"#),
        (" { } ", r#" {"model":"m" } "#),
        (r#"{"a":1}"#, r#"{"model":"m","a":1}"#),
        (r#"{ "a":{"model":"x"}}"#, r#"{"model":"m", "a":{"model":"x"}}"#),
    ] {
        assert_eq!(read(body).unwrap().with_model(body.as_bytes(), "m"), expected, "{body}");
    }
}

#[test]
fn a_path_says_what_is_asked_and_of_which_deployment() {
    use Operation::*;
    for (path, operation, model) in [
        ("/v1/chat/completions", ChatCompletions, None),
        ("/v1/completions", Completions, None),
        ("/v1/embeddings", Embeddings, None),
        ("/v1/models", Models, None),
        ("/v1/models/gpt-4o", Model, Some("gpt-4o")),
        ("/v1/models/ft:gpt-4o:org::id", Model, Some("ft:gpt-4o:org::id")),
        ("/v1/models/meta/llama-3", Model, Some("meta/llama-3")),
        ("/v1/models/meta%2Fllama-3", Model, Some("meta/llama-3")),
        ("/openai/v1/chat/completions", ChatCompletions, None),
        ("/openai/v1/models", Models, None),
        ("/openai/models", Models, None),
        ("/openai/models/gpt-4o", Model, Some("gpt-4o")),
        ("/openai/deployments/my-gpt/chat/completions", ChatCompletions, Some("my-gpt")),
        ("/openai/deployments/my-gpt/completions", Completions, Some("my-gpt")),
        ("/openai/deployments/my%20gpt/embeddings", Embeddings, Some("my gpt")),
        ("/v1/responses", Responses, None),
        ("/openai/v1/responses", Responses, None),
        ("/openai/responses", Responses, None),
        ("/v1/messages", Messages, None),
        ("/v1/messages/count_tokens", CountMessageTokens, None),
        ("/v1beta/models/gemini-2.5-pro:generateContent", GenerateContent, Some("gemini-2.5-pro")),
        ("/v1/models/gemini-2.5-pro:streamGenerateContent", StreamGenerateContent, Some("gemini-2.5-pro")),
        ("/v1beta/models/a%3Ab:countTokens", CountTokens, Some("a:b")),
        ("/v1beta/models/a:b:embedContent", EmbedContent, Some("a:b")),
        ("/v1/models/a:generatecontent", Model, Some("a:generatecontent")),
        ("/api/chat", OllamaChat, None),
        ("/api/generate", OllamaGenerate, None),
        ("/api/embed", OllamaEmbed, None),
        ("/api/tags", OllamaTags, None),
        ("/api/version", OllamaVersion, None),
    ] {
        let route = Route::parse(path).unwrap();
        assert_eq!((route.operation, route.model.as_deref()), (operation, model), "{path}");
    }
}

#[test]
fn a_path_that_is_unknown_or_climbs_is_refused() {
    for path in [
        "",
        "/",
        "/v1",
        "/v1/chat",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v2/chat/completions",
        "/openai/chat/completions",
        "/openai/deployments/a",
        "/openai/deployments/a/responses",
        "/openai/deployments/a/models",
        "/openai/embeddings",
        "/openai/v1/messages",
        "/v1/messages/count_tokens/",
        "/v1beta/models",
        "/v1beta/models/gemini",
        "/v1beta/models/gemini:deleteContent",
        "/v1beta/chat/completions",
        "/api",
        "/api/pull",
        "/api/chat/",
        "/openai/deployments/a/b/chat/completions",
        "/openai/deployments/../chat/../completions",
    ] {
        assert_eq!(Refusal::from(Route::parse(path).unwrap_err()).kind(), RefusalKind::NotFound, "{path}");
    }
    for name in
        ["", ".", "..", "%2e%2e", "%2E.", "a%2F..%2Fb", "a%5Cb", "%00", "a%0d%0ab", "%ff", "%", "%zz", &"x".repeat(257)]
    {
        let path = format!("/openai/deployments/{name}/chat/completions");
        assert_eq!(Refusal::from(Route::parse(&path).unwrap_err()).kind(), RefusalKind::BadRequest, "{path}");
    }
    for name in ["", "..", "a/b", "a%2fb", "%00", "%zz"] {
        let path = format!("/v1beta/models/{name}:generateContent");
        assert_eq!(Refusal::from(Route::parse(&path).unwrap_err()).kind(), RefusalKind::BadRequest, "{path}");
    }
    for name in ["", "..", "a/../b", "a%2F..%2Fb", "a//b", "/a"] {
        assert!(Route::parse(&format!("/v1/models/{name}")).is_err(), "{name}");
    }
}

#[test]
fn a_call_asks_for_the_deployment_in_the_path_before_the_model_in_the_body() {
    let body = r#"{"model":"in-body","stream":true}"#;
    let call =
        Call::read(&request("POST", "/openai/deployments/in-path/chat/completions?api-version=1", body)).unwrap();
    assert_eq!((call.model(), call.stream()), (Some("in-path"), true));
    let call = Call::read(&request("POST", "/v1/chat/completions", body)).unwrap();
    assert_eq!((call.model(), call.operation()), (Some("in-body"), Operation::ChatCompletions));
}

#[test]
fn whether_to_stream_is_said_as_each_dialect_says_it() {
    let gemini = |method| format!("/v1beta/models/g:{method}");
    for (path, body, stream) in [
        ("/v1/messages".to_owned(), r#"{"model":"c","stream":true}"#, true),
        ("/v1/messages".to_owned(), r#"{"model":"c"}"#, false),
        ("/v1/responses".to_owned(), r#"{"model":"c","stream":true}"#, true),
        (gemini("generateContent"), r#"{"stream":true}"#, false),
        (gemini("streamGenerateContent"), r#"{"stream":false}"#, true),
        (gemini("streamGenerateContent"), "{}", true),
        ("/api/chat".to_owned(), r#"{"model":"l"}"#, true),
        ("/api/chat".to_owned(), r#"{"model":"l","stream":null}"#, true),
        ("/api/generate".to_owned(), r#"{"model":"l","stream":false}"#, false),
        ("/api/generate".to_owned(), r#"{"model":"l","stream":true}"#, true),
        ("/api/embed".to_owned(), r#"{"model":"l"}"#, false),
    ] {
        assert_eq!(Call::read(&request("POST", &path, body)).unwrap().stream(), stream, "{path} {body}");
    }
    let call = Call::read(&request("GET", "/api/tags", "")).unwrap();
    assert_eq!((call.stream(), call.model()), (false, None));
    let call = Call::read(&request("POST", "/v1/responses", "{}")).unwrap();
    assert_eq!(call.details(br#"{"max_output_tokens":5}"#).max_tokens(), Some(5));
}

#[test]
fn a_call_is_read_once_and_then_found() {
    let mut asked = request("GET", "/v1/models", "");
    let first = Call::of_or_read(&mut asked).unwrap();
    *asked.uri_mut() = "/nowhere".parse().unwrap();
    assert_eq!(Call::of_or_read(&mut asked).unwrap(), first);
}

#[test]
fn a_call_with_another_method_is_refused() {
    for (method, path) in [("GET", "/v1/chat/completions"), ("DELETE", "/v1/models/ft:mine"), ("POST", "/v1/models")] {
        let refusal = Call::read(&request(method, path, "{}")).unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::BadRequest, "{method} {path}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

proptest! {
    #[test]
    fn a_splice_changes_the_model_and_nothing_else(
        members in prop::collection::btree_map("[a-zA-Z\"\\\\é ]{0,8}", value(), 0..5),
        old in prop::option::of("\\PC{1,12}"),
        new in any::<String>(),
        pretty in any::<bool>(),
    ) {
        let mut object = Map::from_iter(members);
        object.remove("stream");
        object.remove("model");
        if let Some(old) = &old {
            object.insert("model".to_owned(), json!(old));
        }
        let body = if pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) }.unwrap();

        let facts = RequestFacts::read(&body).unwrap();
        prop_assert_eq!(facts.model.as_deref(), old.as_deref());
        let spliced = facts.with_model(&body, &new);
        object.insert("model".to_owned(), json!(new));
        prop_assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), Value::Object(object));
        if let Some(range) = facts.model_range() {
            let tail = body.len() - range.end;
            prop_assert_eq!(&spliced[..range.start], &body[..range.start]);
            prop_assert_eq!(&spliced[spliced.len() - tail..], &body[range.end..]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = RequestFacts::read(&body);
    }

    #[test]
    fn any_path_is_read_or_refused(path in "(/openai/deployments/|/v1/models/|/v1/)?[%./a-f0-9é]{0,20}(/completions)?") {
        if let Ok(Route { model: Some(model), .. }) = Route::parse(&path) {
            prop_assert!(model.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        }
    }
}
