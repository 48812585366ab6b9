//! Reads the answers that tell of an error, and leaves what they mean.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use buttress_core::{Body, BoxError, Class};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project::pin_project;
use tower_service::Service;

use crate::{Dialect, classify};

/// Wraps a client; leaves the [`Class`] of each failed answer in its extensions. See the [crate docs](crate).
///
/// The dialect is the one that [`LlmRewrite`](crate::LlmRewrite) left in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Inspect<S> {
    inner: S,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    dialect: Dialect,
    max_bytes: usize,
    timeout: Duration,
}

/// The future of [`Inspect`].
#[pin_project]
pub struct InspectFuture<F>(#[pin] State<F>);

#[pin_project(project = StateProj)]
enum State<F> {
    Calling {
        #[pin]
        inner: F,
        limits: Limits,
    },
    /// Rare: an answer that tells of an error.
    Reading(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    Done,
}

/// What was read of a body.
#[derive(Default)]
struct Beginning {
    data: Vec<Bytes>,
    length: usize,
    /// What came after the data and is not data: trailers, or an error.
    held: Option<Result<Frame<Bytes>, BoxError>>,
    ended: bool,
}

/// A body whose beginning was read.
struct Rejoined {
    data: Bytes,
    held: Option<Result<Frame<Bytes>, BoxError>>,
    rest: Body,
}

// === impl Inspect ===

impl<S> Inspect<S> {
    /// How much is read of an error at most: 64 KiB.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// How long an error is waited for at most: 2 s.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// Wraps `inner`.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        let limits = Limits { dialect: Dialect::OpenAi, max_bytes: Self::MAX_BYTES, timeout: Self::TIMEOUT };
        Self { inner, limits }
    }

    /// Sets the dialect of requests that carry none. It is [`Dialect::OpenAi`] by default.
    #[must_use]
    pub const fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.limits.dialect = dialect;
        self
    }

    /// Sets how much is read of an error at most.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// Sets how long an error is waited for at most, from the head of the answer.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }
}

impl<S, B> Service<Request<B>> for Inspect<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = InspectFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let dialect = request.extensions().get().copied().unwrap_or(self.limits.dialect);
        InspectFuture(State::Calling { inner: self.inner.call(request), limits: Limits { dialect, ..self.limits } })
    }
}

// === impl InspectFuture ===

impl<F, E> Future for InspectFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().0;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Calling { inner, limits } => match ready!(inner.poll(cx)) {
                    Ok(response) if is_unread_failure(&response) => State::Reading(Box::pin(read(response, *limits))),
                    result => {
                        state.set(State::Done);
                        return Poll::Ready(result);
                    }
                },
                StateProj::Reading(reading) => {
                    let response = ready!(reading.as_mut().poll(cx));
                    state.set(State::Done);
                    return Poll::Ready(Ok(response));
                }
                StateProj::Done => panic!("polled after completion"),
            };
            state.set(next);
        }
    }
}

impl<F> fmt::Debug for InspectFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectFuture").finish_non_exhaustive()
    }
}

/// A class that is there already is final: a layer further in made the answer, and knows better.
fn is_unread_failure(response: &Response<Body>) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error()) && response.extensions().get::<Class>().is_none()
}

async fn read(response: Response<Body>, limits: Limits) -> Response<Body> {
    let (mut parts, mut body) = response.into_parts();
    let mut beginning = Beginning::default();
    if !is_compressed(&parts.headers) {
        // Whether it is whole or time is up: what has come by then is what there is to judge by.
        let _in_time = tokio::time::timeout(limits.timeout, beginning.fill(&mut body, limits.max_bytes)).await;
    }
    let (data, body) = beginning.rejoin(body);
    let prefix = &data[..data.len().min(limits.max_bytes)];
    let class = classify(limits.dialect, parts.status, &parts.headers, prefix, SystemTime::now());
    parts.extensions.insert(class);
    Response::from_parts(parts, body)
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}

// === impl Beginning ===

impl Beginning {
    async fn fill(&mut self, body: &mut Body, max: usize) {
        while self.length < max {
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => {
                    self.length += data.len();
                    self.data.push(data);
                }
                Some(Ok(Err(other))) => {
                    self.held = Some(Ok(other));
                    return;
                }
                Some(Err(error)) => {
                    self.held = Some(Err(error));
                    return;
                }
                None => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// Puts together what was read, and the body as it was before.
    fn rejoin(mut self, rest: Body) -> (Bytes, Body) {
        let data = if self.data.len() == 1 { self.data.remove(0) } else { self.data.concat().into() };
        if self.ended {
            return (data.clone(), Body::from(data));
        }
        if data.is_empty() && self.held.is_none() {
            return (data, rest);
        }
        (data.clone(), Body::boxed(Rejoined { data, held: self.held, rest }))
    }
}

// === impl Rejoined ===

impl HttpBody for Rejoined {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(held));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.held.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, read) = (self.rest.size_hint(), self.data.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
