//! A service that watches how it is driven.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use buttress_core::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    Handle, HttpAnswer, ProbeError, ScriptedBody, Seen,
    state::{Core, Exchange},
};

/// An HTTP service that watches how it is driven. Any request body does; `B` is the body of its responses.
///
/// A place is reserved in `poll_ready`, held by this very instance, taken along by the call, and given back when the
/// future is dropped. A clone shares the script and the counts and holds no place.
///
/// # Panics
///
/// Panics if it is called without a place, that is without `poll_ready` on the same instance.
pub struct Probe<B = ScriptedBody> {
    core: Core<HttpAnswer>,
    body: PhantomData<fn() -> B>,
}

/// A [`Probe`] without HTTP: numbers in, numbers out.
#[derive(Clone)]
pub struct PlainProbe {
    core: Core<u64>,
}

/// The future of a [`Probe`].
pub struct ProbeFuture<Q, B> {
    exchange: Exchange<HttpAnswer>,
    /// The request's body, while it is read.
    reading: Option<Pin<Box<Q>>>,
    body: PhantomData<fn() -> B>,
}

/// The future of a [`PlainProbe`].
pub struct PlainFuture {
    exchange: Exchange<u64>,
}

// === impl Probe ===

impl<B> Probe<B> {
    /// Creates a probe that answers 200 to everything, without a limit.
    #[must_use]
    pub fn new() -> (Self, Handle) {
        let core = Core::new();
        let handle = Handle(core.shared());
        (Self { core, body: PhantomData }, handle)
    }
}

impl<B> Clone for Probe<B> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), body: PhantomData }
    }
}

impl<Q, B> Service<Request<Q>> for Probe<B>
where
    Q: Body<Error: Into<BoxError>>,
    B: From<ScriptedBody>,
{
    type Response = Response<B>;
    type Error = ProbeError;
    type Future = ProbeFuture<Q, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        self.core.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let exchange = self.core.call(Seen {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            extensions: parts.extensions,
            data: Vec::new(),
            trailers: None,
        });
        ProbeFuture { exchange, reading: Some(Box::pin(body)), body: PhantomData }
    }
}

impl<B> fmt::Debug for Probe<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").finish_non_exhaustive()
    }
}

// === impl PlainProbe ===

impl PlainProbe {
    /// Creates a probe that answers 1 to everything, without a limit.
    #[must_use]
    pub fn new() -> (Self, Handle<u64>) {
        let core = Core::new();
        let handle = Handle(core.shared());
        (Self { core }, handle)
    }
}

impl Service<u64> for PlainProbe {
    type Response = u64;
    type Error = ProbeError;
    type Future = PlainFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        self.core.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> PlainFuture {
        PlainFuture { exchange: self.core.call(request) }
    }
}

impl fmt::Debug for PlainProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainProbe").finish_non_exhaustive()
    }
}

// === impl ProbeFuture ===

impl<Q, B> ProbeFuture<Q, B>
where
    Q: Body<Error: Into<BoxError>>,
{
    /// Reads as much of the request's body as the reply wants.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        let Some(body) = &mut self.reading else { return Poll::Ready(Ok(())) };
        while let Some(frames) = self.exchange.frames_left()
            && let Some(left) = frames.checked_sub(1)
        {
            match ready!(body.as_mut().poll_frame(cx)) {
                None => *frames = 0,
                Some(Ok(frame)) => {
                    *frames = left;
                    self.exchange.note(|seen| note(seen, frame));
                }
                Some(Err(error)) => return Poll::Ready(Err(ProbeError::new(error.into().to_string()))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<Q, B> Future for ProbeFuture<Q, B>
where
    Q: Body<Error: Into<BoxError>>,
    B: From<ScriptedBody>,
{
    type Output = Result<Response<B>, ProbeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Err(error) = ready!(this.poll_read(cx)) {
            this.exchange.give_up();
            return Poll::Ready(Err(error));
        }
        let answer = ready!(this.exchange.poll(cx))?;
        let mut response = Response::new(answer.script.watched_by(this.exchange.bodies()).into());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        *response.extensions_mut() = answer.extensions;
        Poll::Ready(Ok(response))
    }
}

impl<Q, B> fmt::Debug for ProbeFuture<Q, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeFuture").finish_non_exhaustive()
    }
}

fn note<D: bytes::Buf>(seen: &mut Seen, frame: http_body::Frame<D>) {
    match frame.into_data() {
        Ok(mut data) => seen.data.push(data.copy_to_bytes(data.remaining())),
        Err(frame) => seen.trailers = frame.into_trailers().ok(),
    }
}

// === impl PlainFuture ===

impl Future for PlainFuture {
    type Output = Result<u64, ProbeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().exchange.poll(cx)
    }
}

impl fmt::Debug for PlainFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainFuture").finish_non_exhaustive()
    }
}
