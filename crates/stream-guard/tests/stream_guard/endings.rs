//! How streams end.

use std::sync::{Arc, Mutex};

use super::{answer, layer, lines, report, whole};
use buttress_core::{
    BodyEnd, Class, End, EndBody, Outcome, StreamFailure, TransportError, TransportErrorKind, Verdict,
};
use buttress_stream_guard::StreamGuardLayer;
use buttress_testkit::{Handle, LineStreams, Probe, Reply, Script, TraceGuard, read, run, send};
use tokio::time::Instant;
use tower::Layer as _;

/// Returns the bytes of a stream that ended cleanly, and what was found of it.
async fn told(script: Script) -> (String, Class) {
    let (received, class) = whole(&layer(), script).await;
    assert!(received.error.is_none(), "the stream ends cleanly: {:?}", received.error);
    let text = String::from_utf8(received.bytes().to_vec()).expect("lines are text");
    (text, class.expect("how it ended is known"))
}

async fn ends(script: Script, bytes: &str, verdict: Verdict, word: &'static str) {
    let (text, class) = told(script).await;
    assert_eq!((text.as_str(), class.verdict, class.outcome), (bytes, verdict, Outcome::Word(word)));
}

#[test]
fn scenario_29_an_end_after_content_without_a_stop_becomes_one_error() {
    run(async {
        let cut = "text a\nerror 502 truncated\n";
        ends(Script::new().data("text a\n"), cut, Verdict::Truncated, "truncated").await;
        ends(Script::new().data("text a\n").late(), cut, Verdict::Truncated, "truncated").await;
        ends(Script::new().data("text a\ntext b"), cut, Verdict::Truncated, "truncated").await;
        ends(Script::new().data("text a\n").data("te").data("xt b").late(), cut, Verdict::Truncated, "truncated").await;
    });
}

#[test]
fn scenario_30_a_stop_is_the_end_whether_or_not_more_follows() {
    run(async {
        for tail in ["stop\n", "stop\ndone\n", "stop\nusage 3 4\ndone\n", "stop\ndo"] {
            let stream = format!("role\ntext a\n{tail}");
            for script in [Script::new().data(stream.clone()), Script::new().data(stream.clone()).late()] {
                assert_eq!(told(script).await, (stream.clone(), Class::SUCCESS));
            }
            let broken = Script::new().data(stream.clone()).error("reset by peer");
            assert_eq!(told(broken).await, (stream, Class::SUCCESS), "an error after the end is none");
        }
    });
}

#[test]
fn a_connection_that_breaks_becomes_an_error_in_the_stream() {
    run(async {
        let script = Script::new().data("text a\ntext b").error("reset by peer");
        ends(script, "text a\nerror 502 reset\n", Verdict::Truncated, "reset").await;
    });
}

#[test]
fn scenario_34_what_cannot_be_understood_is_not_passed_on_and_not_swallowed() {
    run(async {
        let script = Script::new().data("text a\n{]\ntext b\nstop\n");
        ends(script, "text a\nerror 502 malformed\n", Verdict::Truncated, "malformed").await;
        let script = Script::new().data("text a\n").data("x".repeat(60)).data("x".repeat(60)).data("\nstop\n");
        ends(script, "text a\nerror 502 malformed\n", Verdict::Truncated, "malformed").await;
    });
}

#[test]
fn an_error_that_the_target_tells_of_passes_and_nothing_is_added() {
    run(async {
        for stream in ["text a\nerror 529 x\n", "text a\nerror 529 x\ndone\n", "text a\nerror 529 x\nwhatever"] {
            let (text, class) = told(Script::new().data(stream)).await;
            assert_eq!((text.as_str(), class.verdict), (stream, Verdict::Truncated));
            assert_eq!(class.outcome, Outcome::Status(http::StatusCode::from_u16(529).unwrap()));
            let (text, _) = told(Script::new().data(stream).error("reset by peer")).await;
            assert_eq!(text, stream, "it was said already");
        }
    });
}

#[test]
fn before_content_a_failure_means_what_it_means_alone() {
    run(async {
        ends(Script::new().data("role\n"), "role\nerror 502 empty\n", Verdict::Transient, "empty").await;
        ends(Script::new(), "error 502 empty\n", Verdict::Transient, "empty").await;
        ends(Script::new().late(), "error 502 empty\n", Verdict::Transient, "empty").await;
        ends(Script::new().error("reset"), "error 502 reset\n", Verdict::Transient, "reset").await;
        let (text, class) = told(Script::new().data("role\nerror 429 x\n")).await;
        assert_eq!((text.as_str(), class.verdict), ("role\nerror 429 x\n", Verdict::RateLimited));
    });
}

#[test]
fn trailers_follow_what_was_put_at_the_end() {
    run(async {
        let (received, class) = whole(&layer(), Script::new().data("text a\nte").trailer("x-check", "1")).await;
        assert_eq!(received.bytes(), "text a\nerror 502 truncated\n");
        assert_eq!(received.trailers.expect("trailers are kept")["x-check"], "1");
        assert_eq!(class, Some(StreamFailure::truncated().class()));
    });
}

#[test]
fn where_the_length_was_announced_the_body_fails_instead() {
    run(async {
        let (answer, _) = answer(&layer(), lines(Script::new().data("text a\ntext b").announcing(30))).await;
        let report = report(&answer);
        let received = read(answer.into_body()).await;
        assert_eq!(received.bytes(), "text a\ntext b", "nothing is held back where nothing can take its place");
        let error = received.error.expect("the body fails");
        assert_eq!(error.downcast_ref(), Some(&StreamFailure::truncated()));
        assert_eq!(report.class(), Some(StreamFailure::truncated().class()));
    });
}

#[test]
fn a_complete_answer_of_announced_length_keeps_it() {
    run(async {
        let (answer, _) = answer(&layer(), lines(Script::new().data("text a\nst").data("op\n").sized())).await;
        assert_eq!(http_body::Body::size_hint(answer.body()).exact(), Some(12));
        let received = read(answer.into_body()).await;
        assert_eq!((received.bytes().as_ref(), received.error.is_none()), (&b"text a\nstop\n"[..], true));
    });
}

#[test]
fn without_a_format_an_error_stays_what_it_was() {
    run(async {
        let (probe, handle): (Probe<buttress_core::Body>, Handle) = Probe::new();
        handle.next(Reply::ok().body(Script::new().data("ab").error("cut off")));
        let mut service = StreamGuardLayer::bytewise().layer(probe);
        let answer = send(&mut service, buttress_testkit::request()).await.unwrap();
        let report = answer.extensions().get::<buttress_core::AnswerReport>().unwrap().clone();
        let received = read(answer.into_body()).await;
        assert_eq!(
            (received.bytes().as_ref(), received.error.unwrap().to_string()),
            (&b"ab"[..], "cut off".to_owned())
        );
        assert_eq!(report.class(), Some(StreamFailure::broken().after_content().class()));

        handle.next(Reply::ok().body(Script::new().data("ab").announcing(3)));
        let answer = send(&mut service, buttress_testkit::request()).await.unwrap();
        assert!(read(answer.into_body()).await.error.is_some(), "less came than was announced");
    });
}

/// Reads the body of `script` under an [`EndBody`], and returns what that heard, when it heard it.
async fn heard(layer: &StreamGuardLayer<LineStreams>, script: Script, frames: usize) -> (BodyEnd, Verdict) {
    let (answer, _) = answer(layer, lines(script)).await;
    let found = report(&answer);
    let heard = Arc::new(Mutex::new(None));
    let on_end = {
        let heard = Arc::clone(&heard);
        move |end: BodyEnd| *heard.lock().unwrap() = Some((end, end.verdict(Some(&found))))
    };
    let mut body = Box::pin(EndBody::new(answer.into_body(), on_end, Instant::now()));
    for _ in 0..frames {
        let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await;
        if frame.is_none() {
            break;
        }
    }
    drop(body);
    heard.lock().unwrap().expect("an end is heard once")
}

#[test]
fn breakers_hear_the_truth_at_the_end_and_not_how_the_bytes_ended() {
    run(async {
        let layer = layer();
        let (end, verdict) = heard(&layer, Script::new().data("text a\n").error("reset"), 9).await;
        assert_eq!((end.end, verdict), (End::Complete, Verdict::Truncated), "the error in the stream is whole");
        let (_, verdict) = heard(&layer, Script::new().data("text a\nerror 529 x\n"), 9).await;
        assert_eq!(verdict, Verdict::Truncated);
        let (_, verdict) = heard(&layer, Script::new().data("text a\nstop\n").error("reset"), 9).await;
        assert_eq!(verdict, Verdict::Success);
        // Seen with the last frame already: hyper does not ask for more.
        let (end, verdict) = heard(&layer, Script::new().data("text a\nstop\n"), 1).await;
        assert_eq!((end.end, verdict), (End::Complete, Verdict::Success));
    });
}

#[test]
fn scenario_36_a_client_that_leaves_is_cancelled_and_no_failure() {
    run(async {
        let (end, verdict) = heard(&layer(), Script::new().data("text a\n").hangs(), 1).await;
        assert_eq!((end.end, verdict), (End::Cancelled, Verdict::Cancelled));
        let complete = Script::new().data("text a\nstop\n").hangs();
        assert_eq!(heard(&layer(), complete, 1).await.1, Verdict::Success, "it has all it asked for");
    });
}

#[test]
fn broken_streams_are_counted_and_traced_without_a_word_of_theirs() {
    run(async {
        let (layer, trace) = (layer(), TraceGuard::new());
        for script in [
            Script::new().data("text a-secret\n"),
            Script::new().data("text a-secret\nerror 529 a-secret\n"),
            Script::new().data("text a-secret\na-secret\n"),
            Script::new().data("text a-secret\n").error(buttress_testkit::ProbeError::new("a-secret")),
        ] {
            whole(&layer, script).await;
        }
        let counts = layer.counts();
        assert_eq!((counts.truncated, counts.reported, counts.malformed, counts.reset), (1, 1, 1, 1));
        assert_eq!(trace.lines().len(), 4);
        trace.assert_hides(&["a-secret"]);
        assert!(trace.lines()[0].contains("reason=truncated verdict=truncated how=closed bytes=14"), "{trace:?}");
    });
}

#[test]
fn the_kind_of_a_transport_error_does_not_matter_to_the_stream() {
    run(async {
        let error = TransportError::new(TransportErrorKind::Timeout);
        let upstream = tower::service_fn(move |_: http::Request<()>| {
            let body = buttress_core::Body::boxed(Once(Some(error.clone())));
            let answer = http::Response::builder().header("content-type", LineStreams::CONTENT_TYPE).body(body);
            std::future::ready(Ok::<_, std::convert::Infallible>(answer.unwrap()))
        });
        let answer = send(&mut layer().layer(upstream), http::Request::new(())).await.unwrap();
        assert_eq!(read(answer.into_body()).await.bytes(), "error 502 reset\n");
    });
}

/// A body that fails at once.
struct Once(Option<TransportError>);

impl http_body::Body for Once {
    type Data = bytes::Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, TransportError>>> {
        std::task::Poll::Ready(self.0.take().map(Err))
    }
}
