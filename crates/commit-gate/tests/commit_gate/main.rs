//! What the gate does with answers that fail early, late, or not at all.

mod bounds;
mod failures;
mod heads;
mod passing;
mod properties;
mod times;

use buttress_commit_gate::{CommitGateLayer, ResponseBody};
use buttress_core::{Class, Payload};
use buttress_testkit::{Handle, LineStreams, Probe, ProbeError, Reply, Script, ScriptedBody, send};
use http::{Request, Response};
use tower::Layer as _;

pub(crate) type Answer = Response<ResponseBody<ScriptedBody>>;

pub(crate) fn layer() -> CommitGateLayer<LineStreams> {
    CommitGateLayer::new(LineStreams::default())
}

/// Answers 200 with a stream of lines.
pub(crate) fn lines(script: Script) -> Reply {
    Reply::ok().header("content-type", LineStreams::CONTENT_TYPE).body(script)
}

pub(crate) async fn answer(layer: &CommitGateLayer<LineStreams>, reply: Reply) -> (Answer, Handle) {
    let (answer, handle) = ask(layer, reply, buttress_testkit::request()).await;
    (answer.expect("the probe answers"), handle)
}

pub(crate) async fn ask(
    layer: &CommitGateLayer<LineStreams>,
    reply: Reply,
    request: Request<Payload>,
) -> (Result<Answer, ProbeError>, Handle) {
    let (probe, handle): (Probe, _) = Probe::new();
    handle.next(reply);
    let answer = send(&mut layer.layer(probe), request).await;
    (answer, handle)
}

pub(crate) fn class(answer: &Answer) -> Class {
    *answer.extensions().get().expect("a failure has a class")
}
