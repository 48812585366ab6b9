//! The whole stack over targets that work off a line each, and go on with what nobody waits for any more. Some turn away whoever
//! would stand in line for too long, and some never do: a shortage is borne by what matters least, and it is over when it
//! is over.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_circuit_breaker::{ByTarget, CircuitBreakerLayer, Key, Settings};
use buttress_concurrency::ConcurrencyLayer;
use buttress_core::{Criticality, Http, Label, Payload, Target};
use buttress_deadline::DeadlineLayer;
use buttress_region_failover::{Policy, RegionFailoverLayer};
use buttress_retry::{Budget, RetryLayer, Share};
use http::{Request, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

const RATE: u32 = 50;
/// Each of three targets serves 25 in a second: half of all.
const EACH: Duration = Duration::from_millis(40);
/// How long a line may be where it has an end.
const SHORT: Duration = Duration::from_millis(1_500);
const ENDLESS: Duration = Duration::from_secs(24 * 60 * 60);
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether a target works at a second of the story, and how much longer it takes than it should.
type Plot = fn(&str, u64) -> Option<u32>;

/// What happens, and who meets it.
#[derive(Clone, Copy)]
struct Story {
    policy: Policy,
    /// The share of retries, in percent.
    budget: u32,
    /// How long a line may be.
    line: Duration,
    /// How many calls may be under way at a target.
    limit: u32,
    plot: Plot,
}

/// What was seen, second by second and class by class.
#[derive(Default)]
struct Seen {
    sent: BTreeMap<(Criticality, u64), u32>,
    served: BTreeMap<(Criticality, u64), u32>,
    /// When each target will have worked off what it was sent.
    busy_until: BTreeMap<String, Instant>,
    attempts: u32,
}

type World = Arc<Mutex<Seen>>;

async fn upstream(
    request: Request<Payload>,
    Story { plot, line, .. }: Story,
    begun: Instant,
    world: World,
) -> Result<Response<Payload>, Infallible> {
    let name = request.extensions().get::<Target>().expect("the layer aims").name().to_string();
    let now = Instant::now();
    let times = plot(&name, (now - begun).as_secs());
    let (status, done) = {
        let mut world = world.lock().expect("nothing panics in here");
        world.attempts += 1;
        let busy = world.busy_until.entry(name).or_insert(now);
        match times {
            None => (503, now),
            Some(_) if *busy > now + line => (429, now),
            Some(times) => {
                *busy = (*busy).max(now) + EACH * times;
                (200, *busy)
            }
        }
    };
    sleep_until(done).await;
    Ok(Response::builder().status(status).body(Payload::default()).expect("a valid response"))
}

fn target_of(request: &Request<Payload>) -> Option<Label> {
    request.extensions().get::<Target>().map(|target| target.name().clone())
}

const fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

/// The stack, as a user would build it.
fn stack(
    story: Story,
    begun: Instant,
    world: World,
) -> impl Service<Request<Payload>, Response: Answer, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let Story { policy, budget, limit, .. } = story;
    let targets = ["east", "west", "north"].map(|name| Target::named(name).expect("a valid name"));
    let breaker = CircuitBreakerLayer::try_new(Settings::new()).expect("settings within range").keyed(ByTarget);
    let circuits = breaker.handle();
    let failover = RegionFailoverLayer::try_new(targets).expect("names that differ").policy(policy).seed(7);
    ServiceBuilder::new()
        .layer(DeadlineLayer::headers_only(PATIENCE))
        .layer(
            RetryLayer::new().replay(Http).repeat_all().seed(7).budget(Budget::concurrency(Share::percent(budget), 3)),
        )
        .layer(
            failover
                .replay(Http)
                .repeat_all()
                .attempt_timeout(Duration::from_secs(2))
                .admit(move |target: &Target, now: Instant| circuits.admits(&Key::new(target.name().clone()), now)),
        )
        .layer(ConcurrencyLayer::fixed(n(limit)).keyed(NonZeroUsize::new(8).expect("not zero"), target_of))
        .layer(breaker)
        .service(service_fn(move |request| upstream(request, story, begun, Arc::clone(&world))))
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, budget, line, limit, .. } = self;
        write!(f, "{policy:?}, {budget} %, {line:?}, {limit}")
    }
}

trait Answer {
    fn is_good(&self) -> bool;
}

impl<B> Answer for Response<B> {
    fn is_good(&self) -> bool {
        self.status() == 200
    }
}

/// Sends `RATE` requests a second for `secs` seconds, every second one of which is sheddable if `mixed`.
async fn tell(story: Story, mixed: bool, secs: u64) -> Seen {
    let (world, begun) = (World::default(), Instant::now());
    let service = stack(story, begun, Arc::clone(&world));
    let mut open = JoinSet::new();
    for i in 0..secs * u64::from(RATE) {
        sleep_until(begun + i as u32 * (Duration::from_secs(1) / RATE)).await;
        let class = if mixed && i % 2 == 0 { Criticality::Sheddable } else { Criticality::Critical };
        let (service, world, second) = (service.clone(), Arc::clone(&world), i / u64::from(RATE));
        open.spawn(async move {
            let mut request = Request::new(Payload::default());
            request.extensions_mut().insert(class);
            let good = service.oneshot(request).await.is_ok_and(|answer| answer.is_good());
            let mut seen = world.lock().expect("nothing panics in here");
            *seen.sent.entry((class, second)).or_default() += 1;
            *seen.served.entry((class, second)).or_default() += u32::from(good);
        });
    }
    while open.join_next().await.is_some() {}
    std::mem::take(&mut *world.lock().expect("nothing panics in here"))
}

impl Seen {
    /// The part of the requests of these seconds that was served in time.
    fn goodput(&self, class: Criticality, seconds: Range<u64>) -> f64 {
        let sum = |counts: &BTreeMap<_, u32>| {
            let of = |second| counts.get(&(class, second)).copied().unwrap_or(0);
            seconds.clone().map(of).sum::<u32>()
        };
        f64::from(sum(&self.served)) / f64::from(sum(&self.sent))
    }
}

/// Each way to choose, with few retries and with many.
fn stories(line: Duration, limit: u32, plot: Plot) -> impl Iterator<Item = Story> {
    let of = move |policy| [20, 200].map(|budget| Story { policy, budget, line, limit, plot });
    [Policy::Ordered, Policy::Balanced].into_iter().flat_map(of)
}

#[tokio::test(start_paused = true)]
async fn with_half_of_what_is_needed_left_spill_ends_with_the_outage_whatever_the_retry_budget() {
    // One target is left, which can serve half of what is asked.
    let plot: Plot = |name, s| if name != "north" && (20..80).contains(&s) { None } else { Some(1) };
    for story in stories(SHORT, 40, plot).chain(stories(ENDLESS, 40, plot)) {
        let seen = tell(story, false, 140).await;
        let goodput = |seconds| seen.goodput(Criticality::Critical, seconds);
        assert!(goodput(0..20) >= 0.99, "{story:?}: {}", goodput(0..20));
        assert!(goodput(20..80) >= 0.3, "{story:?}: most of what is left: {}", goodput(20..80));
        assert!(goodput(110..140) >= 0.99, "{story:?}: it is over: {}", goodput(110..140));
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_slow_down_to_a_third_it_is_over_when_they_are_fast_again() {
    // Of 75 in a second that they serve together, 25 are left, and 50 are asked.
    let plot: Plot = |_, s| if (20..80).contains(&s) { Some(3) } else { Some(1) };
    for story in stories(SHORT, 40, plot) {
        let seen = tell(story, false, 140).await;
        let goodput = |seconds| seen.goodput(Criticality::Critical, seconds);
        assert!(goodput(110..140) >= 0.99, "{story:?}: {}", goodput(110..140));
        let amplification = f64::from(seen.attempts) / f64::from(140 * RATE);
        assert!(amplification <= 2.0, "{story:?}: {amplification} attempts a request");
    }
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_behind_are_not_kept_behind_though_all_of_them_are_and_none_turns_anybody_away() {
    let third: Plot = |_, s| if (20..80).contains(&s) { Some(3) } else { Some(1) };
    let tenth: Plot = |_, s| if (20..80).contains(&s) { Some(10) } else { Some(1) };
    // Half of what is asked, or less than a sixth of it, is what there is.
    for (plot, part) in [(third, 0.3), (tenth, 0.05)] {
        for story in [40, 100_000].into_iter().flat_map(|limit| stories(ENDLESS, limit, plot)) {
            let seen = tell(story, false, 140).await;
            let goodput = |seconds| seen.goodput(Criticality::Critical, seconds);
            assert!(goodput(30..80) >= part, "{story:?}: most of what is left: {}", goodput(30..80));
            assert!(goodput(100..140) >= 0.99, "{story:?}: it is over: {}", goodput(100..140));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_person_waits_for_is_served_while_batches_bear_the_shortage() {
    let plot: Plot = |name, s| if name != "north" && (20..80).contains(&s) { None } else { Some(1) };
    let seen = tell(Story { policy: Policy::Balanced, budget: 20, line: SHORT, limit: 40, plot }, true, 140).await;
    let during = [Criticality::Critical, Criticality::Sheddable].map(|class| seen.goodput(class, 25..80));
    assert!(during[0] >= 0.9 && during[1] < 0.1, "there is just enough for the half that matters: {during:?}");
    assert!(seen.goodput(Criticality::Critical, 110..140) >= 0.99);
}
