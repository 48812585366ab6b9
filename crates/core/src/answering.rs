//! Where an error must become a response.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project::pin_project;
use tower_service::Service;

use crate::{HttpRefusal, Refusal, Refuse};

/// Answers every error of a service with a response, so that it can serve an axum route or a hyper connection.
///
/// For the edge of a stack, where there is nobody left to tell an error to: `ServiceBuilder::layer(layer_fn(Answering::new))`.
/// Layers further in should see the error itself.
#[derive(Debug)]
pub struct Answering<S, M = HttpRefusal> {
    inner: S,
    refusal: M,
    /// Why the inner service cannot be called.
    failed: Option<Refusal>,
}

/// The future of [`Answering`].
#[pin_project]
pub struct AnsweringFuture<F, M>(#[pin] State<F>, M);

#[pin_project(project = StateProj)]
enum State<F> {
    Called(#[pin] F),
    Failed(Option<Refusal>),
}

// === impl Answering ===

impl<S> Answering<S> {
    /// Answers the errors of `inner` with [`HttpRefusal`].
    pub const fn new(inner: S) -> Self {
        Self { inner, refusal: HttpRefusal, failed: None }
    }
}

impl<S: Clone, M: Clone> Clone for Answering<S, M> {
    fn clone(&self) -> Self {
        // Readiness is each clone's own, and so is its failure.
        Self { inner: self.inner.clone(), refusal: self.refusal.clone(), failed: None }
    }
}

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Answering<S, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<Refusal>>,
    M: Refuse<Refusal, Response<ResBody>, Infallible> + Clone,
{
    type Response = Response<ResBody>;
    type Error = Infallible;
    type Future = AnsweringFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.failed.is_none() {
            self.failed = ready!(self.inner.poll_ready(cx)).err().map(Into::into);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let state = match self.failed.take() {
            None => State::Called(self.inner.call(request)),
            failed => State::Failed(failed),
        };
        AnsweringFuture(state, self.refusal.clone())
    }
}

// === impl AnsweringFuture ===

impl<F, M, B, E> Future for AnsweringFuture<F, M>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Refusal>,
    M: Refuse<Refusal, Response<B>, Infallible>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let refusal = match this.0.project() {
            StateProj::Called(future) => match ready!(future.poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response)),
                Err(error) => error.into(),
            },
            StateProj::Failed(refusal) => refusal.take().expect("polled after completion"),
        };
        Poll::Ready(this.1.refuse(refusal))
    }
}

impl<F, M> fmt::Debug for AnsweringFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnsweringFuture").finish_non_exhaustive()
    }
}
