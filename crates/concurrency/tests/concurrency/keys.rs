//! A limit for each key.

use crate::support::{fixed, n, size};
use buttress_concurrency::ConcurrencyLayer;
use buttress_core::Refusal;
use buttress_testkit::{PlainProbe, ProbeError, Reply, send};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer as _, ServiceExt as _};

#[expect(clippy::needless_pass_by_value, reason = "refusal makers take it so")]
fn by_refusal(refusal: Refusal) -> Result<u64, ProbeError> {
    Err(ProbeError::new(refusal.message().to_owned()))
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_limit_of_its_own() {
    let layer = fixed(1).plain(by_refusal).keyed(size(8), |request: &u64| request % 2);
    let (probe, handle) = PlainProbe::new();
    handle.always(Reply::ok().hanging());
    let service = layer.layer(probe);
    let call = |request| task::spawn(service.clone().oneshot(request));
    let (mut odd, mut even) = (call(1), call(2));
    assert_pending!(odd.poll());
    assert_pending!(even.poll());
    assert!(assert_ready!(call(3).poll()).is_err(), "the place of the odd ones is taken");
    assert_eq!(layer.keys(), 2);
    let handle = layer.handle(&1).expect("the key is known");
    handle.set_limit(n(2));
    assert_pending!(call(5).poll());
    assert!(assert_ready!(call(4).poll()).is_err(), "the limit of the even ones is as it was");
    assert!(layer.handle(&7).is_none());
}

#[tokio::test(start_paused = true)]
async fn many_keys_take_no_more_room_than_was_allowed() {
    let layer = fixed(1).plain(by_refusal).keyed(size(100), |request: &u64| *request);
    let (probe, _handle) = PlainProbe::new();
    let mut service = layer.layer(probe);
    for request in 0..10_000_u64 {
        let mut call = task::spawn(tower::Service::call(task_ready(&mut service), request));
        assert!(assert_ready!(call.poll()).is_ok());
        assert!(layer.keys() <= 100);
    }
    assert!(layer.handle(&9_999).is_some() && layer.handle(&1).is_none(), "the one asked for last stays");
}

fn task_ready<S: tower::Service<u64, Error = ProbeError>>(service: &mut S) -> &mut S {
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert_ready!(ready).expect("the probe is ready");
    service
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_call_under_way_stays_and_new_ones_are_refused_when_there_is_no_room() {
    let layer: ConcurrencyLayer<_, _, _> = fixed(1).plain(by_refusal).keyed(size(2), |request: &u64| *request);
    let (probe, handle) = PlainProbe::new();
    handle.always(Reply::ok().hanging());
    let mut service = layer.layer(probe);
    let mut calls = [1, 2].map(|request| task::spawn(service.clone().oneshot(request)));
    calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
    let refused = send(&mut service, 3).await.expect_err("there is no room for the key");
    assert!(refused.to_string().contains("too many keys"), "{refused}");
    let [first, second] = calls;
    drop(first);
    handle.always(Reply::ok());
    // Not at once: where nothing was idle, nothing is looked for in the very next call.
    let served = [send(&mut service, 3).await.is_ok(), send(&mut service, 3).await.is_ok()];
    assert!(served[1] || served[0], "the idle one has gone");
    assert_eq!(layer.keys(), 2);
    assert!(send(&mut service, 2).await.is_err(), "the place of the second is taken as before");
    drop(second);
    assert_eq!(send(&mut service, 2).await, Ok(1));
}
