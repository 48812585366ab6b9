//! Errors become responses, also those of readiness.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use buttress_core::{Answering, Body, Refusal, TransportError, TransportErrorKind};
use http::{Request, Response};
use tower::{Service, ServiceExt as _, service_fn};

/// Never ready.
#[derive(Clone)]
struct Broken;

impl Service<Request<()>> for Broken {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = std::future::Ready<Result<Response<Body>, TransportError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Err(TransportError::new(TransportErrorKind::Other)))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        panic!("called although it was not ready")
    }
}

#[tokio::test]
async fn an_error_of_the_call_is_answered() {
    let service = Answering::new(service_fn(|_: Request<()>| async {
        Err::<Response<Body>, _>(TransportError::new(TransportErrorKind::Connect))
    }));
    let Ok::<_, Infallible>(response) = service.oneshot(Request::new(())).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.extensions().get::<Refusal>().unwrap().message(), "could not connect to the target");
}

#[tokio::test]
async fn an_error_of_readiness_is_answered_and_the_service_is_not_called() {
    let Ok(response) = Answering::new(Broken).oneshot(Request::new(())).await;
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn a_response_passes() {
    let service =
        Answering::new(service_fn(|_: Request<()>| async { Ok::<_, TransportError>(Response::new(Body::empty())) }));
    let Ok(response) = service.oneshot(Request::new(())).await;
    assert_eq!(response.status(), 200);
}
