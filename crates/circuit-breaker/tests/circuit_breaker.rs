//! What the layer does.

mod common;

use std::{
    convert::Infallible,
    num::{NonZeroU32, NonZeroUsize},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_circuit_breaker::{
    ByTarget, ByTargetAndModel, Cause, Change, CircuitBreakerLayer, EjectionGroup, Handle, Key, OpenTime, Settings,
    State,
};
use buttress_core::{AnswerReport, Body, Class, Label, Outcome, Refusal, RefusalKind, Target, Verdict};
use buttress_testkit::{Probe, Reply, Script, TraceGuard, read, request, send};
use common::{One, SECOND, class, exact, handle, hinted, key, n};
use http::{Request, Response};
use tokio::time::{Instant, advance};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneSyncService};

// === The rules ===

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_and_a_success_between_them_does_not() {
    let one = One::new(exact());
    for _ in 0..3 {
        one.fail(4);
        one.succeed(10);
    }
    one.fail(4);
    assert_eq!(one.state(), State::Closed);
    one.fail(1);
    assert_eq!(one.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_calls_of_half_a_minute_open_but_not_before_there_are_ten() {
    let one = One::new(exact());
    for _ in 0..4 {
        one.fail(1);
        one.succeed(1);
    }
    one.fail(1);
    assert_eq!((one.state(), one.snapshot().failure_rate), (State::Closed, None), "nine calls are too few");
    one.succeed(1);
    assert_eq!(one.state(), State::Open, "the tenth tips it, though it is a success");
    assert_eq!(one.snapshot().failure_rate, Some(50.0));
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_rises_because_successes_grow_old_is_seen_whoever_looks_between() {
    let one = One::new(exact().no_consecutive().no_slow());
    one.succeed(20);
    advance(5 * SECOND).await;
    one.fail(9);
    advance(26 * SECOND).await;
    one.handle.advise(&one.key, SECOND, Instant::now());
    one.succeed(1);
    assert_eq!((one.state(), one.snapshot().failure_rate), (State::Open, Some(90.0)));
}

#[tokio::test(start_paused = true)]
async fn what_the_breaker_does_not_count_neither_opens_nor_fills_the_window() {
    let one = One::new(exact());
    for verdict in [
        Verdict::RateLimited,
        Verdict::CapacityByDesign,
        Verdict::QuotaExhausted,
        Verdict::CredentialDead,
        Verdict::ModelGone,
        Verdict::ContextTooLong,
        Verdict::ContentFiltered,
        Verdict::CallerFault,
        Verdict::Cancelled,
        Verdict::Slow,
    ] {
        assert!((0..100).all(|_| one.call(verdict)), "{verdict}");
    }
    assert_eq!(one.snapshot().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_though_they_succeed() {
    for settings in [exact().slow_to_first_byte(SECOND, 50), exact().slow_in_total(SECOND, 50)] {
        let one = One::new(settings.minimum_calls(n(4)));
        for slow in [false, true, false, true] {
            let permit = one.acquire().expect("closed");
            advance(if slow { 2 * SECOND } else { SECOND }).await;
            permit.conclude(&Class::SUCCESS);
        }
        assert_eq!((one.state(), one.snapshot().slow_rate), (State::Open, Some(50.0)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_slow_by_its_first_byte_or_token_or_in_total() {
    // head after 1 s, first token after 3 s, end after 9 s
    for (settings, reads_tokens, slow) in [
        (exact().slow_to_first_byte(2 * SECOND, 100), false, 0),
        (exact().slow_to_first_byte(2 * SECOND, 100), true, 1),
        (exact().slow_to_first_byte(4 * SECOND, 100), true, 0),
        (exact().slow_in_total(8 * SECOND, 100), true, 1),
        (exact().slow_in_total(9 * SECOND, 100), true, 0),
    ] {
        let (probe, script) = Probe::<buttress_testkit::ScriptedBody>::new();
        let layer = CircuitBreakerLayer::try_new(settings.no_consecutive()).expect("in range");
        let report = AnswerReport::default();
        let answer = Reply::ok().body(Script::new().data("token")).after(SECOND);
        script.next(if reads_tokens { answer.extension(report.clone()) } else { answer });
        let response = send(&mut layer.layer(probe), request()).await.expect("an answer");
        advance(2 * SECOND).await;
        report.begin(Instant::now());
        advance(6 * SECOND).await;
        drop(read(response.into_body()).await);
        assert_eq!(layer.handle().list()[0].slow, slow);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_head_alone_that_is_dropped_late_counts_as_slow() {
    let (probe, script) = Probe::<buttress_testkit::ScriptedBody>::new();
    let layer = CircuitBreakerLayer::try_new(exact().slow_to_first_byte(SECOND, 50)).expect("in range");
    script.always(Reply::ok().body(Script::new().hangs()));
    let mut service = layer.layer(probe);
    for _ in 0..10 {
        let response = send(&mut service, request()).await.expect("a head");
        advance(2 * SECOND).await;
        drop(response);
    }
    assert_eq!(layer.handle().list()[0].state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_head_came_in_time_is_not_slow_however_late_it_is_concluded() {
    let one = One::new(exact().slow_to_first_byte(SECOND, 50));
    for verdict in [Verdict::Success, Verdict::Transient] {
        let permit = one.acquire().expect("closed").answered();
        advance(2 * SECOND).await;
        permit.conclude(&class(verdict));
    }
    drop(one.acquire().expect("closed").answered());
    assert_eq!((one.snapshot().calls, one.snapshot().failed, one.snapshot().slow), (2, 1, 0));
}

// === The end of an answer ===

async fn end_of(reply: Reply, drop_midway: bool) -> (u32, u32) {
    let (probe, script) = Probe::<buttress_testkit::ScriptedBody>::new();
    let layer = CircuitBreakerLayer::new();
    script.next(reply);
    let response = send(&mut layer.layer(probe), request()).await.expect("an answer");
    if drop_midway {
        drop(response);
    } else {
        drop(read(response.into_body()).await);
    }
    let seen = &layer.handle().list()[0];
    (seen.calls, seen.failed)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_judged_by_its_end_and_by_what_its_reader_found() {
    let failed = AnswerReport::default();
    failed.conclude(class(Verdict::Transient));
    let filtered = AnswerReport::default();
    filtered.conclude(class(Verdict::ContentFiltered));
    let body = || Script::new().data("all is ").data("well");
    assert_eq!(end_of(Reply::ok().body(body()), false).await, (1, 0));
    assert_eq!(end_of(Reply::ok().body(body().error("reset")), false).await, (1, 1));
    assert_eq!(end_of(Reply::ok().body(body()).extension(failed), false).await, (1, 1));
    assert_eq!(end_of(Reply::ok().body(body()).extension(filtered), false).await, (0, 0));
    assert_eq!(end_of(Reply::ok().body(body()), true).await, (0, 0), "its caller went away");
    assert_eq!(end_of(Reply::status(200), false).await, (1, 0), "it has no body");
}

#[tokio::test(start_paused = true)]
async fn a_class_in_the_extensions_is_final() {
    let gone = class(Verdict::CallerFault);
    assert_eq!(end_of(Reply::status(503).extension(gone), false).await, (0, 0));
    assert_eq!(end_of(Reply::ok().extension(class(Verdict::Transient)), false).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_out_until_its_body_has_ended() {
    let (probe, script) = Probe::<buttress_testkit::ScriptedBody>::new();
    let layer = CircuitBreakerLayer::try_new(exact()).expect("in range");
    let (mut service, handle) = (layer.layer(probe), layer.handle());
    handle.open_for(&key("default"), SECOND);
    advance(SECOND).await;
    script.always(Reply::ok().body(Script::new().data("one").data("two")));
    let first = send(&mut service, request()).await.expect("a probe");
    assert_eq!(send(&mut service, request()).await.expect("a refusal").status(), 503);
    assert_eq!(handle.list()[0].state, State::HalfOpen);
    drop(read(first.into_body()).await);
    assert_eq!(handle.list()[0].state, State::Closed);
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_gives_the_place_back() {
    let layer = CircuitBreakerLayer::try_new(exact()).expect("in range");
    let service = layer.layer(service_fn(|_: Request<()>| async {
        panic!("inner");
        #[expect(unreachable_code, reason = "it gives the type")]
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    layer.handle().open_for(&key("default"), SECOND);
    advance(SECOND).await;
    for _ in 0..3 {
        let mut call = tokio_test::task::spawn(service.clone().oneshot(Request::new(())));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).is_err(), "the probe reached the service");
        drop(call);
    }
}

// === Open, and back ===

#[tokio::test(start_paused = true)]
async fn the_open_time_doubles_up_to_its_cap_and_falls_back_step_by_step() {
    let one = One::new(exact().consecutive(NonZeroU32::MIN));
    let open_for = || one.snapshot().open_for.expect("open").as_secs();
    for expected in [5, 10, 20, 40, 80, 120, 120] {
        one.fail(1);
        assert_eq!(open_for(), expected);
        advance(Duration::from_secs(expected)).await;
    }
    one.succeed(1);
    advance(5 * 30 * SECOND).await;
    one.fail(1);
    assert_eq!(open_for(), 20, "seven times, less five steps, and one");
}

#[tokio::test(start_paused = true)]
async fn who_chooses_where_to_send_a_call_can_ask_and_takes_no_place() {
    let layer = CircuitBreakerLayer::try_new(Settings::new().open_time(OpenTime::fixed(SECOND))).expect("in range");
    let (handle, target) = (layer.handle(), key("default"));
    let admits = || (0..3).map(|_| handle.admits(&target, Instant::now())).collect::<Vec<_>>();
    assert_eq!(admits(), [true; 3]);
    assert!(handle.admits(&key("never-seen"), Instant::now()));
    handle.open_for(&target, SECOND);
    assert_eq!(admits(), [false; 3]);
    advance(SECOND).await;
    assert_eq!(admits(), [true; 3], "it may be tried");
    assert!(handle.acquire(&target).is_ok(), "to ask took no place");
    handle.force_open(&target);
    advance(SECOND * 10).await;
    assert_eq!(admits(), [false; 3]);
    handle.disable(&target);
    assert_eq!(admits(), [true; 3]);
}

#[tokio::test(start_paused = true)]
async fn the_open_time_is_jittered_by_no_more_than_it_says() {
    let settings = exact().consecutive(NonZeroU32::MIN).open_time(OpenTime::fixed(100 * SECOND).with_jitter(10));
    let mut times: Vec<_> = (0..200)
        .map(|seed| {
            let one = One::new(settings.clone().seed(seed));
            one.fail(1);
            one.snapshot().open_for.expect("open").as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    assert!(times[0] >= 90.0 && times[199] <= 110.0);
    assert!(times[0] < 93.0 && times[199] > 107.0, "they spread: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_servers_hint_is_the_least_that_a_circuit_stays_open() {
    for (hint, open) in [(3, 5), (42, 42), (86_400, 300)] {
        let one = One::new(exact());
        let permit = one.acquire().expect("closed");
        permit.conclude(&hinted(Verdict::RateLimited, Duration::from_secs(hint)));
        assert_eq!(one.state(), State::Closed, "a rate limit opens nothing");
        one.fail(5);
        assert_eq!(one.snapshot().open_for, Some(Duration::from_secs(open)));
    }
}

#[tokio::test(start_paused = true)]
async fn probes_decide_as_soon_as_the_rest_cannot_change_it() {
    for (results, state) in [
        (&[true, true][..], State::HalfOpen),
        (&[true, true, true], State::Closed),
        (&[false, true], State::HalfOpen),
        (&[false, false], State::Open),
        (&[true, false, true], State::HalfOpen),
        (&[true, false, true, true], State::Closed),
    ] {
        let one = One::new(exact().probes(n(4)));
        one.handle.open_for(&one.key, SECOND);
        advance(SECOND).await;
        let permits: Vec<_> = (0..4).map(|_| one.acquire().expect("a place")).collect();
        for (permit, good) in permits.into_iter().zip(results) {
            permit.conclude(&class(if *good { Verdict::Success } else { Verdict::Transient }));
        }
        assert_eq!(one.state(), state, "{results:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_good_probe_load_comes_back_in_steps() {
    let one = One::new(exact().ramp(10));
    one.fail(5);
    advance(5 * SECOND).await;
    one.succeed(1);
    assert_eq!(one.state(), State::Ramping);
    let mut admitted = Vec::new();
    while one.state() == State::Ramping {
        let wave: Vec<_> = (0..1_000).map_while(|_| one.acquire().ok()).collect();
        admitted.push(wave.len());
        wave.into_iter().for_each(|permit| permit.conclude(&Class::SUCCESS));
    }
    assert_eq!(admitted, [2, 4, 8], "each success makes room for one more");
    assert_eq!(one.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_ramp_that_goes_badly_opens_again_for_longer() {
    let one = One::new(exact().ramp(10));
    one.fail(5);
    advance(5 * SECOND).await;
    one.succeed(1);
    one.fail(1);
    assert_eq!((one.state(), one.snapshot().open_for), (State::Open, Some(10 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_ramp_is_not_wedged_by_calls_that_hang_or_go_away() {
    let one = One::new(exact().ramp(1_000));
    one.fail(5);
    advance(5 * SECOND).await;
    one.succeed(1);
    for _ in 0..100 {
        drop([one.acquire(), one.acquire()].map(|call| call.expect("two may be out")));
    }
    let _hung = [one.acquire(), one.acquire()].map(|call| call.expect("two may be out"));
    assert!(one.acquire().is_err());
    advance(60 * SECOND).await;
    assert_eq!(one.state(), State::Open);
}

// === Refusals ===

#[tokio::test(start_paused = true)]
async fn a_refusal_says_key_and_state_and_time_until_the_next_probe() {
    let one = One::new(exact());
    one.fail(5);
    advance(Duration::from_millis(1_800)).await;
    let open = one.acquire().expect_err("open");
    assert_eq!((open.key(), open.state()), (&one.key, State::Open));
    assert_eq!(open.retry_after(), Some(Duration::from_millis(3_200)));
    assert_eq!(open.to_string(), "the circuit to default is open; the next probe is in 3200 ms");
    let refusal = Refusal::from(open);
    assert_eq!((refusal.kind(), refusal.retry_after()), (RefusalKind::CircuitOpen, Some(Duration::from_millis(3_200))));
    assert_eq!(refusal.class().verdict, Verdict::CapacityByDesign, "others may be asked at once");

    advance(Duration::from_millis(3_200)).await;
    let probe = one.acquire().expect("exactly then a probe may pass");
    let busy = one.acquire().expect_err("it is out");
    assert_eq!(busy.to_string(), "the circuit to default is half-open; all probes are out");
    assert_eq!(Refusal::from(busy.clone()).class().hint.after, None, "a guess is for the caller alone");
    assert_eq!(busy.retry_after(), Some(SECOND));
    drop(probe);

    one.handle.force_open(&one.key);
    let forced = one.acquire().expect_err("forced");
    assert_eq!((forced.retry_after(), forced.state()), (None, State::ForcedOpen));
}

// === Keys ===

fn aimed(target: &str) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(Target::named(target).expect("a name"));
    request
}

async fn fails_in_east(request: Request<()>) -> Result<Response<Body>, Infallible> {
    let east = request.extensions().get::<Target>().is_some_and(|target| target.name().as_str() == "east");
    Ok(Response::builder().status(if east { 503 } else { 200 }).body(Body::empty()).expect("a response"))
}

#[tokio::test(start_paused = true)]
async fn each_target_has_its_own_circuit() {
    let layer = CircuitBreakerLayer::new().keyed(ByTarget);
    let service = layer.layer(service_fn(fails_in_east));
    for _ in 0..10 {
        for target in ["east", "west"] {
            drop(service.clone().oneshot(aimed(target)).await);
        }
        drop(service.clone().oneshot(Request::new(())).await);
    }
    let mut states: Vec<_> = layer.handle().list().into_iter().map(|seen| (seen.key.to_string(), seen.state)).collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("default", State::Closed), ("east", State::Open), ("west", State::Closed)];
    assert_eq!(states, expected.map(|(key, state)| (key.to_owned(), state)));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_opens_only_a_circuit_of_its_own() {
    let answers_gone = |_: Request<()>| async {
        let response = Response::builder().status(404).extension(class(Verdict::ModelGone));
        Ok::<_, Infallible>(response.body(Body::empty()).expect("a response"))
    };
    let settings = exact().sticky(Verdict::ModelGone, 600 * SECOND);
    let layer = CircuitBreakerLayer::try_new(settings).expect("in range");
    let model = |request: &Request<()>| {
        let model = request.headers().get("model").and_then(|value| value.to_str().ok());
        model.and_then(|model| Label::try_new(model).ok())
    };
    let service = layer.clone().keyed(ByTargetAndModel(model)).layer(service_fn(answers_gone));
    let mut with_model = aimed("east");
    with_model.headers_mut().insert("model", "gpt-x".parse().expect("a value"));
    drop(service.clone().oneshot(with_model).await);
    drop(service.clone().oneshot(aimed("east")).await);

    let handle = layer.handle();
    let of_model = handle.snapshot(&key("east").with_model(Label::try_new("gpt-x").expect("a label"))).expect("known");
    assert_eq!((of_model.state, of_model.open_for), (State::Open, Some(600 * SECOND)));
    assert_eq!(handle.snapshot(&key("east")).expect("known").state, State::Closed, "others share this one");
}

#[tokio::test(start_paused = true)]
async fn a_spent_quota_opens_at_once_where_that_is_asked_for() {
    let one = One::new(exact().sticky(Verdict::QuotaExhausted, 60 * SECOND));
    assert!(one.call(Verdict::CredentialDead), "not asked for");
    assert!(one.call(Verdict::QuotaExhausted));
    assert_eq!(one.snapshot().open_for, Some(60 * SECOND));
    advance(60 * SECOND).await;
    assert!(one.call(Verdict::QuotaExhausted), "a probe");
    assert_eq!(one.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_leave_no_more_than_the_bound_and_those_in_need_stay() {
    let settings = exact()
        .max_keys(NonZeroUsize::new(1_000).expect("not zero"))
        .consecutive(NonZeroU32::MIN)
        .count_window(n(10))
        .no_slow();
    let handle = handle(settings);
    let down = key("down");
    handle.acquire(&down).expect("closed").conclude(&class(Verdict::Transient));
    handle.force_open(&key("forced"));
    let out = handle.acquire(&key("out")).expect("closed");
    for i in 0..1_000_000 {
        drop(handle.acquire(&key(&format!("k{i}"))));
    }
    assert!(handle.list().len() <= 1_000, "{}", handle.list().len());
    assert!(handle.evicted() > 990_000);
    assert_eq!(handle.snapshot(&down).expect("it is open").state, State::Open);
    assert_eq!(handle.snapshot(&key("forced")).expect("somebody wants it so").state, State::ForcedOpen);
    assert!(handle.snapshot(&key("out")).is_some(), "a call is out");
    out.conclude(&class(Verdict::Transient));
    assert_eq!(handle.snapshot(&key("out")).expect("known").state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn when_all_places_are_taken_by_those_in_need_calls_still_pass() {
    let handle = handle(exact().max_keys(NonZeroUsize::new(2).expect("not zero")));
    ["a", "b"].iter().for_each(|name| handle.force_open(&key(name)));
    let permit = handle.acquire(&key("c")).expect("nothing is known against it");
    permit.conclude(&class(Verdict::Transient));
    assert_eq!((handle.list().len(), handle.overflow(), handle.evicted()), (2, 1, 0));
}

// === Groups ===

#[tokio::test(start_paused = true)]
async fn a_group_keeps_its_last_circuits_closed_whatever_they_see() {
    let group = EjectionGroup::new(67).min_healthy(1);
    let regions = ["east", "west", "north"].map(key);
    let handle = handle(exact().group(group.clone()));
    for region in &regions {
        handle.acquire(region).expect("closed").conclude(&Class::SUCCESS);
    }
    for _ in 0..20 {
        for region in &regions {
            let _refused = handle.acquire(region).map(|permit| permit.conclude(&class(Verdict::Transient)));
        }
    }
    let seen = regions.clone().map(|region| handle.snapshot(&region).expect("known"));
    assert_eq!(seen.clone().map(|seen| seen.state), [State::Open, State::Open, State::Closed]);
    assert_eq!(seen.map(|seen| seen.degraded), [false, false, true]);
    assert_eq!((group.members(), group.ejected()), (3, 2));
    assert!(group.overflow() > 0);

    advance(5 * SECOND).await;
    handle.acquire(&regions[0]).expect("a probe").conclude(&Class::SUCCESS);
    assert_eq!(group.ejected(), 1);
    handle.acquire(&regions[2]).expect("closed").conclude(&class(Verdict::Transient));
    assert_eq!(handle.snapshot(&regions[2]).expect("known").state, State::Open, "now there is a place");
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_is_dropped_while_open_gives_its_place_in_the_group_back() {
    let group = EjectionGroup::new(100);
    for settings in [exact(), exact().initial(State::ForcedOpen), exact().initial(State::HalfOpen)] {
        let other = handle(exact().group(group.clone()));
        drop(other.acquire(&key("default")));
        let one = One::new(settings.group(group.clone()));
        one.handle.force_open(&one.key);
        assert_eq!((group.members(), group.ejected()), (2, 1));
        drop(one);
        drop(other);
        assert_eq!((group.members(), group.ejected()), (0, 0));
    }
}

// === Operators and observers ===

#[tokio::test(start_paused = true)]
async fn a_handle_lists_and_operates_after_the_stack_is_boxed() {
    let layer = CircuitBreakerLayer::try_new(exact()).expect("in range");
    let handle = layer.handle();
    let service = BoxCloneSyncService::new(ServiceBuilder::new().layer(layer).service(service_fn(fails_in_east)));
    let status = async || service.clone().oneshot(Request::new(())).await.expect("never fails").status().as_u16();
    let own = key("default");

    handle.force_open(&own);
    assert_eq!(status().await, 503);
    advance(100_000 * SECOND).await;
    assert_eq!((status().await, handle.snapshot(&own).expect("known").not_permitted), (503, 2));
    assert!(handle.probe(&own));
    assert_eq!(status().await, 200);
    assert_eq!(handle.list()[0].state, State::Closed);
    assert!(!handle.probe(&own), "what is closed cannot be half-open");
    handle.disable(&own);
    assert_eq!((status().await, handle.list()[0].calls), (200, 0));
    handle.metrics_only(&own);
    assert_eq!((status().await, handle.list()[0].calls), (200, 1));
    handle.reset(&own);
    assert_eq!((handle.list()[0].state, handle.list()[0].calls), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn metrics_only_counts_and_never_opens() {
    let one = One::new(exact().initial(State::MetricsOnly));
    one.fail(100);
    assert_eq!((one.state(), one.snapshot().failed), (State::MetricsOnly, 100));
}

fn observed() -> (impl Fn(&Change) + Send + Sync, Arc<Mutex<Vec<Change>>>) {
    let changes = Arc::<Mutex<Vec<Change>>>::default();
    let seen = Arc::clone(&changes);
    (move |change: &Change| changes.lock().expect("no panic").push(change.clone()), seen)
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_each_change_once_and_why() {
    let (observer, seen) = observed();
    let one = One::new(exact().ramp(1).on_change(observer));
    one.fail(5);
    advance(5 * SECOND).await;
    one.succeed(2);
    let seen = seen.lock().expect("no panic");
    let told: Vec<_> = seen.iter().map(|c| (c.from, c.to, c.cause, c.open_for, c.generation)).collect();
    assert_eq!(
        told,
        [
            (State::Closed, State::Open, Cause::Consecutive, Some(5 * SECOND), 1),
            (State::Open, State::HalfOpen, Cause::Elapsed, None, 2),
            (State::HalfOpen, State::Ramping, Cause::Recovered, None, 3),
            (State::Ramping, State::Closed, Cause::Recovered, None, 4),
        ]
    );
    assert!(seen.iter().all(|change| change.key == one.key));
}

#[tokio::test(start_paused = true)]
async fn an_observer_may_panic_and_may_ask_the_handle() {
    let slot = Arc::<Mutex<Option<Handle>>>::default();
    let inner = Arc::clone(&slot);
    let one = One::new(exact().on_change(move |change: &Change| {
        let handle = inner.lock().expect("not held").clone().expect("set below");
        assert!(handle.snapshot(&change.key).is_some(), "no lock is held");
        panic!("observers should not, but may");
    }));
    *slot.lock().expect("not held") = Some(one.handle.clone());
    one.fail(5);
    assert_eq!(one.state(), State::Open);
    *slot.lock().expect("not held") = None;
}

#[tokio::test(start_paused = true)]
async fn changes_and_refusals_are_traced_under_stable_names() {
    let trace = TraceGuard::new();
    let one = One::new(exact());
    one.fail(5);
    drop(one.acquire());
    let lines = trace.lines().join("\n");
    for part in
        ["key=default", "from=closed", "to=open", "cause=consecutive", "open_for_ms=5000", "generation=1", "state=open"]
    {
        assert!(lines.replace('"', "").contains(part), "{part} in {lines}");
    }
}

// === The word of others ===

#[tokio::test(start_paused = true)]
async fn on_the_word_of_others_one_failure_is_enough_and_opens_no_longer_than_they() {
    let (observer, seen) = observed();
    let one = One::new(exact().on_change(observer));
    one.succeed(100);
    assert!(one.handle.advise(&one.key, 3 * SECOND, Instant::now()));
    one.succeed(100);
    advance(SECOND).await;
    one.fail(1);
    assert_eq!((one.state(), one.snapshot().open_for), (State::Open, Some(2 * SECOND)));
    let change = seen.lock().expect("no panic")[0].clone();
    assert_eq!(change.cause, Cause::Advice);
    assert!(!change.cause.is_evidence(), "it is not to be passed on: it would echo");
    assert!(Cause::Consecutive.is_evidence() && Cause::Probe.is_evidence());
}

#[tokio::test(start_paused = true)]
async fn the_word_of_others_is_bounded_in_time_and_bound_to_one_generation() {
    let one = One::new(exact());
    assert!(!one.handle.advise(&one.key, SECOND, Instant::now()), "nobody was here yet, and nothing is made");
    assert!(one.handle.list().is_empty());
    one.succeed(1);
    assert!(one.handle.advise(&one.key, Duration::MAX, Instant::now()));
    advance(60 * SECOND).await;
    one.fail(1);
    assert_eq!(one.state(), State::Closed, "a minute is the most");

    assert!(one.handle.advise(&one.key, 60 * SECOND, Instant::now()));
    one.handle.reset(&one.key);
    one.fail(1);
    assert_eq!(one.state(), State::Closed, "since then it changed its state");

    one.handle.force_open(&one.key);
    assert!(!one.handle.advise(&one.key, 60 * SECOND, Instant::now()), "it has seen for itself");
    assert!(!one.handle.advise(&one.key, Duration::ZERO, Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn the_word_of_others_opens_at_once_where_it_is_trusted() {
    let one = One::new(exact().trust_advice());
    one.succeed(1);
    assert!(one.handle.advise(&one.key, 2 * SECOND, Instant::now()));
    assert_eq!((one.state(), one.snapshot().open_for, one.snapshot().openings), (State::Open, Some(2 * SECOND), 0));
    advance(2 * SECOND).await;
    one.succeed(1);
    assert_eq!(one.state(), State::Closed);
    assert!(one.handle.advise(&one.key, 600 * SECOND, Instant::now()));
    assert_eq!(one.snapshot().open_for, Some(5 * SECOND), "no longer than its own");
}

// === Settings ===

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let day = 24 * 3600 * SECOND;
    for (settings, field) in [
        (Settings::new().failure_rate(0), "failure_rate"),
        (Settings::new().failure_rate(101), "failure_rate"),
        (Settings::new().slow_to_first_byte(SECOND, 0), "slow"),
        (Settings::new().slow_in_total(SECOND, u32::MAX), "slow"),
        (Settings::new().count_window(n(1_000_001)), "count_window"),
        (Settings::new().time_window(Duration::ZERO), "time_window"),
        (Settings::new().time_window(day + SECOND), "time_window"),
        (Settings::new().time_window(Duration::MAX), "time_window"),
        (Settings::new().max_wait(Duration::ZERO), "max_wait"),
        (Settings::new().initial(State::Ramping), "initial"),
        (Settings::new().max_hint(Duration::MAX), "max_hint"),
        (Settings::new().open_time(OpenTime::fixed(Duration::ZERO)), "open_time"),
        (Settings::new().open_time(OpenTime::exponential(SECOND, 0.5)), "open_time"),
        (Settings::new().open_time(OpenTime::exponential(SECOND, f64::NAN)), "open_time"),
        (Settings::new().open_time(OpenTime::exponential(SECOND, f64::INFINITY)), "open_time"),
        (Settings::new().open_time(OpenTime::default().with_jitter(101)), "open_time"),
        (Settings::new().open_time(OpenTime::default().with_decay(Duration::ZERO)), "open_time"),
    ] {
        let error = CircuitBreakerLayer::try_new(settings).expect_err(field);
        assert_eq!(error.field(), field);
        assert!(error.to_string().contains(field) && error.to_string().contains("must be"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_settings_neither_panic_nor_overflow() {
    let endless = OpenTime::exponential(Duration::MAX, f64::MAX).with_cap(Duration::MAX).with_decay(Duration::MAX);
    let most = n(u32::MAX);
    let settings = Settings::new()
        .consecutive(most)
        .minimum_calls(most)
        .probes(most)
        .ramp(u32::MAX)
        .max_wait(Duration::MAX)
        .slow_to_first_byte(Duration::MAX, 100)
        .max_keys(NonZeroUsize::MAX)
        .max_advice(Duration::MAX)
        .open_time(endless.with_jitter(100))
        .group(EjectionGroup::new(u32::MAX).min_healthy(0).expecting(most));
    let one = One::new(settings);
    one.fail(1_000);
    one.handle.open_for(&one.key, Duration::MAX);
    advance(1_000_000 * SECOND).await;
    let open = one.acquire().expect_err("for ever");
    assert_eq!(open.retry_after(), None);
    assert!(one.handle.probe(&one.key));
    one.fail(1_000);
    one.succeed(1_000);
    assert_eq!(one.state(), State::HalfOpen);
    one.handle.reset(&one.key);
    assert!(one.handle.advise(&one.key, Duration::MAX, Instant::now()) || one.state() == State::Closed);
    let permit = one.acquire().expect("closed");
    permit.conclude(&hinted(Verdict::Transient, Duration::MAX));
}

#[tokio::test(start_paused = true)]
async fn each_state_can_be_the_first() {
    for (state, passes) in [
        (State::Closed, true),
        (State::Open, false),
        (State::HalfOpen, true),
        (State::ForcedOpen, false),
        (State::Disabled, true),
        (State::MetricsOnly, true),
    ] {
        let one = One::new(exact().initial(state));
        assert_eq!(one.acquire().is_ok(), passes, "{state}");
        assert_eq!(one.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_without_http_is_guarded_and_refuses_in_its_own_words() {
    let classify = |result: Result<&u32, &String>| match result {
        Ok(_) => Class::SUCCESS,
        Err(_) => Class::new(Verdict::Transient, Outcome::Word("io")),
    };
    let refuse = |open: buttress_circuit_breaker::CircuitOpen| Err::<u32, _>(open.to_string());
    let by_name = |name: &&'static str| Label::try_new(name).ok().map(Key::new);
    let layer = CircuitBreakerLayer::try_plain(exact(), classify, refuse).expect("in range").keyed(by_name);
    let service = layer.layer(service_fn(async |name: &'static str| match name {
        "good" => Ok(7),
        _ => Err("down".to_owned()),
    }));
    for _ in 0..5 {
        assert_eq!(service.clone().oneshot("bad").await, Err("down".to_owned()));
    }
    assert!(service.clone().oneshot("bad").await.expect_err("open").starts_with("the circuit to bad is open"));
    assert_eq!(service.oneshot("good").await, Ok(7));
}
