//! Calls that fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use buttress_core::{BoxError, Class, Outcome, Verdict};
use buttress_testkit::{Reply, read};
use tokio_test::assert_pending;

use super::*;

#[test]
fn a_failure_is_its_callers_own_and_one_other_makes_the_next_call() {
    for failure in [Reply::status(503), Reply::error("gone")] {
        let bench = Bench::new();
        bench.probe.next(failure.hanging());
        bench.probe.next(Reply::ok().hanging().body(script(&["a"])));
        let mut callers = bench.asks(20);
        callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
        bench.probe.release();
        let failed = answer(&mut callers[0]);
        assert!(failed.map_or(true, |response| response.status() == 503));
        let mut others = callers.split_off(1);
        assert!(others.iter().all(|caller| caller.is_woken()));
        others.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
        assert_eq!(bench.probe.calls(), 2, "the others wait for one of them");
        bench.probe.release();
        for caller in &mut others {
            assert_eq!(next(&mut body(caller)), data("a"));
        }
        assert_eq!((bench.probe.calls(), bench.handle.counts().promoted), (2, 1));
    }
}

#[test]
fn a_target_that_is_down_is_never_asked_by_two_at_once() {
    let bench = Bench::new();
    bench.probe.limit(1);
    bench.probe.always(Reply::status(500).hanging());
    let mut callers = bench.asks(10);
    let mut failed = 0;
    for _ in 0..200 {
        callers.retain_mut(|caller| match caller.poll() {
            std::task::Poll::Ready(answer) => {
                failed += u32::from(answer.expect("it is answered").status() == 500);
                false
            }
            std::task::Poll::Pending => true,
        });
        assert!(bench.probe.futures() <= 1);
        bench.probe.release();
    }
    assert_eq!((failed, bench.probe.calls(), callers.len()), (10, 10, 0), "each has its own failure");
    bench.probe.assert_idle();
}

#[test]
fn the_failure_of_one_that_left_is_nobodys() {
    let bench = Bench::new();
    bench.probe.next(Reply::status(500).hanging());
    bench.probe.next(Reply::ok().body(script(&["a"])));
    let mut callers = bench.asks(3);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    drop(callers.remove(0));
    bench.probe.release();
    for caller in &mut callers {
        assert_eq!(next(&mut body(caller)), data("a"));
    }
    assert_eq!(bench.probe.calls(), 2, "one more, and no more");
}

#[test]
fn a_failure_that_another_one_found_waits_for_its_caller() {
    let bench = Bench::new();
    bench.probe.next(Reply::status(500).hanging());
    let mut callers = bench.asks(2);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    // The follower is quicker, finds the failure, and makes its own call.
    assert_eq!(answer(&mut callers[1]).expect("it is answered").status(), 200);
    assert_eq!(answer(&mut callers[0]).expect("it is answered").status(), 500);
    assert_eq!(bench.probe.calls(), 2);
}

#[test]
fn what_an_inner_layer_calls_a_failure_is_one_whatever_its_status() {
    let bench = Bench::new();
    let class = Class::new(Verdict::Transient, Outcome::Word("empty"));
    bench.probe.always(Reply::ok().extension(class).hanging());
    let mut callers = bench.asks(2);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    drop(answer(&mut callers[0]));
    assert_pending!(callers[1].poll());
    assert_eq!(bench.probe.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_breaks_off_for_all() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().body(script(&["a"]).error("reset")));
    let bodies = [body(&mut bench.ask("t", "q")), body(&mut bench.ask("t", "q"))];
    for body in bodies {
        let received = read(body.into_inner()).await;
        assert_eq!(received.bytes(), "a");
        let error: BoxError = received.error.expect("it failed");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("reset"));
    }
    assert_eq!((bench.probe.calls(), bench.handle.counts().under_way), (1, 0));
}

#[test]
fn a_panic_is_of_the_one_who_was_polled_and_the_others_go_on() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().body(script(&["a"]).panics("in the body")));
    let mut first = body(&mut bench.ask("t", "q"));
    let mut second = body(&mut bench.ask("t", "q"));
    assert_eq!([next(&mut first), next(&mut second)], [data("a"), data("a")]);
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut first))).is_err());
    assert_eq!(next(&mut second), Some(Err("the shared answer was lost".into())));
    assert_eq!(next(&mut second), None);
    drop((first, second));
    assert_eq!(bench.handle.counts().under_way, 0);
    assert_eq!(next(&mut body(&mut bench.ask("t", "q"))), None, "the next call is a new one");
}

mod call {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicU32, Ordering},
        task::Poll,
    };

    use buttress_coalesce::{ByFn, CoalesceLayer, OneTenant};
    use tokio_test::{assert_pending, task};
    use tower::{Layer as _, Service as _, service_fn};

    use super::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn that_panics_is_made_anew_by_one_that_waits() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let layer = CoalesceLayer::new(OneTenant).question(ByFn(|number: &u64| Some(*number))).plain();
        let service = layer.layer(service_fn(|number: u64| {
            let call = CALLS.fetch_add(1, Ordering::Relaxed);
            let mut polls = 0;
            poll_fn(move |_| {
                polls += 1;
                match (call, polls) {
                    (0, 2..) => panic!("in the call"),
                    (0, _) => Poll::Pending,
                    _ => Poll::Ready(Ok::<_, ()>(number)),
                }
            })
        }));
        let mut callers = [task::spawn(service.clone().call(7)), task::spawn(service.clone().call(7))];
        callers.iter_mut().for_each(|caller| {
            if CALLS.load(Ordering::Relaxed) == 0 {
                assert_pending!(caller.poll());
            }
        });
        let [first, second] = &mut callers;
        assert!(catch_unwind(AssertUnwindSafe(|| first.poll())).is_err());
        assert_eq!(second.poll(), Poll::Ready(Ok(7)));
        assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    }
}
