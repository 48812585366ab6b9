//! Circuit breakers around a number that becomes a number, and two threads at one of them.

use std::{
    fmt::Write as _,
    hint::black_box,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc, Barrier, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use buttress_circuit_breaker::{CircuitBreakerLayer, CircuitOpen, Key, OneKey, PlainProtocol, Settings, State};
use buttress_core::{Class, Label};
use failsafe::CircuitBreaker as _;
use recloser::Recloser;
use std::future::{Ready, ready};
use tokio::time::Instant;
use tower::{Layer as _, Service};
use tower_resilience_circuitbreaker as resilience;

use crate::{
    Group,
    plain_cases::{Bare, Failed, on_error},
};

type Classifier = fn(Result<&u64, &Failed>) -> Class;
type Refuser = fn(CircuitOpen) -> Result<u64, Failed>;
type Plain = CircuitBreakerLayer<Refuser, Classifier, OneKey, PlainProtocol>;

/// A breaker that is asked around a function, made a service.
#[derive(Clone)]
struct Around<F>(F);

const KEYS: u64 = 10_000;

static NAMES: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let label = |i| Label::try_new(&format!("deployment-{i:05}")).expect("visible ASCII");
    (0..KEYS).map(|i| Key::new(label(i))).collect()
});

static COUNTER: AtomicU64 = AtomicU64::new(0);

fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

fn layer(settings: Settings) -> Plain {
    CircuitBreakerLayer::try_plain(settings, on_error as Classifier, (|_| Err(Failed)) as Refuser).expect("in range")
}

fn by_count(calls: u32) -> Settings {
    Settings::new().count_window(n(calls)).no_slow()
}

/// Never opens, however many fail: what is measured is the count.
fn patient(settings: Settings) -> Settings {
    settings.no_consecutive().failure_rate(100)
}

// === impl Around ===

impl<F: Fn(u64) -> Result<u64, Failed>> Service<u64> for Around<F> {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready((self.0)(request))
    }
}

fn work(request: u64) -> Result<u64, Failed> {
    black_box(request).checked_sub(1).ok_or(Failed)
}

fn peers() -> (impl Service<u64, Error = Failed> + Clone, impl Service<u64, Error = Failed> + Clone) {
    let failsafe = failsafe::Config::new().build();
    let recloser = Arc::new(Recloser::custom().closed_len(100).build());
    (
        Around(move |request| failsafe.call(|| work(request)).map_err(|_| Failed)),
        Around(move |request| recloser.call(|| work(request)).map_err(|_| Failed)),
    )
}

/// Closed circuits, and calls that succeed.
pub(crate) fn closed() -> Group<u64> {
    let (failsafe, recloser) = peers();
    let by_consecutive =
        failsafe::failure_policy::consecutive_failures(5, failsafe::backoff::constant(Duration::from_secs(5)));
    let consecutive = failsafe::Config::new().failure_policy(by_consecutive).build();
    let consecutive = Around(move |request| consecutive.call(|| work(request)).map_err(|_| Failed));
    let theirs = resilience::CircuitBreakerLayer::builder().build().expect("the defaults");
    let half_a_minute = Settings::new().no_slow();
    let locked = layer(by_count(100).initial(State::MetricsOnly));
    Group::new("a closed circuit breaker around u64 -> u64, calls that succeed", || 7, "bare", Bare)
        .case("failsafe, success rate over time", failsafe)
        .case("failsafe, consecutive", consecutive)
        .case("recloser, 100 calls", recloser)
        .case("tower-resilience circuitbreaker", theirs.layer(Bare))
        .case("buttress, 100 calls", layer(by_count(100)).layer(Bare))
        .promise(0)
        .case("buttress, 30 s", layer(half_a_minute).layer(Bare))
        .promise(0)
        .case("buttress, 30 s and slow calls (default)", layer(Settings::new()).layer(Bare))
        .promise(0)
        .case("buttress, 100 calls, always by the lock", locked.layer(Bare))
        .promise(0)
}

/// The same by key, with the keys in turn.
pub(crate) fn keyed() -> Group<u64> {
    let next = || COUNTER.fetch_add(1, Ordering::Relaxed) % KEYS + 1;
    let key = |request: &u64| Some(NAMES[(*request - 1) as usize].clone());
    let keyed = |settings: Settings| {
        let layer = layer(settings.max_keys(NonZeroUsize::new(2 * KEYS as usize).expect("not zero"))).keyed(key);
        NAMES.iter().for_each(|key| drop(layer.handle().acquire(key)));
        layer.layer(Bare)
    };
    Group::new("10,000 keys in turn, calls that succeed", next, "bare", Bare)
        .case("buttress by key, 100 calls", keyed(by_count(100)))
        .promise(0)
        .case("buttress by key, 30 s and slow calls", keyed(Settings::new()))
        .promise(0)
}

/// Windows of several sizes, where one call in ten fails.
pub(crate) fn windows() -> Group<u64> {
    let next = || COUNTER.fetch_add(1, Ordering::Relaxed) % 10;
    let of = |settings: Settings| layer(patient(settings)).layer(Bare);
    let resilience = |calls: usize| {
        let builder = resilience::CircuitBreakerLayer::builder().failure_rate_threshold(1.0);
        builder.sliding_window_size(calls).build().expect("in range").layer(Bare)
    };
    Group::new("windows of several sizes, one call in ten fails", next, "bare", Bare)
        .case("tower-resilience, 100 calls", resilience(100))
        .case("buttress, 10 calls", of(by_count(10)))
        .promise(0)
        .case("buttress, 1,000 calls", of(by_count(1_000)))
        .promise(0)
        .case("buttress, 100,000 calls", of(by_count(100_000)))
        .promise(0)
        .case("buttress, 30 s", of(Settings::new().no_slow()))
        .promise(0)
        .case("buttress, 1 h", of(Settings::new().no_slow().time_window(Duration::from_secs(3_600))))
        .promise(0)
}

/// Open circuits: what a refusal costs.
pub(crate) fn open() -> Group<u64> {
    let layer = layer(Settings::new().initial(State::ForcedOpen));
    Group::new("an open circuit", || 7, "bare", Bare).case("buttress, forced open", layer.layer(Bare))
}

/// Calls one circuit from one thread and from two, and says what a call takes by the clock.
pub(crate) fn two_threads(calls: u32) -> String {
    let (failsafe, recloser) = peers();
    let mut table = String::from("one circuit, wall time per call of a thread: one thread, two threads\n");
    let mut row = |name: &str, [one, two]: [f64; 2]| {
        let _ = writeln!(table, "{name:46} {one:7.1} ns {two:7.1} ns");
    };
    row("failsafe, success rate over time", both(&failsafe, calls));
    row("recloser, 100 calls", both(&recloser, calls));
    row("buttress, 100 calls", both(&layer(by_count(100)).layer(Bare), calls));
    row("buttress, 30 s and slow calls (default)", both(&layer(Settings::new()).layer(Bare), calls));
    row(
        "buttress, 100 calls, always by the lock",
        both(&layer(by_count(100).initial(State::MetricsOnly)).layer(Bare), calls),
    );
    table
}

fn both<S: Service<u64, Error = Failed> + Clone + Send>(service: &S, calls: u32) -> [f64; 2] {
    [1, 2].map(|threads| {
        let barrier = Barrier::new(threads);
        let run = |mut service: S| {
            barrier.wait();
            let begun = Instant::now();
            (0..calls).for_each(|_| crate::measure::call(&mut service, 7));
            Instant::now() - begun
        };
        let longest = thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    let service = service.clone();
                    scope.spawn(|| run(service))
                })
                .collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).max().expect("a thread")
        });
        longest.as_nanos() as f64 / f64::from(calls)
    })
}
