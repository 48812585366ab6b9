//! Answers that go out.

use super::{answer, layer, lines};
use buttress_core::{AnswerReport, Class};
use buttress_testkit::{Script, read, run};
use http_body::Body as _;
use tokio::time::Instant;

#[test]
fn what_was_held_goes_out_in_one_piece_and_the_rest_as_it_comes() {
    run(async {
        let script =
            Script::new().data("role\n").yields().data(": ping\n").data("text a\nte").data("xt b\n").data("stop\n");
        let (answer, handle) = answer(&layer(), lines(script.trailer("x-check", "1"))).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.extensions().get::<Class>().is_none(), "how it ends is not known yet");
        let polls = handle.bodies().polls();
        let received = read(answer.into_body()).await;
        assert_eq!(received.data, ["role\n: ping\ntext a\nte", "xt b\n", "stop\n"]);
        assert_eq!(received.trailers.unwrap()["x-check"], "1");
        assert!(polls < handle.bodies().polls(), "the rest is read when it is asked for");
        handle.assert_idle();
    });
}

#[test]
fn the_time_of_the_first_content_is_told() {
    run(async {
        let begun = Instant::now();
        let (answer, _) = answer(&layer(), lines(Script::new().data("role\ntext a\n"))).await;
        assert_eq!(answer.extensions().get::<AnswerReport>().unwrap().first_content(), Some(begun));
        assert_eq!(answer.extensions().get::<AnswerReport>().unwrap().class(), None);
    });
}

#[test]
fn an_end_without_content_is_an_answer_where_its_format_says_so() {
    run(async {
        let (answer, _) = answer(&layer(), lines(Script::new().data("role\n").data("stop length\n"))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(read(answer.into_body()).await.bytes(), "role\nstop length\n");
    });
}

#[test]
fn the_length_of_an_answer_is_what_it_was() {
    run(async {
        let (answer, _) =
            answer(&layer(), lines(Script::new().data("role\n").data("text a\n").data("stop\n").sized())).await;
        assert_eq!(answer.body().size_hint().exact(), Some(17));
        assert!(!answer.body().is_end_stream());
        assert_eq!(read(answer.into_body()).await.bytes(), "role\ntext a\nstop\n");
    });
}

#[test]
fn an_error_after_the_first_content_is_not_the_gates_to_judge() {
    run(async {
        let (answer, _) = answer(&layer(), lines(Script::new().data("text a\n").error("reset by peer"))).await;
        assert_eq!(answer.status(), 200);
        let received = read(answer.into_body()).await;
        assert_eq!(received.bytes(), "text a\n");
        assert!(received.error.is_some());
    });
}

#[test]
fn an_answer_whose_first_frame_is_content_is_not_copied() {
    run(async {
        let frame = bytes::Bytes::from("role\ntext a\n".to_owned());
        let (answer, _) = answer(&layer(), lines(Script::new().data(frame.clone()))).await;
        let received = read(answer.into_body()).await;
        assert_eq!(received.data[0].as_ptr(), frame.as_ptr());
    });
}
