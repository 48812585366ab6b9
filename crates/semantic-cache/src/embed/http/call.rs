//! One request for several texts, and what its answer says.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use buttress_core::{Oneshot, Payload};
use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use tokio::time;
use tower_service::Service;

use super::{
    super::{EmbedError, EmbedErrorKind, Embedding, Texts},
    config::HttpEmbedderConfig,
    wire,
};

/// Asks a model behind HTTP for the vectors of [`Texts`], through any HTTP service: what an
/// [`HttpEmbedder`](super::HttpEmbedder) asks, with or without layers between.
///
/// An answer that hangs, cannot be read, or has other dimensions is an error here. So a layer around it sees whether there are vectors, and not
/// only whether there was a status.
#[derive(Clone)]
pub struct HttpVectors<S> {
    service: S,
    asks: Arc<Asks>,
}

/// The future of [`HttpVectors`].
///
/// # Cancel safety
///
/// Dropped, it drops the call.
pub struct HttpVectorsFuture(Pin<Box<dyn Future<Output = Result<Vec<Embedding>, EmbedError>> + Send>>);

/// How the model is asked.
struct Asks {
    config: HttpEmbedderConfig,
    /// What is known of the server: see [`Base64`].
    base64: AtomicU8,
}

/// Whether the server takes `encoding_format: "base64"`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base64 {
    Unknown = 0,
    Taken,
    Refused,
}

// === impl HttpVectors ===

impl<S> HttpVectors<S> {
    /// Creates what asks `service` as `config` says.
    #[must_use]
    pub fn new(service: S, config: HttpEmbedderConfig) -> Self {
        Self { service, asks: Arc::new(Asks { config, base64: AtomicU8::new(Base64::Unknown as u8) }) }
    }
}

impl<S, B> Service<Texts> for HttpVectors<S>
where
    S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
    B: Body<Data: Buf + Send> + Send + 'static,
{
    type Response = Vec<Embedding>;
    type Error = EmbedError;
    type Future = HttpVectorsFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EmbedError>> {
        // A clone is driven to readiness when it is called.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, texts: Texts) -> HttpVectorsFuture {
        let (asks, service) = (Arc::clone(&self.asks), self.service.clone());
        HttpVectorsFuture(Box::pin(async move { asks.ask(&service, &texts).await.map_err(EmbedError::from) }))
    }
}

impl<S> fmt::Debug for HttpVectors<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpVectors").field("config", &self.asks.config).finish_non_exhaustive()
    }
}

// === impl HttpVectorsFuture ===

impl Future for HttpVectorsFuture {
    type Output = Result<Vec<Embedding>, EmbedError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for HttpVectorsFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpVectorsFuture")
    }
}

// === impl Asks ===

impl Asks {
    /// Asks for the vectors of all `texts`, first as base64 unless the server is known not to take that.
    async fn ask<S, B>(&self, service: &S, texts: &Texts) -> Result<Vec<Embedding>, EmbedErrorKind>
    where
        S: Service<Request<Payload>, Response = Response<B>> + Clone,
        B: Body<Data: Buf>,
    {
        let known = self.base64();
        if known != Base64::Refused {
            match self.ask_in_time(service, texts, true).await {
                Err(EmbedErrorKind::Rejected) if known == Base64::Unknown => {}
                outcome => {
                    if outcome.is_ok() {
                        self.base64.store(Base64::Taken as u8, Ordering::Relaxed);
                    }
                    return outcome;
                }
            }
        }
        let outcome = self.ask_in_time(service, texts, false).await;
        if outcome.is_ok() {
            self.base64.store(Base64::Refused as u8, Ordering::Relaxed);
        }
        outcome
    }

    async fn ask_in_time<S, B>(
        &self,
        service: &S,
        texts: &Texts,
        base64: bool,
    ) -> Result<Vec<Embedding>, EmbedErrorKind>
    where
        S: Service<Request<Payload>, Response = Response<B>> + Clone,
        B: Body<Data: Buf>,
    {
        let request = self.request(texts, base64);
        let dimensions = self.config.fingerprint.dimensions().get();
        let asked = async {
            let sent = Oneshot::new(service.clone(), request).await;
            let response = sent.map_err(|_| EmbedErrorKind::Unavailable)?;
            match response.status() {
                status if status.is_success() => {}
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err(EmbedErrorKind::Rejected);
                }
                _ => return Err(EmbedErrorKind::Unavailable),
            }
            let bytes = read(response.into_body(), wire::longest_answer(texts.len(), dimensions)).await?;
            wire::answer(&bytes, texts.len(), dimensions).ok_or(EmbedErrorKind::Malformed)
        };
        time::timeout(self.config.call_timeout, asked).await.unwrap_or(Err(EmbedErrorKind::Timeout))
    }

    fn request(&self, texts: &Texts, base64: bool) -> Request<Payload> {
        let fingerprint = &self.config.fingerprint;
        let dimensions = self.config.names_dimensions.then_some(fingerprint.dimensions());
        let body = wire::request(fingerprint.name(), texts.iter(), base64, dimensions);
        let mut request = Request::new(Payload::from(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.config.uri.clone();
        *request.headers_mut() = self.config.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    fn base64(&self) -> Base64 {
        match self.base64.load(Ordering::Relaxed) {
            0 => Base64::Unknown,
            1 => Base64::Taken,
            _ => Base64::Refused,
        }
    }
}

/// Reads `body` to its end, unless it is longer than `most`.
async fn read<B: Body<Data: Buf>>(body: B, most: usize) -> Result<Bytes, EmbedErrorKind> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| EmbedErrorKind::Unavailable)?;
        if let Ok(data) = frame.into_data() {
            if data.remaining() > most - bytes.len() {
                return Err(EmbedErrorKind::Malformed);
            }
            bytes.put(data);
        }
    }
    Ok(bytes.freeze())
}
