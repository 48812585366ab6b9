//! Where layers stand: under axum's router, over hyper-util's client, around a plain function.

use std::{
    convert::Infallible,
    future::Ready,
    task::{Context, Poll},
};

use axum::{Router, routing::Route};
use buttress_core::{Body, BoxError, Client, ClientFuture, Payload, TransportError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{ServiceBuilder, service_fn, util::ServiceFn};
use tower_layer::Layer;
use tower_service::Service;

use crate::{ProbeError, assert_clone_send_sync, assert_send, read, send};

/// hyper-util's client for requests of any body, as it stands at the bottom of a stack.
#[derive(Clone, Debug)]
pub struct AnyClient(Client<HttpConnector, Body>);

/// Asserts that `layer` can be given to `Router::layer` as it is, and that a request comes through.
///
/// # Panics
///
/// Panics if the handler's answer does not come back.
pub async fn stands_under_axum<L>(layer: L)
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Service<axum::extract::Request> + Clone + Send + Sync + 'static,
    <L::Service as Service<axum::extract::Request>>::Response: axum::response::IntoResponse + 'static,
    <L::Service as Service<axum::extract::Request>>::Error: Into<Infallible> + 'static,
    <L::Service as Service<axum::extract::Request>>::Future: Send + 'static,
{
    let mut router: Router = Router::new().fallback(async || "answered").layer(layer);
    let request = crate::request().map(|payload| axum::body::Body::from(payload.into_bytes()));
    let response = send(&mut router, request).await.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), 200);
    assert_eq!(read(response.into_body()).await.bytes(), "answered");
}

/// Asserts that `layer` stands in a `ServiceBuilder` over hyper-util's client, and is ready there. Nothing is sent.
///
/// # Panics
///
/// Panics if the service is not ready.
pub async fn stands_over_hypers_client<L, ResBody>(layer: L)
where
    L: Layer<AnyClient>,
    L::Service: Service<Request<Payload>, Response = Response<ResBody>, Error = TransportError, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    ResBody: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send,
{
    let mut service = ServiceBuilder::new().layer(layer).service(AnyClient::new());
    assert_clone_send_sync(&service);
    let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
    ready.expect("hyper-util's client is always ready");
    assert_send(&service.call(crate::request()));
}

/// Asserts that `layer` stands around a function that knows nothing of HTTP, and that a call comes through.
///
/// # Panics
///
/// Panics if the function's answer does not come back.
pub async fn stands_around_service_fn<L>(layer: L)
where
    L: Layer<ServiceFn<fn(u64) -> Ready<Result<u64, ProbeError>>>>,
    L::Service: Service<u64, Response = u64, Error = ProbeError>,
{
    let add_one: fn(u64) -> _ = |number| std::future::ready(Ok(number + 1));
    let mut service = layer.layer(service_fn(add_one));
    assert_eq!(send(&mut service, 1).await, Ok(2));
}

// === impl AnyClient ===

impl AnyClient {
    fn new() -> Self {
        Self(Client::new(legacy::Client::builder(TokioExecutor::new()).build_http()))
    }
}

impl<B> Service<Request<B>> for AnyClient
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = ClientFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> ClientFuture {
        self.0.call(request.map(Body::boxed))
    }
}
