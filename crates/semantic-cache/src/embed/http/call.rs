//! One request for several texts, and what its answer says.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU8, Ordering},
};

use buttress_core::{Oneshot, Payload};
use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use tokio::time;
use tower_service::Service;

use super::{
    super::{EmbedErrorKind, Embedding, front::Job},
    config::HttpEmbedderConfig,
    wire,
};

/// Asks the model through a service.
pub(super) struct Caller<S> {
    service: S,
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

/// Why a request has no vectors.
enum Failure {
    /// The server takes no such request; perhaps another.
    Refused,
    Other(EmbedErrorKind),
}

// === impl Caller ===

impl<S> Caller<S> {
    pub(super) const fn new(service: S, config: HttpEmbedderConfig) -> Self {
        Self { service, config, base64: AtomicU8::new(Base64::Unknown as u8) }
    }

    /// Answers all `jobs`.
    pub(super) async fn answer<B>(&self, jobs: Vec<Job>)
    where
        S: Service<Request<Payload>, Response = Response<B>> + Clone,
        B: Body<Data: Buf>,
    {
        let mut batches = vec![jobs];
        while let Some(mut jobs) = batches.pop() {
            if jobs.is_empty() {
                continue;
            }
            match self.ask(&jobs).await {
                Ok(vectors) => jobs.into_iter().zip(vectors).for_each(|(job, vector)| job.finish(Ok(vector))),
                Err(Failure::Refused) if jobs.len() > 1 => {
                    let half = jobs.split_off(jobs.len() / 2);
                    batches.extend([half, jobs]);
                }
                Err(failure) => {
                    let kind = failure.kind();
                    tracing::debug!(texts = jobs.len(), ?kind, "texts were not embedded");
                    jobs.into_iter().for_each(|job| job.finish(Err(kind.into())));
                }
            }
        }
    }

    /// Asks for the vectors of all `jobs`, first as base64 unless the server is known not to take that.
    async fn ask<B>(&self, jobs: &[Job]) -> Result<Vec<Embedding>, Failure>
    where
        S: Service<Request<Payload>, Response = Response<B>> + Clone,
        B: Body<Data: Buf>,
    {
        let known = self.base64();
        if known != Base64::Refused {
            match self.ask_in_time(jobs, true).await {
                Err(Failure::Refused) if known == Base64::Unknown => {}
                outcome => {
                    if outcome.is_ok() {
                        self.base64.store(Base64::Taken as u8, Ordering::Relaxed);
                    }
                    return outcome;
                }
            }
        }
        let outcome = self.ask_in_time(jobs, false).await;
        if outcome.is_ok() {
            self.base64.store(Base64::Refused as u8, Ordering::Relaxed);
        }
        outcome
    }

    async fn ask_in_time<B>(&self, jobs: &[Job], base64: bool) -> Result<Vec<Embedding>, Failure>
    where
        S: Service<Request<Payload>, Response = Response<B>> + Clone,
        B: Body<Data: Buf>,
    {
        jobs[0].count_call();
        let request = self.request(jobs, base64);
        let dimensions = self.config.fingerprint.dimensions().get();
        let asked = async {
            let sent = Oneshot::new(self.service.clone(), request).await;
            let response = sent.map_err(|_| Failure::Other(EmbedErrorKind::Unavailable))?;
            match response.status() {
                status if status.is_success() => {}
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err(Failure::Refused);
                }
                _ => return Err(Failure::Other(EmbedErrorKind::Unavailable)),
            }
            let bytes = read(response.into_body(), wire::longest_answer(jobs.len(), dimensions)).await?;
            wire::answer(&bytes, jobs.len(), dimensions).ok_or(Failure::Other(EmbedErrorKind::Malformed))
        };
        time::timeout(self.config.call_timeout, asked).await.unwrap_or(Err(Failure::Other(EmbedErrorKind::Timeout)))
    }

    fn request(&self, jobs: &[Job], base64: bool) -> Request<Payload> {
        let fingerprint = &self.config.fingerprint;
        let dimensions = self.config.names_dimensions.then_some(fingerprint.dimensions());
        let body = wire::request(fingerprint.name(), jobs.iter().map(Job::text), base64, dimensions);
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

// === impl Failure ===

impl Failure {
    const fn kind(self) -> EmbedErrorKind {
        match self {
            Self::Refused => EmbedErrorKind::Unavailable,
            Self::Other(kind) => kind,
        }
    }
}

/// Reads `body` to its end, unless it is longer than `most`.
async fn read<B: Body<Data: Buf>>(body: B, most: usize) -> Result<Bytes, Failure> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| Failure::Other(EmbedErrorKind::Unavailable))?;
        if let Ok(data) = frame.into_data() {
            if data.remaining() > most - bytes.len() {
                return Err(Failure::Other(EmbedErrorKind::Malformed));
            }
            bytes.put(data);
        }
    }
    Ok(bytes.freeze())
}
