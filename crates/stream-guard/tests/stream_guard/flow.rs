//! What goes on at once, and what is held.

use super::{Answer, answer, layer, lines, report};
use buttress_core::Usage;
use buttress_testkit::{Script, read, run};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use tokio_test::{assert_pending, assert_ready, task};

type Reading =
    task::Spawn<buttress_stream_guard::ResponseBody<buttress_testkit::ScriptedBody, buttress_testkit::LineReader>>;

fn reading(answer: Answer) -> Reading {
    task::spawn(answer.into_body())
}

fn data(frame: Option<Result<Frame<Bytes>, buttress_core::BoxError>>) -> Bytes {
    frame.expect("a frame").expect("no error").into_data().expect("data")
}

fn poll(body: &mut Reading) -> std::task::Poll<Option<Result<Frame<Bytes>, buttress_core::BoxError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

#[test]
fn a_frame_of_whole_events_goes_on_in_the_same_poll_and_uncopied() {
    run(async {
        let frame = Bytes::from("text a\ntext b\n".to_owned());
        let (answer, _) = answer(&layer(), lines(Script::new().data(frame.clone()).hangs())).await;
        let mut body = reading(answer);
        let given = data(assert_ready!(poll(&mut body)));
        assert_eq!((given.as_ptr(), given.len()), (frame.as_ptr(), frame.len()));
        assert_pending!(poll(&mut body));
    });
}

#[test]
fn only_the_torn_end_of_a_frame_waits_and_goes_on_as_soon_as_it_is_whole() {
    run(async {
        let script =
            Script::new().data("text a\nte").hangs().data("xt").hangs().data(" b\ntext c\ntex").hangs().data("t d\n");
        let (answer, handle) = answer(&layer(), lines(script)).await;
        let mut body = reading(answer);
        assert_eq!(data(assert_ready!(poll(&mut body))), "text a\n");
        assert_pending!(poll(&mut body));
        assert_eq!(body.size_hint().lower(), 2, "what is held will come");
        handle.bodies().release();
        assert_pending!(poll(&mut body));
        handle.bodies().release();
        let parts = [(); 3].map(|()| data(assert_ready!(poll(&mut body))));
        assert_eq!(parts, ["te", "xt", " b\ntext c\n"], "one after another, with no wait between them");
        assert_pending!(poll(&mut body));
        handle.bodies().release();
        assert!(body.is_woken());
        assert_eq!([(); 2].map(|()| data(assert_ready!(poll(&mut body)))), ["tex", "t d\n"]);
    });
}

#[test]
fn usage_and_first_content_are_told_on_the_way() {
    run(async {
        let script = Script::new().data("usage 7 1\n").hangs().data("text a\n").hangs().data("stop\nusage 7 5\n");
        let (answer, handle) = answer(&layer(), lines(script)).await;
        let report = report(&answer);
        let mut body = reading(answer);
        let _ = assert_ready!(poll(&mut body));
        assert_eq!(
            (report.usage(), report.first_content()),
            (Some(Usage::new(7, 1)), None),
            "before the first content"
        );
        assert_pending!(poll(&mut body));
        handle.bodies().release();
        let _ = assert_ready!(poll(&mut body));
        assert_eq!(report.first_content(), Some(tokio::time::Instant::now()));
        assert_pending!(poll(&mut body));
        handle.bodies().release();
        let _ = assert_ready!(poll(&mut body));
        assert_eq!(report.usage(), Some(Usage::new(7, 5)), "also what follows the end");
        assert_eq!(report.class().map(|class| class.verdict), Some(buttress_core::Verdict::Success));
    });
}

#[test]
fn scenario_37_nothing_is_read_before_it_is_asked_for() {
    run(async {
        let script = (0..1_000).fold(Script::new(), |script, _| script.data("text abcdefgh\nte").data("xt x\n"));
        let (answer, handle) = answer(&layer(), lines(script.data("stop\n"))).await;
        let mut body = reading(answer);
        for asked in 1..=100 {
            let _ = assert_ready!(poll(&mut body));
            assert!(handle.bodies().polls() <= asked, "no more than a frame for each that was asked for");
            assert!(body.size_hint().lower() <= 32, "no more is kept than a frame and the torn end of another");
        }
    });
}

#[test]
fn scenario_36_a_body_that_is_dropped_drops_the_targets_answer_at_once() {
    run(async {
        for script in [
            Script::new().hangs(),
            Script::new().data("text a\n").hangs(),
            Script::new().data("text a\nte").hangs(),
            Script::new().data("text a\nstop\n").hangs(),
        ] {
            let (answer, handle) = answer(&layer(), lines(script)).await;
            let mut body = reading(answer);
            while poll(&mut body).is_ready() {}
            assert_eq!(handle.bodies().alive(), 1);
            drop(body);
            handle.assert_idle();
        }
    });
}

#[test]
fn the_targets_answer_goes_before_its_reader_sees_the_error() {
    run(async {
        let (answer, handle) = answer(&layer(), lines(Script::new().data("text a\n{]\n").hangs())).await;
        let mut body = reading(answer);
        assert_eq!(data(assert_ready!(poll(&mut body))), "text a\n");
        assert_eq!(handle.bodies().alive(), 0);
        assert!(!body.is_end_stream());
        assert_eq!(data(assert_ready!(poll(&mut body))), "error 502 malformed\n");
        assert!(body.is_end_stream());
        assert!(assert_ready!(poll(&mut body)).is_none());
        assert!(assert_ready!(poll(&mut body)).is_none(), "asking again does no harm");
    });
}

#[test]
fn a_body_that_is_always_ready_and_never_whole_lets_others_run() {
    run(async {
        let script = (0..1_000).fold(Script::new(), |script, _| script.data(""));
        let (answer, _) = answer(&layer(), lines(script.data("text a\nstop\n"))).await;
        assert_eq!(read(answer.into_body()).await.bytes(), "text a\nstop\n");

        let stream = "te".repeat(100);
        let script = stream.bytes().fold(Script::new(), |script, byte| script.data(vec![byte]));
        let (answer, _) = super::answer(&layer(), lines(script)).await;
        let mut body = reading(answer);
        assert_pending!(poll(&mut body));
        assert!(body.is_woken(), "it gives others their turn and goes on");
    });
}

#[test]
fn a_panic_within_leaves_nothing_behind() {
    run(async {
        let (answer, handle) = answer(&layer(), lines(Script::new().data("text a\nte").panics("on purpose"))).await;
        let mut body = reading(answer);
        let _ = assert_ready!(poll(&mut body));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut body).is_ready()));
        assert!(panic.is_err());
        drop(body);
        handle.assert_idle();
    });
}
