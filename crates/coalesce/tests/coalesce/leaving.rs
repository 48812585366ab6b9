//! Callers that leave.

use buttress_testkit::Reply;
use tokio_test::assert_pending;

use super::*;

#[test]
fn a_call_goes_on_when_the_caller_who_began_it_leaves_before_the_answer() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().hanging().body(script(&["a"])));
    let mut callers = bench.asks(3);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    drop(callers.remove(0));
    assert!(callers.iter().all(|caller| caller.is_woken()), "one of them is to carry it on");
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    for caller in &mut callers {
        assert_eq!(next(&mut body(caller)), data("a"));
    }
    assert_eq!((bench.probe.calls(), bench.handle.counts().handed_over), (1, 1));
}

#[test]
fn a_stream_goes_on_when_the_caller_who_began_it_leaves_in_the_midst() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().body(script(&["a"]).hangs().data("b").hangs().data("c")));
    let mut first = body(&mut bench.ask("t", "q"));
    let mut second = body(&mut bench.ask("t", "q"));
    assert_eq!(next(&mut first), data("a"));
    assert_pending!(poll(&mut first));
    assert_eq!(next(&mut second), data("a"));
    assert_pending!(poll(&mut second));
    drop(first);
    assert!(second.is_woken(), "it is to carry on");
    assert_pending!(poll(&mut second));
    bench.probe.bodies().release();
    assert_eq!(next(&mut second), data("b"));
    assert_pending!(poll(&mut second));
    bench.probe.bodies().release();
    assert_eq!([next(&mut second), next(&mut second)], [data("c"), None]);
    assert_eq!(bench.probe.calls(), 1);
}

#[test]
fn the_call_is_dropped_with_the_last_one_that_waits_for_it() {
    let bench = Bench::new();
    bench.probe.always(Reply::ok().hanging());
    let mut callers = bench.asks(3);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    drop(callers);
    bench.probe.assert_idle();
    assert_eq!(bench.handle.counts().under_way, 0);
    assert_pending!(bench.ask("t", "q").poll());
    assert_eq!(bench.probe.calls(), 2, "and the next one begins anew");
}

#[test]
fn a_stream_is_dropped_with_its_last_reader() {
    let bench = Bench::new();
    bench.probe.always(Reply::ok().body(script(&["a"]).hangs()));
    let first = body(&mut bench.ask("t", "q"));
    let second = body(&mut bench.ask("t", "q"));
    drop(first);
    assert_eq!(bench.handle.counts().under_way, 1);
    drop(second);
    bench.probe.assert_idle();
    assert_eq!(bench.handle.counts().under_way, 0);
}

#[test]
fn a_caller_that_leaves_with_its_answer_unread_leaves_no_place_behind() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().hanging().body(script(&["a"]).hangs()));
    let mut callers = bench.asks(2);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    let reader = body(&mut callers[0]);
    // The second was told and has not looked.
    drop(callers);
    assert_eq!(bench.handle.counts().under_way, 1);
    drop(reader);
    bench.probe.assert_idle();
    assert_eq!(bench.handle.counts().under_way, 0);
}

#[test]
fn callers_that_were_never_polled_cost_no_call() {
    let bench = Bench::new();
    drop(bench.asks(5));
    assert_eq!((bench.probe.calls(), bench.handle.counts().under_way), (0, 0));
}
