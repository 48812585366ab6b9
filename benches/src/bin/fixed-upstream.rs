//! An upstream that answers every chat at once, always the same: whole, or as a stream of events.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;

/// Events that are all there at once.
struct Events {
    left: u32,
}

const WHOLE: &str = r#"{"id":"chatcmpl-0123456789abcdefghijklmnopqrs","object":"chat.completion","created":1861920000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"A buttress is a structure that is built against a wall to support it, so that the wall can carry more than its own strength would allow. Flying buttresses carry the thrust of a vault over an aisle to a pier outside, and so leave room for windows.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":212,"completion_tokens":55,"total_tokens":267,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_0123456789"}"#;

const EVENT: &str = "data: {\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrs\",\"object\":\"chat.completion.chunk\",\"created\":1861920000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" wall\"},\"finish_reason\":null}]}\n\n";

const LAST_EVENT: &str = "data: [DONE]\n\n";

const HEADERS: [(&str, &str); 9] = [
    ("x-request-id", "req_0123456789abcdef0123456789abcdef"),
    ("openai-processing-ms", "412"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "1999000"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "30ms"),
];

#[tokio::main]
async fn main() -> io::Result<()> {
    bench::serve(answer).await
}

async fn answer(request: Request<Incoming>) -> Response<Either<Full<Bytes>, Events>> {
    #[expect(clippy::disallowed_methods, reason = "the bench is the only client, and knows how much it sends")]
    let body = request.into_body().collect().await.expect("the bench sends its requests whole").to_bytes();
    let streamed = body.windows(13).any(|bytes| bytes == br#""stream":true"#);
    let (kind, body) = if streamed {
        ("text/event-stream; charset=utf-8", Either::Right(Events { left: 24 }))
    } else {
        ("application/json", Either::Left(Full::from(WHOLE)))
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers(kind);
    response
}

fn headers(kind: &'static str) -> HeaderMap {
    let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    HEADERS.into_iter().chain([("content-type", kind)]).map(pair).collect()
}

// === impl Events ===

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        let event = if left == 0 { LAST_EVENT } else { EVENT };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(event.as_bytes())))))
    }
}
