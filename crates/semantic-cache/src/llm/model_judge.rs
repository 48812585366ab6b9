//! A language model says whether two answers come to the same.

mod prompt;

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{AnswerReport, Criticality, Oneshot, Payload};
use buttress_llm::Format;
use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use tower_service::Service;

use super::{events, judge};
use crate::{Comparison, Draft, Judging, Opinion};

/// Asks a language model whether two answers come to the same, through any HTTP service. For a
/// [`ServiceJudge`](crate::ServiceJudge), which bounds how much is asked at once and for how long.
///
/// 1. The model is shown the **answers**, the fresh one and the one that is kept, and not the questions. Answers are what a caller is
///    given, and what the error bound counts; whether two questions mean the same, their vectors have guessed already, and a second guess
///    from the same words would repeat their errors. And a question is the text that a stranger chooses freely, word for word.
/// 2. Both are **data**: each stands between lines that hold 128 random bits, drawn anew for each call, which no text can know. What is
///    asked is said before, and again after them.
/// 3. Only a whole answer that is the one word `yes` or `no` is an opinion. Anything else, be it ever so near, is none: an answer
///    that was cut off, one that explains itself, one that was filtered. `temperature` is 0, and 8 tokens are the most.
/// 4. Requests bear [`Judging`], by which a semantic cache lets them pass: they are never kept, never answered from memory, and never
///    judged again. They matter least ([`Criticality::Sheddable`]).
///
/// None of this makes a model safe from what it reads: a text may still talk it into a yes. So its word is evidence, and not a
/// permission: one among many for an [`ErrorBound`](crate::ErrorBound), which also audits what it serves.
///
/// What it gets wrong shifts what is learned, and no policy can see it. With the errors evenly spread, a judge that says yes to
/// one wrong answer in twenty lets the true share of wrong answers be about a twentieth higher than the bound says, relative to it; one
/// that says no to one right answer in twenty costs hits, and no error. So where it is in doubt it is told to say no.
///
/// | API | URI |
/// |---|---|
/// | OpenAI, and all that speak its chats | `{base}/v1/chat/completions` |
/// | Anthropic, with [`messages`](ModelJudgeConfig::messages) | `{base}/v1/messages` |
///
/// Models that think first, and so take no temperature and more tokens, are not for this.
#[derive(Clone)]
pub struct ModelJudge<S> {
    service: S,
    config: Arc<ModelJudgeConfig>,
}

/// Which model a [`ModelJudge`] asks, and where.
#[derive(Clone)]
pub struct ModelJudgeConfig {
    uri: Uri,
    headers: HeaderMap,
    model: Box<str>,
    format: Format,
}

/// A model was not asked, or its answer cannot be read. It shows neither text nor secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelJudgeError(ModelJudgeErrorKind);

/// The kinds of [`ModelJudgeError`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelJudgeErrorKind {
    /// The service failed, or answered with another status than 2xx.
    Unavailable,
    /// The answer broke off, or is longer than 64 KiB.
    Malformed,
}

/// The future of [`ModelJudge`].
///
/// # Cancel safety
///
/// Dropped, it drops the call.
pub struct ModelJudgeFuture(Pin<Box<dyn Future<Output = Result<Opinion, ModelJudgeError>> + Send>>);

/// The longest answer that is read. Its one word is short; what stands around it need not be.
const LONGEST: usize = 64 * 1024;

// === impl ModelJudge ===

impl<S> ModelJudge<S> {
    /// Creates a judge that asks through `service`.
    #[must_use]
    pub fn new(service: S, config: ModelJudgeConfig) -> Self {
        Self { service, config: Arc::new(config) }
    }
}

impl<S, B> Service<Comparison> for ModelJudge<S>
where
    S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
    B: Body<Data: Buf + Send> + Send,
{
    type Response = Opinion;
    type Error = ModelJudgeError;
    type Future = ModelJudgeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ModelJudgeError>> {
        // A clone is driven to readiness when it is called.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, comparison: Comparison) -> ModelJudgeFuture {
        let request = self.config.request(&comparison, rand::random());
        let (asked, format) = (Oneshot::new(self.service.clone(), request), self.config.format);
        ModelJudgeFuture(Box::pin(async move {
            let response = asked.await.map_err(|_| ModelJudgeErrorKind::Unavailable)?;
            if !response.status().is_success() {
                return Err(ModelJudgeErrorKind::Unavailable.into());
            }
            let (head, body) = response.into_parts();
            let body = read(body).await.ok_or(ModelJudgeErrorKind::Malformed)?;
            let usage = head.extensions.get().and_then(AnswerReport::usage);
            Ok(opinion(format, &Draft { status: head.status, headers: head.headers, body, parts: [].into(), usage }))
        }))
    }
}

impl<S> fmt::Debug for ModelJudge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelJudge").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Returns what an answer says, if it is whole and nothing but one of the two words.
fn opinion(format: Format, answer: &Draft) -> Opinion {
    let Ok(usage) = judge::judge(format, answer, false) else {
        return Opinion::from(None).costing(answer.usage);
    };
    let values = events::values(&answer.body, events::content_type(&answer.headers)).unwrap_or_default();
    Opinion::from(prompt::verdict(&events::words(format, &values))).costing(usage)
}

/// Reads `body` to its end, unless it is too long.
async fn read<B: Body<Data: Buf>>(body: B) -> Option<Bytes> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            if data.remaining() > LONGEST - bytes.len() {
                return None;
            }
            bytes.put(data);
        }
    }
    Some(bytes.freeze())
}

// === impl ModelJudgeConfig ===

impl ModelJudgeConfig {
    /// Creates the configuration of `model`, asked at `uri` as OpenAI's chats are.
    pub fn new(uri: Uri, model: impl Into<Box<str>>) -> Self {
        Self { uri, headers: HeaderMap::new(), model: model.into(), format: Format::Chat }
    }

    /// Asks as Anthropic's messages are asked.
    #[must_use]
    pub fn messages(mut self) -> Self {
        self.format = Format::Messages;
        self.headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        self
    }

    /// Adds a header to each request, such as a key. Its value is shown nowhere.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    fn request(&self, comparison: &Comparison, fence: u128) -> Request<Payload> {
        let body = prompt::body(self.format, &self.model, comparison, fence);
        let mut request = Request::new(Payload::from(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(Judging);
        request.extensions_mut().insert(Criticality::Sheddable);
        request
    }
}

impl fmt::Debug for ModelJudgeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a key; headers do.
        f.debug_struct("ModelJudgeConfig")
            .field("host", &self.uri.host())
            .field("model", &self.model)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

// === impl ModelJudgeError ===

impl ModelJudgeError {
    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(self) -> ModelJudgeErrorKind {
        self.0
    }
}

impl From<ModelJudgeErrorKind> for ModelJudgeError {
    fn from(kind: ModelJudgeErrorKind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for ModelJudgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ModelJudgeErrorKind::Unavailable => "the model that compares answers is not available",
            ModelJudgeErrorKind::Malformed => "the answer of the model that compares answers cannot be read",
        })
    }
}

impl std::error::Error for ModelJudgeError {}

// === impl ModelJudgeFuture ===

impl Future for ModelJudgeFuture {
    type Output = Result<Opinion, ModelJudgeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ModelJudgeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelJudgeFuture")
    }
}
