//! Reads the answers that tell of an error, and leaves what they mean.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use buttress_core::{Body, Class, RetryHint};
use http::{HeaderMap, Request, Response, header};
use pin_project::pin_project;
use tower_service::Service;

use crate::{Dialect, beginning::Beginning, classify, coding::Coding, decoder, hint, huge_prompt::HugePrompt};

/// Wraps a client; leaves the [`Class`] of each failed answer in its extensions. See the [crate docs](crate).
///
/// In those of a successful one it leaves the [`Headroom`](buttress_core::Headroom), where its headers tell what is left of
/// the limits: `x-ratelimit-*` (OpenAI, Azure, Groq), `anthropic-ratelimit-*`, `ratelimit-*`. Answers that tell nothing cost
/// no allocation.
///
/// The dialect is the one that [`LlmRewrite`](crate::LlmRewrite) left in the request's extensions.
///
/// A body that is compressed with gzip, deflate or Brotli is decoded to be read, within the same bound and at most
/// 64 KiB of it, and goes on as it came. One with any other coding is not read.
///
/// Where the answer tells how long to wait, but not in a header that clients read (`Retry-After`, `retry-after-ms`,
/// `x-ms-retry-after-ms`), it gets `Retry-After`, rounded up, and `retry-after-ms`.
///
/// Gemini's 500 and 504 may mean that the prompt is too long, without a word of it. Where [`LlmRewrite`](crate::LlmRewrite)
/// estimated the prompt at 200,000 tokens or more, they mean [`ContextTooLong`](buttress_core::Verdict::ContextTooLong): the
/// same is not sent again. Where that is wrong, it harms this caller alone.
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
    huge_prompt: Option<HugePrompt>,
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

// === impl Inspect ===

impl<S> Inspect<S> {
    /// How much is read of an error at most: 64 KiB.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// How long an error is waited for at most: 2 s.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// Wraps `inner`.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        let limits =
            Limits { dialect: Dialect::OpenAi, max_bytes: Self::MAX_BYTES, timeout: Self::TIMEOUT, huge_prompt: None };
        Self { inner, limits }
    }

    /// Sets the dialect of requests that carry none. It is [`Dialect::OpenAi`] by default.
    #[must_use]
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.limits.dialect = dialect;
        self
    }

    /// Sets how much is read of an error at most.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// Sets how long an error is waited for at most, from the head of the answer.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
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
        let huge_prompt = request.extensions().get().copied();
        let limits = Limits { dialect, huge_prompt, ..self.limits };
        InspectFuture(State::Calling { inner: self.inner.call(request), limits })
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
                    mut result => {
                        state.set(State::Done);
                        if let Ok(response) = &mut result {
                            leave_headroom(response);
                        }
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

/// What a target that serves has left says when it will not. A failure says so itself.
fn leave_headroom(response: &mut Response<Body>) {
    if response.status().is_success()
        && let Some(headroom) = hint::headroom(response.headers(), SystemTime::now())
    {
        response.extensions_mut().insert(headroom);
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
    let coding = Coding::of(&parts.headers);
    if coding != Coding::Unknown {
        // Whether it is whole or time is up: what has come by then is what there is to judge by.
        let _in_time = tokio::time::timeout(limits.timeout, beginning.fill(&mut body, limits.max_bytes)).await;
    }
    let (data, body) = beginning.rejoin(body);
    let prefix = decoder::beginning(coding, &data[..data.len().min(limits.max_bytes)], limits.max_bytes);
    let now = SystemTime::now();
    let class = classify(limits.dialect, parts.status, &parts.headers, &prefix, now);
    let class = limits.huge_prompt.map_or(class, |huge| huge.judge(class));
    tell(&mut parts.headers, class.hint, now);
    parts.extensions.insert(class);
    Response::from_parts(parts, body)
}

/// Tells the caller how long to wait, where the provider has not: only the headers are read by clients.
fn tell(headers: &mut HeaderMap, hint: RetryHint, now: SystemTime) {
    if let (Some(after), None) = (hint.after, RetryHint::from_headers(headers, now).after) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, seconds.into());
        headers
            .insert("retry-after-ms", u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).into());
    }
}
