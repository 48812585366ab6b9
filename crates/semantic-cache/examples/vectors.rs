//! What it costs to search for questions in Redis 8, beside the index in memory: on a Redis of its own, which it starts.
//!
//! ```sh
//! cargo xtask vectors --measure -- 10000 [DIR]
//! ```
//!
//! `DIR` has a file `vectors.f32le`, of rows of 384 numbers in four bytes each. Without, vectors are drawn at random around 500 centres.

use std::{convert::Infallible, env, fs, hash::Hash as _, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use buttress_core::{Body, OneTenant, Payload};
use buttress_redis::{Config, Namespace, Redis, redis};
use buttress_semantic_cache::{
    Admit, Ask, Asked, Asking, Bounds, ByMeaning, Bypass, CacheHandle, CacheOutcome, EmbedFuture, Embedder,
    Fingerprint, Index, Policy, Search, SemanticCache, SemanticCacheLayer, SharedAnswers,
};
use buttress_testkit::RedisServer;
use bytes::Bytes;
use http::{Request, Response};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

type Inner = BoxCloneSyncService<Request<Payload>, Response<Body>, Infallible>;
type Error = Box<dyn std::error::Error>;

const DIMENSIONS: usize = 384;
const NEAREST: usize = 16;
const QUERIES: usize = 1_000;

/// A text ends with the number of its vector.
#[derive(Clone)]
struct Rows(Arc<[Vec<f32>]>, Fingerprint);

/// All is one scope, and the body the text.
#[derive(Clone, Copy)]
struct Words;

struct Replica {
    service: SemanticCache<Inner, OneTenant, Words>,
    cache: CacheHandle,
}

impl Embedder for Rows {
    fn fingerprint(&self) -> &Fingerprint {
        &self.1
    }

    fn embed<'a>(&'a self, text: &'a str) -> EmbedFuture<'a> {
        let row = text.rsplit(' ').next().and_then(|row| row.parse::<usize>().ok()).unwrap_or(0);
        let vector = self.0[row].as_slice().into();
        Box::pin(async move { Ok(vector) })
    }
}

impl Ask<Request<Payload>> for Words {
    fn ask(&self, request: &Request<Payload>, asking: Asking) -> Result<Asked, Bypass> {
        let text = String::from_utf8(request.body().bytes().to_vec()).map_err(|_| Bypass::Kind)?;
        Ok(asking.question(|_| {}, |hasher| text.hash(hasher), Some(text.clone().into())))
    }
}

impl Admit for Words {}

impl Replica {
    async fn start(url: &str, rows: &Rows, most: Option<NonZeroUsize>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::current();
        let client = || Redis::spawn_on(&runtime, Config::new(url).command_timeout(Duration::from_secs(1)));
        let namespace = Namespace::try_new("example")?;
        let shared = SharedAnswers::new(client()?, client()?, &namespace, "answers".try_into()?);
        let shared = shared.patience(Duration::from_secs(1));
        let shared = most.map_or_else(|| shared.clone(), |most| shared.clone().search_in_redis(most));
        // Hardly anything is similar enough: a call is a miss, and waits for the search.
        let policy = Policy::threshold(1.0)?;
        let meaning = ByMeaning::new(policy.clone(), rows.clone()).remembering(policy, Bounds::default(), 7, 0);
        let layer = SemanticCacheLayer::new(OneTenant, Words).meaning(Arc::new(meaning)).shared(shared);
        runtime.spawn(layer.sharing());
        let answers = service_fn(|_: Request<Payload>| async {
            Ok::<_, Infallible>(Response::new(Body::from(Bytes::from("a short answer. ".repeat(50)))))
        });
        let layer = layer.patience(Duration::from_secs(5));
        let replica = Self { service: layer.layer(BoxCloneSyncService::new(answers)), cache: layer.handle() };
        replica.cache.following().await;
        Ok(replica)
    }

    async fn ask(&self, row: usize) -> Duration {
        let text = format!("what does somebody say of the matter that is to be found in row {row}");
        let request = Request::post("/").body(Payload::new(text.into())).expect("a request");
        let begun = Instant::now();
        let response = self.service.clone().oneshot(request).await.expect("it is answered");
        let took = Instant::now() - begun;
        assert!(matches!(response.extensions().get(), Some(CacheOutcome::Miss(_) | CacheOutcome::SemanticHit(_))));
        let mut body = std::pin::pin!(response.into_body());
        while std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await.is_some() {}
        took
    }

    async fn fill(&self, number: usize) {
        for row in 0..number {
            self.ask(row).await;
            if row % 32 == 31 || row + 1 == number {
                self.written().await;
            }
        }
    }

    async fn written(&self) {
        while self.cache.in_background() > 0 || self.cache.shared_counts().is_some_and(|counts| counts.waiting > 0) {
            sleep(Duration::from_micros(100)).await;
        }
    }

    fn search(&self) -> Search {
        self.cache.shared_counts().unwrap_or_default().search
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = env::args().skip(1);
    let number: usize = args.next().map_or(Ok(10_000), |number| number.parse())?;
    let vectors = match args.next() {
        Some(dir) => read(Path::new(&dir))?,
        None => drawn(number + QUERIES),
    };
    if vectors.len() < number + QUERIES {
        return Err(
            format!("{number} questions and {QUERIES} more to ask take more than {} rows", vectors.len()).into()
        );
    }
    let space = Fingerprint::new("rows", "1", NonZeroUsize::new(DIMENSIONS).ok_or("no dimensions")?);
    let rows = Rows(vectors.into(), space);
    println!("{number} questions, {QUERIES} searches, the nearest {NEAREST}");
    alone(&rows.0[..number], &rows.0[number..number + QUERIES]).await?;
    for most in [None, NonZeroUsize::new(1_000_000)] {
        let server = RedisServer::start();
        let replica = Replica::start(&server.url(), &rows, most).await?;
        let client = Redis::spawn_on(&tokio::runtime::Handle::current(), Config::new(server.url()))?;
        client.connected().await;
        let before = used(&client).await?;
        replica.fill(number).await;
        println!("search: {:?}", replica.search());
        println!("  in redis, of a question with its answer: {} bytes", (used(&client).await? - before) / number);
        for kind in ["ages", "log"] {
            let keys: Vec<String> = client.query(redis::cmd("KEYS").arg(format!("example:cache1-{kind}:*"))).await?;
            for key in keys {
                let usage = redis::cmd("MEMORY").arg("USAGE").arg(&key).arg("SAMPLES").arg(0).to_owned();
                let bytes: usize = client.query_within(&usage, Duration::from_secs(5)).await?;
                println!("  of these, of its {kind}: {} bytes", bytes / number);
            }
        }
        let mut times = Vec::with_capacity(QUERIES);
        for row in number..number + QUERIES {
            times.push(replica.ask(row).await);
        }
        print("  a miss, with its search", times);
    }
    Ok(())
}

/// The search alone, without a cache.
async fn alone(stored: &[Vec<f32>], asked: &[Vec<f32>]) -> Result<(), Error> {
    let server = RedisServer::start();
    let client = Redis::spawn_on(&tokio::runtime::Handle::current(), Config::new(server.url()))?;
    client.connected().await;
    let mut index = Index::new(NonZeroUsize::new(DIMENSIONS).ok_or("no dimensions")?);
    let mut slots = Vec::new();
    let before = used(&client).await?;
    for (row, vector) in stored.iter().enumerate() {
        slots.push(index.insert(vector)?);
        let mut add = redis::cmd("VADD");
        add.arg("set").arg("FP32").arg(blob(vector)).arg(row).arg("Q8");
        let _: u8 = client.query_within(&add, Duration::from_secs(1)).await?;
    }
    let bytes = (used(&client).await? - before) / stored.len();
    let (mut here, mut there, mut hits) = (Vec::new(), Vec::new(), [0; 4]);
    let mut found = Vec::new();
    for query in asked {
        let truth = exact(stored, query);
        let begun = Instant::now();
        index.nearest(query, NEAREST, 0.0, &mut found);
        here.push(Instant::now() - begun);
        let from_index: Vec<usize> =
            found.iter().filter_map(|near| slots.iter().position(|slot| *slot == near.slot)).collect();
        let mut search = redis::cmd("VSIM");
        search.arg("set").arg("FP32").arg(blob(query)).arg("WITHSCORES").arg("COUNT").arg(NEAREST);
        let begun = Instant::now();
        let told: Vec<(usize, f64)> = client.query_within(&search, Duration::from_secs(1)).await?;
        there.push(Instant::now() - begun);
        let from_redis: Vec<usize> = told.into_iter().map(|(row, _)| row).collect();
        for (at, rows) in [from_index, from_redis].iter().enumerate() {
            hits[at] += usize::from(rows.first() == truth.first());
            hits[at + 2] += rows.iter().filter(|row| truth.contains(row)).count();
        }
    }
    print("index in memory, alone", here);
    print("vector set, alone", there);
    let share = |hits: usize, of: usize| hits as f64 / (asked.len() * of) as f64;
    println!("the nearest is found: index {:.4}, vector set {:.4}", share(hits[0], 1), share(hits[1], 1));
    println!(
        "of the nearest {NEAREST}: index {:.4}, vector set {:.4}",
        share(hits[2], NEAREST),
        share(hits[3], NEAREST)
    );
    println!("bytes of a vector: index {}, vector set {bytes}", index.bytes() / stored.len());
    Ok(())
}

/// The nearest rows, by comparing all of them.
fn exact(stored: &[Vec<f32>], query: &[f32]) -> Vec<usize> {
    let dot = |row: &[f32]| row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
    let mut rows: Vec<(usize, f32)> = stored.iter().map(|row| dot(row)).enumerate().collect();
    rows.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    rows.into_iter().take(NEAREST).map(|(row, _)| row).collect()
}

fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn read(dir: &Path) -> Result<Vec<Vec<f32>>, Error> {
    let bytes = fs::read(dir.join("vectors.f32le"))?;
    let (numbers, _) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    let mut rows: Vec<Vec<f32>> = numbers.chunks_exact(DIMENSIONS).map(<[f32]>::to_vec).collect();
    // Not in the order of their labels.
    rand::seq::SliceRandom::shuffle(&mut rows[..], &mut StdRng::seed_from_u64(7));
    Ok(rows)
}

fn drawn(number: usize) -> Vec<Vec<f32>> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut row = || (0..DIMENSIONS).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
    let centres: Vec<_> = (0..500).map(|_| row()).collect();
    let near = |(at, noise): (usize, Vec<f32>)| {
        let mut row: Vec<f32> =
            centres[at % 500].iter().zip(noise).map(|(centre, noise)| centre + 0.6 * noise).collect();
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
        row
    };
    (0..number).map(|_| row()).collect::<Vec<_>>().into_iter().enumerate().map(near).collect()
}

/// The bytes that Redis takes for all that is in it.
async fn used(client: &Redis) -> Result<usize, Error> {
    let info: String = client.query(redis::cmd("INFO").arg("memory")).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.ok_or("redis does not tell")?.trim().parse()?)
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("{what}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}
