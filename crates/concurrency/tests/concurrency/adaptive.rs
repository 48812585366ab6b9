//! What an adaptive limit hears of HTTP answers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_concurrency::{Algorithm, ConcurrencyLayer, Heard, Sample, Signal};
use buttress_core::{AnswerReport, Class, End, Outcome, Refusal, RefusalKind, Usage, Verdict};
use buttress_testkit::{Probe, Reply, Script, read, send};
use http::StatusCode;
use tokio::time::{Instant, advance};
use tower::Layer as _;

use crate::support::{Svc, ms};

/// Keeps what it hears.
#[derive(Clone, Debug, Default)]
struct Ear(Arc<Mutex<Vec<Heard>>>);

impl Algorithm for Ear {
    fn limit(&self) -> u32 {
        10
    }

    fn on_sample(&mut self, sample: &Sample) {
        assert!(sample.in_flight > 0 && sample.started <= sample.now);
        self.0.lock().expect("nobody panics here").push(sample.heard);
    }

    fn restart(&mut self, _: u32) {}
}

impl Ear {
    fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.0.lock().expect("nobody panics here"))
    }
}

fn listening(signal: Signal) -> (Svc, buttress_testkit::Handle, Ear) {
    let ear = Ear::default();
    let layer = ConcurrencyLayer::adaptive(ear.clone()).signal(signal);
    let (probe, handle) = Probe::new();
    (layer.layer(probe), handle, ear)
}

async fn ask(service: &mut Svc) -> http::Response<buttress_concurrency::ResponseBody<buttress_testkit::ScriptedBody>> {
    send(service, buttress_testkit::request()).await.expect("an answer")
}

const fn latency(latency: Duration) -> Heard {
    Heard::Latency(latency)
}

#[tokio::test(start_paused = true)]
async fn the_time_to_the_first_byte_is_heard_when_it_comes_and_not_at_the_end() {
    let (mut service, handle, ear) = listening(Signal::FirstContent);
    handle.next(Reply::ok().body(Script::new().hangs().data("a").hangs().data("b")).after(ms(100)));
    let mut body = Box::pin(ask(&mut service).await.into_body());
    assert_eq!(ear.take(), [], "the head is no content");
    let mut frame = tokio_test::task::spawn(http_body_util::BodyExt::frame(&mut body));
    tokio_test::assert_pending!(frame.poll());
    advance(ms(200)).await;
    handle.bodies().release();
    assert!(frame.await.is_some());
    assert_eq!(ear.take(), [latency(ms(300))]);
    advance(ms(60_000)).await;
    drop(body);
    assert_eq!(ear.take(), [], "nothing more is heard of a stream that was left");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_there_with_its_head() {
    let (mut service, handle, ear) = listening(Signal::FirstContent);
    handle.next(Reply::status(204).after(ms(30)));
    drop(ask(&mut service).await);
    assert_eq!(ear.take(), [latency(ms(30))]);
}

#[tokio::test(start_paused = true)]
async fn content_is_what_the_reader_of_the_answer_says_it_is() {
    let (mut service, handle, ear) = listening(Signal::FirstContent);
    let (report, start) = (AnswerReport::default(), Instant::now());
    handle.next(Reply::ok().extension(report.clone()).body(Script::new().data(": ping").data("word").data("word")));
    let mut body = Box::pin(ask(&mut service).await.into_body());
    use http_body_util::BodyExt as _;
    assert!(body.frame().await.is_some());
    assert_eq!(ear.take(), [], "a sign of life is no content");
    report.begin(start + ms(70));
    advance(ms(90)).await;
    assert!(body.frame().await.is_some() && body.frame().await.is_some());
    assert_eq!(ear.take(), [latency(ms(70))], "once, and when it came");

    let report = AnswerReport::default();
    report.begin(Instant::now() + ms(5));
    handle.next(Reply::ok().extension(report).body(Script::new().data("word")));
    drop(ask(&mut service).await);
    assert_eq!(ear.take(), [latency(ms(5))], "who waited for the content has put it down before the head");
}

#[tokio::test(start_paused = true)]
async fn the_time_for_each_token_is_heard_at_the_end_of_a_whole_answer() {
    let (mut service, handle, ear) = listening(Signal::PerToken);
    let report = AnswerReport::default();
    let reply = || Reply::ok().extension(report.clone()).body(Script::new().data("a").hangs().data("b"));
    report.begin(Instant::now());
    report.count(Usage::new(9, 50));
    handle.next(reply());
    let body = ask(&mut service).await.into_body();
    let mut reading = tokio_test::task::spawn(read(body));
    tokio_test::assert_pending!(reading.poll());
    advance(ms(1_000)).await;
    handle.bodies().release();
    assert!(reading.await.error.is_none());
    assert_eq!(ear.take(), [latency(ms(20))]);

    handle.next(reply());
    drop(ask(&mut service).await);
    assert_eq!(ear.take(), [], "an answer that was left is no measure");

    let report = AnswerReport::default();
    report.count(Usage::new(9, 0));
    handle.next(Reply::ok().extension(report).body(Script::new().data("a")));
    drop(read(ask(&mut service).await.into_body()).await);
    handle.next(Reply::ok().body(Script::new().data("a")));
    drop(read(ask(&mut service).await.into_body()).await);
    assert_eq!(ear.take(), [], "nor is one without tokens, or without a count");
}

#[tokio::test(start_paused = true)]
async fn failures_count_where_they_speak_of_load() {
    let (mut service, handle, ear) = listening(Signal::FirstContent);
    let overload = |verdict, after| Heard::Overload { verdict, after };
    for (reply, heard) in [
        (Reply::status(429).header("retry-after", "3"), Some(overload(Verdict::RateLimited, Some(ms(3_000))))),
        (Reply::status(503), Some(overload(Verdict::Transient, None))),
        (Reply::status(400), None),
        (Reply::status(401), None),
        (Reply::status(499), None),
    ] {
        handle.next(reply.body(Script::new().data("an error")));
        drop(read(ask(&mut service).await.into_body()).await);
        assert_eq!(ear.take(), Vec::from_iter(heard));
    }
    handle.next(Reply::error("broken"));
    send(&mut service, buttress_testkit::request()).await.expect_err("the probe fails");
    assert_eq!(ear.take(), [overload(Verdict::Transient, None)]);

    let open = Refusal::new(RefusalKind::CircuitOpen, "open").class();
    handle.next(Reply::status(503).extension(open));
    drop(ask(&mut service).await);
    assert_eq!(ear.take(), [], "another layer's refusal is no word of the target's");
}

#[tokio::test(start_paused = true)]
async fn an_overload_told_in_the_midst_of_an_answer_is_heard() {
    let (mut service, handle, ear) = listening(Signal::FirstContent);
    let report = AnswerReport::default();
    report.begin(Instant::now());
    report.conclude(Class::new(Verdict::RateLimited, Outcome::Status(StatusCode::OK)));
    handle.next(Reply::ok().extension(report).body(Script::new().data("a")));
    drop(read(ask(&mut service).await.into_body()).await);
    let overload = Heard::Overload { verdict: Verdict::RateLimited, after: None };
    assert_eq!(ear.take(), [latency(ms(0)), overload]);
    assert_eq!(End::Complete.verdict(), Verdict::Success, "the bytes alone would not tell");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_shrinks_holds_for_the_next_call() {
    let layer =
        ConcurrencyLayer::adaptive(buttress_concurrency::Aimd::new(2, crate::support::bounds(1, 10)).ratio(0.5));
    let (mut service, probe) = crate::support::streaming(&layer);
    probe.next(Reply::status(429));
    drop(crate::support::answer(&mut service));
    assert_eq!(layer.handle().limit(), 1);
    let _stream = crate::support::answer(&mut service);
    crate::support::refusal(&crate::support::answer(&mut service));
    layer.handle().set_limit(crate::support::n(7));
    assert_eq!(layer.handle().limit(), 7, "a person knows better, and it goes on from there");
    layer.handle().set_limit(crate::support::n(70));
    assert_eq!(layer.handle().limit(), 10, "within its bounds");
}
