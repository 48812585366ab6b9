//! Learns from answers how long the next ones will be, so that a call reserves what it will need, and not all that it may.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body as AxumBody;
use buttress_core::{AnswerReport, BodyEnd, End, EndBody, OnBodyEnd};
use buttress_llm::{Call, ExpectedOutput};
use http::{Request, Response};
use pin_project::pin_project;
use tokio::time::Instant;
use tower::Service;

use crate::sharing::was_made_before;

/// Learns from the answers of `S`, where somebody wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Learn<S> {
    inner: S,
    expected: Option<Arc<ExpectedOutput>>,
}

/// The future of [`Learn`].
#[pin_project]
pub(crate) struct Learning<F>(#[pin] F, Option<Lesson>);

/// One answer, and what it is learned for.
#[derive(Debug)]
struct Lesson {
    expected: Arc<ExpectedOutput>,
    call: Call,
}

/// A lesson, when there is something to learn from.
struct Ending {
    lesson: Lesson,
    report: AnswerReport,
}

// === impl Learn ===

impl<S> Learn<S> {
    pub(crate) const fn new(inner: S, expected: Option<Arc<ExpectedOutput>>) -> Self {
        Self { inner, expected }
    }
}

impl<S, B> Service<Request<B>> for Learn<S>
where
    S: Service<Request<B>, Response = Response<AxumBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Learning<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = || request.extensions().get::<Call>().cloned();
        let lesson =
            self.expected.as_ref().and_then(|expected| Some(Lesson { expected: Arc::clone(expected), call: call()? }));
        Learning(self.inner.call(request), lesson)
    }
}

impl<F, E> Future for Learning<F>
where
    F: Future<Output = Result<Response<AxumBody>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.0.poll(cx));
        Poll::Ready(result.map(|response| {
            let report = response.extensions().get::<AnswerReport>().filter(|_| teaches(&response));
            match (report.cloned(), this.1.take()) {
                (Some(report), Some(lesson)) => {
                    let ending = Ending { lesson, report };
                    response.map(|body| AxumBody::new(EndBody::new(body, ending, Instant::now())))
                }
                _ => response,
            }
        }))
    }
}

/// Returns whether `response` is a model's new answer, of which there is something to learn.
fn teaches<B>(response: &Response<B>) -> bool {
    response.status().is_success() && !was_made_before(response.extensions())
}

// === impl Ending ===

impl OnBodyEnd for Ending {
    fn on_end(self, end: BodyEnd) {
        let Lesson { expected, call } = self.lesson;
        // An answer that was cut short does not say how long it would have been.
        if let (End::Complete, Some(usage)) = (end.end, self.report.usage()) {
            expected.record(call.model().unwrap_or_default(), usage.output);
        }
    }
}
