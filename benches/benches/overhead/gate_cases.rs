//! Streams of HTTP: what a gate and a guard cost for each answer, and for each of its events.
//!
//! The events of a format are told apart by a byte, so that the layers alone are measured; those of a chat are read in full.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
};

use buttress_commit_gate::CommitGateLayer;
use buttress_core::{Event, EventKind, EventReader, OpenStream, StreamFailure};
use buttress_llm::{Format, LlmStreams};
use buttress_stream_guard::StreamGuardLayer;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, response};
use http_body::{Body, Frame};
use pin_project::pin_project;
use tower::{Layer as _, Service, ServiceBuilder};

use crate::Group;

/// How many events with content an answer has.
const EVENTS: u32 = 64;

/// Answers with a stream of events, a frame for each, all of which are there.
#[derive(Clone, Copy, Debug)]
struct Bare {
    /// How many events come before the first content.
    roles: u32,
}

#[derive(Debug)]
struct Frames {
    roles: u32,
    left: u32,
}

/// Answers with a chat, an event in each frame, all of which are there.
#[derive(Clone, Copy, Debug)]
struct Chat;

#[derive(Debug)]
struct Chunks(std::slice::Iter<'static, Bytes>);

/// Reads streams whose frames are events, told apart by a byte: the least that a format can ask for.
#[derive(Clone, Copy, Debug)]
struct Marked;

#[derive(Debug, Default)]
struct MarkedReader(u64);

/// Reads each answer to its end.
#[derive(Clone, Debug)]
struct Reading<S>(S);

#[pin_project(project = ReadProj)]
enum Read<F, B> {
    Call(#[pin] F),
    Body(#[pin] B),
}

/// Streams that are read to the end. The four allocations are the report, and what `http` needs to hold it: none is for an
/// event.
pub(crate) fn streams() -> Group<Request<()>> {
    let bare = Bare { roles: 1 };
    let (gate, guard) = (|| CommitGateLayer::new(Marked), || StreamGuardLayer::new(Marked));
    let both = ServiceBuilder::new().layer(gate()).layer(guard());
    Group::new("HTTP streams of 1 + 64 events, read to the end", || Request::new(()), "bare", Reading(bare))
        .case("buttress CommitGateLayer::first_byte", Reading(CommitGateLayer::first_byte().layer(bare)))
        .case("buttress CommitGateLayer, by format", Reading(gate().layer(bare)))
        .case("buttress StreamGuardLayer::bytewise", Reading(StreamGuardLayer::bytewise().layer(bare)))
        .promise(5)
        .case("buttress StreamGuardLayer, by format", Reading(guard().layer(bare)))
        .promise(5)
        .case("buttress CommitGate > StreamGuard, by format", Reading(both.service(bare)))
}

static CHAT: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let chunk = |delta: &str, finish: &str| {
        let text = format!(
            "data: {{\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\",\"created\":1741570283,\
             \"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\
             \"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
        );
        Bytes::from(text)
    };
    let role = chunk("\"role\":\"assistant\",\"content\":\"\"", "null");
    let words = (0..EVENTS).map(|_| chunk("\"content\":\" wall\"", "null"));
    let ends = [chunk("", "\"stop\""), Bytes::from_static(b"data: [DONE]\n\n")];
    std::iter::once(role).chain(words).chain(ends).collect()
});

/// Chats that are read to the end.
pub(crate) fn chats() -> Group<Request<()>> {
    let reader = LlmStreams::new;
    let request = || {
        let mut request = Request::new(());
        request.extensions_mut().insert(Format::Chat);
        request
    };
    let both = ServiceBuilder::new().layer(CommitGateLayer::new(reader())).layer(StreamGuardLayer::new(reader()));
    Group::new("chats of 1 + 64 + 2 events, read to the end", request, "bare", Reading(Chat))
        .case("buttress CommitGateLayer, LlmStreams", Reading(CommitGateLayer::new(reader()).layer(Chat)))
        .case("buttress StreamGuardLayer, LlmStreams", Reading(StreamGuardLayer::new(reader()).layer(Chat)))
        .case("buttress CommitGate > StreamGuard, LlmStreams", Reading(both.service(Chat)))
}

/// Streams of which the head alone is waited for.
pub(crate) fn heads() -> Group<Request<()>> {
    let bare = Bare { roles: 0 };
    let gate = || CommitGateLayer::new(Marked);
    Group::new("HTTP streams up to their heads", || Request::new(()), "bare", bare)
        .case("buttress CommitGateLayer, content comes first", gate().layer(bare))
        .promise(5)
        .case("buttress CommitGateLayer, content comes second", gate().layer(Bare { roles: 1 }))
        .case("buttress StreamGuardLayer", StreamGuardLayer::new(Marked).layer(bare))
}

// === impl Bare ===

impl Service<Request<()>> for Bare {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Frames>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(Frames { roles: self.roles, left: EVENTS + 1 })))
    }
}

// === impl Frames ===

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // About what one token takes of a chat completion.
        static EVENTS: [[u8; 200]; 3] = [[b'r'; 200], [b't'; 200], [b's'; 200]];
        let this = &mut *self;
        let event = match (this.roles, this.left) {
            (0, 0) => return Poll::Ready(None),
            (0, left) => {
                this.left = left - 1;
                &EVENTS[if left == 1 { 2 } else { 1 }]
            }
            (roles, _) => {
                this.roles = roles - 1;
                &EVENTS[0]
            }
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(black_box(event))))))
    }
}

// === impl Chat ===

impl Service<Request<()>> for Chat {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Chunks>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(black_box(request));
        let mut response = Response::new(Chunks(CHAT.iter()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        ready(Ok(response))
    }
}

// === impl Chunks ===

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|chunk| Ok(Frame::data(black_box(chunk).clone()))))
    }
}

// === impl Marked ===

impl OpenStream for Marked {
    type Expected = ();
    type Reader = MarkedReader;

    fn expect<B>(&self, _: &Request<B>) {}

    fn open(&self, (): (), _: &response::Parts) -> Option<MarkedReader> {
        Some(MarkedReader::default())
    }
}

impl EventReader for MarkedReader {
    fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let event = std::mem::take(rest);
        self.0 += event.len() as u64;
        let kind = match event.first()? {
            b't' => EventKind::Content,
            b's' => EventKind::Terminal,
            _ => EventKind::Lifecycle,
        };
        Some(Event::new(kind, self.0))
    }

    fn finish(&mut self) -> Event {
        Event::new(EventKind::Failure(StreamFailure::truncated()), self.0)
    }

    fn closing(&self, _: &StreamFailure) -> Option<Bytes> {
        Some(Bytes::from_static(b"x"))
    }

    fn envelope(&self, _: &StreamFailure) -> (HeaderValue, Bytes) {
        (HeaderValue::from_static("text/plain"), Bytes::new())
    }
}

// === impl Reading ===

impl<S, B> Service<Request<()>> for Reading<S>
where
    S: Service<Request<()>, Response = Response<B>>,
    B: Body<Error: fmt::Debug>,
{
    type Response = ();
    type Error = S::Error;
    type Future = Read<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        Read::Call(self.0.call(request))
    }
}

impl<F, B, E> Future for Read<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Error: fmt::Debug>,
{
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                ReadProj::Call(call) => {
                    let body = ready!(call.poll(cx))?.into_body();
                    self.set(Self::Body(body));
                }
                ReadProj::Body(body) => match ready!(body.poll_frame(cx)) {
                    Some(frame) => drop(black_box(frame.expect("nothing fails here"))),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }
}
