//! The time to the first content.

use super::{answer, ask, class, layer, lines};
use buttress_core::{Outcome, Target, Verdict};
use buttress_testkit::{Handle, Probe, Reply, Script, ScriptedBody, read, run, send};
use http::{Request, Response};
use std::{
    convert::Infallible,
    future::{Future as _, pending},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tower::{Layer as _, service_fn};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn scenario_33_a_late_first_content_ends_the_attempt_at_the_limit() {
    run(async {
        let (begun, layer) = (Instant::now(), layer());
        let (answer, handle) = answer(&layer, lines(Script::new().data("role\n").hangs().data("text a\n"))).await;
        assert_eq!(Instant::now() - begun, Duration::from_secs(30));
        assert_eq!((answer.status().as_u16(), class(&answer).verdict), (504, Verdict::Transient));
        assert_eq!(class(&answer).outcome, Outcome::Word("ttft-timeout"), "this is what the trail shows");
        handle.assert_idle();
        assert_eq!((layer.counts().late, layer.counts().failed), (1, 1));
    });
}

#[test]
fn a_head_that_does_not_come_is_late_in_the_words_of_the_format() {
    run(async {
        let (begun, layer) = (Instant::now(), layer());
        let (answer, handle) = answer(&layer, Reply::ok().hanging()).await;
        assert_eq!(Instant::now() - begun, Duration::from_secs(30));
        assert_eq!((answer.status().as_u16(), class(&answer).outcome), (504, Outcome::Word("ttft-timeout")));
        assert_eq!(answer.headers()["content-type"], "text/x-line");
        handle.assert_idle();
        assert_eq!(read(answer.into_body()).await.bytes(), "ttft-timeout");
        assert_eq!((layer.counts().late, layer.counts().failed), (1, 1));
    });
}

#[test]
fn the_time_counts_from_the_call_and_not_from_the_head() {
    run(async {
        let begun = Instant::now();
        let reply = lines(Script::new().data("role\n").hangs()).after(20 * SECOND);
        let (answer, _) = answer(&layer(), reply).await;
        assert_eq!((answer.status().as_u16(), Instant::now() - begun), (504, 30 * SECOND));
    });
}

/// A body that sends `line` every second, for ever.
struct Ticking {
    line: &'static str,
    sleep: Pin<Box<Sleep>>,
}

impl http_body::Body for Ticking {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        ready!(self.sleep.as_mut().poll(cx));
        self.sleep = Box::pin(sleep(SECOND));
        Poll::Ready(Some(Ok(http_body::Frame::data(self.line.into()))))
    }
}

#[test]
fn scenario_32_signs_of_life_do_not_stop_the_clock_however_many() {
    run(async {
        let upstream = service_fn(|_: Request<()>| async {
            let body = Ticking { line: ": ping\n", sleep: Box::pin(sleep(SECOND)) };
            Ok::<_, Infallible>(Response::builder().header("content-type", "text/x-lines").body(body).unwrap())
        });
        let begun = Instant::now();
        let mut service = layer().first_content(300 * SECOND).layer(upstream);
        let answer = send(&mut service, Request::new(())).await.unwrap();
        assert_eq!((answer.status().as_u16(), Instant::now() - begun), (504, 300 * SECOND));
    });
}

/// A body that always has a frame with nothing in it.
struct Empty;

impl http_body::Body for Empty {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(http_body::Frame::data(bytes::Bytes::new()))))
    }
}

#[test]
fn a_body_that_never_rests_and_says_nothing_lets_others_run_and_ends_at_the_limit() {
    run(async {
        let upstream = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::builder().header("content-type", "text/x-lines").body(Empty).unwrap())
        });
        let mut service = layer().layer(upstream);
        let other = async {
            tokio::task::yield_now().await;
            tokio::time::advance(31 * SECOND).await;
            pending::<()>().await;
        };
        tokio::select! {
            answer = send(&mut service, Request::new(())) => assert_eq!(answer.unwrap().status(), 504),
            () = other => unreachable!("it is pending"),
        }
    });
}

#[test]
fn content_that_is_there_at_the_limit_is_taken() {
    run(async {
        let layer = layer().first_content(Duration::ZERO);
        let (passed, _) = answer(&layer, lines(Script::new().data("role\n").data("text a\n"))).await;
        assert_eq!(passed.status(), 200, "it was there at once");
        let (failed, _) = answer(&layer, lines(Script::new().data("role\n").yields().data("text a\n"))).await;
        assert_eq!(failed.status(), 504, "zero is zero");
    });
}

#[test]
fn the_longest_limit_is_none() {
    run(async {
        let layer = layer().first_content(Duration::MAX);
        let reply = lines(Script::new().data("text a\n")).after(Duration::from_secs(100 * 365 * 24 * 3600));
        assert_eq!(answer(&layer, reply).await.0.status(), 200);
    });
}

#[test]
fn each_target_can_have_its_own_limit() {
    run(async {
        let layer = layer().first_content_by(|extensions| {
            let target = extensions.get::<Target>()?;
            (target.name().as_str() == "ollama").then_some(300 * SECOND)
        });
        for (name, expected) in [("ollama", 300), ("azure", 30)] {
            let (probe, handle): (Probe<ScriptedBody>, Handle) = Probe::new();
            handle.always(Reply::ok().hanging());
            let mut request = buttress_testkit::request();
            request.extensions_mut().insert(Target::named(name).unwrap());
            let begun = Instant::now();
            let answer = send(&mut layer.layer(probe), request).await.unwrap();
            assert_eq!((answer.status().as_u16(), Instant::now() - begun), (504, expected * SECOND));
        }
    });
}

#[test]
fn an_answer_that_comes_whole_has_a_limit_of_its_own() {
    run(async {
        let mut request = buttress_testkit::request();
        request.headers_mut().insert("x-whole", "1".parse().unwrap());
        let begun = Instant::now();
        let (answer, _) = ask(&layer(), Reply::ok().hanging(), request).await;
        assert_eq!((answer.unwrap().status().as_u16(), Instant::now() - begun), (504, 600 * SECOND));
    });
}

#[test]
fn a_body_that_waits_wakes_the_call() {
    run(async {
        let (probe, handle): (Probe<ScriptedBody>, Handle) = Probe::new();
        handle.next(lines(Script::new().data("role\n").hangs().data("text a\n")));
        let mut service = layer().layer(probe);
        let mut call = tokio_test::task::spawn(send(&mut service, buttress_testkit::request()));
        assert!(call.poll().is_pending());
        handle.bodies().release();
        assert!(call.is_woken());
        assert!(call.poll().is_ready());
    });
}

#[test]
fn a_call_that_is_dropped_while_it_holds_leaves_nothing() {
    run(async {
        let (probe, handle): (Probe<ScriptedBody>, Handle) = Probe::new();
        handle.next(lines(Script::new().data("role\n").hangs()));
        let mut service = layer().layer(probe);
        let mut call = tokio_test::task::spawn(send(&mut service, buttress_testkit::request()));
        assert!(call.poll().is_pending());
        assert_eq!(handle.bodies().alive(), 1);
        drop(call);
        assert_eq!(handle.bodies().alive(), 0);
    });
}
