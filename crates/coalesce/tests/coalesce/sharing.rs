//! What is shared, and with whom.

use buttress_coalesce::{ByFn, CoalesceLayer, Joined, OneTenant};
use buttress_core::{AnswerReport, Class, Usage};
use buttress_testkit::{PlainProbe, Reply, read};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer as _, Service as _};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_hundred_identical_streams_cost_one_call() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().hanging().body(script(&["a", "b", "c"]).yields().data("d")));
    let mut callers = bench.asks(100);
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    bench.probe.release();
    assert!(callers.iter().all(|caller| caller.is_woken()));
    for caller in &mut callers {
        let response = answer(caller).expect("it is answered");
        assert_eq!(read(response.into_body()).await.bytes(), "abcd");
    }
    assert_eq!(bench.probe.calls(), 1);
    drop(callers);
    bench.probe.assert_idle();
    let counts = bench.handle.counts();
    assert_eq!((counts.led, counts.joined, counts.promoted, counts.under_way), (1, 99, 0, 0));
}

#[test]
fn who_joins_late_has_what_came_before_and_goes_on_with_the_rest() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().body(script(&["a", "b"]).hangs().data("c")));
    let mut first = body(&mut bench.ask("t", "q"));
    assert_eq!([next(&mut first), next(&mut first)], [data("a"), data("b")]);
    assert_pending!(poll(&mut first));
    let mut second = body(&mut bench.ask("t", "q"));
    assert_eq!([next(&mut second), next(&mut second)], [data("a"), data("b")]);
    assert_pending!(poll(&mut second));
    bench.probe.bodies().release();
    assert!(first.is_woken() && second.is_woken());
    assert_eq!([next(&mut second), next(&mut second)], [data("c"), None]);
    assert_eq!([next(&mut first), next(&mut first)], [data("c"), None]);
    assert_eq!((bench.probe.calls(), bench.probe.bodies().polls_after_end()), (1, 0));
}

#[test]
fn an_answer_says_whether_it_came_from_anothers_call() {
    let bench = Bench::new();
    bench.probe.next(Reply::ok().header("x-kept", "1").body(script(&["a"]).hangs()));
    let first = answer(&mut bench.ask("t", "q")).expect("it is answered");
    let second = answer(&mut bench.ask("t", "q")).expect("it is answered");
    assert!(!first.headers().contains_key("cache-status") && first.extensions().get::<Joined>().is_none());
    assert_eq!(second.headers()["cache-status"], "buttress-coalesce; fwd=miss; collapsed");
    assert!(second.extensions().get::<Joined>().is_some());
    assert_eq!(
        (&first.headers()["x-kept"], &second.headers()["x-kept"]),
        (&"1".parse().unwrap(), &"1".parse().unwrap())
    );
}

#[test]
fn what_a_call_has_used_is_told_once_and_how_it_ended_to_all() {
    let bench = Bench::new();
    let (report, mut used) = (AnswerReport::default(), Usage::default());
    used.output = 7;
    bench.probe.next(Reply::ok().extension(report.clone()).body(script(&["a"]).hangs().data("b")));
    let mut answers = [(); 3].map(|()| answer(&mut bench.ask("t", "q")).expect("it is answered"));
    let reports = answers.each_mut().map(|answer| answer.extensions().get::<AnswerReport>().cloned().expect("told"));
    report.count(used);
    assert_eq!(
        reports.each_ref().map(AnswerReport::usage),
        [Some(used), Some(Usage::default()), Some(Usage::default())]
    );

    let [_, second, third] = answers.map(|answer| task::spawn(answer.into_body()));
    let (mut second, mut third) = (second, third);
    assert_eq!([next(&mut second), next(&mut third)], [data("a"), data("a")]);
    assert_pending!(poll(&mut second));
    bench.probe.bodies().release();
    // The last event tells of a failure, and the one that reads it says so before it passes it on.
    let failed = Class::status(http::StatusCode::BAD_GATEWAY);
    report.conclude(failed);
    assert_eq!([next(&mut second), next(&mut second)], [data("b"), None]);
    assert_eq!(reports[1].class(), Some(failed));
    assert_eq!(reports[2].class(), None, "it has not come to the end");
    drop(third);
    assert_eq!(reports[2].class(), None);
}

#[test]
fn tenants_and_questions_are_kept_apart() {
    let bench = Bench::new();
    bench.probe.always(Reply::ok().hanging());
    let mut callers = [bench.ask("a", "q"), bench.ask("b", "q"), bench.ask("a", "r"), bench.ask("a", "q")];
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    assert_eq!(bench.probe.calls(), 3);
}

#[test]
fn what_has_ended_is_not_joined() {
    let bench = Bench::new();
    bench.probe.always(Reply::ok().body(script(&["a"]).late()));
    let mut first = body(&mut bench.ask("t", "q"));
    assert_eq!([next(&mut first), next(&mut first)], [data("a"), None]);
    let mut second = body(&mut bench.ask("t", "q"));
    assert_eq!(next(&mut second), data("a"));
    assert_eq!(bench.probe.calls(), 2);
}

#[test]
fn a_service_without_http_shares_its_answers() {
    let layer = CoalesceLayer::new(OneTenant).question(ByFn(|number: &u64| Some(*number))).plain();
    let (probe, handle) = PlainProbe::new();
    let service = layer.layer(probe);
    handle.next(Reply::from(42).hanging());
    let ask = |number| task::spawn(service.clone().call(number));
    let mut callers = [ask(7), ask(7), ask(7)];
    callers.iter_mut().for_each(|caller| assert_pending!(caller.poll()));
    handle.release();
    assert_eq!(callers.each_mut().map(|caller| assert_ready_ok!(caller.poll())), [42; 3]);
    assert_eq!(handle.calls(), 1);
    assert_eq!(assert_ready!(ask(7).poll()), Ok(1), "a call that is over is not joined");
    assert_eq!((handle.calls(), layer.handle().counts().under_way), (2, 0));
}
