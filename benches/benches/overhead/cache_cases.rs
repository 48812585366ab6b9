//! Answers that are given again, and calls that are shared.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
};

use buttress_coalesce::CoalesceLayer;
use buttress_core::{Body, Payload};
use buttress_llm::Call;
use buttress_semantic_cache::{Admit, Ask, ByQuestion, OneTenant, SemanticCacheLayer, llm::Conversations};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use tower::{Layer as _, Service};

use crate::{Group, http_cases};

/// Answers a chat at once.
#[derive(Clone, Copy, Debug)]
struct Answers;

/// A chat of a kilobyte, with a system prompt and a turn of the user.
static QUESTION: LazyLock<(Bytes, Call)> = LazyLock::new(|| {
    let body = format!(
        r#"{{"model":"gpt-4o","temperature":0,"messages":[{{"role":"system","content":"{}"}},{{"role":"user","content":"{}"}}]}}"#,
        "You are a helpful assistant. ".repeat(22),
        "How do I reset my password? ".repeat(9)
    );
    let body = Bytes::from(body);
    let request = http_cases::request().map(|_| Payload::new(body.clone()));
    let call = Call::read(&request).expect("it is a chat");
    (body, call)
});

static ANSWER: LazyLock<Bytes> = LazyLock::new(|| {
    let body = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}}}"#,
        "Click on the link. ".repeat(40)
    );
    body.into()
});

impl Service<Request<Payload>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        drop(black_box(request));
        let mut response = Response::new(Body::from(ANSWER.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        ready(Ok(response))
    }
}

/// Hits, misses, and calls that nobody else joins.
pub(crate) fn chats() -> Group<Request<Payload>> {
    let by_body = ByQuestion(|request: &Request<Payload>| Some(request.body().bytes().clone()));
    let misses = SemanticCacheLayer::new(OneTenant, Conversations::new());
    Group::new("chats of 1 KB", question, "bare", Answers)
        .case("buttress CoalesceLayer, nobody joins", CoalesceLayer::new(OneTenant).layer(Answers))
        .case("buttress SemanticCacheLayer, hit, by its bytes", filled(SemanticCacheLayer::new(OneTenant, by_body)))
        .case("buttress SemanticCacheLayer, hit, by its meaning as JSON", {
            filled(SemanticCacheLayer::new(OneTenant, Conversations::new()))
        })
        .case("buttress SemanticCacheLayer, miss, not read", misses.layer(Answers))
}

fn question() -> Request<Payload> {
    let (body, call) = &*QUESTION;
    let mut request = http_cases::request().map(|_| Payload::new(body.clone()));
    request.extensions_mut().insert(call.clone());
    request
}

/// A cache that knows the answer.
fn filled<A>(
    layer: SemanticCacheLayer<OneTenant, A>,
) -> impl Service<Request<Payload>, Error = Infallible, Future: Send> + Clone
where
    A: Ask<Request<Payload>> + Admit + Send + Sync + 'static,
{
    let mut service = layer.layer(Answers);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = pin!(service.call(question())).poll(&mut cx) else { panic!("it answers at once") };
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        assert!(frame.is_ok(), "it does not fail");
    }
    assert_eq!(layer.handle().counts().stored, 1, "the answer is kept");
    service
}
