//! Vectors from a model behind HTTP.

mod batch;
mod call;
mod config;
mod wire;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use buttress_core::Payload;
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use tokio::runtime::Handle;
use tower_service::Service;

use super::{EmbedError, EmbedFuture, EmbedStats, Embedder, Embedding, Fingerprint, Texts, front::Front};

pub use self::{
    call::{HttpVectors, HttpVectorsFuture},
    config::HttpEmbedderConfig,
};

/// An embedder that asks a model by the OpenAI embeddings protocol, through any HTTP service.
///
/// 1. Texts that are asked for within a moment (2 ms) go out as one request; several requests are under way at once.
/// 2. Who asks for a text that is on its way waits for the same answer. Vectors of late are kept, within a bound of bytes.
/// 3. **Nobody waits longer than the time limit** (50 ms). The request goes on for whoever asks next, within a limit of its own.
/// 4. Vectors are asked for as base64; a server that refuses that, or answers with numbers all the same, is understood. So is
///    Ollama's own form of answer.
/// 5. If a server refuses a request with several texts as such (400, 413, 422), the halves are tried by themselves: one text
///    that the model cannot take costs the others nothing but time. Any other failure is not tried again here. What is to
///    retry, break or time out is stacked into the service.
/// 6. Everything is bounded: texts, queue, requests under way, answers, vectors kept. See [`EmbedLimits`](super::EmbedLimits)
///    and [`HttpEmbedderConfig`].
///
/// Neither text nor header is in any error, event or `Debug`.
///
/// # A model that is down
///
/// Each question waits for its bound, and each is sent, unless a circuit breaker is put before the model. Around
/// [`HttpVectors`] it sees what came of a call: a 500, a call that hangs, an answer that cannot be read, or vectors of other dimensions.
/// With `buttress-circuit-breaker`:
///
/// ```text
/// let key = Key::new(Label::try_new("embedder")?);
/// let classify = |result: Result<&Vec<Embedding>, &EmbedError>| match result {
///     Ok(_) => Class::SUCCESS,
///     Err(error) if error.kind() == EmbedErrorKind::Rejected => Class::new(Verdict::CallerFault, Outcome::Word("rejected")),
///     Err(_) => Class::new(Verdict::Transient, Outcome::Word("embedder")),
/// };
/// let refuse = |_: CircuitOpen| Err(EmbedError::from(EmbedErrorKind::Refused));
/// let breaker = CircuitBreakerLayer::try_plain(settings.named(..), classify, refuse)?;
/// let circuit = breaker.handle();
/// let config = config.admitted_by(move || circuit.admits(&key, Instant::now()));
/// let vectors = ServiceBuilder::new().layer(breaker).service(HttpVectors::new(client, config.clone()));
/// let (embedder, worker) = HttpEmbedder::pair_over(vectors, config);
/// ```
///
/// While the circuit is open, a question is a miss [at once](HttpEmbedderConfig::admitted_by); whether the model is back, one of the next
/// questions finds out. How many calls are under way is bounded [here](HttpEmbedderConfig::calls) already.
///
/// | server | URL | header |
/// |---|---|---|
/// | OpenAI, vLLM | `{base}/v1/embeddings` | `authorization: Bearer …` |
/// | Azure, v1 | `https://{resource}.openai.azure.com/openai/v1/embeddings` | `api-key` |
/// | Azure, deployment | `https://{resource}.openai.azure.com/openai/deployments/{name}/embeddings?api-version=…` | `api-key` |
/// | Ollama | `{base}/v1/embeddings` or `{base}/api/embed` | none |
#[derive(Clone)]
pub struct HttpEmbedder {
    front: Front,
    fingerprint: Fingerprint,
}

/// The work behind a [`HttpEmbedder`]: a future to be run for as long as there are handles. It ends after the last is gone.
///
/// # Cancel safety
///
/// Dropped, it lets those who wait go without a vector, and all who ask later.
#[must_use = "without it, no text is embedded"]
pub struct HttpEmbedderWorker(Pin<Box<dyn Future<Output = ()> + Send>>);

// === impl HttpEmbedder ===

impl HttpEmbedder {
    /// Creates an embedder that asks through `service`, and the work to be run for it.
    pub fn pair<S, B>(service: S, config: HttpEmbedderConfig) -> (Self, HttpEmbedderWorker)
    where
        S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
        B: Body<Data: Buf + Send> + Send + 'static,
    {
        Self::pair_over(HttpVectors::new(service, config.clone()), config)
    }

    /// Creates an embedder that asks `vectors`, and the work to be run for it: [`HttpVectors`] with layers around it, or any other
    /// service. See the [type's docs](Self#a-model-that-is-down).
    pub fn pair_over<V>(vectors: V, config: HttpEmbedderConfig) -> (Self, HttpEmbedderWorker)
    where
        V: Service<Texts, Response = Vec<Embedding>, Error: Into<EmbedError> + Send, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let HttpEmbedderConfig { limits, batching, fingerprint, hash_key, admits, .. } = config;
        let (front, jobs) = Front::pair(limits, fingerprint.dimensions(), hash_key);
        let worker = HttpEmbedderWorker(Box::pin(batch::run(jobs, batching, vectors)));
        (Self { front: front.admitted_by(admits), fingerprint }, worker)
    }

    /// Creates an embedder that asks through `service`, and lets `runtime` do the work.
    pub fn spawn_on<S, B>(runtime: &Handle, service: S, config: HttpEmbedderConfig) -> Self
    where
        S: Service<Request<Payload>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
        B: Body<Data: Buf + Send> + Send + 'static,
    {
        let (embedder, worker) = Self::pair(service, config);
        drop(runtime.spawn(worker));
        embedder
    }

    /// Returns what it did since it was made.
    #[must_use]
    pub fn stats(&self) -> EmbedStats {
        self.front.stats()
    }
}

impl Embedder for HttpEmbedder {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a> {
        Box::pin(self.front.embed(text))
    }
}

impl fmt::Debug for HttpEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEmbedder").field("fingerprint", &self.fingerprint).field("front", &self.front).finish()
    }
}

// === impl HttpEmbedderWorker ===

impl Future for HttpEmbedderWorker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for HttpEmbedderWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpEmbedderWorker")
    }
}
