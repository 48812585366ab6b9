//! What a call holds while it waits: nothing.

use crate::support::{answer, begin, done, fixed, ms, queue, refusal, streaming};
use buttress_testkit::{Probe, Reply};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, task};
use tower::{Layer as _, Service as _, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer};

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_holds_none_in_the_inner_service() {
    let layer = fixed(1).queue(queue());
    let (mut service, probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut waiting = begin(&mut service);
    assert_pending!(waiting.poll());
    assert_eq!((probe.permits(), probe.futures()), (0, 0));
    drop(stream);
    assert_eq!(done(&mut waiting).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_holds_no_place_in_the_inner_service() {
    let layer = fixed(1);
    let (mut service, probe) = streaming(&layer);
    let _stream = answer(&mut service);
    assert_eq!(answer(&mut service).status(), 503);
    assert_eq!(probe.permits(), 0, "though the service lives on");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_inner_service_lets_others_have_the_place_and_keeps_its_turn() {
    let layer = fixed(1).queue(queue());
    let (mut service, probe) = streaming(&layer);
    let stream = answer(&mut service);
    let mut first = begin(&mut service);
    let mut second = begin(&mut service);
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    probe.be_unready();
    drop(stream);
    assert_pending!(first.poll());
    assert!(second.is_woken(), "the first cannot use the place");
    assert_pending!(second.poll());
    assert_eq!((layer.handle().in_flight(), layer.handle().queued()), (0, 2), "nobody holds it");

    probe.be_ready();
    assert!(first.is_woken() && second.is_woken());
    let stream = done(&mut second);
    assert_pending!(first.poll());
    assert_eq!(probe.permits(), 0, "the inner service was ready, and there was no place");
    let mut third = begin(&mut service);
    assert_pending!(third.poll());
    drop(stream);
    assert!(first.is_woken() && !third.is_woken(), "the turn was kept");
    drop(done(&mut first));
    assert_eq!(done(&mut third).status(), 200);
    assert_eq!((layer.handle().in_flight(), layer.handle().queued()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_inner_service_is_refused_in_time_and_leaves_room() {
    let layer = fixed(1).queue(queue());
    let (mut service, probe) = streaming(&layer);
    let stream = answer(&mut service);
    let [mut late, mut dropped, mut failed] = [(); 3].map(|()| begin(&mut service));
    [&mut late, &mut dropped, &mut failed].into_iter().for_each(|call| assert_pending!(call.poll()));
    probe.be_unready();
    drop(stream);
    [&mut late, &mut dropped, &mut failed].into_iter().for_each(|call| assert_pending!(call.poll()));
    assert_eq!((layer.handle().in_flight(), layer.handle().queued()), (0, 3));
    drop(dropped);
    assert_eq!(layer.handle().queued(), 2);
    probe.fail_readiness("inner is gone");
    assert_ready_err!(failed.poll());
    probe.be_unready();
    advance(ms(10_000)).await;
    refusal(&done(&mut late));
    drop((late, failed));
    assert_eq!((layer.handle().in_flight(), layer.handle().queued()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_layer_over_towers_limit_starves_nobody_else_of_it() {
    // Another user of the inner limit must get its place while a call waits here.
    let layer = fixed(1).queue(queue());
    let (probe, handle) = Probe::<buttress_testkit::ScriptedBody>::new();
    handle.always(Reply::ok().hanging());
    let inner = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(2)).service(probe);
    let mut limited = layer.layer(inner.clone());
    let mut first = task::spawn(
        ServiceExt::<http::Request<buttress_core::Payload>>::ready(&mut limited)
            .await
            .unwrap()
            .call(buttress_testkit::request()),
    );
    assert_pending!(first.poll());
    let mut second = task::spawn(
        ServiceExt::<http::Request<buttress_core::Payload>>::ready(&mut limited)
            .await
            .unwrap()
            .call(buttress_testkit::request()),
    );
    assert_pending!(second.poll());
    let mut other = task::spawn(inner.oneshot(buttress_testkit::request()));
    assert_pending!(other.poll());
    assert_eq!(handle.calls(), 2, "the other user was served");
    handle.release();
    drop(assert_ready!(first.poll()));
    drop(assert_ready!(other.poll()));
    assert_pending!(second.poll());
    handle.release();
    drop(assert_ready!(second.poll()));
}

#[tokio::test(start_paused = true)]
async fn a_retry_holds_no_place_during_its_wait() {
    // A retry as every retry must be: it drops the failed answer, waits, and sends once more.
    let layer = fixed(1);
    let (mut service, probe) = streaming(&layer);
    probe.next(Reply::status(503));
    drop(answer(&mut service));
    let back_off = tokio::time::sleep(ms(1_000));
    assert_eq!(layer.handle().in_flight(), 0);
    let other = answer(&mut service);
    assert_eq!(other.status(), 200, "another call has the place meanwhile");
    drop(other);
    back_off.await;
    assert_eq!(answer(&mut service).status(), 200);
}
