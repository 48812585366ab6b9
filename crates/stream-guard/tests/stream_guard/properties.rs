//! What holds for every stream, however it is cut and however it ends.

use super::{answer, layer, lines, report};
use buttress_core::{Class, Usage, Verdict};
use buttress_testkit::{Received, Script, read, run};
use proptest::prelude::*;

/// How a stream stops.
#[derive(Clone, Copy, Debug)]
enum Stop {
    End,
    LateEnd,
    Error,
    Silence,
    Trailers,
}

/// Cuts `stream` at the places that `cuts` has, and pauses where `pauses` says so.
fn cut(stream: &[u8], cuts: &[usize], pauses: bool, stop: Stop) -> Script {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([0, stream.len()]).collect();
    places.sort_unstable();
    let script = places.windows(2).fold(Script::new(), |script, ends| {
        let script = script.data(stream[ends[0]..ends[1]].to_vec());
        if pauses { script.yields() } else { script }
    });
    match stop {
        Stop::End => script,
        Stop::LateEnd => script.late(),
        Stop::Error => script.error("reset by peer"),
        Stop::Silence => script.hangs(),
        Stop::Trailers => script.trailer("x-check", "1"),
    }
}

async fn outcome(script: Script) -> (Received, Option<Class>, Option<Usage>) {
    // From the head on, so that silence at the very beginning ends too.
    let (answer, handle) = answer(&layer().first_content(std::time::Duration::from_secs(5)), lines(script)).await;
    let report = report(&answer);
    let received = read(answer.into_body()).await;
    assert_eq!(handle.bodies().polls_after_end(), 0);
    handle.assert_idle();
    (received, report.class(), report.usage())
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just("role\n"), 3 => Just(": ping\r\n"), 2 => Just("\n"), 6 => Just("text hello\n"), 1 => Just("stop\n"),
        1 => Just("error 529 x\n"), 1 => Just("done\n"), 1 => Just("{]\n"), 2 => Just("usage 1 2\n"), 1 => Just("tex"),
        1 => Just("text a line that is longer than any line may be, in this format that is for tests\n"),
    ]
}

fn stops() -> impl Strategy<Value = Stop> {
    prop_oneof![Just(Stop::End), Just(Stop::LateEnd), Just(Stop::Error), Just(Stop::Silence), Just(Stop::Trailers)]
}

/// Asserts what must hold of `bytes`, which were made of `stream`.
fn assert_honest(stream: &[u8], bytes: &[u8], class: Class) {
    let common = stream.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    if bytes.len() == stream.len() && common == stream.len() {
        // Passed as it was: then it told how it ended.
        let text = String::from_utf8_lossy(stream);
        assert_eq!(class.verdict == Verdict::Success, ends_with_a_stop(&text), "{text:?}");
        return;
    }
    // Cut between two lines, and one error after that.
    let closing = bytes.split_inclusive(|byte| *byte == b'\n').next_back().expect("something was put there");
    let text = std::str::from_utf8(closing).expect("what was put there is text");
    let kept = &bytes[..bytes.len() - closing.len()];
    assert!(text.starts_with("error 50") && text.ends_with('\n'), "{text:?}");
    assert!(stream.starts_with(kept), "nothing is changed on the way");
    assert!(kept.is_empty() || kept.ends_with(b"\n"), "no event is torn: {kept:?}");
    let kept = String::from_utf8_lossy(kept);
    assert!(!kept.lines().any(|line| line.starts_with("stop") || line.starts_with("error")), "never both: {kept:?}");
    assert!(class.verdict != Verdict::Success);
}

/// Returns whether the first line that says how the stream ends is a stop.
fn ends_with_a_stop(text: &str) -> bool {
    text.lines()
        .find(|line| line.starts_with("stop") || line.starts_with("error"))
        .is_some_and(|l| l.starts_with("stop"))
}

#[test]
fn scenario_35_every_cut_of_one_stream_comes_to_the_same() {
    for stream in [
        "role\n: ping\r\n\ntext a\nusage 3 4\nstop\ndone\n",
        "role\ntext a\nerror 529 x\ndone\n",
        "text a\ntext b",
        "text a\n{]\nstop\n",
    ] {
        run(async {
            let (whole, class, usage) = outcome(cut(stream.as_bytes(), &[], false, Stop::End)).await;
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let script = cut(stream.as_bytes(), &[first, second], second % 2 == 0, Stop::LateEnd);
                    let (parts, of_parts, used) = outcome(script).await;
                    assert_eq!(parts.bytes(), whole.bytes(), "{stream:?} cut at {first} and {second}");
                    assert_eq!((of_parts, used), (class, usage), "{stream:?} cut at {first} and {second}");
                }
            }
        });
    }
}

proptest! {
    #[test]
    fn what_is_delivered_is_whole_events_and_at_most_one_error(
        stream in prop::collection::vec(line(), 0..12), cuts in prop::collection::vec(any::<usize>(), 0..20),
        pauses: bool, stop in stops(),
    ) {
        let stream = stream.concat().into_bytes();
        run(async {
            let (received, class, usage) = outcome(cut(&stream, &cuts, pauses, stop)).await;
            assert!(received.error.is_none(), "in this format an error can always be told");
            let class = class.expect("how it ended is known");
            assert_honest(&stream, &received.bytes(), class);
            let (whole, of_whole, of_all) = outcome(cut(&stream, &[], false, stop)).await;
            assert_eq!((received.bytes(), class, usage), (whole.bytes(), of_whole.unwrap(), of_all), "cuts do not matter");
        });
    }

    #[test]
    fn each_frame_goes_on_in_its_own_poll_up_to_its_last_whole_line(
        stream in prop::collection::vec("text [a-z]{0,9}\n", 1..12), cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let stream = stream.concat().into_bytes();
        run(async {
            let mut places: Vec<_> = cuts.iter().map(|cut| cut % stream.len()).chain([0, stream.len()]).collect();
            places.sort_unstable();
            places.dedup();
            let script = places.windows(2).fold(Script::new(), |s, ends| s.data(stream[ends[0]..ends[1]].to_vec()).hangs());
            let (answer, handle) = answer(&layer(), lines(script)).await;
            let mut body = tokio_test::task::spawn(answer.into_body());
            let mut given = 0;
            for end in &places[1..] {
                while let std::task::Poll::Ready(frame) = body.enter(|cx, body| http_body::Body::poll_frame(body, cx)) {
                    given += frame.unwrap().unwrap().into_data().unwrap().len();
                }
                let whole = stream[..*end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                assert_eq!(given, whole, "all that is whole has gone on");
                handle.bodies().release();
            }
        });
    }
}
