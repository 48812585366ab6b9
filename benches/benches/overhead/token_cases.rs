//! What is read from a request, and how many tokens are in it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use buttress_llm::{Operation, RequestDetails, RequestFacts, TokenCounter};
use tower::Service;

use crate::Group;

/// Does one thing with a text; what comes of it is a number.
#[derive(Clone)]
struct Doing<F>(F);

/// A text, or the body of a request.
pub(crate) type Text = &'static str;

// === impl Doing ===

impl<F: Fn(Text) -> u64> Service<Text> for Doing<F> {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, text: Text) -> Self::Future {
        ready(Ok((self.0)(text)))
    }
}

pub(crate) fn groups() -> [Group<Text>; 4] {
    [
        tokens("tokens of a prompt of 1 kB", prompt::<1_000>),
        tokens("tokens of a prompt of 100 kB", prompt::<100_000>),
        facts("a chat request of 1 kB", body::<1_000>),
        facts("a chat request of 100 kB", body::<100_000>),
    ]
}

fn tokens(title: &'static str, prompt: fn() -> Text) -> Group<Text> {
    let (exact, guess) = (TokenCounter::of_model("gpt-4o"), TokenCounter::of_model("unknown"));
    exact.warm();
    let tiktoken = tiktoken_rs::o200k_base_singleton();
    Group::new(title, prompt, "its length", Doing(|text: Text| text.len() as u64))
        .case("tiktoken-rs count_ordinary", Doing(|text: Text| tiktoken.count_ordinary(text) as u64))
        .case("buttress TokenCounter, exact", Doing(move |text: Text| exact.count(text)))
        .case("buttress TokenCounter, estimate", Doing(move |text: Text| guess.count(text)))
        .promise(0)
}

fn facts(title: &'static str, body: fn() -> Text) -> Group<Text> {
    let (exact, guess) = (TokenCounter::of_model("gpt-4o"), TokenCounter::of_model("unknown"));
    let details = |body: Text| RequestDetails::new(Operation::ChatCompletions, body.as_bytes());
    Group::new(title, body, "its length", Doing(|body: Text| body.len() as u64))
        .case("serde_json::Value, the same facts", Doing(by_tree))
        .case("buttress RequestFacts", Doing(by_facts))
        // serde_json notes there which brackets are open.
        .promise(1)
        .case("buttress RequestDetails, max tokens", Doing(move |body| details(body).max_tokens().unwrap_or_default()))
        .promise(0)
        .case(
            "buttress RequestDetails, turns and parts",
            Doing(move |body| details(body).turns().map(|turn| turn.parts().count() as u64).sum()),
        )
        .promise(0)
        .case("buttress input tokens, estimate", Doing(move |body| guess.input(&details(body)).tokens))
        .case("buttress input tokens, exact", Doing(move |body| exact.input(&details(body)).tokens))
}

fn by_facts(body: Text) -> u64 {
    let facts = RequestFacts::read(body.as_bytes()).expect("it is a request");
    facts.model.map_or(0, |model| model.len() as u64) + u64::from(facts.stream == Some(true))
}

fn by_tree(body: Text) -> u64 {
    let tree: serde_json::Value = serde_json::from_str(body).expect("it is a request");
    let model = tree["model"].as_str().map_or(0, |model| model.len() as u64);
    model + u64::from(tree["stream"] == true)
}

/// English prose of about so many bytes, made once.
fn prompt<const BYTES: usize>() -> Text {
    once(BYTES, || {
        let prose = concat!(include_str!("../../../README.md"), include_str!("../../../STYLE.md"));
        prose.chars().filter(char::is_ascii).cycle().take(BYTES).collect()
    })
}

/// A chat request of about so many bytes: ten turns and a tool.
fn body<const BYTES: usize>() -> Text {
    once(BYTES + 1, || {
        let turn = |at: usize| {
            let role = if at.is_multiple_of(2) { "user" } else { "assistant" };
            let text: String = prompt::<BYTES>().chars().skip(at * BYTES / 10).take(BYTES / 16).collect();
            serde_json::json!({ "role": role, "content": text })
        };
        let messages: Vec<_> = (0..10).map(turn).collect();
        let tools =
            serde_json::json!([{ "type": "function", "function": { "name": "weather", "description": "Tells it." } }]);
        serde_json::json!({ "model": "gpt-4o", "messages": messages, "tools": tools, "stream": true, "max_tokens": 100 })
            .to_string()
    })
}

/// Finds the text called `name`, or makes it and keeps it for good.
fn once(name: usize, make: impl FnOnce() -> String) -> Text {
    use std::{cell::RefCell, collections::HashMap};
    thread_local!(static MADE: RefCell<HashMap<usize, Text>> = RefCell::default());
    if let Some(made) = MADE.with_borrow(|made| made.get(&name).copied()) {
        return made;
    }
    let made = make().leak();
    MADE.with_borrow_mut(|all| all.insert(name, made));
    made
}
