//! What a layer says it has done.

use buttress_core::{CallContext, HttpReplay};
use buttress_retry::{Budget, Counts, Policy, RetryLayer, Share};
use buttress_testkit::{Reply, Script, ScriptedBody, send};
use http::Request;

use super::{get, ms, n, over, post, retry};

fn counts(change: impl FnOnce(&mut Counts)) -> Counts {
    let mut counts = Counts::default();
    change(&mut counts);
    counts
}

async fn after<R: Clone>(layer: RetryLayer<R>, reply: Reply, request: Request<buttress_core::Payload>) -> Counts
where
    super::Probed<R>: tower::Service<Request<buttress_core::Payload>>,
{
    let (mut service, handle) = over(&layer, []);
    handle.always(reply);
    drop(send(&mut service, request).await);
    layer.counts()
}

fn failure() -> Reply {
    Reply::status(503).header("retry-after", "2")
}

#[tokio::test(start_paused = true)]
async fn what_succeeds_at_once_and_what_no_retry_can_help_is_not_counted() {
    assert_eq!(after(retry(), Reply::ok(), get()).await, Counts::default());
    assert_eq!(after(retry(), Reply::status(404), get()).await, Counts::default());
    assert_eq!(after(retry().attempts(n(1)), failure(), get()).await, Counts::default(), "a policy, not a failure");
}

#[tokio::test(start_paused = true)]
async fn retries_and_recoveries_are_counted() {
    let layer = retry();
    let (mut service, _handle) = over(&layer, [Reply::status(503), Reply::status(503)]);
    drop(send(&mut service, get()).await);
    let expected = counts(|counts| (counts.retries, counts.recovered) = (2, 1));
    assert_eq!(layer.counts(), expected);
    assert_eq!(layer.clone().counts(), expected, "clones count together");
}

#[tokio::test(start_paused = true)]
async fn each_reason_to_stop_is_counted_as_what_it_is() {
    let no = failure().header("x-should-retry", "false");
    assert_eq!(after(retry(), no, get()).await, counts(|c| c.server_says_no = 1));
    assert_eq!(after(retry(), failure(), post()).await, counts(|c| c.not_idempotent = 1));
    let mut marked = get();
    marked.headers_mut().insert("x-attempt", "2".parse().unwrap());
    assert_eq!(after(retry(), failure(), marked).await, counts(|c| c.marked_as_retry = 1));
    let spent = counts(|c| (c.retries, c.attempts) = (2, 1));
    assert_eq!(after(retry(), failure(), get()).await, spent);
    assert_eq!(after(retry().max_hint(ms(1)), failure(), get()).await, counts(|c| c.hint_too_long = 1));
    assert_eq!(after(retry().deadline(ms(1_000)), failure(), get()).await, counts(|c| c.deadline = 1));
    let mut last = get();
    last.extensions_mut().insert(CallContext::new(n(1)));
    assert_eq!(after(retry(), failure(), last).await, counts(|c| c.allowance = 1));
    let none = Budget::concurrency(Share::percent(0), 0);
    assert_eq!(after(retry().budget(none), failure(), get()).await, counts(|c| c.budget = 1));
    let small = RetryLayer::new().replay(HttpReplay::new(1));
    assert_eq!(after(small, failure().reading_all(), get()).await, counts(|c| c.not_replayable = 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_too_large_is_counted() {
    for script in [Script::new().data("0123456789").sized(), Script::new().data("01234").data("56789")] {
        let layer = RetryLayer::new().replay(HttpReplay::new(9));
        let (mut service, handle) = over(&layer, [failure().reading_all()]);
        let request: Request<ScriptedBody> = Request::new(script.body());
        assert_eq!(send(&mut service, request).await.unwrap().status(), 503);
        assert_eq!((handle.calls(), layer.counts()), (1, counts(|c| c.not_replayable = 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_to_be_retried_is_not_counted() {
    let mut request = get();
    request.extensions_mut().insert(Policy::never());
    assert_eq!(after(retry(), failure(), request).await, Counts::default());
}
