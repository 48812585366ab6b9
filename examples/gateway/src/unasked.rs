//! Takes out of a stream what its caller has not asked for: the chunk that tells what was used.
//!
//! Targets are asked to tell it, so that callers can be held to their limits. Clients that take the first of `choices` without
//! a look at how many there are would fail at a chunk that has none.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body as AxumBody;
use buttress_llm::{SseKind, SseReader, StreamLimits, UsageAsked};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use pin_project::pin_project;
use serde::{Deserialize, de::IgnoredAny};
use tower::Service;

/// Leaves with an answer that its target was asked for usage, where the caller has not asked.
#[derive(Clone, Debug)]
pub(crate) struct Mark<S>(pub(crate) S);

/// The future of [`Mark`].
#[pin_project]
pub(crate) struct Marked<F>(#[pin] F, Option<UsageAsked>);

/// Takes the chunk that tells of usage out of an event stream. A stream that cannot be read passes as it is.
#[derive(Debug)]
struct Sieve {
    reader: SseReader,
    /// What has come of an event that is not whole.
    held: BytesMut,
    /// Where in the stream that begins.
    at: u64,
    passes_all: bool,
}

/// A body without the chunk.
#[pin_project]
struct Sieved {
    #[pin]
    inner: AxumBody,
    sieve: Sieve,
    /// What follows the last data.
    last: Option<Frame<Bytes>>,
    ended: bool,
}

/// What is looked at in a chunk.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<IgnoredAny>>,
    usage: Option<IgnoredAny>,
}

// === impl Mark ===

impl<S, B, B2> Service<Request<B>> for Mark<S>
where
    S: Service<Request<B>, Response = Response<B2>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Marked<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asked = request.extensions().get().copied();
        Marked(self.0.call(request), asked)
    }
}

impl<F, B, E> Future for Marked<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.0.poll(cx));
        if let (Ok(response), Some(asked)) = (&mut result, this.1.take()) {
            response.extensions_mut().insert(asked);
        }
        Poll::Ready(result)
    }
}

/// Takes the chunk out of `response`, if its target was asked for it and its caller has not asked.
pub(crate) fn without_usage(response: Response<AxumBody>) -> Response<AxumBody> {
    let asked = response.extensions().get::<UsageAsked>().is_some();
    if !asked || !response.status().is_success() || !is_plain_stream(response.headers()) {
        return response;
    }
    let (mut parts, inner) = response.into_parts();
    // Once is enough.
    parts.extensions.remove::<UsageAsked>();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, AxumBody::new(Sieved { inner, sieve: Sieve::new(), last: None, ended: false }))
}

/// A target that compresses although it was asked not to is let be.
fn is_plain_stream(headers: &HeaderMap) -> bool {
    let is_stream = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/event-stream");
    headers.get(header::CONTENT_TYPE).is_some_and(is_stream) && !headers.contains_key(header::CONTENT_ENCODING)
}

// === impl Sieve ===

impl Sieve {
    fn new() -> Self {
        Self { reader: SseReader::new(StreamLimits::DEFAULT), held: BytesMut::new(), at: 0, passes_all: false }
    }

    /// Returns what passes now, of what was held and `chunk`.
    fn pass(&mut self, chunk: Bytes) -> Bytes {
        if self.passes_all {
            return chunk;
        }
        self.held.extend_from_slice(&chunk);
        let (mut rest, mut passed) = (&chunk[..], BytesMut::new());
        loop {
            match self.reader.read(&mut rest) {
                // Within an event: its end is waited for.
                Ok(Some(item)) if item.cut != item.end => {}
                Ok(Some(item)) => {
                    let length = usize::try_from(item.end - self.at).unwrap_or(usize::MAX);
                    let whole = self.held.split_to(length.min(self.held.len()));
                    self.at = item.end;
                    if !tells_usage_alone(item.kind) {
                        passed.unsplit(whole);
                    }
                }
                Ok(None) => return passed.freeze(),
                Err(_) => {
                    self.passes_all = true;
                    passed.unsplit(self.held.split());
                    return passed.freeze();
                }
            }
        }
    }

    /// Returns what was still held.
    fn finish(&mut self) -> Bytes {
        self.passes_all = true;
        self.held.split().freeze()
    }
}

fn tells_usage_alone(kind: SseKind<'_>) -> bool {
    let SseKind::Event(event) = kind else { return false };
    let chunk = serde_json::from_slice::<Chunk>(event.data);
    chunk.is_ok_and(|chunk| chunk.usage.is_some() && chunk.choices.is_some_and(|choices| choices.is_empty()))
}

// === impl Sieved ===

impl Body for Sieved {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut this = self.project();
        while !*this.ended {
            let frame = match ready!(this.inner.as_mut().poll_frame(cx)).transpose()? {
                Some(frame) => frame.into_data(),
                None => {
                    *this.ended = true;
                    break;
                }
            };
            match frame {
                Ok(data) => {
                    let passed = this.sieve.pass(data);
                    if !passed.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(passed))));
                    }
                }
                // Trailers, after which nothing comes.
                Err(frame) => (*this.last, *this.ended) = (Some(frame), true),
            }
        }
        let held = this.sieve.finish();
        let last = if held.is_empty() { this.last.take() } else { Some(Frame::data(held)) };
        Poll::Ready(last.map(Ok))
    }

    /// Both hints are those of a body whose length is not known: the chunk that is taken out was counted in them.
    fn is_end_stream(&self) -> bool {
        self.ended && self.sieve.held.is_empty() && self.last.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n: ping\n\ndata: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\n\
                          data: {\"choices\":[{}],\"usage\":{\"total_tokens\":1}}\r\n\r\n";
    const USAGE: &str = "data: {\"id\":\"x\",\"choices\": [ ], \"usage\" : {\"prompt_tokens\":1}}\n\n";

    #[test]
    fn one_chunk_is_taken_out_however_the_network_cuts() {
        let (stream, expected) =
            (format!("{STREAM}{USAGE}data: [DONE]\n\ndata: lef"), format!("{STREAM}data: [DONE]\n\ndata: lef"));
        for size in 1..stream.len() {
            let (mut sieve, mut passed) = (Sieve::new(), Vec::new());
            for chunk in stream.as_bytes().chunks(size) {
                passed.extend_from_slice(&sieve.pass(Bytes::copy_from_slice(chunk)));
            }
            passed.extend_from_slice(&sieve.finish());
            assert_eq!(String::from_utf8_lossy(&passed), expected, "{size}");
        }
    }

    #[test]
    fn what_is_too_long_to_be_an_event_passes_as_it_is_and_is_not_held() {
        let (mut sieve, chunk) = (Sieve::new(), Bytes::from(vec![b'x'; 64 * 1024]));
        let passed: usize = (0..1_000).map(|_| sieve.pass(chunk.clone()).len()).sum();
        assert!(passed > 900 * chunk.len() && sieve.held.is_empty(), "{passed}");
    }
}
