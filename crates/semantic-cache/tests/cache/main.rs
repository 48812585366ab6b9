//! What callers see of the cache.

mod answers;
mod directives;
#[cfg(feature = "llm")]
mod llm;
mod meaning;
mod stale;

use std::time::Duration;

use buttress_core::Payload;
use buttress_semantic_cache::{
    ByHeader, ByQuestion, CacheHandle, Freshness, ResponseBody, SemanticCache, SemanticCacheLayer,
};
use buttress_testkit::{Handle, Probe, Received, Reply, Script, ScriptedBody, read};
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use tower::{Layer as _, Service as _};

type ByBody = ByQuestion<fn(&Request<Payload>) -> Option<Bytes>>;
type Layer = SemanticCacheLayer<ByHeader, ByBody>;

struct Bench<A = ByBody> {
    service: SemanticCache<Probe, ByHeader, A>,
    probe: Handle,
    cache: CacheHandle,
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Bench {
    fn new() -> Self {
        Self::with(|layer| layer)
    }

    fn with(set: impl FnOnce(Layer) -> Layer) -> Self {
        Self::of(&set(layer(ByQuestion(|request| Some(request.body().bytes().clone())))))
    }

    /// Asks, and reads the answer to its end.
    async fn ask(&self, body: &str, control: &str) -> Answer {
        self.send(request("t", body, control)).await
    }
}

fn layer<A>(ask: A) -> SemanticCacheLayer<ByHeader, A> {
    let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
    SemanticCacheLayer::new(tenant, ask).seed(7).freshness(Freshness::lasting(HOUR).jitter_percent(0))
}

impl<A> Bench<A>
where
    A: buttress_semantic_cache::Ask<Request<Payload>> + buttress_semantic_cache::Admit + Send + Sync + 'static,
{
    fn of(layer: &SemanticCacheLayer<ByHeader, A>) -> Self {
        let (probe, handle) = Probe::new();
        let cache = layer.handle();
        Self { service: layer.layer(probe), probe: handle, cache }
    }

    async fn head(&self, request: Request<Payload>) -> Response<ResponseBody<ScriptedBody>> {
        self.service.clone().call(request).await.expect("it is answered")
    }

    async fn send(&self, request: Request<Payload>) -> Answer {
        let (head, body) = self.head(request).await.into_parts();
        Answer { head, body: read(body).await }
    }
}

struct Answer {
    head: http::response::Parts,
    body: Received,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    fn cache(&self) -> &str {
        self.header("x-cache")
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.bytes().to_vec()).expect("it is text")
    }
}

fn request(tenant: &str, body: &str, control: &str) -> Request<Payload> {
    let request = Request::post("/").header("x-tenant", tenant).header("cache-control", control);
    request.body(Payload::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request")
}

fn says(text: &'static str) -> Reply {
    Reply::ok().body(Script::new().data(text))
}

/// Lets what is done in the background be done.
async fn settle(cache: &CacheHandle) {
    while cache.in_background() > 0 {
        tokio::task::yield_now().await;
    }
}
