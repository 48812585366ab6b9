//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{BoxError, OpenStream};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use tower_service::Service;

use crate::{ResponseBody, ResponseFuture, StreamGuardLayer};

/// Watches each answer to its end. See the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct StreamGuard<S, O> {
    inner: S,
    layer: Arc<StreamGuardLayer<O>>,
}

// === impl StreamGuard ===

impl<S, O> StreamGuard<S, O> {
    pub(crate) const fn new(inner: S, layer: Arc<StreamGuardLayer<O>>) -> Self {
        Self { inner, layer }
    }
}

impl<S, O, ReqBody, ResBody> Service<Request<ReqBody>> for StreamGuard<S, O>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    O: OpenStream,
    ResBody: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<ResponseBody<ResBody, O::Reader>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let expected = self.layer.streams.expect(&request);
        if self.layer.ask_identity && request.headers().contains_key(header::ACCEPT_ENCODING) {
            request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        ResponseFuture::new(self.inner.call(request), expected, Arc::clone(&self.layer))
    }
}
