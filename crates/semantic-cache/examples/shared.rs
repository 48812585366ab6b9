//! What it costs to share answers: on a Redis of its own, which it starts.
//!
//! ```sh
//! cargo run --release -p buttress-semantic-cache --features redis --example shared -- 10000
//! ```

use std::{convert::Infallible, env, sync::Arc, time::Duration};

use buttress_core::{Body, OneTenant, Payload};
use buttress_redis::{Config, Namespace, Redis};
use buttress_semantic_cache::{
    Admit, Ask, Asked, Asking, Bounds, ByMeaning, Bypass, CacheHandle, CacheOutcome, Embedder as _, Lexical, Policy,
    SemanticCache, SemanticCacheLayer, SharedAnswers,
};
use buttress_testkit::RedisServer;
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

type Inner = BoxCloneSyncService<Request<Payload>, Response<Body>, Infallible>;

/// The path is the scope, and the body the text.
#[derive(Clone, Copy)]
struct Words;

struct Replica {
    service: SemanticCache<Inner, OneTenant, Words>,
    meaning: Arc<ByMeaning<Arc<Lexical>>>,
    cache: CacheHandle,
}

impl Ask<Request<Payload>> for Words {
    fn ask(&self, request: &Request<Payload>, asking: Asking) -> Result<Asked, Bypass> {
        use std::hash::Hash as _;
        let text = String::from_utf8(request.body().bytes().to_vec()).map_err(|_| Bypass::Kind)?;
        let scope = request.uri().path().to_owned();
        Ok(asking.question(|hasher| scope.hash(hasher), |hasher| text.hash(hasher), Some(text.clone().into())))
    }
}

impl Admit for Words {}

impl Replica {
    async fn start(url: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Handle::current();
        let client = || Redis::spawn_on(&runtime, Config::new(url).command_timeout(Duration::from_secs(1)));
        let namespace = Namespace::try_new("example")?;
        let shared = SharedAnswers::new(client()?, client()?, &namespace, "answers".try_into()?);
        let policy = Policy::threshold(0.97)?;
        let meaning = ByMeaning::new(policy.clone(), Arc::new(Lexical::default()));
        let meaning = Arc::new(meaning.remembering(policy, Bounds::default(), 7, 3));
        let layer = SemanticCacheLayer::new(OneTenant, Words).meaning(meaning.clone()).shared(shared);
        runtime.spawn(layer.sharing());
        let answers = service_fn(|_: Request<Payload>| async {
            Ok::<_, Infallible>(Response::new(Body::from(Bytes::from(
                "a short answer, as most of them are. ".repeat(20),
            ))))
        });
        let service = layer.layer(BoxCloneSyncService::new(answers));
        let replica = Self { service, meaning, cache: layer.handle() };
        replica.cache.following().await;
        Ok(replica)
    }

    async fn ask(&self, number: usize) -> CacheOutcome {
        let text = format!("what does article {number} of the agreement say about case {}", number * 7);
        let request = Request::post(format!("/{}", number % 100)).body(Payload::new(text.into()));
        let response = self.service.clone().oneshot(request.expect("a request")).await.expect("it is answered");
        let outcome = *response.extensions().get().expect("each answer tells");
        let mut body = std::pin::pin!(response.into_body());
        while std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await.is_some() {}
        outcome
    }

    fn known(&self) -> usize {
        self.meaning.with_memory(|memory| memory.len())
    }

    async fn written(&self) {
        while self.cache.in_background() > 0 || self.cache.shared_counts().is_some_and(|counts| counts.waiting > 0) {
            sleep(Duration::from_micros(100)).await;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number: usize = env::args().nth(1).map_or(Ok(10_000), |number| number.parse())?;
    let server = RedisServer::start();
    let a = Replica::start(&server.url()).await?;
    println!("{}", Lexical::default().fingerprint());
    let begun = Instant::now();
    for at in 0..number {
        a.ask(at).await;
        if at % 32 == 0 {
            a.written().await;
        }
    }
    a.written().await;
    let took = Instant::now() - begun;
    println!("asked and written: {number} in {took:?}, {:.0}/s", number as f64 / took.as_secs_f64());

    let begun = Instant::now();
    let b = Replica::start(&server.url()).await?;
    let took = Instant::now() - begun;
    let known = b.known();
    println!("read at the beginning: {known} questions in {took:?}, {:.0}/s", known as f64 / took.as_secs_f64());

    let mut lags = Vec::new();
    for at in 0..200 {
        let before = b.known();
        a.ask(number + at).await;
        let told = Instant::now();
        while b.known() == before && Instant::now() - told < Duration::from_millis(100) {
            tokio::task::yield_now().await;
        }
        lags.push(Instant::now() - told);
    }
    print("from the end of an answer to another replica's index", lags);

    let (mut remote, mut local) = (Vec::new(), Vec::new());
    for at in 0..number.min(2_000) {
        for times in [&mut remote, &mut local] {
            let begun = Instant::now();
            assert_eq!(b.ask(at).await, CacheOutcome::Hit, "it is in Redis");
            times.push(Instant::now() - begun);
        }
    }
    print("a hit by way of Redis", remote);
    print("a hit in local memory", local);
    Ok(())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("{what}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}
