//! One of three targets becomes ten times as slow: with hedging, callers do not notice; and when it is well again, it is used
//! again.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{Http, Payload, Target};
use buttress_region_failover::{Hedge, Policy, RegionFailoverLayer};
use http::{Request, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const NAMES: [&str; 3] = ["east", "west", "north"];
/// The one that becomes slow.
const SLOW: usize = 1;
const TIMES: f64 = 10.0;
const MEDIAN: f64 = 0.4;

/// Who asks, and what is random.
#[derive(Clone, Copy, Debug)]
struct Scene {
    seed: u64,
    callers: usize,
    /// How long a caller waits before it asks again.
    pause: Duration,
    /// The standard deviation of the logarithm of times.
    sigma: f64,
    hedge: Hedge,
}

/// What became of requests, in the order in which they were sent.
#[derive(Debug, Default)]
struct Seen(Vec<Met>);

#[derive(Clone, Copy, Debug)]
struct Met {
    sent: Instant,
    took: Duration,
    /// Which target it was sent to first.
    first: usize,
}

struct World {
    random: u64,
    slow: bool,
    /// Whom each request was sent to first.
    first: Vec<usize>,
    known: HashSet<u64>,
}

/// The number of a request.
#[derive(Clone, Copy)]
struct Number(usize);

// === impl World ===

impl World {
    fn uniform(&mut self) -> f64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = self.random;
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((x ^ (x >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

// === impl Scene ===

impl Scene {
    const fn new(seed: u64) -> Self {
        Self { seed, callers: 16, pause: Duration::ZERO, sigma: 0.5, hedge: Hedge::DEFAULT }
    }

    /// Sends so many requests while all are well, while one is slow, and when it is well again.
    async fn tell(self, requests: [usize; 3]) -> [Seen; 3] {
        let Self { seed, callers, pause, sigma, hedge } = self;
        let world = World { random: seed, slow: false, first: Vec::new(), known: HashSet::new() };
        let world = Arc::new(Mutex::new(world));
        let targets = NAMES.map(|name| Target::named(name).expect("a valid name"));
        let layer = RegionFailoverLayer::try_new(targets).expect("names that differ").policy(Policy::Balanced);
        let layer = layer.seed(seed).replay(Http).repeat_all().hedge(hedge);
        let upstream = Arc::clone(&world);
        let service =
            layer.layer(service_fn(move |request: Request<Payload>| answer(request, Arc::clone(&upstream), sigma)));
        let mut parts = Vec::new();
        for (part, requests) in requests.into_iter().enumerate() {
            world.lock().expect("nothing panics in here").slow = part == 1;
            parts.push(ask(&service, &world, callers, pause, requests).await);
        }
        parts.try_into().expect("three parts")
    }
}

async fn answer(
    request: Request<Payload>,
    world: Arc<Mutex<World>>,
    sigma: f64,
) -> Result<Response<Payload>, Infallible> {
    let extensions = request.extensions();
    let name = extensions.get::<Target>().expect("the layer aims").name();
    let at = NAMES.iter().position(|known| name.as_str() == *known).expect("one of the three");
    let Number(number) = *extensions.get().expect("each has its number");
    let took = {
        let mut world = world.lock().expect("nothing panics in here");
        if world.known.insert(number as u64) {
            world.first[number] = at;
        }
        let normal = (-2.0 * world.uniform().ln()).sqrt() * (std::f64::consts::TAU * world.uniform()).cos();
        MEDIAN * (sigma * normal).exp() * if world.slow && at == SLOW { TIMES } else { 1.0 }
    };
    sleep(Duration::from_secs_f64(took)).await;
    Ok(Response::new(Payload::default()))
}

/// Callers that ask again when they have their answer.
async fn ask<S>(service: &S, world: &Arc<Mutex<World>>, callers: usize, pause: Duration, requests: usize) -> Seen
where
    S: Service<Request<Payload>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
{
    let from = world.lock().expect("nothing panics in here").first.len();
    let mut open = JoinSet::new();
    for _ in 0..callers {
        let (service, world) = (service.clone(), Arc::clone(world));
        open.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let number = {
                    let mut world = world.lock().expect("nothing panics in here");
                    if world.first.len() - from >= requests {
                        return seen;
                    }
                    world.first.push(usize::MAX);
                    world.first.len() - 1
                };
                let mut request = Request::new(Payload::default());
                request.extensions_mut().insert(Number(number));
                let sent = Instant::now();
                let Ok(answer) = service.clone().oneshot(request).await;
                drop(answer);
                let took = Instant::now() - sent;
                let (first, wait) = {
                    let mut world = world.lock().expect("nothing panics in here");
                    (world.first[number], pause.mul_f64(2.0 * world.uniform()))
                };
                seen.push(Met { sent, took, first });
                sleep(wait).await;
            }
        });
    }
    let mut met = open.join_all().await.concat();
    met.sort_by_key(|met| met.sent);
    Seen(met)
}

// === impl Seen ===

impl Seen {
    /// Returns within which time that part of the requests was answered.
    fn part(&self, part: f64) -> f64 {
        let mut times: Vec<_> = self.0.iter().map(|met| met.took).collect();
        times.sort();
        times[(times.len() as f64 * part) as usize].as_secs_f64()
    }

    /// Returns the part of the requests that began at this target.
    fn share(met: &[Met], target: usize) -> f64 {
        met.iter().filter(|met| met.first == target).count() as f64 / met.len() as f64
    }

    /// Returns after which time, and how many requests, the target's share was a quarter: of the next 200.
    fn back(&self, target: usize) -> Option<(Duration, usize)> {
        let at = self.0.windows(200).position(|met| Self::share(met, target) >= 0.25)?;
        Some((self.0[at].sent - self.0[0].sent, at))
    }
}

/// Callers from one that thinks for a second to many that do not, times that hardly differ and times that differ by five, and
/// three percentiles to hedge at.
fn scenes() -> impl Iterator<Item = Scene> {
    let scenes = [
        (1, 1, 0.5, 95),
        (1, 0, 0.05, 95),
        (1, 0, 0.5, 99),
        (4, 0, 0.3, 90),
        (16, 0, 0.05, 95),
        (16, 0, 0.5, 95),
        (16, 0, 0.5, 90),
        (16, 0, 0.3, 99),
        (64, 0, 0.3, 95),
        (64, 0, 0.5, 95),
    ];
    scenes.into_iter().enumerate().map(|(i, (callers, pause, sigma, percentile))| {
        let (pause, hedge) = (Duration::from_secs(pause), Hedge::DEFAULT.percentile(percentile));
        Scene { seed: 7 + i as u64, callers, pause, sigma, hedge }
    })
}

#[tokio::test(start_paused = true)]
async fn callers_do_not_notice_that_one_of_three_is_ten_times_as_slow_and_it_is_used_again_when_it_is_well() {
    for scene in scenes() {
        let [well, slow, healed] = scene.tell([5_000; 3]).await;
        let (before, after) = (well.part(0.99), slow.part(0.99));
        assert!(after <= before * 1.3, "{scene:?}: p99 {before:.2} s, and then {after:.2} s");
        // The first tenth is how it becomes known.
        let share = Seen::share(&slow.0[500..], SLOW);
        assert!(share <= 0.005, "{scene:?}: {share} of the requests begin there");
        let (time, requests) = healed.back(SLOW).expect("it is back");
        assert!(time <= Duration::from_secs(60) || requests <= 1_000, "{scene:?}: {time:?}, {requests} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn among_equals_nobody_is_left_out_however_much_times_differ() {
    for (seed, callers, sigma) in [(1, 1, 1.0), (2, 16, 1.0), (3, 64, 1.0), (4, 16, 0.5), (5, 4, 0.05)] {
        let scene = Scene { callers, sigma, ..Scene::new(seed) };
        let [seen, ..] = scene.tell([10_000, 1, 1]).await;
        for target in 0..NAMES.len() {
            let share = Seen::share(&seen.0, target);
            assert!((0.25..0.42).contains(&share), "{scene:?}: {share}");
        }
    }
}
