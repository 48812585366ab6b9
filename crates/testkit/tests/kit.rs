//! The tools themselves: what a probe, a script and a guard do.

use std::{panic::AssertUnwindSafe, task::Poll, time::Duration};

use buttress_core::Payload;
use buttress_testkit::{
    BodyWatch, PlainProbe, Probe, ProbeError, Reply, Script, ScriptedBody, TraceGuard, read, request, run, send,
};
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use tokio_test::{
    assert_pending, assert_ready_eq, assert_ready_ok,
    task::{self, Spawn},
};
use tower_service::Service as _;

fn poll(body: &mut Spawn<ScriptedBody>) -> Poll<Option<Result<Frame<Bytes>, ProbeError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

// === Probe ===

#[test]
fn a_place_is_of_one_instance_and_freed_by_its_drop() {
    let (probe, handle) = PlainProbe::new();
    handle.limit(1);
    let (mut first, mut second) = (probe.clone(), probe);
    let (mut one, mut two) = (task::spawn(()), task::spawn(()));
    assert_ready_ok!(one.enter(|cx, _| first.poll_ready(cx)));
    assert_ready_ok!(one.enter(|cx, _| first.poll_ready(cx)));
    assert_eq!((handle.permits(), handle.ready_polls()), (1, 2));
    assert_pending!(two.enter(|cx, _| second.poll_ready(cx)));
    drop(first.clone());
    assert_eq!(handle.permits(), 1, "a clone holds no place");
    drop(first);
    assert!(two.is_woken());
    assert_ready_ok!(two.enter(|cx, _| second.poll_ready(cx)));
}

#[test]
#[should_panic(expected = "the probe was called unready")]
fn a_second_call_needs_a_second_readiness() {
    run(async {
        let (mut probe, _handle) = PlainProbe::new();
        assert_eq!(send(&mut probe, 1).await, Ok(1));
        drop(probe.call(2));
    });
}

#[test]
fn replies_come_in_order_and_then_the_standing_one() {
    run(async {
        let (mut probe, handle) = PlainProbe::new();
        handle.next(Reply::from(5));
        handle.next(Reply::error("no"));
        handle.always(Reply::from(9));
        let mut answers = Vec::new();
        for number in 1..=4 {
            answers.push(send(&mut probe, number).await);
        }
        assert_eq!(answers, [Ok(5), Err("no".into()), Ok(9), Ok(9)]);
        assert_eq!(handle.seen(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_call_hangs_until_it_is_released_and_takes_its_time() {
    run(async {
        let (mut probe, handle) = PlainProbe::new();
        handle.next(Reply::ok().hanging());
        let mut call = task::spawn(send(&mut probe, 1));
        assert_pending!(call.poll());
        assert_eq!(handle.futures(), 1);
        handle.release();
        assert!(call.is_woken());
        assert_ready_eq!(call.poll(), Ok(1));
        drop(call);
        handle.assert_idle();

        handle.next(Reply::ok().after(Duration::from_secs(5)));
        let before = tokio::time::Instant::now();
        assert_eq!(send(&mut probe, 1).await, Ok(1));
        assert_eq!(tokio::time::Instant::now() - before, Duration::from_secs(5));
    });
}

#[test]
fn an_http_probe_answers_as_it_was_told_and_notes_what_it_read() {
    run(async {
        let (mut probe, handle) = Probe::<ScriptedBody>::new();
        let script = Script::new().data("a").data("b").trailer("x-check", "1");
        handle.next(
            Reply::status(429).header("retry-after", "1").extension(7_u8).body(Script::new().data("no")).reading(1),
        );
        handle.next(Reply::ok().reading_all());
        let send_one = async |probe: &mut _, script: Script| send(probe, Request::new(script.body())).await.unwrap();

        let response = send_one(&mut probe, script.clone()).await;
        assert_eq!((response.status().as_u16(), response.extensions().get()), (429, Some(&7_u8)));
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(handle.bodies().alive(), 1);
        assert_eq!(read(response.into_body()).await.bytes(), "no");
        handle.assert_idle();

        drop(send_one(&mut probe, script).await);
        let [first, second] = &handle.seen()[..] else { panic!("two calls") };
        assert_eq!((first.data.concat(), first.trailers.is_none()), (b"a".to_vec(), true));
        assert_eq!((second.data.concat(), second.trailers.is_some()), (b"ab".to_vec(), true));
    });
}

#[test]
fn a_request_body_that_fails_fails_the_call() {
    run(async {
        let (mut probe, handle) = Probe::<ScriptedBody>::new();
        handle.next(Reply::ok().reading_all());
        let result = send(&mut probe, Request::new(Script::new().error("cut").body())).await;
        assert_eq!(result.err(), Some("cut".into()));
    });
}

#[test]
#[should_panic(expected = "a body of the inner service is still alive")]
fn what_is_left_behind_is_told() {
    run(async {
        let (mut probe, handle) = Probe::<ScriptedBody>::new();
        let _response = send(&mut probe, request()).await.unwrap();
        handle.assert_idle();
    });
}

#[test]
fn one_probe_serves_any_request_body() {
    run(async {
        let (mut probe, handle) = Probe::<buttress_core::Body>::new();
        send(&mut probe, Request::new(Payload::default())).await.unwrap();
        send(&mut probe, Request::new(Script::new().body())).await.unwrap();
        assert_eq!(handle.calls(), 2);
    });
}

// === Script ===

#[test]
fn a_body_follows_its_script() {
    let watch = BodyWatch::default();
    let script = Script::new().data("a").yields().hangs().data("b").trailer("x-check", "1").error("no");
    let mut body = task::spawn(script.watched_by(&watch));
    assert!(
        matches!(poll(&mut body), Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data == "a"))
    );
    assert!(poll(&mut body).is_pending() && body.is_woken());
    assert!(poll(&mut body).is_pending() && !body.is_woken());
    assert!(poll(&mut body).is_pending(), "a pause lasts");
    watch.release();
    assert!(body.is_woken());
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_data()));
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(error))) if error == "no".into()));
    assert_eq!(watch.polls_after_end(), 0);
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    assert_eq!((watch.polls(), watch.polls_after_end()), (8, 1));
    assert_eq!((watch.alive(), watch.dropped()), (1, 0));
    drop(body);
    assert_eq!((watch.alive(), watch.dropped()), (0, 1));
}

#[test]
fn a_release_does_not_end_a_pause_that_has_not_begun() {
    let watch = BodyWatch::default();
    let mut body = task::spawn(Script::new().hangs().hangs().data("a").watched_by(&watch));
    watch.release();
    assert!(poll(&mut body).is_pending(), "the first pause begins now");
    watch.release();
    assert!(poll(&mut body).is_pending(), "the second pause begins now");
    watch.release();
    assert!(poll(&mut body).is_ready());
}

#[test]
fn hints_are_as_scripted() {
    let hints = |script: Script| {
        let body = script.body();
        (body.size_hint().lower(), body.size_hint().upper(), body.is_end_stream())
    };
    assert_eq!(hints(Script::new()), (0, None, true));
    assert_eq!(hints(Script::new().late()), (0, None, false));
    assert_eq!(hints(Script::new().data("abc").sized()), (3, Some(3), false));
    assert_eq!(hints(Script::new().data("abc").announcing(9)), (9, Some(9), false));
    assert_eq!(hints(Script::new().data("abc").bounded(1, None)), (1, None, false));

    let mut body = task::spawn(Script::new().data("abc").announcing(9).body());
    assert!(poll(&mut body).is_ready());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(6), true));
    assert_eq!(ScriptedBody::from(Bytes::from_static(b"abc")).size_hint().exact(), Some(3));
    assert!(ScriptedBody::from(Bytes::new()).is_end_stream() && ScriptedBody::default().is_end_stream());
}

#[test]
fn a_scripted_panic_is_a_panic() {
    let mut body = task::spawn(Script::new().panics("as scripted").data("a").body());
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| poll(&mut body))).is_err());
    assert!(poll(&mut body).is_ready());
}

// === TraceGuard ===

#[test]
fn what_is_traced_is_captured_with_its_fields() {
    let guard = TraceGuard::new();
    let span = tracing::info_span!("exchange", target.name = "east", late = tracing::field::Empty);
    let _entered = span.enter();
    span.record("late", "later");
    tracing::debug!(status = 503, error = %"gone", "attempt failed");
    let lines = guard.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("INFO kit exchange") && lines[0].ends_with("target.name=east"), "{lines:?}");
    assert_eq!(lines[1], "record late=later");
    assert!(lines[2].contains("message=attempt failed status=503 error=gone"), "{lines:?}");
    guard.assert_hides(&["a prompt", "sk-123"]);
}

#[test]
#[should_panic(expected = "\"sk-\\\"123\" was traced")]
fn a_secret_is_found_even_with_a_quote_in_it() {
    let guard = TraceGuard::new();
    tracing::info!(key = "sk-\"123");
    guard.assert_hides(&["sk-\"123"]);
}

#[test]
#[should_panic(expected = "was traced")]
fn a_secret_is_found_in_a_late_field() {
    let guard = TraceGuard::new();
    let span = tracing::trace_span!("exchange", prompt = tracing::field::Empty);
    span.record("prompt", tracing::field::debug("tell me"));
    guard.assert_hides(&["tell me"]);
}

#[test]
#[should_panic(expected = "nothing was traced")]
fn silence_proves_nothing() {
    TraceGuard::new().assert_hides(&["a prompt"]);
}

#[test]
fn what_is_traced_after_the_guard_is_not_captured() {
    drop(TraceGuard::new());
    tracing::info!("unheard");
    let guard = TraceGuard::new();
    assert_eq!(guard.lines(), [""; 0]);
}
