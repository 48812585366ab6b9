//! Targets that are slow, and clients that are.

use std::{num::NonZeroU32, pin::pin, time::Duration};

use super::{answer, layer, lines, report};
use buttress_core::{Class, StreamFailure};
use buttress_stream_guard::StreamGuardLayer;
use buttress_testkit::{LineStreams, run, send};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use std::{
    convert::Infallible,
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{Layer as _, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// A body that waits before each frame, and hangs after the last.
struct Paced {
    frames: Vec<(Duration, &'static str)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(&(delay, data)) = self.frames.first() else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(delay)));
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        self.frames.remove(0);
        Poll::Ready(Some(Ok(Frame::data(data.into()))))
    }
}

fn every(seconds: u32, data: &'static str, times: usize) -> Vec<(Duration, &'static str)> {
    vec![(seconds * SECOND, data); times]
}

/// Reads the stream, with a pause of the reader before each frame. Returns its last line, its class, and how long it took.
async fn outcome(
    layer: StreamGuardLayer<LineStreams>,
    frames: Vec<(Duration, &'static str)>,
    pause: Duration,
) -> (String, Option<Class>, Duration) {
    let frames = std::sync::Mutex::new(Some(frames));
    let upstream = service_fn(|_: Request<()>| {
        let frames = frames.lock().unwrap().take().expect("one call");
        let body = Paced { frames, sleep: None };
        let answer = Response::builder().header("content-type", LineStreams::CONTENT_TYPE).body(body);
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    let answer = send(&mut layer.layer(upstream), Request::new(())).await.unwrap();
    let report = answer.extensions().get::<buttress_core::AnswerReport>().cloned().unwrap();
    let (begun, mut text) = (Instant::now(), Vec::new());
    let mut body = pin!(answer.into_body());
    loop {
        sleep(pause).await;
        let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await else { break };
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    (text.lines().last().unwrap_or("").to_owned(), report.class(), Instant::now() - begun)
}

async fn breaks(
    layer: StreamGuardLayer<LineStreams>,
    frames: Vec<(Duration, &'static str)>,
    failure: StreamFailure,
    after: u32,
) {
    let (last, class, took) = outcome(layer, frames, Duration::ZERO).await;
    assert_eq!(last, format!("error 504 {}", failure.word()));
    assert_eq!((class, took), (Some(failure.class()), after * SECOND));
}

#[test]
fn scenario_31_silence_after_content_ends_with_an_error_at_the_idle_limit() {
    run(breaks(layer(), every(0, "text a\n", 1), StreamFailure::idle(), 60));
}

#[test]
fn scenario_32_pings_after_content_do_not_reset_the_idle_limit() {
    let mut frames = every(0, "text a\n", 1);
    frames.extend(every(7, ": ping\n", 1_000));
    run(breaks(layer(), frames, StreamFailure::idle(), 60));
}

#[test]
fn content_resets_the_idle_limit() {
    let mut frames = every(59, "text a\n", 100);
    frames.extend(every(1, "stop\n", 1));
    run(async {
        let (last, class, _) = outcome(layer(), frames, Duration::ZERO).await;
        assert_eq!((last.as_str(), class), ("stop", Some(Class::SUCCESS)));
    });
}

#[test]
fn before_content_the_guard_waits_for_ever_unless_it_is_told_not_to() {
    run(async {
        let mut frames = every(1_000, ": ping\n", 100);
        frames.extend(every(0, "text a\nstop\n", 1));
        let (last, class, _) = outcome(layer(), frames, Duration::ZERO).await;
        assert_eq!((last.as_str(), class), ("stop", Some(Class::SUCCESS)));
        breaks(layer().first_content(30 * SECOND), every(7, ": ping\n", 100), StreamFailure::late(), 30).await;
    });
}

#[test]
fn there_can_be_a_limit_for_all_of_it() {
    run(breaks(layer().total(100 * SECOND), every(7, "text a\n", 1_000), StreamFailure::overlong(), 100));
}

#[test]
fn there_can_be_a_least_rate() {
    let four = NonZeroU32::new(4).unwrap();
    run(async {
        let layer = layer().min_events(four, 8 * SECOND);
        // Six in the first seconds, and then one in four.
        let mut frames = every(1, "text a\n", 6);
        frames.extend(every(4, "text a\n", 100));
        let (last, class, took) = outcome(layer.clone(), frames, Duration::ZERO).await;
        assert_eq!((last.as_str(), class), ("error 504 too-slow", Some(StreamFailure::too_slow().class())));
        assert!(took > 8 * SECOND && took < 17 * SECOND, "{took:?}");
        assert_eq!(layer.counts().too_slow, 1);

        let mut steady = every(2, "text a\n", 100);
        steady.extend(every(0, "stop\n", 1));
        let (last, ..) = outcome(layer, steady, Duration::ZERO).await;
        assert_eq!(last, "stop", "just enough is enough");
        let bytes = super::layer().min_bytes(NonZeroU32::new(1_000).unwrap(), 8 * SECOND);
        let (last, ..) = outcome(bytes, every(1, "text a\n", 100), Duration::ZERO).await;
        assert_eq!(last, "error 504 too-slow");
    });
}

#[test]
fn a_client_that_reads_slowly_makes_no_target_late() {
    let mut frames = every(0, "text a\n", 20);
    frames.extend(every(1, "text a\n", 20));
    frames.extend(every(0, "stop\n", 1));
    run(async {
        let one = NonZeroU32::MIN;
        let layer = layer().idle(10 * SECOND).total(60 * SECOND).min_events(one, 8 * SECOND);
        let (last, class, took) = outcome(layer, frames, 300 * SECOND).await;
        assert_eq!((last.as_str(), class), ("stop", Some(Class::SUCCESS)));
        assert!(took > 40 * 300 * SECOND);
    });
}

#[test]
fn a_complete_answer_whose_connection_stays_open_is_ended() {
    run(async {
        let (last, class, took) = outcome(layer(), every(0, "text a\nstop\n", 1), Duration::ZERO).await;
        assert_eq!((last.as_str(), class, took), ("stop", Some(Class::SUCCESS), 60 * SECOND));
        let mut chatty = every(0, "text a\nstop\n", 1);
        chatty.extend(every(7, ": ping\n", 100));
        let (last, class, took) = outcome(layer(), chatty, Duration::ZERO).await;
        assert_eq!((last.as_str(), class, took), (": ping", Some(Class::SUCCESS), 60 * SECOND));
    });
}

#[test]
fn limits_of_nothing_and_of_for_ever_hold() {
    run(async {
        breaks(layer().idle(Duration::ZERO), every(1, "text a\n", 2), StreamFailure::idle(), 1).await;
        breaks(layer().total(Duration::ZERO), every(0, "text a\n", 1), StreamFailure::overlong(), 0).await;
        let endless = layer().idle(Duration::MAX).first_content(Duration::MAX).total(Duration::MAX);
        let reading = outcome(endless, every(1_000_000, "text a\n", 3), Duration::ZERO);
        assert!(timeout(10_000_000 * SECOND, reading).await.is_err(), "it is still waited for");
    });
}

#[test]
fn what_is_there_at_the_limit_is_passed_on() {
    run(async {
        let frames = vec![(Duration::ZERO, "text a\n"), (60 * SECOND, "text b\nstop\n")];
        let (last, class, _) = outcome(layer(), frames, Duration::ZERO).await;
        assert_eq!((last.as_str(), class), ("stop", Some(Class::SUCCESS)));
    });
}

#[test]
fn no_timer_and_no_clock_for_a_stream_that_never_waits() {
    run(async {
        let script = buttress_testkit::Script::new().data("text a\nstop\n");
        let (answer, _) = answer(&layer().idle(Duration::ZERO).total(Duration::ZERO), lines(script)).await;
        let report = report(&answer);
        assert_eq!(buttress_testkit::read(answer.into_body()).await.bytes(), "text a\nstop\n");
        assert_eq!(report.class(), Some(Class::SUCCESS), "it was never waited for");
    });
}
