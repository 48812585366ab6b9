//! What is held while a retry waits, and what a dropped call leaves behind: nothing.

use buttress_testkit::{ProbeError, Reply, Script, send};
use http::Response;
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{ServiceBuilder, ServiceExt as _, limit::ConcurrencyLimitLayer};

use super::{HOUR, begin, get, ms, n, over, retry};

/// A failure whose retry follows after two seconds or a little more.
fn failure() -> Reply {
    Reply::status(503).header("retry-after", "2").body(Script::new().data("why").hangs().data("it failed"))
}

#[tokio::test(start_paused = true)]
async fn the_failed_response_is_dropped_before_the_wait_begins() {
    let (mut service, handle) = over(&retry(), [failure()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    assert_eq!(handle.calls(), 1);
    handle.assert_idle();
    assert_eq!(handle.bodies().dropped(), 1, "the body of the failure went, unread");

    advance(ms(1_999)).await;
    assert_pending!(call.poll());
    assert_eq!(handle.calls(), 1);
    advance(ms(202)).await;
    assert!(call.is_woken(), "the wait is over and nobody was told");
    assert_eq!(assert_ready_ok!(call.poll()).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn another_caller_passes_while_a_retry_waits() {
    let (mut service, handle) = over(&retry(), [failure()]);
    handle.limit(1);
    let mut other = service.clone();
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());

    let began = Instant::now();
    assert_eq!(send(&mut other, get()).await.unwrap().status(), 200);
    assert_eq!(Instant::now() - began, ms(0), "the place was free");
    assert_eq!(call.await.unwrap().status(), 200);
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_wait_holds_no_permit_of_a_concurrency_limit() {
    let (probe, handle) = buttress_testkit::Probe::<buttress_testkit::ScriptedBody>::new();
    handle.next(failure());
    let service = ServiceBuilder::new().layer(retry()).layer(ConcurrencyLimitLayer::new(1)).service(probe);
    let mut waiting = task::spawn(service.clone().oneshot(get()));
    assert_pending!(waiting.poll());
    let mut other = task::spawn(service.oneshot(get()));
    assert_eq!(assert_ready_ok!(other.poll()).status(), 200);
    drop(other);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_its_place_as_any_caller_does() {
    let (mut service, handle) = over(&retry(), [failure()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    handle.be_unready();
    advance(ms(2_201)).await;
    assert_pending!(call.poll());
    assert_eq!((handle.calls(), handle.permits()), (1, 0));
    handle.be_ready();
    assert!(call.is_woken(), "the inner service is ready and nobody was told");
    assert_eq!(assert_ready_ok!(call.poll()).status(), 200);
    assert_eq!(handle.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_fails_the_retry() {
    let (mut service, handle) = over(&retry().attempts(n(2)), [failure()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    handle.fail_readiness("gone");
    advance(ms(2_201)).await;
    assert_eq!(assert_ready!(call.poll()).err(), Some(ProbeError::new("gone")));
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_first_poll_leaves_nothing() {
    let (mut service, handle) = over(&retry(), [failure()]);
    drop(begin(&mut service, get()).await);
    drop(service);
    advance(HOUR).await;
    handle.assert_idle();
    assert_eq!(handle.calls(), 1, "the first attempt is the caller's own; there is no other");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_first_attempt_leaves_nothing() {
    let (mut service, handle) = over(&retry(), [failure().hanging()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    assert_eq!((handle.futures(), handle.permits()), (1, 1));
    drop(call);
    handle.release();
    advance(HOUR).await;
    handle.assert_idle();
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_wait_leaves_nothing() {
    let (mut service, handle) = over(&retry(), [failure()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    advance(ms(1_000)).await;
    drop(call);
    advance(HOUR).await;
    handle.assert_idle();
    assert_eq!(handle.calls(), 1, "no timer sends what nobody waits for");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_for_its_place_leaves_nothing() {
    let (mut service, handle) = over(&retry(), [failure()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    handle.be_unready();
    advance(ms(2_201)).await;
    assert_pending!(call.poll());
    drop(call);
    handle.be_ready();
    advance(HOUR).await;
    handle.assert_idle();
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_second_attempt_leaves_nothing() {
    let (mut service, handle) = over(&retry(), [failure(), Reply::ok().hanging()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    advance(ms(2_201)).await;
    assert_pending!(call.poll());
    assert_eq!((handle.calls(), handle.futures(), handle.permits()), (2, 1, 1));
    drop(call);
    handle.assert_idle();
    assert_eq!(send(&mut service, get()).await.map(|r: Response<_>| r.status().as_u16()), Ok(200));
}

#[tokio::test(start_paused = true)]
async fn a_finished_call_holds_nothing_though_its_future_lives() {
    let (mut service, handle) = over(&retry(), [Reply::status(503)]);
    let mut call = begin(&mut service, get()).await;
    drop((&mut call).await);
    assert_eq!((handle.calls(), handle.permits(), handle.futures()), (2, 0, 0));
    drop(call);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after completion")]
async fn a_finished_call_says_so_when_it_is_polled_again() {
    let (mut service, _handle) = over(&retry(), []);
    let mut call = begin(&mut service, get()).await;
    assert_ready_ok!(call.poll());
    assert_ready_ok!(call.poll());
}
