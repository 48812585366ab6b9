//! Limits of concurrency, beside tower's: alone, at their limit, and with another thread at the same limit.

use std::{
    fmt,
    future::{Pending, Ready, pending, ready},
    hint::black_box,
    mem,
    num::{NonZeroU32, NonZeroUsize},
    pin::pin,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
};

use buttress_concurrency::{
    Aimd, Algorithm, Bounds, ConcurrencyLayer, Criticality, Cubic, Gradient2, Queue, Shares, Vegas,
};
use buttress_core::{Payload, Refusal};
use cpu_time::ThreadTime;
use http::Request;
use tower::{Layer as _, Service, limit::ConcurrencyLimitLayer};

use crate::{
    Group,
    http_cases::{Bare as HttpBare, request},
};

/// Answers at once.
#[derive(Clone, Debug)]
struct Bare;

/// Never answers.
#[derive(Clone, Debug)]
struct Never;

#[derive(Clone, Copy, Debug)]
struct Full;

/// What calls cost on a thread while another one makes the same.
pub(crate) struct Contended(Vec<(&'static str, f64)>);

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Full;
    type Future = Ready<Result<u64, Full>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Full>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(black_box(request)))
    }
}

impl Service<u64> for Never {
    type Response = u64;
    type Error = Full;
    type Future = Pending<Result<u64, Full>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Full>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Self::Future {
        pending()
    }
}

fn refuse(_: Refusal) -> Result<u64, Full> {
    Err(Full)
}

fn limit(limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).expect("not zero")
}

fn fixed() -> ConcurrencyLayer {
    ConcurrencyLayer::fixed(limit(1_000))
}

fn adaptive(algorithm: impl Algorithm + Clone + Sync) -> ConcurrencyLayer {
    ConcurrencyLayer::adaptive(algorithm)
}

fn bounds() -> Bounds {
    Bounds::try_new(limit(1), limit(1_000)).expect("in order")
}

/// Calls that find a place, and such that do not.
pub(crate) fn plain() -> Group<u64> {
    let shares = Shares::try_new([(Criticality::Critical, 50)]).expect("half");
    let keyed = fixed().keyed(NonZeroUsize::new(1_000).expect("not zero"), |request: &u64| *request);
    let full = ConcurrencyLayer::fixed(limit(1)).plain(refuse);
    mem::forget(full.layer(Never).call(1));
    Group::new("u64 -> u64, a place is free", || 7, "bare", Bare)
        .case("tower::limit::ConcurrencyLimit", ConcurrencyLimitLayer::new(1_000).layer(Bare))
        .case("buttress, fixed", fixed().plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, fixed, with a queue", fixed().queue(Queue::of(limit(64))).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, fixed, with shares", fixed().shares(shares).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, fixed, keyed", keyed.plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, Aimd", adaptive(Aimd::new(100, bounds())).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, Gradient2", adaptive(Gradient2::new(100, bounds())).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, Vegas", adaptive(Vegas::new(100, bounds())).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, Cubic", adaptive(Cubic::new(100, bounds())).plain(refuse).layer(Bare))
        .promise(0)
        .case("buttress, full: refused", full.layer(Bare))
}

/// The same over HTTP, where a place is kept to the end of the body.
pub(crate) fn http() -> Group<Request<Payload>> {
    let bare = HttpBare::ok();
    Group::new("HTTP calls, a place is free", request, "bare", bare.clone())
        .case("tower::limit::ConcurrencyLimit, to the head", ConcurrencyLimitLayer::new(1_000).layer(bare.clone()))
        .case("buttress, fixed, to the end of the body", fixed().layer(bare.clone()))
        .promise(0)
        .case("buttress, Gradient2, to the end of the body", adaptive(Gradient2::new(100, bounds())).layer(bare))
        .promise(0)
}

/// Two threads at one limit.
pub(crate) fn contended(turns: usize) -> Contended {
    Contended(vec![
        ("bare", two_threads(&Bare, turns)),
        ("tower::limit::ConcurrencyLimit", two_threads(&ConcurrencyLimitLayer::new(1_000).layer(Bare), turns)),
        ("buttress, fixed", two_threads(&fixed().plain(refuse).layer(Bare), turns)),
        ("buttress, Aimd", two_threads(&adaptive(Aimd::new(100, bounds())).plain(refuse).layer(Bare), turns)),
    ])
}

/// Returns the median of what a call costs one of two threads, in nanoseconds of its CPU time.
fn two_threads<S>(service: &S, turns: usize) -> f64
where
    S: Service<u64, Error: fmt::Debug> + Clone + Send,
{
    const CALLS: u32 = 20_000;
    let work = |start: &Barrier, mut service: S| {
        start.wait();
        let begun = ThreadTime::now();
        for _ in 0..CALLS {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut cx).is_ready(), "there are places for all");
            drop(black_box(pin!(service.call(7)).poll(&mut cx)));
        }
        begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let turn = |_| {
        let start = Barrier::new(2);
        thread::scope(|scope| {
            let other = service.clone();
            scope.spawn(|| work(&start, other));
            work(&start, service.clone())
        })
    };
    let mut nanos: Vec<_> = (0..turns).map(turn).collect();
    nanos.sort_by(f64::total_cmp);
    nanos[nanos.len() / 2]
}

impl fmt::Display for Contended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "u64 -> u64, two threads at one limit, ns of CPU a call")?;
        self.0.iter().try_for_each(|(name, nanos)| writeln!(f, "{name:46} | {nanos:6.1}"))
    }
}
