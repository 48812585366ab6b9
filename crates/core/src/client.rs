//! hyper-util's client, adapted once.

use std::{
    error::Error as _,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper_util::client::legacy::{self, connect::Connect};
use pin_project::pin_project;
use tower_service::Service;

use crate::{Body, BoxError, TransportError, TransportErrorKind, error::causes};

/// hyper-util's client, with a response [`Body`] that layers can make and a [`TransportError`] that they can read.
#[derive(Debug)]
pub struct Client<C, B> {
    /// Shared, since a stack clones its client for each attempt, and hyper's client is a large one to clone.
    inner: Arc<legacy::Client<C, B>>,
}

/// The future of [`Client`].
#[pin_project]
pub struct ClientFuture(#[pin] legacy::ResponseFuture);

// === impl Client ===

impl<C, B> Client<C, B> {
    /// Adapts `inner`.
    #[must_use]
    pub fn new(inner: legacy::Client<C, B>) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl<C, B> Clone for Client<C, B> {
    fn clone(&self) -> Self {
        // Not derived: neither connector nor body need be `Clone` for their client to be.
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<C, B> Service<Request<B>> for Client<C, B>
where
    C: Connect + Clone + Send + Sync + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = ClientFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        // The pool queues and connects in the call; it is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ClientFuture {
        ClientFuture(self.inner.request(request))
    }
}

// === impl ClientFuture ===

impl Future for ClientFuture {
    type Output = Result<Response<Body>, TransportError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().0.poll(cx));
        Poll::Ready(result.map(|response| response.map(Body::from)).map_err(transport_error))
    }
}

impl fmt::Debug for ClientFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFuture").finish_non_exhaustive()
    }
}

fn transport_error(error: legacy::Error) -> TransportError {
    let kind = if error.is_connect() {
        TransportErrorKind::Connect
    } else {
        let mut kinds = error.source().into_iter().flat_map(causes).filter_map(kind_of);
        kinds.next().unwrap_or(TransportErrorKind::Other)
    };
    TransportError::with_source(kind, error)
}

fn kind_of(cause: &(dyn std::error::Error + 'static)) -> Option<TransportErrorKind> {
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        if error.is_user() {
            return Some(TransportErrorKind::RequestBody);
        }
        return (error.is_incomplete_message() || error.is_closed()).then_some(TransportErrorKind::Reset);
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Some(TransportErrorKind::Reset)
        }
        io::ErrorKind::UnexpectedEof => Some(TransportErrorKind::Reset),
        io::ErrorKind::TimedOut => Some(TransportErrorKind::Timeout),
        _ => None,
    }
}
