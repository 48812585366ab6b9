//! A call whose answer will be watched.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use buttress_core::{AnswerReport, OpenStream};
use http::Response;
use http_body::Body;
use pin_project::pin_project;

use crate::{ResponseBody, StreamGuardLayer};

/// The future of [`StreamGuard`](crate::StreamGuard).
///
/// # Cancel safety
///
/// Dropping it drops the call.
#[pin_project]
pub struct ResponseFuture<F, O: OpenStream> {
    #[pin]
    inner: F,
    expected: Option<O::Expected>,
    layer: Arc<StreamGuardLayer<O>>,
}

// === impl ResponseFuture ===

impl<F, O: OpenStream> ResponseFuture<F, O> {
    pub(crate) const fn new(inner: F, expected: O::Expected, layer: Arc<StreamGuardLayer<O>>) -> Self {
        Self { inner, expected: Some(expected), layer }
    }
}

impl<F, O, B, Err> Future for ResponseFuture<F, O>
where
    F: Future<Output = Result<Response<B>, Err>>,
    O: OpenStream,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B, O::Reader>>, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let expected = this.expected.take().expect("polled after completion");
        Poll::Ready(Ok(this.layer.watch(expected, response)))
    }
}

impl<F, O: OpenStream> fmt::Debug for ResponseFuture<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl StreamGuardLayer ===

impl<O: OpenStream> StreamGuardLayer<O> {
    fn watch<B: Body>(&self, expected: O::Expected, response: Response<B>) -> Response<ResponseBody<B, O::Reader>> {
        if !response.status().is_success() {
            return response.map(ResponseBody::passing);
        }
        let (mut head, body) = response.into_parts();
        let body = match self.streams.open(expected, &head) {
            Some(reader) => {
                let report = AnswerReport::of_or_new(&mut head.extensions).speak();
                report.read_by::<O::Reader>();
                ResponseBody::watched(body, reader, report, self.limits, Arc::clone(&self.counters))
            }
            None => ResponseBody::passing(body),
        };
        Response::from_parts(head, body)
    }
}
