//! The deadline, passed on to the next server.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use buttress_core::{CallContext, HttpRefusal, Refusal, Refuse};
use http::{HeaderMap, Request};
use pin_project::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::debug;

use crate::{
    DeadlineExceeded,
    error::Stage,
    share::{self, Margin},
    sources::{GRPC_TIMEOUT, REQUEST_TIMEOUT_MS},
};

/// Passes the deadline on to the next server. See the [crate docs](crate).
///
/// `M` says what a refusal becomes.
#[derive(Clone, Debug)]
pub struct ForwardDeadlineLayer<M = HttpRefusal> {
    settings: Settings,
    refusal: M,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    margin: Margin,
    floor: Duration,
    grpc: bool,
}

/// Passes the deadline on to the next server. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct ForwardDeadline<S, M> {
    inner: S,
    layer: Arc<ForwardDeadlineLayer<M>>,
}

/// The future of [`ForwardDeadline`].
#[pin_project]
pub struct ForwardFuture<F, M>(#[pin] State<F, M>);

#[pin_project(project = StateProj)]
enum State<F, M> {
    Called(#[pin] F),
    Refused(Arc<ForwardDeadlineLayer<M>>),
    Done,
}

// === impl ForwardDeadlineLayer ===

impl ForwardDeadlineLayer {
    /// Creates a layer that keeps back 5 % of what is left, and 20 ms at least, and refuses if less than 10 ms would
    /// remain.
    #[must_use]
    pub const fn new() -> Self {
        let settings = Settings { margin: Margin::DEFAULT, floor: Duration::from_millis(10), grpc: false };
        Self { settings, refusal: HttpRefusal }
    }
}

impl Default for ForwardDeadlineLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> ForwardDeadlineLayer<M> {
    /// Sets how much is kept back: `percent` of what is left, 100 at most, and no less than `at_least`.
    #[must_use]
    pub const fn margin(mut self, percent: u32, at_least: Duration) -> Self {
        self.settings.margin = Margin::new(percent, at_least);
        self
    }

    /// Sets the least time that a server can use. With less, it is not asked. 10 ms by default, and never less than 1
    /// ms.
    #[must_use]
    pub const fn floor(mut self, floor: Duration) -> Self {
        self.settings.floor = floor;
        self
    }

    /// Writes `grpc-timeout` into requests that came without it, too.
    #[must_use]
    pub const fn grpc(mut self) -> Self {
        self.settings.grpc = true;
        self
    }

    /// Sets what a refusal becomes: see [`Refuse`].
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> ForwardDeadlineLayer<M2> {
        ForwardDeadlineLayer { settings: self.settings, refusal }
    }
}

impl<S, M: Clone> Layer<S> for ForwardDeadlineLayer<M> {
    type Service = ForwardDeadline<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        ForwardDeadline { inner, layer: Arc::new(self.clone()) }
    }
}

// === impl Settings ===

impl Settings {
    /// Returns how long the next server may take, or `None` if that is not worth asking.
    fn granted(self, remaining: Duration) -> Option<Duration> {
        // Less than can be written would read as nothing.
        const SHORTEST: Duration = Duration::from_millis(1);
        let granted = self.margin.off(remaining);
        (granted >= self.floor.max(SHORTEST)).then_some(granted)
    }

    fn write(self, granted: Duration, headers: &mut HeaderMap) {
        headers.insert(&REQUEST_TIMEOUT_MS, share::millis(granted));
        if self.grpc || headers.contains_key(&GRPC_TIMEOUT) {
            headers.insert(&GRPC_TIMEOUT, share::grpc(granted));
        }
    }
}

// === impl ForwardDeadline ===

impl<S, M, B> Service<Request<B>> for ForwardDeadline<S, M>
where
    S: Service<Request<B>>,
    M: Refuse<Refusal, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ForwardFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = CallContext::of(&request);
        if let Some(remaining) = context.and_then(|context| context.remaining(Instant::now())) {
            let Some(granted) = self.layer.settings.granted(remaining) else {
                return ForwardFuture(State::Refused(Arc::clone(&self.layer)));
            };
            self.layer.settings.write(granted, request.headers_mut());
        }
        ForwardFuture(State::Called(self.inner.call(request)))
    }
}

// === impl ForwardFuture ===

impl<F, M, Res, Err> Future for ForwardFuture<F, M>
where
    F: Future<Output = Result<Res, Err>>,
    M: Refuse<Refusal, Res, Err>,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().0;
        let result = match state.as_mut().project() {
            StateProj::Called(inner) => ready!(inner.poll(cx)),
            StateProj::Refused(layer) => {
                let refusal = DeadlineExceeded::before(Stage::Attempt);
                debug!(reason = %refusal, "refused");
                layer.refusal.refuse(refusal.into())
            }
            StateProj::Done => panic!("polled after completion"),
        };
        state.set(State::Done);
        Poll::Ready(result)
    }
}

impl<F, M> fmt::Debug for ForwardFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardFuture").finish_non_exhaustive()
    }
}
