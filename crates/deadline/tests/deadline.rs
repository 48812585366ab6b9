//! The deadline of a call.

use std::{
    error::Error,
    future::{Future, poll_fn},
    num::NonZeroU32,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use buttress_core::{BoxError, CallContext, Class, HttpRefusal, Payload, Refusal, RefusalKind, Verdict};
use buttress_deadline::{
    Cover, Deadline, DeadlineExceeded, DeadlineLayer, HttpProtocol, Protocol, ResponseBody, Source,
};
use buttress_testkit::{
    ByError, Handle, PlainProbe, Probe, ProbeError, Received, Reply, Script, ScriptedBody, TraceGuard, read, send,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use proptest::prelude::*;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_layer::Layer;

type Service = Deadline<Probe, HttpRefusal, HttpProtocol>;

const MINUTE: Duration = Duration::from_secs(60);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn n(attempts: u32) -> NonZeroU32 {
    NonZeroU32::new(attempts).expect("not zero")
}

fn over(layer: &DeadlineLayer, reply: Reply) -> (Service, Handle) {
    let (probe, handle) = Probe::new();
    handle.always(reply);
    (layer.layer(probe), handle)
}

fn asking(headers: &[(&str, &str)]) -> Request<Payload> {
    let request = headers.iter().fold(Request::post("/"), |request, (name, value)| request.header(*name, *value));
    request.body(Payload::default()).expect("names and values are valid")
}

fn due_in(time: Duration) -> (Request<Payload>, CallContext) {
    let context = CallContext::new(n(3));
    context.limit_deadline(Instant::now() + time);
    let mut request = asking(&[]);
    request.extensions_mut().insert(context.clone());
    (request, context)
}

fn context_seen(handle: &Handle) -> CallContext {
    handle.seen()[0].extensions.get().cloned().expect("the layer leaves a context in the request")
}

async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let begun = Instant::now();
    let output = future.await;
    (output, Instant::now() - begun)
}

/// Returns how long a call without an answer takes to be refused.
async fn refused_after(layer: &DeadlineLayer, request: Request<Payload>) -> Duration {
    let (mut service, _handle) = over(layer, Reply::ok().hanging());
    let (response, took) = timed(send(&mut service, request)).await;
    is_late(&response.expect("a refusal is an answer"));
    took
}

fn is_late<B>(response: &Response<B>) {
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.extensions().get::<Refusal>().map(Refusal::kind), Some(RefusalKind::DeadlineExceeded));
    let hint = response.extensions().get::<Class>().map(|class| class.hint);
    assert_eq!(hint.and_then(|hint| hint.should_retry), Some(false), "no layer can help");
    assert_eq!(hint.and_then(|hint| hint.after), None, "the wait is a guess, and for the caller");
}

/// The body of an answer that is there at once, under a deadline.
async fn body_within(time: Duration, script: Script) -> (Pin<Box<ResponseBody<ScriptedBody>>>, Handle) {
    let (mut service, handle) = over(&DeadlineLayer::new(time), Reply::ok().body(script));
    let response = send(&mut service, asking(&[])).await.expect("an answer");
    (Box::pin(response.into_body()), handle)
}

async fn next<B: Body>(body: &mut Pin<Box<B>>) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}

async fn next_data<B: Body<Data = Bytes, Error: std::fmt::Debug>>(body: &mut Pin<Box<B>>) -> Bytes {
    next(body).await.expect("a frame").expect("no error").into_data().unwrap_or_else(|_| panic!("a frame of data"))
}

fn is_deadline_exceeded(error: &BoxError) -> bool {
    let chain = std::iter::successors(Some(&**error as &(dyn Error + 'static)), |&error| error.source());
    chain.into_iter().any(|error| error.is::<DeadlineExceeded>())
}

fn is_cut_off(received: &Received) -> bool {
    received.error.as_ref().is_some_and(is_deadline_exceeded)
}

// === Which deadline ===

#[tokio::test(start_paused = true)]
async fn a_request_that_asks_for_nothing_has_the_configured_time() {
    assert_eq!(refused_after(&DeadlineLayer::new(ms(1_500)), asking(&[])).await, ms(1_500));
}

#[tokio::test(start_paused = true)]
async fn callers_ask_for_less_by_any_header_and_the_least_counts() {
    let layer = DeadlineLayer::new(MINUTE);
    let headers = [("x-request-timeout-ms", "900"), ("grpc-timeout", "800m"), ("x-stainless-read-timeout", "0.5")];
    for (header, took) in headers.iter().zip([900, 800, 475]) {
        assert_eq!(refused_after(&layer, asking(&[*header])).await, ms(took), "{header:?}");
    }
    assert_eq!(refused_after(&layer, asking(&headers)).await, ms(475));
    assert_eq!(refused_after(&layer, asking(&headers[..2])).await, ms(800));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_more_than_the_configured_time() {
    let greedy =
        [("x-request-timeout-ms", "60000"), ("grpc-timeout", "99999999H"), ("x-stainless-read-timeout", "1e9")];
    assert_eq!(refused_after(&DeadlineLayer::new(ms(1_000)), asking(&greedy)).await, ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_switched_off_is_not_read() {
    let layer = DeadlineLayer::new(ms(1_000)).sources([Source::GrpcTimeout]);
    assert_eq!(
        refused_after(&layer, asking(&[("x-request-timeout-ms", "10"), ("grpc-timeout", "700m")])).await,
        ms(700)
    );
    let layer = layer.sources([]);
    assert_eq!(refused_after(&layer, asking(&[("grpc-timeout", "0n")])).await, ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_passed_over_and_its_value_is_not_traced() {
    let trace = TraceGuard::new();
    let garbage = [("x-request-timeout-ms", "-5"), ("grpc-timeout", "my-secret"), ("x-stainless-read-timeout", "NaN")];
    assert_eq!(refused_after(&DeadlineLayer::new(ms(1_000)), asking(&garbage)).await, ms(1_000));
    trace.assert_hides(&["my-secret", "-5", "NaN"]);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_in_the_context_wins_and_a_later_one_gives_way() {
    let layer = DeadlineLayer::new(ms(1_000));
    assert_eq!(refused_after(&layer, due_in(ms(400)).0).await, ms(400));
    let (request, context) = due_in(ms(4_000));
    assert_eq!(refused_after(&layer, request).await, ms(1_000));
    assert_eq!(context.remaining(Instant::now()), Some(ms(0)), "all who share the context have the earlier one");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_in_the_context_for_the_layers_further_in() {
    let (mut service, handle) = over(&DeadlineLayer::new(ms(900)).allowance(n(4)), Reply::ok());
    send(&mut service, asking(&[])).await.unwrap();
    let context = context_seen(&handle);
    assert_eq!((context.remaining(Instant::now()), context.attempts_left()), (Some(ms(900)), 3));
    assert_eq!(context.attempt_timeout(), None, "the time is shared out only if asked");
}

#[tokio::test(start_paused = true)]
async fn the_time_is_shared_out_among_the_attempts_if_asked() {
    let layer = DeadlineLayer::new(MINUTE).allowance(n(4)).attempt_timeout(ms(5_000), ms(100));
    for (asked, timeout) in [("60000", 5_000), ("8000", 2_000), ("200", 100)] {
        let (mut service, handle) = over(&layer, Reply::ok());
        send(&mut service, asking(&[("x-request-timeout-ms", asked)])).await.unwrap();
        assert_eq!(context_seen(&handle).attempt_timeout(), Some(ms(timeout)), "{asked}");
    }
    let (mut service, _handle) = over(&layer, Reply::ok());
    let (request, context) = due_in(MINUTE);
    context.set_attempt_timeout(ms(700));
    send(&mut service, request).await.unwrap();
    assert_eq!(context.attempt_timeout(), Some(ms(700)), "what is shorter already stays");
}

#[tokio::test(start_paused = true)]
async fn a_time_beyond_what_a_clock_can_hold_is_no_limit() {
    let forever = DeadlineLayer::new(Duration::MAX).attempt_timeout(Duration::MAX, Duration::MAX);
    let reply = Reply::ok().after(MINUTE * 60 * 24 * 365).body(Script::new().hangs().data("late"));
    let (mut service, handle) = over(&forever, reply);
    let response = send(&mut service, asking(&[])).await.unwrap();
    assert_eq!(context_seen(&handle).deadline(), None);
    let mut body = task::spawn(read(response.into_body()));
    assert_pending!(body.poll());
    advance(MINUTE).await;
    handle.bodies().release();
    assert_eq!(assert_ready!(body.poll()).bytes(), "late");
    let asked = [("x-request-timeout-ms", "18446744073709551615"), ("grpc-timeout", "99999999H")];
    let (mut service, _handle) = over(&forever, Reply::ok().after(MINUTE));
    assert_eq!(send(&mut service, asking(&asked)).await.unwrap().status(), 200);
}

// === The head ===

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_not_made() {
    let (request, _context) = due_in(ms(5));
    advance(ms(5)).await;
    for request in [request, asking(&[("x-request-timeout-ms", "0")]), asking(&[("grpc-timeout", "0S")])] {
        let (mut service, handle) = over(&DeadlineLayer::new(MINUTE), Reply::ok());
        is_late(&send(&mut service, request).await.unwrap());
        assert_eq!(handle.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_is_dropped_before_its_refusal_is_made() {
    let (probe, handle) = Probe::<ScriptedBody>::new();
    handle.always(Reply::ok().hanging());
    let seen = handle.clone();
    let layer = DeadlineLayer::new(ms(100)).on_refusal(move |refusal: Refusal| {
        assert_eq!((seen.futures(), seen.permits()), (0, 0), "the call is gone");
        Err::<Response<ScriptedBody>, _>(ProbeError::new(refusal.to_string()))
    });
    let (error, took) = timed(send(&mut layer.layer(probe), asking(&[]))).await;
    assert_eq!(error.err(), Some(ProbeError::new("the deadline passed before an answer came")));
    assert_eq!((took, handle.calls()), (ms(100), 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_deadline_is_returned() {
    for (after, status) in [(999, 200), (1_000, 200), (1_001, 504)] {
        let (mut service, _handle) = over(&DeadlineLayer::new(ms(1_000)), Reply::ok().after(ms(after)));
        assert_eq!(send(&mut service, asking(&[])).await.unwrap().status(), status, "after {after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_not_fetched_in_time_is_returned_still() {
    let (mut service, handle) = over(&DeadlineLayer::new(ms(100)), Reply::ok().hanging());
    let mut call = task::spawn(send(&mut service, asking(&[])));
    assert_pending!(call.poll());
    advance(ms(5_000)).await;
    handle.release();
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_timer_wakes_the_caller() {
    let (mut service, handle) = over(&DeadlineLayer::new(ms(100)), Reply::ok().hanging());
    let mut call = task::spawn(send(&mut service, asking(&[])));
    assert_pending!(call.poll());
    sleep(ms(99)).await;
    assert!(!call.is_woken());
    sleep(ms(2)).await;
    assert!(call.is_woken());
    is_late(&assert_ready!(call.poll()).unwrap());
    drop(call);
    drop(service);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_why_in_the_words_of_openai() {
    let (mut service, _handle) = over(&DeadlineLayer::new(ms(10)), Reply::ok().hanging());
    let response = send(&mut service, asking(&[])).await.unwrap();
    assert_eq!(response.extensions().get::<Class>().map(|class| class.verdict), Some(Verdict::Slow));
    assert!(response.body().size_hint().exact().is_some(), "a refusal has a known length");
    let body = read(response.into_body()).await.bytes();
    let message = "the deadline passed before an answer came";
    let code = r#""type":"server_error","param":null,"code":"deadline_exceeded""#;
    assert_eq!(body, format!(r#"{{"error":{{"message":"{message}",{code}}}}}"#));
}

#[tokio::test(start_paused = true)]
async fn the_time_runs_in_a_task_that_never_rests() {
    let restless = tower::service_fn(move |_: Request<Payload>| {
        let mut turns = 0;
        poll_fn(move |cx| {
            turns += 1;
            assert!(turns < 10_000, "the deadline is long over");
            // Uses up the turn, so that the runtime answers every timer with "not now".
            while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            Poll::<Result<Response<Payload>, ProbeError>>::Pending
        })
    });
    let mut service = DeadlineLayer::new(ms(100)).layer(restless);
    let call = send(&mut service, asking(&[]));
    let (response, ()) = tokio::join!(call, async { advance(ms(101)).await });
    is_late(&response.unwrap());
}

// === The body ===

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_past_the_deadline_is_dropped_and_ends_with_an_error() {
    let (mut body, handle) = body_within(ms(100), Script::new().data("ab").hangs().data("c")).await;
    assert_eq!(next_data(&mut body).await, "ab");
    let (error, took) = timed(next(&mut body)).await;
    assert!(is_deadline_exceeded(&error.expect("an error").unwrap_err()));
    assert_eq!(took, ms(100));
    assert_eq!(handle.bodies().alive(), 0, "the inner body is gone, though its wrapper is still here");
    assert!(next(&mut body).await.is_none() && body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_time_to_the_head_counts_for_the_body() {
    let script = Script::new().hangs().data("a");
    let (mut service, _handle) = over(&DeadlineLayer::new(ms(1_000)), Reply::ok().after(ms(700)).body(script));
    let response = send(&mut service, asking(&[])).await.unwrap();
    let (received, took) = timed(read(response.into_body())).await;
    assert!(is_cut_off(&received));
    assert_eq!(took, ms(300));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_there_at_the_deadline_is_delivered() {
    let (mut body, handle) = body_within(ms(100), Script::new().hangs().data("just").data(" in time").hangs()).await;
    let mut reader = task::spawn(next_data(&mut body));
    assert_pending!(reader.poll());
    advance(ms(100)).await;
    handle.bodies().release();
    assert_eq!(assert_ready!(reader.poll()), "just");
    drop(reader);
    assert_eq!(next_data(&mut body).await, " in time");
    assert!(next(&mut body).await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn trailers_before_the_deadline_come_through() {
    let script = Script::new().data("ab").hangs().trailer("grpc-status", "0");
    let (body, handle) = body_within(ms(100), script).await;
    let mut reader = task::spawn(read(body));
    assert_pending!(reader.poll());
    advance(ms(99)).await;
    handle.bodies().release();
    let received = assert_ready!(reader.poll());
    assert_eq!(received.bytes(), "ab");
    assert_eq!(received.trailers.unwrap()["grpc-status"], "0");
    assert!(received.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn trailers_that_do_not_come_in_time_never_come() {
    let (body, _handle) = body_within(ms(100), Script::new().data("ab").hangs().trailer("grpc-status", "0")).await;
    let received = read(body).await;
    assert_eq!((received.bytes(), &received.trailers), ("ab".into(), &None));
    assert!(is_cut_off(&received));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_a_short_answer_whole() {
    let (mut body, _handle) = body_within(ms(100), Script::new().data("ab").trailer("x-check", "1").late()).await;
    advance(MINUTE).await;
    assert_eq!(next_data(&mut body).await, "ab");
    advance(MINUTE).await;
    assert!(next(&mut body).await.unwrap().unwrap().is_trailers());
    assert!(next(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_outlast_the_deadline() {
    let script = (0..100).fold(Script::new(), |script, _| script.data("more"));
    let (mut body, handle) = body_within(ms(100), script).await;
    let mut frames = 0;
    while let Some(frame) = next(&mut body).await {
        let Ok(_) = frame else { break };
        frames += 1;
        advance(ms(40)).await;
    }
    assert_eq!(frames, 4, "at 0, 40 and 80 ms, and one that may have been there in time");
    assert_eq!(handle.bodies().alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_bodys_timer_wakes_its_reader() {
    let (mut body, _handle) = body_within(ms(100), Script::new().hangs().data("a")).await;
    let mut reader = task::spawn(next(&mut body));
    assert_pending!(reader.poll());
    sleep(ms(99)).await;
    assert!(!reader.is_woken());
    sleep(ms(2)).await;
    assert!(reader.is_woken());
    assert!(assert_ready!(reader.poll()).unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_body_is_its_own() {
    let (body, _handle) = body_within(ms(100), Script::new().data("ab").error("cut off")).await;
    let error = read(body).await.error.unwrap();
    assert_eq!(error.downcast_ref(), Some(&ProbeError::new("cut off")));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_while_it_waits_leaves_nothing() {
    let (mut body, handle) = body_within(ms(100), Script::new().hangs().data("a")).await;
    let mut reader = task::spawn(next(&mut body));
    assert_pending!(reader.poll());
    drop(reader);
    drop(body);
    handle.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn headers_only_leaves_the_body_its_time() {
    let layer = DeadlineLayer::headers_only(ms(100));
    assert_eq!(refused_after(&layer, asking(&[])).await, ms(100));
    let script = Script::new().data("a").hangs().data("b").data("c").trailer("x-check", "1");
    let (mut service, handle) = over(&layer, Reply::ok().body(script));
    let mut reader = task::spawn(read(send(&mut service, asking(&[])).await.unwrap().into_body()));
    assert_pending!(reader.poll());
    advance(MINUTE).await;
    handle.bodies().release();
    let received = assert_ready!(reader.poll());
    assert_eq!((received.bytes(), received.trailers.is_some(), received.error.is_none()), ("abc".into(), true, true));
}

#[test]
fn a_body_stays_small_and_movable() {
    const fn is_unpin<T: Unpin>() {}
    is_unpin::<ResponseBody<Payload>>();
    assert_eq!(size_of::<ResponseBody<Payload>>(), size_of::<Payload>() + 32);
}

#[test]
fn an_error_of_the_deadline_becomes_a_refusal() {
    let response = buttress_testkit::run(async {
        let (probe, handle) = PlainProbe::new();
        handle.always(Reply::ok().hanging());
        send(&mut DeadlineLayer::plain(ms(10), ByError).layer(probe), 1).await
    });
    assert_eq!(response, Err(ByError::error("deadline_exceeded")));
}

// === No timer without need ===

/// Runs `test` where a timer cannot be made: it panics.
fn without_timers<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(test)
}

#[test]
fn a_call_that_is_ready_at_once_never_touches_the_timer() {
    without_timers(async {
        let script = Script::new().data("ab").data("c").trailer("x-check", "1");
        let (mut service, _handle) = over(&DeadlineLayer::new(MINUTE), Reply::ok().body(script));
        for _ in 0..3 {
            let response = send(&mut service, asking(&[("grpc-timeout", "1S")])).await.unwrap();
            let received = read(response.into_body()).await;
            assert_eq!((received.bytes(), received.error.is_none()), ("abc".into(), true));
        }
        is_late(&send(&mut service, asking(&[("grpc-timeout", "0S")])).await.unwrap());
    });
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_call_that_waits_touches_it() {
    let (mut service, _handle) = over(&DeadlineLayer::new(MINUTE), Reply::ok().hanging());
    let _ = without_timers(send(&mut service, asking(&[])));
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_body_that_waits_touches_it() {
    without_timers(async { read(body_within(MINUTE, Script::new().hangs()).await.0).await });
}

// === Neither HTTP nor plain ===

/// A request that says itself how long it may take.
struct Job {
    millis: u64,
}

#[derive(Clone)]
struct Jobs;

impl Protocol<Job> for Jobs {
    fn deadline(&self, job: &mut Job, timeout: Duration, now: Instant) -> Option<Instant> {
        now.checked_add(ms(job.millis).min(timeout))
    }
}

impl<Res> Cover<Res> for Jobs {
    type Response = (Res, Option<Instant>);

    fn cover(&self, response: Res, deadline: Option<Instant>) -> Self::Response {
        (response, deadline)
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_of_ones_own_has_its_own_deadlines_and_covers() {
    let refuse = |refusal: Refusal| Ok::<_, ProbeError>(refusal.to_string());
    let layer = DeadlineLayer::plain(ms(1_000), refuse).protocol(Jobs);
    let mut service = layer.layer(tower::service_fn(async |_: Job| {
        sleep(ms(500)).await;
        Ok("done".to_owned())
    }));
    let begun = Instant::now();
    let answer = send(&mut service, Job { millis: 700 }).await.unwrap();
    assert_eq!(answer, ("done".to_owned(), Some(begun + ms(700))));
    let refused = send(&mut service, Job { millis: 300 }).await.unwrap();
    assert_eq!(refused, ("the deadline passed before an answer came".to_owned(), None), "a refusal has no deadline");
}

// === The promise ===

fn valid_header() -> impl Strategy<Value = (&'static str, String, Duration)> {
    let less = |time: Duration| time.saturating_sub((time / 20).max(ms(20)));
    prop_oneof![
        (0..20_000_u64).prop_map(|time| ("x-request-timeout-ms", time.to_string(), ms(time))),
        (0..20_000_u64).prop_map(|time| ("grpc-timeout", format!("{time}m"), ms(time))),
        (0..20_u64).prop_map(move |time| (
            "x-stainless-read-timeout",
            time.to_string(),
            less(Duration::from_secs(time))
        )),
    ]
}

fn garbage_header() -> impl Strategy<Value = (&'static str, String)> {
    let name = prop::sample::select(vec!["x-request-timeout-ms", "grpc-timeout", "x-stainless-read-timeout"]);
    (name, "-[0-9]{0,30}[a-z]?|[a-z]{1,4}|[0-9]{40,60}x")
}

proptest! {
    #[test]
    fn the_deadline_is_the_earliest_of_all_that_can_be_read_and_never_later_than_configured(
        configured in 1..20_000_u64,
        in_context in proptest::option::of(1..20_000_u64),
        valid in prop::collection::vec(valid_header(), 0..4),
        garbage in prop::collection::vec(garbage_header(), 0..4),
    ) {
        let (left, calls) = buttress_testkit::run(async {
            let (mut request, context) = in_context.map_or_else(
                || (asking(&[]), CallContext::new(n(1))),
                |time| due_in(ms(time)),
            );
            request.extensions_mut().insert(context.clone());
            let valid = valid.iter().map(|(name, value, _)| (*name, value.clone()));
            for (name, value) in garbage.into_iter().chain(valid) {
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let (mut service, handle) = over(&DeadlineLayer::new(ms(configured)), Reply::ok());
            send(&mut service, request).await.unwrap();
            (context.remaining(Instant::now()), handle.calls())
        });
        let asked = valid.iter().map(|(_, _, time)| *time);
        let earliest = asked.chain([ms(configured)]).chain(in_context.map(ms)).min().unwrap();
        prop_assert_eq!(left, Some(earliest));
        prop_assert_eq!(calls, usize::from(!earliest.is_zero()), "what has no time left is not begun");
    }

    #[test]
    fn no_deadline_panics(
        secs in any::<u64>(), nanos in 0..1_000_000_000_u32, header in "[0-9]{1,20}", unit in "[HMSmun]"
    ) {
        buttress_testkit::run(async {
            let time = Duration::new(secs, nanos);
            let layer = DeadlineLayer::new(time).attempt_timeout(time, ms(1));
            let (mut service, _handle) = over(&layer, Reply::ok().body(Script::new().yields().data("a")).after(ms(1)));
            let grpc = format!("{}{unit}", &header[..header.len().min(8)]);
            let other = [("x-request-timeout-ms", &*header), ("x-stainless-read-timeout", &*header)];
            for request in [asking(&other), asking(&[("grpc-timeout", &*grpc)]), asking(&[])] {
                drop(read(send(&mut service, request).await.unwrap().into_body()).await);
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_further_out_can_make_a_body_of_its_own() {
    let body = ResponseBody::<buttress_core::Body>::from(Bytes::from_static(b"no"));
    assert_eq!(Body::size_hint(&body).exact(), Some(2));
    assert_eq!(read(body).await.bytes(), "no");
}
