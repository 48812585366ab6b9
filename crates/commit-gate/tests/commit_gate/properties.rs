//! What holds for every answer, however it is cut.

use super::{answer, class, layer, lines};
use buttress_testkit::{Script, read, run};
use proptest::prelude::*;

/// Cuts `stream` at the places that `cuts` has, and pauses where `pauses` says so.
fn cut(stream: &[u8], cuts: &[usize], pauses: bool) -> Script {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([0, stream.len()]).collect();
    places.sort_unstable();
    places.windows(2).fold(Script::new(), |script, ends| {
        let script = script.data(stream[ends[0]..ends[1]].to_vec());
        if pauses { script.yields() } else { script }
    })
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just("role\n"), 3 => Just(": ping\r\n"), 2 => Just("\n"), 3 => Just("text hello\n"), 1 => Just("stop\n"),
        1 => Just("error 529 x\n"), 1 => Just("done\n"), 1 => Just("{]\n"), 1 => Just("usage 1 2\n"), 1 => Just("tex"),
    ]
}

/// What each answer comes to: its bytes if it goes out, and its class if it fails.
async fn outcome(script: Script) -> Result<Vec<u8>, String> {
    let (answer, handle) = answer(&layer(), lines(script)).await;
    if answer.status() != 200 {
        handle.assert_idle();
        return Err(format!("{} {:?}", answer.status(), class(&answer)));
    }
    let received = read(answer.into_body()).await;
    assert_eq!(handle.bodies().polls_after_end(), 0);
    Ok(received.bytes().to_vec())
}

#[test]
fn scenario_35_every_cut_of_one_stream_comes_to_the_same() {
    for stream in ["role\n: ping\r\n\ntext a\ntext b\nstop\ndone\n", "role\n\nerror 529 x\ndone\n", "role\r\n: ping\n"]
    {
        run(async {
            let whole = outcome(cut(stream.as_bytes(), &[], false)).await;
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let script = cut(stream.as_bytes(), &[first, second], second % 2 == 0);
                    assert_eq!(outcome(script).await, whole, "{stream:?} cut at {first} and {second}");
                }
            }
        });
    }
}

proptest! {
    #[test]
    fn an_answer_goes_out_unchanged_or_not_at_all_and_cuts_make_no_difference(
        stream in prop::collection::vec(line(), 0..12), cuts in prop::collection::vec(any::<usize>(), 0..20),
        pauses: bool,
    ) {
        let stream = stream.concat().into_bytes();
        run(async {
            let whole = outcome(cut(&stream, &[], false)).await;
            let parts = outcome(cut(&stream, &cuts, pauses)).await;
            assert_eq!(parts, whole);
            if let Ok(bytes) = parts {
                assert_eq!(bytes, stream);
            }
        });
    }
}
