//! A call that is dropped leaves nothing behind.

use buttress_testkit::{Reply, Script, send};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{ServiceBuilder, ServiceExt as _, limit::ConcurrencyLimitLayer};

use super::{HOUR, asked, begin, failover, get, ms, over, status};

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_polled_sends_nothing() {
    let (mut service, handle) = over(&failover("east west"), []);
    drop(begin(&mut service, get()).await);
    advance(HOUR).await;
    assert_eq!((handle.calls(), handle.ready_polls()), (0, 0));
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_first_attempt_drops_that_attempt() {
    let (mut service, handle) = over(&failover("east west"), [Reply::ok().hanging()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    assert_eq!((handle.futures(), handle.permits()), (1, 1));
    drop(call);
    handle.assert_idle();
    handle.release();
    advance(HOUR).await;
    assert_eq!(asked(&handle), "east", "no timer asks another target for nobody");
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_during_its_second_attempt_drops_that_attempt() {
    let failure = Reply::status(503).body(Script::new().data("why").hangs());
    let (mut service, handle) = over(&failover("east west"), [failure, Reply::ok().hanging()]);
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    assert_eq!((handle.calls(), handle.futures(), handle.bodies().alive()), (2, 1, 0));
    drop(call);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_for_its_place_leaves_nothing() {
    let (mut service, handle) = over(&failover("east west"), []);
    handle.be_unready();
    let mut call = begin(&mut service, get()).await;
    assert_pending!(call.poll());
    drop(call);
    handle.be_ready();
    advance(HOUR).await;
    assert_eq!(handle.calls(), 0);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_finished_call_holds_nothing_though_its_future_lives() {
    let (mut service, handle) = over(&failover("east west"), [Reply::status(503)]);
    let mut call = begin(&mut service, get()).await;
    drop(assert_ready_ok!(call.poll()));
    handle.assert_idle();
    drop(call);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after completion")]
async fn a_finished_call_says_so_when_it_is_polled_again() {
    let (mut service, _handle) = over(&failover("east west"), []);
    let mut call = begin(&mut service, get()).await;
    drop(assert_ready_ok!(call.poll()));
    drop(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_place_in_a_concurrency_limit() {
    let (probe, handle) = buttress_testkit::Probe::<buttress_testkit::ScriptedBody>::new();
    handle.next(Reply::ok().hanging());
    let service =
        ServiceBuilder::new().layer(failover("east west")).layer(ConcurrencyLimitLayer::new(1)).service(probe);
    let mut hung = tokio_test::task::spawn(service.clone().oneshot(get()));
    assert_pending!(hung.poll());
    let mut next = tokio_test::task::spawn(service.oneshot(get()));
    assert_pending!(next.poll());
    drop(hung);
    assert!(next.is_woken(), "a place is free and nobody was told");
    assert_eq!(assert_ready_ok!(next.poll()).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn one_call_that_hangs_does_not_hold_up_another() {
    let (mut service, _handle) = over(&failover("east west"), [Reply::ok().hanging()]);
    let mut hung = begin(&mut service, get()).await;
    assert_pending!(hung.poll());
    assert_eq!(status(&send(&mut service, get()).await), 200);
    advance(ms(1)).await;
    assert_pending!(hung.poll());
}
