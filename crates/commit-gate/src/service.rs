//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{BoxError, OpenStream};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use crate::{CommitGateLayer, ResponseBody, ResponseFuture};

/// Holds each answer back until its first content. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct CommitGate<S, O> {
    inner: S,
    layer: Arc<CommitGateLayer<O>>,
}

// === impl CommitGate ===

impl<S, O> CommitGate<S, O> {
    pub(crate) const fn new(inner: S, layer: Arc<CommitGateLayer<O>>) -> Self {
        Self { inner, layer }
    }
}

impl<S, O, ReqBody, ResBody> Service<Request<ReqBody>> for CommitGate<S, O>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    O: OpenStream,
    ResBody: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, O>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let layer = Arc::clone(&self.layer);
        let expected = layer.streams.expect(&request);
        let limit = layer.settings.limit(request.extensions(), layer.streams.comes_whole(&expected));
        let until = Instant::now().checked_add(limit);
        if layer.settings.ask_identity && request.headers().contains_key(header::ACCEPT_ENCODING) {
            request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        ResponseFuture::new(self.inner.call(request), expected, until, layer)
    }
}
