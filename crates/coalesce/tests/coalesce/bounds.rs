//! What is not kept, not waited for, not joined.

use std::num::NonZeroUsize;

use buttress_testkit::Reply;
use tokio_test::assert_pending;

use super::*;

const fn n(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

const PART: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn long(parts: usize) -> Script {
    script(&vec![PART; parts])
}

#[test]
fn an_answer_that_is_too_long_is_joined_no_more() {
    let bench = Bench::with(|layer| layer.max_bytes(n(1_000)));
    bench.probe.always(Reply::ok().body(long(100).hangs()));
    let mut first = body(&mut bench.ask("t", "q"));
    for _ in 0..50 {
        assert_eq!(next(&mut first), data(PART));
    }
    assert_eq!(bench.handle.counts().under_way, 0);
    assert_eq!(next(&mut body(&mut bench.ask("t", "q"))), data(PART));
    assert_eq!(bench.probe.calls(), 2);
}

#[test]
fn a_reader_that_is_too_slow_is_cut_off_and_the_others_are_not() {
    let bench = Bench::with(|layer| layer.max_bytes(n(1_000)));
    bench.probe.next(Reply::ok().body(long(100)));
    let (mut quick, mut slow) = (body(&mut bench.ask("t", "q")), body(&mut bench.ask("t", "q")));
    assert_eq!(next(&mut slow), data(PART));
    for _ in 0..100 {
        assert_eq!(next(&mut quick), data(PART));
    }
    assert_eq!(next(&mut quick), None);
    assert_eq!(next(&mut slow), Some(Err("the shared answer was read too slowly".into())));
    assert_eq!(next(&mut slow), None);
    assert_eq!(bench.handle.counts().detached, 1);
}

#[test]
fn one_that_has_not_begun_to_read_makes_a_call_of_its_own_instead() {
    let bench = Bench::with(|layer| layer.max_bytes(n(1_000)));
    bench.probe.next(Reply::ok().hanging().body(long(100)));
    bench.probe.next(Reply::ok().body(script(&["a"])));
    let mut callers = bench.asks(2);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    let mut quick = body(&mut callers[0]);
    while next(&mut quick).is_some() {}
    assert_eq!(next(&mut body(&mut callers[1])), data("a"));
    drop((quick, callers));
    assert_eq!((bench.probe.calls(), bench.handle.counts().detached), (2, 1));
    bench.probe.assert_idle();
}

#[test]
fn a_part_that_is_larger_than_all_that_is_kept_reaches_all_the_same() {
    let bench = Bench::with(|layer| layer.max_bytes(n(1)));
    bench.probe.next(Reply::ok().hanging().body(script(&[PART])));
    let mut callers = bench.asks(3);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    for caller in &mut callers {
        assert_eq!(next(&mut body(caller)), data(PART));
    }
    assert_eq!(bench.probe.calls(), 1);
}

#[test]
fn too_many_calls_and_too_many_followers_are_on_their_own() {
    let bench = Bench::with(|layer| layer.max_calls(n(2)).max_followers(n(1)));
    bench.probe.always(Reply::ok().hanging());
    let mut callers: Vec<_> = ["a", "b", "c", "c", "a", "a"].map(|tenant| bench.ask(tenant, "q")).into();
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    let counts = bench.handle.counts();
    assert_eq!((counts.under_way, counts.led, counts.joined, counts.full), (2, 2, 1, 3));
    assert_eq!(bench.probe.calls(), 5);
    drop(callers);
    bench.probe.assert_idle();
    assert_eq!(bench.handle.counts().under_way, 0);
}

#[test]
fn ten_thousand_keys_leave_nothing_behind() {
    let bench = Bench::new();
    bench.probe.always(Reply::ok().body(script(&["a"])));
    for tenant in 0..10_000_u32 {
        drop(answer(&mut bench.ask(&tenant.to_string(), "q")));
    }
    assert_eq!(bench.handle.counts().under_way, 0);
    bench.probe.assert_idle();
}
