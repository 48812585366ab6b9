//! What the guard makes of streams that end well, badly, late, or never.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod endings;
mod flow;
mod passing;
mod properties;
mod times;

use buttress_core::{AnswerReport, Class};
use buttress_stream_guard::{ResponseBody, StreamGuardLayer};
use buttress_testkit::{Handle, LineReader, LineStreams, Probe, Received, Reply, Script, ScriptedBody, read, send};
use http::Response;
use tower::Layer as _;

pub(crate) type Answer = Response<ResponseBody<ScriptedBody, LineReader>>;

pub(crate) fn layer() -> StreamGuardLayer<LineStreams> {
    StreamGuardLayer::new(LineStreams::default())
}

/// Answers 200 with a stream of lines.
pub(crate) fn lines(script: Script) -> Reply {
    Reply::ok().header("content-type", LineStreams::CONTENT_TYPE).body(script)
}

pub(crate) async fn answer(layer: &StreamGuardLayer<LineStreams>, reply: Reply) -> (Answer, Handle) {
    let (probe, handle): (Probe, _) = Probe::new();
    handle.next(reply);
    let answer = send(&mut layer.layer(probe), buttress_testkit::request()).await;
    (answer.expect("the probe answers"), handle)
}

pub(crate) fn report(answer: &Answer) -> AnswerReport {
    answer.extensions().get::<AnswerReport>().cloned().expect("an answer that is read is reported on")
}

/// Reads the answer of `script` to its end. Returns it, and what was found of it.
pub(crate) async fn whole(layer: &StreamGuardLayer<LineStreams>, script: Script) -> (Received, Option<Class>) {
    let (answer, handle) = answer(layer, lines(script)).await;
    let report = report(&answer);
    let received = read(answer.into_body()).await;
    assert_eq!(handle.bodies().polls_after_end(), 0, "a body that ended must not be polled again");
    handle.assert_idle();
    (received, report.class())
}
