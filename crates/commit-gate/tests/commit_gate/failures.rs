//! Answers that begin with 200 and are none.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Answer, answer, class, layer, lines};
use buttress_core::{
    AnswerReport, Body, BoxError, Outcome, StreamFailure, TransportError, TransportErrorKind, Verdict,
};
use buttress_testkit::{Handle, LineStreams, Script, TraceGuard, read, run, send};
use bytes::Bytes;
use http::{Request, Response};
use tower::Layer as _;

/// Asserts that the answer of `script` became an error, and that nothing of it is left.
async fn fails(script: Script) -> (Answer, Handle) {
    let (answer, handle) = answer(&layer(), lines(script)).await;
    assert!(!answer.status().is_success(), "an answer that is none must not go out as one");
    assert_eq!(answer.headers()["content-type"], "text/x-line");
    handle.assert_idle();
    (answer, handle)
}

/// Returns status, verdict, outcome and words of an answer that failed.
async fn told(script: Script) -> (u16, Verdict, Outcome, String) {
    let (answer, _) = fails(script).await;
    let (status, class) = (answer.status().as_u16(), class(&answer));
    let report = answer.extensions().get::<AnswerReport>().cloned().expect("a failure is reported");
    assert_eq!(report.class(), Some(class), "breakers that wait for the end hear the same");
    assert_eq!(report.first_content(), None);
    let said = String::from_utf8(read(answer.into_body()).await.bytes().to_vec()).expect("lines are text");
    (status, class.verdict, class.outcome, said)
}

const fn status(code: u16) -> Outcome {
    match http::StatusCode::from_u16(code) {
        Ok(status) => Outcome::Status(status),
        Err(_) => panic!("no status"),
    }
}

#[test]
fn scenario_22_a_first_event_that_is_an_error_becomes_its_true_status() {
    run(async {
        let overloaded = told(Script::new().data("error 529 overloaded\n")).await;
        assert_eq!(overloaded, (529, Verdict::Transient, status(529), "529 overloaded".to_owned()));
        let limited = told(Script::new().data("error 429 slow down\n").data("done\n")).await;
        assert_eq!(limited, (429, Verdict::RateLimited, status(429), "429 slow down".to_owned()));
    });
}

#[test]
fn scenario_23_a_role_is_no_content_and_is_not_released() {
    run(async {
        let failed = told(Script::new().data("role\n").data("error 500 server_error\n")).await;
        assert_eq!(failed, (500, Verdict::Transient, status(500), "500 server_error".to_owned()));
    });
}

#[test]
fn scenarios_24_to_26_lifecycle_and_pings_before_an_error_are_not_released() {
    run(async {
        for script in [
            Script::new().data("role\n").data("\n").data("error 529 x\n"),
            Script::new().data("role\n: ping\nerror 529 x\n"),
            Script::new().data("role\n").yields().data(": ping\nrole\nerr").yields().data("or 529 x\n"),
        ] {
            assert_eq!(told(script).await, (529, Verdict::Transient, status(529), "529 x".to_owned()));
        }
    });
}

#[test]
fn scenario_27_an_empty_answer_is_a_transient_failure() {
    run(async {
        let empty = (502, Verdict::Transient, Outcome::Word("empty"), "empty".to_owned());
        assert_eq!(told(Script::new().sized()).await, empty);
        assert_eq!(told(Script::new().late()).await, empty);
        assert_eq!(told(Script::new().data("role\n: ping\n")).await, empty);
        assert_eq!(told(Script::new().data("role\n").trailer("x-check", "1").late()).await, empty);
        assert_eq!(told(Script::new().data("tex").late()).await, empty, "half a line is no content");
    });
}

#[test]
fn scenario_28_an_end_mark_alone_is_a_transient_failure() {
    run(async {
        let empty = (502, Verdict::Transient, Outcome::Word("empty"), "empty".to_owned());
        assert_eq!(told(Script::new().data("done\n")).await, empty);
    });
}

#[test]
fn scenario_34_what_cannot_be_understood_is_a_failure_before_content() {
    run(async {
        let malformed = (502, Verdict::Transient, Outcome::Word("malformed"), "malformed".to_owned());
        assert_eq!(told(Script::new().data("role\n{]\ntext a\n")).await, malformed);
        assert_eq!(told(Script::new().data("x".repeat(1_000))).await, malformed, "a line without an end is bounded");
    });
}

#[test]
fn a_connection_that_breaks_before_content_is_a_failure_and_not_an_error() {
    run(async {
        let broken = (502, Verdict::Transient, Outcome::Word("reset"), "reset".to_owned());
        assert_eq!(told(Script::new().error("reset by peer")).await, broken);
        assert_eq!(told(Script::new().data("role\n").error("reset by peer")).await, broken);
    });
}

#[test]
fn what_a_layer_further_in_found_is_what_is_told() {
    run(async {
        // It wrote an error into the stream, for clients; what it meant stands in the report.
        let report = AnswerReport::default();
        report.conclude(StreamFailure::idle().class());
        let reply = lines(Script::new().data("role\nerror 500 idle-timeout\n")).extension(report);
        let (answer, _) = answer(&layer(), reply).await;
        assert_eq!((answer.status().as_u16(), class(&answer)), (504, StreamFailure::idle().class()));
    });
}

#[test]
fn a_failure_in_the_error_of_a_body_is_found() {
    run(async {
        let upstream = tower::service_fn(|_: Request<()>| async {
            let deep: BoxError =
                TransportError::with_source(TransportErrorKind::Other, StreamFailure::too_slow()).into();
            let response = Response::builder().header("content-type", LineStreams::CONTENT_TYPE);
            Ok::<_, Infallible>(response.body(Body::boxed(Failing(Some(deep)))).unwrap())
        });
        let answer = send(&mut layer().layer(upstream), Request::new(())).await.unwrap();
        assert_eq!(answer.status(), 504);
        assert_eq!(answer.extensions().get(), Some(&StreamFailure::too_slow().class()));
    });
}

/// A body that fails at once.
struct Failing(Option<BoxError>);

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

#[test]
fn nothing_that_was_said_is_traced() {
    run(async {
        let trace = TraceGuard::new();
        let _ = told(Script::new().data("error 529 a-secret-prompt\n")).await;
        trace.assert_hides(&["a-secret-prompt"]);
        assert!(trace.lines()[0].contains("status=529"), "{trace:?}");
    });
}
