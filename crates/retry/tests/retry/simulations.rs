//! Many clients at an upstream that fails, on paused time.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use buttress_core::{Http, Payload};
use buttress_retry::{Backoff, Budget, RetryLayer, Share};
use buttress_testkit::send;
use http::{HeaderValue, Request, Response};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tower::{Layer as _, Service, service_fn};

use super::{get, ms, retry};

const SHARE: Share = Share::percent(20);

/// An upstream that fails so many of a hundred requests, and takes so long.
#[derive(Clone)]
struct Upstream {
    failing: u32,
    latency: Duration,
    dice: Arc<Mutex<StdRng>>,
    asked: Arc<AtomicU64>,
}

// === impl Upstream ===

impl Upstream {
    fn new(failing: u32, latency: Duration) -> Self {
        Self { failing, latency, dice: Arc::new(Mutex::new(StdRng::seed_from_u64(42))), asked: Arc::default() }
    }

    async fn answer(self) -> Result<Response<()>, Infallible> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (fails, share) = {
            let mut dice = self.dice.lock().expect("nothing panics in here");
            (dice.random_range(0..100) < self.failing, dice.random_range(0.5..1.5))
        };
        tokio::time::sleep(self.latency.mul_f64(share)).await;
        Ok(Response::builder().status(if fails { 503 } else { 200 }).body(()).expect("a valid response"))
    }

    fn behind(
        &self,
        layer: &RetryLayer<Http>,
    ) -> impl Service<Request<Payload>, Response = Response<()>, Error = Infallible, Future: Send> + Clone + Send + use<>
    {
        let upstream = self.clone();
        layer.layer(service_fn(move |_: Request<Payload>| upstream.clone().answer()))
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Sends `calls` requests, so many at a time; returns how often the upstream was asked.
async fn load(calls: u64, at_a_time: u64, upstream: &Upstream, layer: &RetryLayer<Http>) -> u64 {
    let workers: JoinSet<()> = (0..at_a_time)
        .map(|_| {
            let mut service = upstream.behind(layer);
            async move {
                for _ in 0..calls / at_a_time {
                    let Ok(_) = send(&mut service, get()).await;
                }
            }
        })
        .collect();
    workers.join_all().await;
    upstream.asked()
}

#[tokio::test(start_paused = true)]
async fn half_failing_the_load_of_a_share_of_the_calls_under_way_stays_within_the_share() {
    for (latency, backoff) in [
        (20, Backoff::full()),
        (2_000, Backoff::full()),
        (60_000, Backoff::full()),
        (200, Backoff::full().with_cap(Duration::ZERO)),
    ] {
        let layer = retry().backoff(backoff).budget(Budget::concurrency(SHARE, 3));
        let asked = load(20_000, 100, &Upstream::new(50, ms(latency)), &layer).await;
        println!("concurrency, {latency} ms: {:.3}", asked as f64 / 20_000.0);
        // Until as many calls are under way as the share needs, it is the floor of three that counts.
        assert!(asked <= 24_000 + 3, "{latency} ms: {asked}, {:?}", layer.counts());
        assert!(layer.counts().budget > 1_000, "the budget is what holds: {:?}", layer.counts());
    }
}

#[tokio::test(start_paused = true)]
async fn half_failing_the_load_of_a_share_of_the_calls_in_a_window_stays_within_the_share() {
    for latency in [20, 2_000] {
        let layer = retry().budget(Budget::rate(SHARE, 0, Duration::from_secs(10)));
        let asked = load(20_000, 100, &Upstream::new(50, ms(latency)), &layer).await;
        println!("rate, {latency} ms: {:.3}", asked as f64 / 20_000.0);
        assert!(asked <= 24_000, "{latency} ms: {asked}, {:?}", layer.counts());
        assert!(asked >= 23_000, "a budget is for use: {asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_the_same_upstream_is_asked_far_more() {
    let asked = load(20_000, 100, &Upstream::new(50, ms(20)), &retry()).await;
    println!("no budget: {:.3}", asked as f64 / 20_000.0);
    assert!(asked > 34_000, "{asked}");
}

/// Asks as the official SDKs do: up to two retries of its own, which it counts, and none if it is told not to.
async fn ask_as_an_sdk<S>(mut service: S, sent: Arc<AtomicU64>)
where
    S: Service<Request<Payload>, Response = Response<()>, Error = Infallible>,
{
    for count in 0..=2_u32 {
        let mut request = get();
        request.headers_mut().insert("x-stainless-retry-count", HeaderValue::from(count));
        sent.fetch_add(1, Ordering::Relaxed);
        let Ok(response) = send(&mut service, request).await;
        let told = response.headers().get("x-should-retry").is_some_and(|word| word == "false");
        if response.status().is_success() || told {
            return;
        }
        tokio::time::sleep(ms(500 << count)).await;
    }
}

/// A thousand clients, all at once or one after the other, at an upstream that is dead.
async fn dead(budget: Budget, apart: Duration) -> (u64, u64) {
    let (upstream, layer, sent) = (Upstream::new(100, ms(50)), retry().budget(budget), Arc::new(AtomicU64::new(0)));
    let clients: JoinSet<()> = (0..1_000_u32)
        .map(|nth| {
            let (service, sent) = (upstream.behind(&layer), Arc::clone(&sent));
            async move {
                tokio::time::sleep(apart * nth).await;
                ask_as_an_sdk(service, sent).await;
            }
        })
        .collect();
    clients.join_all().await;
    (upstream.asked(), sent.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_that_retry_themselves_ask_a_dead_upstream_hardly_more_than_once_each() {
    let rate = || Budget::rate(SHARE, 0, Duration::from_secs(10));
    for (name, budget, apart) in [
        ("concurrency", Budget::concurrency(SHARE, 3), ms(0)),
        ("concurrency", Budget::concurrency(SHARE, 3), ms(1)),
        // So few are under way at a time that a floor of three would be more than half of them.
        ("concurrency", Budget::concurrency(SHARE, 0), ms(10)),
        ("rate", rate(), ms(0)),
        ("rate", rate(), ms(1)),
        ("rate", rate(), ms(10)),
    ] {
        let (asked, sent) = dead(budget, apart).await;
        println!("dead, {name}, {apart:?} apart: asked {asked}, sent {sent}");
        assert_eq!(sent, 1_000, "no client has to find out for itself");
        assert!(asked <= 1_250, "{name}, {apart:?} apart: {asked}");
    }
}
