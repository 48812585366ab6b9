//! The choice among few targets and among many, beside that of tower's load balancer.
//!
//! A layer with a single target has nothing to choose: what the others cost beyond it is the choice, which is told below each
//! table. The rest is what it takes to try a target, to be able to try another one, and to learn from what it came to.

use std::{
    cell::RefCell,
    fmt,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::{ByClone, Class, Refusal, Target};
use buttress_region_failover::{Policy, RegionFailoverLayer, Unchanged};
use tower::{
    Layer as _, Service,
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, Load, PeakEwma, PendingRequests},
};

use crate::{
    Group,
    plain_cases::{Bare, Failed, on_error},
};

type Failover =
    RegionFailoverLayer<ByClone, Unchanged, fn(Result<&u64, &Failed>) -> Class, fn(Refusal) -> Result<u64, Failed>>;

/// Shares a service that is no `Clone` within the thread, at the least cost there is.
struct Shared<S>(Rc<RefCell<S>>);

// === impl Shared ===

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S: Service<u64>> Service<u64> for Shared<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.borrow_mut().poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> S::Future {
        self.0.borrow_mut().call(request)
    }
}

/// Among three targets.
pub(crate) fn few() -> Group<u64> {
    among("u64 -> u64, one of 3 targets is chosen", 3)
}

/// Among a thousand targets.
pub(crate) fn many() -> Group<u64> {
    among("u64 -> u64, one of 1,000 targets is chosen", 1_000)
}

/// What chooses nothing.
const ONE: &str = "buttress RegionFailoverLayer, one target";

fn among(title: &'static str, targets: u32) -> Group<u64> {
    let pending = balance(targets, |bare| PendingRequests::new(bare, CompleteOnResponse::default()));
    let measured =
        balance(targets, |bare| PeakEwma::new(bare, Duration::from_millis(100), 10e9, CompleteOnResponse::default()));
    Group::new(title, || 7, "bare", Bare)
        .case("tower::balance::p2c, pending requests", pending)
        .case("tower::balance::p2c, peak-EWMA", measured)
        .case(ONE, failover(1, Policy::Ordered).layer(Bare))
        .promise(0)
        .case("buttress RegionFailoverLayer, ordered", failover(targets, Policy::Ordered).layer(Bare))
        .promise(0)
        .beyond(ONE)
        .case("buttress RegionFailoverLayer, balanced", failover(targets, Policy::Balanced).layer(Bare))
        .promise(0)
        .beyond(ONE)
}

fn balance<S>(targets: u32, measured: fn(Bare) -> S) -> Shared<Balance<ServiceList<Vec<S>>, u64>>
where
    S: Load<Metric: fmt::Debug> + Service<u64, Error = Failed>,
{
    let services: Vec<_> = (0..targets).map(|_| measured(Bare)).collect();
    Shared(Rc::new(RefCell::new(Balance::new(ServiceList::new(services)))))
}

fn failover(targets: u32, policy: Policy) -> Failover {
    let targets = (0..targets).map(|i| Target::named(&format!("target-{i}")).expect("a valid name"));
    let layer = RegionFailoverLayer::try_new(targets).expect("names that differ").policy(policy).replay(ByClone);
    let classify: fn(Result<&u64, &Failed>) -> Class = on_error;
    let refuse: fn(Refusal) -> Result<u64, Failed> = |_| Err(Failed);
    layer.classify(classify).on_refusal(refuse)
}
