//! Questions to language models.

mod formats;
mod keys;
mod unfit;

use buttress_semantic_cache::llm::Conversations;

use super::*;

fn bench(conversations: Conversations) -> Bench<Conversations> {
    Bench::of(&layer(conversations))
}

fn post(path: &str, body: &str) -> Request<Payload> {
    let mut request = request("t", body, "");
    *request.uri_mut() = path.parse().expect("a path");
    request
}

fn chat(more: &str) -> Request<Payload> {
    let body = format!(r#"{{"model":"m","temperature":0,"messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
    post("/v1/chat/completions", &body)
}

const WHOLE: &str = concat!(
    r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":"#,
    r#"{"role":"assistant","content":"Hello, \"you\""},"logprobs":null,"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"system_fingerprint":"f"}"#
);

fn json(body: &'static str) -> Reply {
    Reply::ok().header("content-type", "application/json").body(Script::new().data(body).sized())
}

fn sse(parts: &[&'static str]) -> Reply {
    let script = parts.iter().fold(Script::new(), |script, part| script.data(*part));
    Reply::ok().header("content-type", "text/event-stream").body(script)
}
