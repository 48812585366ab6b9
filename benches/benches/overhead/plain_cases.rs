//! Services without HTTP: a number becomes a number.

use std::{
    error::Error,
    fmt,
    future::{Ready, ready},
    hint::black_box,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::{ByClone, Class, Outcome, Refusal, Verdict};
use buttress_deadline::DeadlineLayer;
use buttress_retry::{Budget, RetryLayer, Share};
use tower::{
    Layer as _, Service,
    retry::{
        self,
        budget::{Budget as _, TpsBudget},
    },
    timeout::TimeoutLayer,
};

use crate::Group;

/// Answers at once, and fails if asked for zero.
#[derive(Clone, Debug)]
pub(crate) struct Bare;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked for zero")
    }
}

impl Error for Failed {}

/// Retries every error.
#[derive(Clone, Debug)]
pub(crate) struct OnError;

/// Retries every error, within tower's budget of a rate.
#[derive(Clone, Debug)]
struct OnErrorWithin(Arc<TpsBudget>);

// === impl Bare ===

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(black_box(request).checked_sub(1).ok_or(Failed))
    }
}

// === impl OnError ===

impl<Req: Clone, Res, Err> retry::Policy<Req, Res, Err> for OnError {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Req, result: &mut Result<Res, Err>) -> Option<Ready<()>> {
        result.is_err().then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

// === impl OnErrorWithin ===

impl<Req: Clone, Res, Err> retry::Policy<Req, Res, Err> for OnErrorWithin {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Req, result: &mut Result<Res, Err>) -> Option<Ready<()>> {
        if result.is_ok() {
            self.0.deposit();
            return None;
        }
        self.0.withdraw().then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// Layers that retry, and time.
pub(crate) fn group() -> Group<u64> {
    let buttress = RetryLayer::new().replay(ByClone).classify(on_error);
    let share = Share::percent(20);
    let concurrency = buttress.clone().budget(Budget::concurrency(share, 3));
    let rate = buttress.clone().budget(Budget::rate(share, 10, Duration::from_secs(10)));
    let within = OnErrorWithin(Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2)));
    let minute = Duration::from_secs(60);
    let deadline = DeadlineLayer::plain(minute, |_: Refusal| -> Result<u64, Failed> { Err(Failed) });
    let resilience = tower_resilience_retry::RetryLayer::<u64, u64, Failed>::builder().build();
    Group::new("u64 -> u64, the first attempt succeeds", || 7, "bare", Bare)
        .case("tower::retry", retry::RetryLayer::new(OnError).layer(Bare))
        .case("tower-resilience retry", resilience.layer(Bare))
        .case("buttress RetryLayer", buttress.layer(Bare))
        .promise(0)
        .case("tower::retry, rate budget", retry::RetryLayer::new(within).layer(Bare))
        .case("buttress RetryLayer, rate budget", rate.layer(Bare))
        .case("buttress RetryLayer, concurrency budget", concurrency.layer(Bare))
        .case("tower::timeout", TimeoutLayer::new(minute).layer(Bare))
        .case("buttress DeadlineLayer::plain", deadline.layer(Bare))
        .promise(0)
}

pub(crate) fn on_error(result: Result<&u64, &Failed>) -> Class {
    match result {
        Ok(_) => Class::SUCCESS,
        Err(Failed) => Class::new(Verdict::Transient, Outcome::Word("failed")),
    }
}
