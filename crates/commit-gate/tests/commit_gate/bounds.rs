//! How much is held at most.

use super::{answer, layer, lines};
use buttress_commit_gate::CommitGateLayer;
use buttress_core::AnswerReport;
use buttress_testkit::{Script, TraceGuard, read, run};
use http_body::Body as _;
use std::num::{NonZeroU32, NonZeroUsize};

fn endless(line: &'static str, times: usize) -> Script {
    (0..times).fold(Script::new(), |script, _| script.data(line)).hangs()
}

#[test]
fn a_bound_of_events_opens_the_gate_and_is_counted() {
    run(async {
        let (layer, trace) = (layer(), TraceGuard::new());
        let (answer, handle) = answer(&layer, lines(endless("role\n", 100))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(handle.bodies().polls(), u64::from(CommitGateLayer::<()>::MAX_EVENTS.get()));
        assert_eq!(layer.counts().over_events, 1);
        assert!(answer.extensions().get::<AnswerReport>().is_none(), "no content came");
        assert!(trace.lines()[0].contains("by=events events=64"), "{trace:?}");
    });
}

#[test]
fn a_bound_of_bytes_opens_the_gate_and_is_counted() {
    run(async {
        let layer = layer().max_bytes(NonZeroUsize::new(100).unwrap());
        let (answer, _) = answer(&layer, lines(endless(": ping\n", 100))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(layer.counts().over_bytes, 1);
        let mut body = answer.into_body();
        let first = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        let held = first.unwrap().unwrap().into_data().unwrap();
        assert_eq!(held.len(), 105, "no more than the frame that reached it");
    });
}

#[test]
fn a_bound_of_one_holds_one_event() {
    run(async {
        let layer = layer().max_events(NonZeroU32::MIN);
        let (answer, _) = answer(&layer, lines(Script::new().data("role\n").data("text a\n"))).await;
        assert_eq!(read(answer.into_body()).await.bytes(), "role\ntext a\n");
        assert_eq!(layer.counts().over_events, 1);
    });
}
