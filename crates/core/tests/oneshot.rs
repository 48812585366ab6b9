//! One call of one clone of a service.

use std::{future::Future as _, task::Poll, time::Duration};

use buttress_core::Oneshot;
use buttress_testkit::{PlainProbe, ProbeError, Reply, assert_send, run};
use tokio_test::{assert_pending, assert_ready_eq, task};

#[test]
fn it_waits_for_readiness_and_drives_the_instance_that_is_ready() {
    let (probe, handle) = PlainProbe::new();
    handle.be_unready();
    let mut call = task::spawn(Oneshot::new(probe, 7));
    assert_pending!(call.poll());
    assert_eq!((handle.calls(), handle.permits()), (0, 0));
    handle.be_ready();
    assert!(call.is_woken());
    assert_ready_eq!(call.poll(), Ok(1));
    assert_eq!(handle.seen(), [7]);
}

#[test]
fn nothing_is_asked_before_the_first_poll() {
    let (probe, handle) = PlainProbe::new();
    let call = Oneshot::new(probe, 7);
    assert_eq!((handle.ready_polls(), handle.permits()), (0, 0));
    drop(call);
    handle.assert_idle();
}

#[test]
fn an_error_of_readiness_is_the_answer() {
    let (probe, handle) = PlainProbe::new();
    handle.fail_readiness("gone");
    assert_eq!(run(Oneshot::new(probe, 7)), Err(ProbeError::new("gone")));
    assert_eq!(handle.calls(), 0);
}

#[test]
fn an_error_of_the_call_is_the_answer() {
    let (probe, handle) = PlainProbe::new();
    handle.next(Reply::error("failed"));
    assert_eq!(run(Oneshot::new(probe, 7)), Err(ProbeError::new("failed")));
    handle.assert_idle();
}

#[test]
fn an_answer_takes_as_long_as_it_takes() {
    let (probe, handle) = PlainProbe::new();
    handle.next(Reply::from(9).after(Duration::from_secs(60)));
    let started = |_: &()| tokio::time::Instant::now();
    let (result, took) = run(async {
        let before = started(&());
        (Oneshot::new(probe, 7).await, started(&()) - before)
    });
    assert_eq!((result, took), (Ok(9), Duration::from_secs(60)));
}

#[test]
fn a_drop_while_it_waits_leaves_the_place_to_others() {
    let (probe, handle) = PlainProbe::new();
    handle.limit(1);
    handle.always(Reply::ok().hanging());
    let mut first = task::spawn(Oneshot::new(probe.clone(), 1));
    let mut second = task::spawn(Oneshot::new(probe.clone(), 2));
    let mut third = task::spawn(Oneshot::new(probe, 3));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    drop(second);
    handle.release();
    assert_ready_eq!(first.poll(), Ok(1));
    drop(first);
    assert!(third.is_woken());
    handle.always(Reply::ok());
    assert_ready_eq!(third.poll(), Ok(1));
    assert_eq!(handle.seen(), [1, 3]);
}

#[test]
fn a_drop_under_way_frees_the_place() {
    let (probe, handle) = PlainProbe::new();
    handle.always(Reply::ok().hanging());
    let mut call = task::spawn(Oneshot::new(probe, 7));
    assert_pending!(call.poll());
    assert_eq!((handle.calls(), handle.permits(), handle.futures()), (1, 1, 1));
    drop(call);
    handle.assert_idle();
}

#[test]
fn the_place_is_free_as_soon_as_the_answer_is_there() {
    let (probe, handle) = PlainProbe::new();
    let mut call = task::spawn(Oneshot::new(probe, 7));
    assert_ready_eq!(call.poll(), Ok(1));
    handle.assert_idle();
    drop(call);
}

#[test]
fn the_service_is_gone_as_soon_as_readiness_failed() {
    let (probe, handle) = PlainProbe::new();
    handle.fail_readiness("gone");
    let mut call = task::spawn(Oneshot::new(probe, 7));
    assert!(call.poll().is_ready());
    handle.assert_idle();
}

#[test]
#[should_panic(expected = "polled after completion")]
fn a_poll_after_the_answer_panics() {
    let (probe, _handle) = PlainProbe::new();
    let mut call = Box::pin(Oneshot::new(probe, 7));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(1)));
    let _ = call.as_mut().poll(&mut cx);
}

#[test]
#[should_panic(expected = "polled after completion")]
fn a_poll_after_a_failed_readiness_panics() {
    let (probe, handle) = PlainProbe::new();
    handle.fail_readiness("gone");
    let mut call = task::spawn(Oneshot::new(probe, 7));
    assert!(call.poll().is_ready());
    let _ = call.poll();
}

#[test]
fn it_is_send_and_says_nothing_of_the_request() {
    let call = Oneshot::new(PlainProbe::new().0, 31_337);
    assert_send(&call);
    assert!(!format!("{call:?}").contains("31337"));
}
