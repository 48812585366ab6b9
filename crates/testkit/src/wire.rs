//! Small tools to drive a service and to read an answer.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use buttress_core::{BoxError, Payload};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request};
use http_body::Body;
use tower_service::Service;

/// All that was read of a body.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Received {
    /// The data, frame by frame.
    pub data: Vec<Bytes>,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
    /// The error it ended with.
    pub error: Option<BoxError>,
}

/// Runs a test on paused time.
///
/// # Panics
///
/// Panics if there can be no runtime.
pub fn run<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build();
    runtime.expect("a runtime of one thread needs nothing").block_on(test)
}

/// Creates the request of the contract: `POST /` with a few bytes.
#[must_use]
pub fn request() -> Request<Payload> {
    let mut request = Request::new(Payload::new(Bytes::from_static(b"ping")));
    *request.method_mut() = Method::POST;
    request
}

/// Drives `service` to readiness and calls it, on this very instance.
///
/// # Errors
///
/// Returns the error of the service.
pub async fn send<S: Service<Q>, Q>(service: &mut S, request: Q) -> Result<S::Response, S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

/// Reads `body` to its end. Scripted bodies are short; nothing else should be read like this.
pub async fn read<B>(body: B) -> Received
where
    B: Body<Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let mut received = Received::default();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(mut data)) => received.data.push(data.copy_to_bytes(data.remaining())),
            Ok(Err(frame)) => received.trailers = frame.into_trailers().ok(),
            Err(error) => {
                received.error = Some(error.into());
                break;
            }
        }
    }
    received
}

// === impl Received ===

impl Received {
    /// Returns the data in one piece.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.data.concat().into()
    }
}
