//! Budgets: who shares them, what comes back, and when.

use buttress_core::{CallContext, Head, Http, HttpMark, HttpReplay, NotReplayable, Payload, Replay};
use buttress_retry::{Budget, QuotaCosts, RetryLayer, Share};
use buttress_testkit::{Handle, Probe, Reply, ScriptedBody, send};
use http::Request;
use tokio::time::advance;
use tokio_test::assert_pending;
use tower::Layer as _;

use super::{HOUR, Probed, begin, get, ms, n, over, retry};

const NOTHING: Share = Share::percent(0);

/// A budget of each kind that has one retry, or one at a time.
fn budgets_of_one() -> [Budget; 4] {
    let [concurrency, rate, quota] = grants_of_one();
    [concurrency, rate, quota, Budget::throttle(3, NOTHING)]
}

/// Those of them where one retry is taken, and may be put back.
fn grants_of_one() -> [Budget; 3] {
    [Budget::concurrency(NOTHING, 1), Budget::rate(NOTHING, 1, ms(1_000)), Budget::quota(14, QuotaCosts::AWS_2026)]
}

fn none() -> Budget {
    Budget::rate(NOTHING, 0, ms(1_000))
}

fn with(budget: &Budget) -> RetryLayer<Http> {
    retry().budget(budget.clone())
}

/// A service that fails for ever, slowly enough to be caught at it.
fn failing(layer: &RetryLayer<Http>) -> (Probed, Handle) {
    let (service, handle) = over(layer, []);
    handle.always(Reply::status(503));
    (service, handle)
}

/// Whether `budget` grants a retry at the moment. Leaves no other trace.
async fn grants(budget: &Budget) -> bool {
    let (mut service, _handle) = failing(&with(budget));
    let mut call = begin(&mut service, get()).await;
    call.poll().is_pending()
}

#[tokio::test(start_paused = true)]
async fn layers_clones_and_services_share_a_budget_of_any_kind() {
    for budget in budgets_of_one() {
        let (one, other) = (with(&budget), with(&budget));
        let (mut first, _handle) = failing(&one);
        let mut retrying = begin(&mut first, get()).await;
        assert_pending!(retrying.poll(), "the one retry is granted");
        for layer in [&one, &other, &one.clone(), &other.clone()] {
            let (service, handle) = failing(layer);
            drop(send(&mut service.clone(), get()).await);
            assert_eq!(handle.calls(), 1, "{budget:?}");
        }
        assert_eq!((one.counts().budget, other.counts().budget), (2, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_ones_own_is_nobody_elses() {
    for (mine, yours) in budgets_of_one().iter().zip(budgets_of_one()) {
        let (mut first, _handle) = failing(&with(mine));
        let mut retrying = begin(&mut first, get()).await;
        assert_pending!(retrying.poll());
        assert!(grants(&yours).await, "{mine:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_its_first_attempt_takes_nothing() {
    for budget in budgets_of_one() {
        let (mut service, handle) = over(&with(&budget), [Reply::status(503).hanging()]);
        let mut call = begin(&mut service, get()).await;
        assert_pending!(call.poll());
        drop(call);
        handle.assert_idle();
        assert!(grants(&budget).await, "{budget:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_back_off_puts_back_what_it_took() {
    for budget in grants_of_one() {
        let layer = with(&budget);
        let (mut service, _handle) = failing(&layer);
        let mut call = begin(&mut service, get()).await;
        assert_pending!(call.poll());
        assert!(!grants(&budget).await);
        drop(call);
        assert!(grants(&budget).await, "{budget:?}: the retry was not made");
        assert_eq!(layer.counts().retries, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_after_its_window_brings_no_second_retry() {
    let budget = Budget::rate(NOTHING, 1, ms(1_000));
    let (mut service, _handle) = over(&with(&budget), [Reply::status(503).header("retry-after", "30")]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    advance(ms(5_000)).await;
    drop(call);
    let (mut service, _handle) = failing(&with(&budget));
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    assert!(!grants(&budget).await, "one in a window, and it is under way");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_retry_frees_its_place_and_what_it_spent_is_spent() {
    for (budget, comes_back) in grants_of_one().into_iter().zip([true, false, false]) {
        let layer = with(&budget);
        let (mut service, handle) = over(&layer, [Reply::status(503), Reply::status(503).hanging()]);
        let mut call = begin(&mut service, get()).await;
        assert_pending!(call.poll());
        advance(ms(51)).await;
        assert_pending!(call.poll());
        assert_eq!((handle.calls(), layer.counts().retries), (2, 1));
        drop(call);
        handle.assert_idle();
        assert_eq!(grants(&budget).await, comes_back, "{budget:?}: the upstream has had the load");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_frees_its_place_and_brings_back_its_cost() {
    for (budget, comes_back) in grants_of_one().into_iter().zip([true, false, true]) {
        let (mut service, handle) = over(&with(&budget), [Reply::status(503)]);
        assert_eq!(send(&mut service, get()).await.unwrap().status(), 200);
        assert_eq!((handle.calls(), grants(&budget).await), (2, comes_back), "{budget:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_fails_frees_its_place_for_the_next_one() {
    let budget = Budget::concurrency(NOTHING, 1);
    let (mut service, handle) = failing(&with(&budget));
    drop(send(&mut service, get()).await);
    assert_eq!(handle.calls(), 3, "one after the other");
}

#[tokio::test(start_paused = true)]
async fn calls_that_have_ended_make_no_place_for_retries() {
    let budget = Budget::concurrency(Share::percent(50), 0);
    let (mut service, _handle) = over(&with(&budget), []);
    let mut ended = begin(&mut service, get()).await;
    assert_eq!((&mut ended).await.unwrap().status(), 200);
    assert!(!grants(&budget).await, "half of one call is no retry");
    drop(ended);
}

#[tokio::test(start_paused = true)]
async fn all_budgets_grant_a_retry_or_none_pays_for_it() {
    for budget in grants_of_one() {
        for both in [[budget.clone(), none()], [none(), budget.clone()]] {
            let layer = retry().budgets(both);
            let (mut service, handle) = failing(&layer);
            drop(send(&mut service, get()).await);
            assert_eq!((handle.calls(), layer.counts().budget), (1, 1));
            assert!(grants(&budget).await, "{budget:?}");
        }
    }
    let [a, b, c] = grants_of_one();
    let (mut service, handle) = over(&retry().budgets([a.clone(), b.clone(), c.clone()]), [Reply::status(503)]);
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 200);
    assert_eq!((handle.calls(), grants(&b).await), (2, false), "and all of them pay");
}

#[tokio::test(start_paused = true)]
async fn what_the_allowance_or_the_body_forbids_costs_no_budget() {
    for budget in grants_of_one() {
        let context = CallContext::new(n(1));
        let mut request = get();
        request.extensions_mut().insert(context);
        let layer = with(&budget);
        drop(send(&mut failing(&layer).0, request).await);
        assert_eq!((layer.counts().allowance, grants(&budget).await), (1, true), "{budget:?}");

        let layer = RetryLayer::new().replay(HttpReplay::new(1)).budget(budget.clone());
        let (mut service, handle) = over(&layer, [Reply::status(503).reading_all()]);
        drop(send(&mut service, get()).await);
        assert_eq!((handle.calls(), layer.counts().not_replayable), (1, 1));
        assert!(grants(&budget).await, "{budget:?}");
    }
}

/// Copies requests, and spends the allowance meanwhile, as another attempt of the same request might.
#[derive(Clone)]
struct Rival;

impl Replay<Request<Payload>> for Rival {
    type Request = Request<Payload>;
    type Saved = Request<Payload>;
    type Mark = HttpMark;

    fn split(&self, request: Request<Payload>) -> (Request<Payload>, Request<Payload>) {
        Http.split(request)
    }

    fn again(&self, saved: &Request<Payload>) -> Result<Request<Payload>, NotReplayable> {
        while CallContext::of(saved).is_some_and(CallContext::take_attempt) {}
        Http.again(saved)
    }

    fn is_idempotent(&self, _: &Request<Payload>) -> bool {
        true
    }

    fn inbound<'a>(&self, request: &'a mut Request<Payload>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn kept<'a>(&self, saved: &'a Request<Payload>) -> Option<&'a dyn Head> {
        Some(saved)
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_loses_its_attempt_to_another_costs_no_budget() {
    for budget in grants_of_one() {
        let layer = retry().replay(Rival).budget(budget.clone());
        let (probe, handle) = Probe::<ScriptedBody>::new();
        handle.always(Reply::status(503));
        drop(send(&mut layer.layer(probe), get()).await);
        assert_eq!((handle.calls(), layer.counts().allowance), (1, 1));
        assert!(grants(&budget).await, "{budget:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_budgets_are_no_bound() {
    let (mut service, handle) = failing(&retry().budgets([]));
    drop(send(&mut service, get()).await);
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_over_brings_new_retries() {
    let budget = Budget::rate(NOTHING, 1, ms(1_000));
    let (mut service, handle) = failing(&with(&budget));
    drop(send(&mut service, get()).await);
    assert_eq!((handle.calls(), grants(&budget).await), (2, false));
    advance(HOUR).await;
    assert!(grants(&budget).await);
}
