//! What the tests share.

use std::{future::Future, hash::Hash as _, sync::Arc, time::Duration};

use buttress_core::Payload;
use buttress_redis::{Config, Namespace, Redis, redis};
use buttress_semantic_cache::{
    Admit, Ask, Asked, Asking, ByHeader, Bypass, CacheHandle, CacheOutcome, Freshness, Key, Meaning, ResponseBody,
    SemanticCache, SemanticCacheLayer, SharedAnswers, SharedCounts,
};
use buttress_testkit::{Handle, Probe, Reply, Script, ScriptedBody, read};
use bytes::Bytes;
use http::{HeaderName, Request};
use tokio::{
    runtime::Runtime,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer as _, Service as _};

/// The bound of a call to Redis in these tests. Generous towards a machine with much to do.
pub(crate) const BOUND: Duration = Duration::from_millis(100);
/// The longest that a call with that bound may take here: what the machine adds is not what is tested.
pub(crate) const SLOWEST: Duration = Duration::from_millis(600);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// The path is the scope, and the body the text.
#[derive(Clone, Copy)]
pub(crate) struct Words;

pub(crate) type Layer = SemanticCacheLayer<ByHeader, Words>;

/// One process of several.
pub(crate) struct Replica {
    pub(crate) cache: CacheHandle,
    pub(crate) probe: Handle,
    pub(crate) redis: Redis,
    service: SemanticCache<Probe, ByHeader, Words>,
    work: JoinHandle<()>,
}

/// An answer, as its caller has it.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) outcome: CacheOutcome,
    pub(crate) key: Option<Key>,
    pub(crate) head: http::response::Parts,
    pub(crate) took: Duration,
}

/// An answer that has not been read.
pub(crate) struct Held(ResponseBody<ScriptedBody>);

impl Ask<Request<Payload>> for Words {
    fn ask(&self, request: &Request<Payload>, asking: Asking) -> Result<Asked, Bypass> {
        let text = String::from_utf8(request.body().bytes().to_vec()).map_err(|_| Bypass::Kind)?;
        let scope = request.uri().path().to_owned();
        Ok(asking.question(|hasher| scope.hash(hasher), |hasher| text.hash(hasher), Some(text.clone().into())))
    }
}

impl Admit for Words {}

impl Replica {
    pub(crate) async fn start(url: impl Into<String>) -> Self {
        Self::start_with(url, |layer| layer, |shared| shared).await
    }

    pub(crate) async fn with_meaning(url: impl Into<String>, meaning: Arc<dyn Meaning>) -> Self {
        Self::start_with(url, |layer| layer.meaning(meaning).patience(Duration::from_secs(5)), |shared| shared).await
    }

    /// Starts one, and waits until it follows the log.
    pub(crate) async fn start_with(
        url: impl Into<String>,
        set: impl FnOnce(Layer) -> Layer,
        share: impl FnOnce(SharedAnswers) -> SharedAnswers,
    ) -> Self {
        let replica = Self::begin(&config(url), set, share);
        soon(replica.cache.following()).await;
        replica
    }

    pub(crate) fn begin(
        config: &Config,
        set: impl FnOnce(Layer) -> Layer,
        share: impl FnOnce(SharedAnswers) -> SharedAnswers,
    ) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let client = || Redis::spawn_on(&runtime, config.clone()).expect("the configuration is right");
        let redis = client();
        let namespace = Namespace::try_new("t").expect("allowed");
        let shared = SharedAnswers::new(redis.clone(), client(), &namespace, "answers".try_into().expect("a label"));
        let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
        let layer =
            SemanticCacheLayer::new(tenant, Words).seed(7).freshness(Freshness::lasting(HOUR).jitter_percent(0));
        let layer = set(layer).shared(share(shared.patience(BOUND)));
        let work = runtime.spawn(layer.sharing());
        let (probe, handle) = Probe::new();
        Self { cache: layer.handle(), probe: handle, redis, service: layer.layer(probe), work }
    }

    /// Asks, and reads the answer to its end. If the inner service is asked, it says `says`.
    pub(crate) async fn ask(&self, tenant: &str, text: &str, says: &str) -> Answer {
        self.send(request(tenant, "/", text), says).await
    }

    pub(crate) async fn send(&self, request: Request<Payload>, says: &str) -> Answer {
        self.probe.always(Reply::ok().body(Script::new().data(says.to_owned())));
        let before = Instant::now();
        let (head, body) = self.service.clone().call(request).await.expect("it is answered").into_parts();
        let took = Instant::now() - before;
        let text = String::from_utf8(read(body).await.bytes().to_vec()).expect("it is text");
        let outcome = *head.extensions.get().expect("each answer tells");
        Answer { text, outcome, key: head.extensions.get().copied(), head, took }
    }

    /// Begins a call, and does not read its answer yet.
    pub(crate) async fn hold(&self, tenant: &str, text: &str, says: &str) -> Held {
        self.probe.always(Reply::ok().body(Script::new().data(says.to_owned())));
        let response = self.service().call(request(tenant, "/", text)).await.expect("it is answered");
        let body = response.into_body();
        Held(body)
    }

    pub(crate) fn service(&self) -> SemanticCache<Probe, ByHeader, Words> {
        self.service.clone()
    }

    /// Ends the process in good order. Returns its work.
    pub(crate) fn leave(mut self) -> JoinHandle<()> {
        std::mem::replace(&mut self.work, tokio::runtime::Handle::current().spawn(async {}))
    }

    /// Returns whether Redis has not heard yet of all that is to be forgotten.
    pub(crate) fn is_forgetting(&self) -> bool {
        self.counts().forgetting
    }

    pub(crate) fn counts(&self) -> SharedCounts {
        self.cache.shared_counts().expect("answers are shared")
    }

    /// Waits until all that waits has been written.
    pub(crate) async fn written(&self) {
        until(|| self.cache.in_background() == 0).await;
        until(|| self.counts().waiting == 0).await;
    }

    /// Returns the key in Redis of the only answer there.
    pub(crate) async fn place(&self) -> String {
        let keys: Vec<String> = self.query(redis::cmd("KEYS").arg("t:cache1-answer:*")).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        self.redis.query_within(command, Duration::from_secs(20)).await.expect("redis answers")
    }
}

impl Held {
    /// Reads it to its end.
    pub(crate) async fn finish(self) -> String {
        String::from_utf8(read(self.0).await.bytes().to_vec()).expect("it is text")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Answer {
    pub(crate) fn is_hit(&self) -> bool {
        self.outcome == CacheOutcome::Hit
    }

    pub(crate) fn is_like(&self) -> bool {
        matches!(self.outcome, CacheOutcome::SemanticHit(_))
    }

    pub(crate) fn age(&self) -> u64 {
        let age = self.head.headers.get("age").and_then(|age| age.to_str().ok());
        age.and_then(|age| age.parse().ok()).expect("it has an age")
    }
}

pub(crate) fn request(tenant: &str, scope: &str, text: &str) -> Request<Payload> {
    let request = Request::post(scope).header("x-tenant", tenant);
    request.body(Payload::new(Bytes::copy_from_slice(text.as_bytes()))).expect("a request")
}

/// A configuration that looks for Redis soon again.
pub(crate) fn config(url: impl Into<String>) -> Config {
    Config::new(url)
        .command_timeout(BOUND)
        .connect_timeout(Duration::from_millis(250))
        .probe_between(Duration::from_millis(5), Duration::from_millis(50))
        .heartbeat(Duration::from_secs(60))
        .seed(7)
}

/// Waits for what must come, and fails if it does not.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(Duration::from_secs(20), what).await.expect("it came within twenty seconds")
}

pub(crate) async fn until(what: impl Fn() -> bool) {
    until_asked(async || what()).await;
}

/// The same of what has to be asked: of Redis, or of a replica. It leaves them time for other work.
pub(crate) async fn until_asked(mut what: impl AsyncFnMut() -> bool) {
    soon(async {
        while !what().await {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Runs a test with real time and real sockets.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    Runtime::new().expect("a runtime can be made").block_on(test)
}
