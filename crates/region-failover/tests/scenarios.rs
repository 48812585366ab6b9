//! Whole stories on paused time: what callers see while targets fail in all ways, and what the targets see.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{Http, Label, Payload, Target};
use buttress_region_failover::{Policy, RegionFailoverLayer};
use http::{Request, Response};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// What a target does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Serves,
    Fails,
    Hangs,
    /// Asks for so many seconds.
    Throttles(Option<u64>),
    /// Serves so many requests in a second, and refuses the others.
    Serves50(bool),
}

/// What a target does at a second of the story, with its so-and-so-many-th request.
type Plot = fn(&str, u64, u64) -> Does;

/// What was seen, second by second.
#[derive(Default)]
struct Seen {
    /// Requests that were sent then, and those of them that were served.
    sent: BTreeMap<u64, u32>,
    served: BTreeMap<u64, u32>,
    calls: BTreeMap<(String, u64), u32>,
    /// The longest that a request took to be served.
    longest: Duration,
    asked: BTreeMap<String, u64>,
}

type Shared = Arc<Mutex<Seen>>;
type Layer = RegionFailoverLayer<Http>;

const RATE: u32 = 50;

fn layer(policy: Policy) -> Layer {
    of(["east", "west", "north"].map(|name| Target::named(name).expect("a valid name")), policy)
}

fn of<const N: usize>(targets: [Target; N], policy: Policy) -> Layer {
    let layer = RegionFailoverLayer::try_new(targets).expect("names that differ").replay(Http).repeat_all();
    layer.policy(policy).seed(7).attempt_timeout(Duration::from_secs(2))
}

/// Answers as `plot` has it, 50 ms after the request came.
async fn upstream(
    request: Request<Payload>,
    plot: Plot,
    begun: Instant,
    seen: Shared,
) -> Result<Response<Payload>, Infallible> {
    let name = request.extensions().get::<Target>().expect("the layer aims").name().to_string();
    let second = (Instant::now() - begun).as_secs();
    let (does, within) = {
        let mut seen = seen.lock().expect("nothing panics in here");
        let asked = seen.asked.entry(name.clone()).or_default();
        *asked += 1;
        let does = plot(&name, second, *asked);
        let calls = seen.calls.entry((name, second)).or_default();
        *calls += 1;
        (does, *calls)
    };
    sleep(Duration::from_millis(50)).await;
    let response = Response::builder();
    let response = match does {
        Does::Hangs => pending().await,
        Does::Serves => response,
        Does::Serves50(half) if within <= if half { 13 } else { 26 } => response,
        Does::Serves50(_) | Does::Throttles(None) => response.status(429),
        Does::Fails => response.status(503),
        Does::Throttles(Some(secs)) => response.status(429).header("retry-after", secs),
    };
    Ok(response.body(Payload::default()).expect("a valid response"))
}

/// Sends `RATE` requests a second for `secs` seconds.
async fn tell(layer: &Layer, secs: u64, plot: Plot) -> Seen {
    let (seen, begun) = (Shared::default(), Instant::now());
    let told = Arc::clone(&seen);
    let service = layer.layer(service_fn(move |request| upstream(request, plot, begun, Arc::clone(&told))));
    let mut open = JoinSet::new();
    for i in 0..secs * u64::from(RATE) {
        sleep_until(begun + i as u32 * (Duration::from_secs(1) / RATE)).await;
        let (service, seen) = (service.clone(), Arc::clone(&seen));
        open.spawn(async move {
            let sent = Instant::now();
            let Ok(response) = service.oneshot(Request::new(Payload::default())).await;
            let (second, took) = ((sent - begun).as_secs(), Instant::now() - sent);
            let mut seen = seen.lock().expect("nothing panics in here");
            *seen.sent.entry(second).or_default() += 1;
            if response.status() == 200 {
                *seen.served.entry(second).or_default() += 1;
                seen.longest = seen.longest.max(took);
            }
        });
    }
    while open.join_next().await.is_some() {}
    std::mem::take(&mut *seen.lock().expect("nothing panics in here"))
}

impl Seen {
    /// The part of the requests of these seconds that was served.
    fn success(&self, seconds: std::ops::Range<u64>) -> f64 {
        let sum = |counts: &BTreeMap<u64, u32>| counts.range(seconds.clone()).map(|(_, n)| n).sum::<u32>();
        f64::from(sum(&self.served)) / f64::from(sum(&self.sent))
    }

    fn calls(&self, name: &str, seconds: std::ops::Range<u64>) -> u32 {
        let of = |second| self.calls.get(&(name.to_owned(), second)).copied().unwrap_or(0);
        seconds.map(of).sum()
    }
}

/// Tells a story with each of the policies that are commonly used, and asserts that nearly all was served.
async fn nearly_all_is_served(secs: u64, plot: Plot) {
    for policy in [Policy::Ordered, Policy::Balanced] {
        let seen = tell(&layer(policy), secs, plot).await;
        let success = seen.success(0..secs);
        assert!(success >= 0.9999, "{policy:?}: {success}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hard_outage_is_not_seen_by_callers() {
    nearly_all_is_served(
        120,
        |name, s, _| if name == "east" && (20..80).contains(&s) { Does::Fails } else { Does::Serves },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_costs_time_and_no_answer() {
    let plot: Plot = |name, s, _| if name == "east" && (20..80).contains(&s) { Does::Hangs } else { Does::Serves };
    nearly_all_is_served(120, plot).await;
    let seen = tell(&layer(Policy::Ordered), 120, plot).await;
    assert!(seen.longest < Duration::from_millis(2_200), "{:?}", seen.longest);
    let hung = seen.calls("east", 20..80);
    assert!(hung <= 2 * RATE + 30, "two seconds until it is known, and a few to look at it: {hung}");
}

#[tokio::test(start_paused = true)]
async fn a_brownout_is_not_seen_by_callers() {
    nearly_all_is_served(
        90,
        |name, s, nth| if name == "east" && s >= 20 && nth % 5 == 0 { Does::Fails } else { Does::Serves },
    )
    .await;
    nearly_all_is_served(
        90,
        |name, s, nth| if name == "east" && s >= 20 && nth % 2 == 0 { Does::Fails } else { Does::Serves },
    )
    .await;
    nearly_all_is_served(
        90,
        |name, s, nth| if name == "east" && s >= 20 && nth % 5 != 0 { Does::Fails } else { Does::Serves },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_brownout_sends_most_requests_elsewhere_with_every_policy() {
    let plot: Plot = |name, _, nth| if name == "east" && nth % 5 == 0 { Does::Fails } else { Does::Serves };
    for policy in [Policy::Ordered, Policy::Balanced, Policy::Weighted] {
        let seen = tell(&layer(policy), 60, plot).await;
        let calls = seen.calls("east", 20..60);
        assert!(calls <= 40 * RATE / 5 && calls > 0, "{policy:?}: {calls} of {}", 40 * RATE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_flaps_is_left_until_it_is_steady() {
    let plot: Plot = |name, s, _| if name == "east" && (s / 10) % 2 == 1 { Does::Fails } else { Does::Serves };
    nearly_all_is_served(100, plot).await;
    let seen = tell(&layer(Policy::Ordered), 200, plot).await;
    let failed: u32 = (0..20).filter(|ten| ten % 2 == 1).map(|ten| seen.calls("east", ten * 10..ten * 10 + 10)).sum();
    assert!(failed <= 60, "few requests meet it while it is down: {failed}");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_heeded_with_and_without_hints() {
    let hinted: Plot = |name, s, _| if name == "east" && s >= 10 { Does::Throttles(Some(20)) } else { Does::Serves };
    let mute: Plot = |name, s, _| if name == "east" && s >= 10 { Does::Throttles(None) } else { Does::Serves };
    for (plot, most) in [(hinted, 3 * 5 + 5), (mute, 5 * 60)] {
        nearly_all_is_served(70, plot).await;
        let seen = tell(&layer(Policy::Ordered), 70, plot).await;
        let calls = seen.calls("east", 10..70);
        assert!(calls <= most, "{calls} calls to a target that asked for time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_fails_together_is_passed_over_together() {
    let domain = |name: &str, domain: &str| {
        let domain = Label::try_new(domain).expect("a valid name");
        Target::named(name).expect("a valid name").with_failure_domain(domain)
    };
    let layer = of([domain("east", "a"), domain("west", "a"), domain("north", "b")], Policy::Ordered);
    let plot: Plot = |name, s, _| if name != "north" && s >= 20 { Does::Fails } else { Does::Serves };
    let seen = tell(&layer, 60, plot).await;
    assert!(seen.success(0..60) >= 0.9999, "{}", seen.success(0..60));
    // East is passed over by its domain until it is out, and then west is soon out as well.
    let vain = seen.calls("east", 20..25) + seen.calls("west", 20..25);
    assert!(vain <= 20, "the other domain came first: {vain}");
}

#[tokio::test(start_paused = true)]
async fn when_half_of_the_capacity_is_back_all_is_well_within_30_s() {
    // Each serves 26 in a second, and all together 78; for a minute, half of that, and 50 are asked.
    let plot: Plot = |_, s, _| Does::Serves50((30..90).contains(&s));
    for policy in [Policy::Balanced, Policy::Weighted, Policy::Ordered] {
        let seen = tell(&layer(policy), 150, plot).await;
        let during = seen.success(30..90);
        assert!(during >= 0.35, "{policy:?}: most of what there is is used: {during}");
        let after = seen.success(120..150);
        assert!(after >= 0.99, "{policy:?}: nothing is left of it: {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_back_is_not_run_over() {
    let plot: Plot = |name, s, _| if name == "east" && (10..40).contains(&s) { Does::Fails } else { Does::Serves };
    for (policy, whole) in [(Policy::Ordered, RATE), (Policy::Weighted, RATE / 3)] {
        let seen = tell(&layer(policy), 160, plot).await;
        // It serves its first single request at 40 s at the earliest, and counts again 30 s later.
        let single = seen.calls("east", 40..70);
        assert!(single <= 60, "{policy:?}: single requests at first: {single}");
        let back = (70..100).find(|s| seen.calls("east", *s..s + 5) > 15).expect("it comes back");
        for after in 0..6 {
            let (from, got) = (back + after * 10, seen.calls("east", back + after * 10..back + after * 10 + 10));
            // Ten seconds of a ramp of sixty, of which some have passed, and half as much again by chance.
            let ramp = f64::from(whole) * 10.0 * ((after as f64 * 10.0 + 15.0) / 60.0).min(1.0) * 1.5 + 20.0;
            assert!(f64::from(got) <= ramp, "{policy:?}: {got} from {from} s on, and not {ramp}");
        }
        let late = seen.calls("east", 145..160);
        assert!(late >= whole * 15 / 2, "{policy:?}: it has its load again: {late}");
    }
    // By cost, it is hardly asked while it fails, and never put out; then, as what it cost fades, by and by.
    let seen = tell(&layer(Policy::Balanced), 120, plot).await;
    let most = (40..120).map(|s| seen.calls("east", s..s + 1)).max().expect("it was asked");
    assert!(most <= RATE / 3 * 2, "no second saw more than twice its share: {most}");
}

#[tokio::test(start_paused = true)]
async fn targets_are_replaced_under_load_and_nobody_notices() {
    let layer = layer(Policy::Balanced);
    let operator = layer.handle();
    let replacing = async {
        for round in 0..30 {
            sleep(Duration::from_secs(1)).await;
            let names = if round % 2 == 0 { ["west", "south"] } else { ["east", "north"] };
            operator.replace(names.map(|name| Target::named(name).expect("a valid name"))).expect("names that differ");
        }
    };
    let (seen, ()) = tokio::join!(tell(&layer, 30, |_, _, _| Does::Serves), replacing);
    assert!((seen.success(0..30) - 1.0).abs() < f64::EPSILON);
    assert!(seen.calls("south", 0..30) > 200 && seen.calls("north", 0..30) > 200);
    assert!(operator.list(Instant::now()).iter().all(|report| report.pending == 0));
}
