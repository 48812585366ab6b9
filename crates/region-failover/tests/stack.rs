//! The layers together: who answered, retries, and failover, over three upstreams that fail in all ways, on paused time.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use buttress_core::{Payload, Refusal, RefusalKind, ReplayBody, Rewritten, Target};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use buttress_served_by::ServedByLayer;
use buttress_testkit::{read, send};
use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, service_fn};

/// What an upstream does.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Up,
    Down,
    /// Down until this long after the start.
    DownFor(Duration),
    Hangs,
    /// Over its rate; come back after so many seconds.
    Throttles(u64),
    /// Fails every second call.
    Flaps,
    /// Turns the first call away, and asks for another.
    SaysAgain,
    /// Does not know the credential.
    Locked,
    /// Down, and says that no retry helps.
    SaysNo,
}

/// Three upstreams.
#[derive(Clone)]
struct World(Arc<Mutex<State>>);

struct State {
    start: Instant,
    modes: BTreeMap<String, Mode>,
    /// Who was called, when, and with what.
    calls: Vec<(String, Duration, http::HeaderMap)>,
}

type Sent = Request<ReplayBody<ReplayBody<Payload>>>;
type Answer = Response<Payload>;

const NAMES: [&str; 3] = ["east", "west", "north"];

// === impl World ===

impl World {
    /// Creates the upstreams in the order east, west, north.
    fn new(modes: [Mode; 3]) -> Self {
        let world =
            Self(Arc::new(Mutex::new(State { start: Instant::now(), modes: BTreeMap::new(), calls: Vec::new() })));
        world.become_(modes);
        world
    }

    fn become_(&self, modes: [Mode; 3]) {
        self.state().modes = NAMES.map(String::from).into_iter().zip(modes).collect();
    }

    fn calls(&self) -> String {
        self.state().calls.iter().map(|call| call.0.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics in here")
    }

    /// Notes a call, and says how the upstream behaves towards it.
    fn note(&self, request: &Sent) -> Mode {
        let name = request.extensions().get::<Target>().expect("every attempt is aimed").name().to_string();
        let mut state = self.state();
        let (mode, now) = (state.modes[&name], Instant::now() - state.start);
        let earlier = state.calls.iter().filter(|call| call.0 == name).count();
        state.calls.push((name, now, request.headers().clone()));
        match mode {
            Mode::DownFor(time) => {
                if now < time {
                    Mode::Down
                } else {
                    Mode::Up
                }
            }
            Mode::Flaps => {
                if earlier % 2 == 0 {
                    Mode::Down
                } else {
                    Mode::Up
                }
            }
            Mode::SaysAgain if earlier > 0 => Mode::Up,
            Mode::Up
            | Mode::Down
            | Mode::Hangs
            | Mode::Throttles(_)
            | Mode::SaysAgain
            | Mode::Locked
            | Mode::SaysNo => mode,
        }
    }

    async fn answer(self, request: Sent) -> Result<Answer, Infallible> {
        let response = match self.note(&request) {
            Mode::Hangs => pending().await,
            Mode::Up => Response::builder().header("x-served-by", "an impostor"),
            Mode::Throttles(seconds) => Response::builder().status(429).header("retry-after", seconds),
            Mode::SaysAgain => Response::builder().status(400).header("x-should-retry", "true"),
            Mode::Locked => Response::builder().status(401),
            Mode::SaysNo => Response::builder().status(503).header("x-should-retry", "false"),
            Mode::Down | Mode::DownFor(_) | Mode::Flaps => Response::builder().status(503),
        };
        // Whoever is up answers with what it was asked.
        let asked = read(request.into_body()).await.bytes();
        Ok(response.body(Payload::new(asked)).expect("a valid response"))
    }

    /// The stack around the upstreams, as a user would build it.
    fn stack(
        &self,
        retry: RetryLayer,
    ) -> impl Service<Request<Payload>, Response = Answer, Error = Infallible> + Clone + use<> {
        let targets = NAMES.map(|name| Target::named(name).expect("a valid name"));
        let failover = RegionFailoverLayer::try_new(targets).expect("names that differ");
        let world = self.clone();
        ServiceBuilder::new()
            .layer(ServedByLayer::new())
            .layer(retry.repeat_all().seed(7))
            .layer(failover.repeat_all().attempt_timeout(Duration::from_secs(2)))
            .service(service_fn(move |request| world.clone().answer(request)))
    }
}

fn question() -> Request<Payload> {
    let mut request = Request::new(Payload::new(Bytes::from_static(b"a question")));
    *request.method_mut() = Method::POST;
    request
}

/// Sends one request; returns the answer and how long it took.
async fn ask<S>(service: &mut S) -> (Answer, Duration)
where
    S: Service<Request<Payload>, Response = Answer, Error = Infallible>,
{
    let began = Instant::now();
    let Ok(answer) = send(service, question()).await;
    (answer, Instant::now() - began)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().expect("visible ASCII"))
}

/// Sends 200 requests; returns how many succeeded, and the longest time that one took.
async fn ask_often(world: &World) -> (usize, Duration) {
    let mut service = world.stack(RetryLayer::new());
    let (mut good, mut longest) = (0, Duration::ZERO);
    for _ in 0..200 {
        let (answer, took) = ask(&mut service).await;
        good += usize::from(answer.status() == 200 && answer.body().bytes() == "a question");
        longest = longest.max(took);
    }
    (good, longest)
}

#[tokio::test(start_paused = true)]
async fn when_all_are_well_the_first_answers_and_says_so() {
    let world = World::new([Mode::Up; 3]);
    let (answer, took) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), took, world.calls().as_str()), (200, Duration::ZERO, "east"));
    assert_eq!(header(&answer, "x-served-by"), Some("east"), "and not what the upstream calls itself");
    assert_eq!([header(&answer, "x-attempts"), header(&answer, "x-attempt-trail")], [Some("1"), Some("east;200;0ms")]);
}

#[tokio::test(start_paused = true)]
async fn when_one_is_down_all_of_two_hundred_calls_succeed_at_once() {
    for down in 0..3 {
        let mut modes = [Mode::Up; 3];
        modes[down] = Mode::Down;
        assert_eq!(ask_often(&World::new(modes)).await, (200, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn when_two_are_down_the_third_answers_at_once() {
    let world = World::new([Mode::Down, Mode::Down, Mode::Up]);
    assert_eq!(ask_often(&world).await, (200, Duration::ZERO));
    let (answer, _) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!(header(&answer, "x-served-by"), Some("north"));
    assert_eq!(header(&answer, "x-attempt-trail"), Some("east;503;0ms, west;503;0ms, north;200;0ms"));
}

#[tokio::test(start_paused = true)]
async fn when_all_are_down_the_caller_hears_it_once_and_soon_and_when_they_are_up_he_is_served() {
    let world = World::new([Mode::Down; 3]);
    let mut service = world.stack(RetryLayer::new());
    let (answer, took) = ask(&mut service).await;
    assert_eq!((answer.status().as_u16(), world.calls().as_str()), (503, "east west north east west"));
    assert!(took <= Duration::from_millis(51), "{took:?}");
    assert_eq!([header(&answer, "x-should-retry"), header(&answer, "retry-after")], [Some("false"), Some("1")]);
    assert_eq!([header(&answer, "x-served-by"), header(&answer, "x-attempts")], [None, Some("5")]);
    assert!(answer.body().bytes().starts_with(br#"{"error":{"message":"#), "{:?}", answer.body());

    world.become_([Mode::Up; 3]);
    let (answer, _) = ask(&mut service).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-served-by")), (200, Some("east")));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_all_that_ends_during_the_wait_is_not_seen() {
    let world = World::new([Mode::DownFor(Duration::from_millis(1)); 3]);
    let (answer, took) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), world.calls().as_str()), (200, "east west north east"));
    assert!(took >= Duration::from_millis(1), "a second walk follows a wait");
    assert_eq!(header(&answer, "x-attempts"), Some("4"));
    assert_eq!(answer.body().bytes(), "a question");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_costs_its_time_and_no_more() {
    let world = World::new([Mode::Hangs, Mode::Up, Mode::Up]);
    let (answer, took) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), took), (200, Duration::from_secs(2)));
    assert_eq!(header(&answer, "x-attempt-trail"), Some("east;timeout;2000ms, west;200;0ms"));
}

#[tokio::test(start_paused = true)]
async fn when_all_hang_the_deadline_ends_it() {
    let world = World::new([Mode::Hangs; 3]);
    let (answer, took) = ask(&mut world.stack(RetryLayer::new().deadline(Duration::from_millis(4_500)))).await;
    assert_eq!((answer.status().as_u16(), took), (504, Duration::from_millis(4_500)));
    assert_eq!([header(&answer, "x-should-retry"), header(&answer, "retry-after")], [Some("false"), Some("1")]);
    assert_eq!(
        header(&answer, "x-attempt-trail"),
        Some("east;timeout;2000ms, west;timeout;2000ms, north;timeout;500ms")
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_out_the_hint_of_one_while_another_is_free() {
    let world = World::new([Mode::Throttles(30), Mode::Throttles(30), Mode::Up]);
    assert_eq!(ask_often(&world).await, (200, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_all_that_is_longer_than_there_is_time_goes_to_the_caller_at_once() {
    let world = World::new([Mode::Throttles(30), Mode::Throttles(45), Mode::Throttles(40)]);
    let (answer, took) = ask(&mut world.stack(RetryLayer::new().deadline(Duration::from_secs(10)))).await;
    assert_eq!((answer.status().as_u16(), took), (429, Duration::ZERO));
    assert_eq!([header(&answer, "retry-after"), header(&answer, "x-attempts")], [Some("30"), Some("3")]);

    let (answer, took) = ask(&mut world.stack(RetryLayer::new().max_hint(Duration::from_secs(20)))).await;
    assert_eq!((answer.status().as_u16(), took), (429, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_all_that_there_is_time_for_is_waited_out() {
    let world = World::new([Mode::Throttles(5); 3]);
    let (_, took) = ask(&mut world.stack(RetryLayer::new())).await;
    assert!((5_000..=5_500).contains(&took.as_millis()), "{took:?}");
    let sooner = world.state().calls.iter().skip(3).any(|call| call.1 < Duration::from_secs(5));
    assert!(!sooner && world.state().calls.len() == 5);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_for_another_try_gets_it() {
    let world = World::new([Mode::SaysAgain, Mode::Up, Mode::Up]);
    let (answer, _) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), world.calls().as_str()), (200, "east east"));
}

#[tokio::test(start_paused = true)]
async fn targets_that_flap_are_never_seen_to() {
    for modes in [[Mode::Flaps; 3], [Mode::Flaps, Mode::Hangs, Mode::Flaps], [Mode::Down, Mode::Flaps, Mode::Flaps]] {
        let (good, longest) = ask_often(&World::new(modes)).await;
        assert_eq!(good, 200, "{modes:?}");
        assert!(longest <= Duration::from_millis(2_051), "{modes:?}: {longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_retried_already_is_given_fewer_attempts() {
    for (count, calls) in [("0", 5), ("2", 3), ("4", 1)] {
        let world = World::new([Mode::Down; 3]);
        let mut request = question();
        request.headers_mut().insert("x-stainless-retry-count", count.parse().unwrap());
        let Ok(answer) = send(&mut world.stack(RetryLayer::new()), request).await;
        assert_eq!((answer.status().as_u16(), world.state().calls.len()), (503, calls), "after {count} retries");
    }
}

#[tokio::test(start_paused = true)]
async fn the_allowance_holds_for_all_layers_together() {
    for allowance in 1..=9 {
        let world = World::new([Mode::Down; 3]);
        let attempts = NonZeroU32::new(9).expect("not zero");
        let retry = RetryLayer::new().attempts(attempts).allowance(NonZeroU32::new(allowance).expect("not zero"));
        let (answer, _) = ask(&mut world.stack(retry)).await;
        assert_eq!((answer.status().as_u16(), world.state().calls.len()), (503, allowance as usize));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_planted_is_seen_by_no_upstream() {
    let world = World::new([Mode::Down, Mode::Up, Mode::Up]);
    let mut request = question();
    for name in ["x-served-by", "x-attempt-trail", "x-attempts"] {
        request.headers_mut().insert(name, "planted".parse().unwrap());
    }
    let Ok(answer) = send(&mut world.stack(RetryLayer::new()), request).await;
    assert_eq!(header(&answer, "x-served-by"), Some("west"));
    assert!(world.state().calls.iter().all(|call| call.2.is_empty()));
}

/// The trail of an answer, without the times.
fn went(answer: &Answer) -> String {
    let trail = header(answer, "x-attempt-trail").unwrap_or_default();
    trail.split(", ").filter_map(|attempt| attempt.rsplit_once(';')).map(|(went, _)| went).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asked_for_time_is_left_alone_while_its_sibling_is_asked_again() {
    let world = World::new([Mode::Throttles(70), Mode::Down, Mode::Throttles(70)]);
    let (answer, _) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), world.calls().as_str()), (503, "east west north west west"));
    assert_eq!(went(&answer), "east;429 west;503 north;429 west;503 west;503");
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_time_is_over_is_asked_again() {
    let world = World::new([Mode::Throttles(2), Mode::Throttles(2), Mode::Throttles(70)]);
    let (answer, took) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), world.calls().as_str()), (429, "east west north east west"));
    assert!((2_000..=2_200).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn where_no_target_can_ever_serve_it_each_is_asked_once() {
    for mode in [Mode::Locked, Mode::SaysNo] {
        let world = World::new([mode; 3]);
        let (answer, took) = ask(&mut world.stack(RetryLayer::new())).await;
        assert_eq!((answer.status().as_u16(), world.calls().as_str()), (503, "east west north"), "{mode:?}");
        assert_eq!((took, header(&answer, "x-should-retry")), (Duration::ZERO, Some("false")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_for_another_try_gets_it_in_the_next_walk_too() {
    let world = World::new([Mode::SaysAgain; 3]);
    let (answer, _) = ask(&mut world.stack(RetryLayer::new())).await;
    assert_eq!((answer.status().as_u16(), world.calls().as_str()), (200, "east east"));
    assert_eq!(went(&answer), "east;400 east;200");
}

#[tokio::test(start_paused = true)]
async fn where_no_target_takes_the_request_no_attempt_is_recorded() {
    let refuse = |_: Request<ReplayBody<ReplayBody<Payload>>>, _: &Target| -> Result<Rewritten<Sent>, Refusal> {
        Err(Refusal::new(RefusalKind::NotFound, "no such model"))
    };
    let (world, targets) = (World::new([Mode::Up; 3]), NAMES.map(|name| Target::named(name).expect("a valid name")));
    let upstream = world.clone();
    let mut service = ServiceBuilder::new()
        .layer(ServedByLayer::new())
        .layer(RetryLayer::new().repeat_all())
        .layer(RegionFailoverLayer::try_new(targets).expect("names that differ").rewrite(refuse))
        .service(service_fn(move |request| upstream.clone().answer(request)));
    let (answer, took) = ask(&mut service).await;
    assert_eq!((answer.status().as_u16(), took, world.calls().as_str()), (404, Duration::ZERO, ""));
    assert_eq!(
        ["x-served-by", "x-attempts", "x-attempt-trail"].map(|name| header(&answer, name)),
        [None, Some("0"), None]
    );
}
