//! Random walks: callers come, read and leave in any order.

use std::task::Poll;

use buttress_testkit::Reply;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Come,
    /// Polls one that was woken, as an executor does.
    Run(usize),
    Leave(usize),
    Release,
}

enum Guest {
    Waits(Caller),
    Reads(Spawn<ResponseBody<ScriptedBody>>, String),
}

impl Guest {
    fn is_woken(&self) -> bool {
        match self {
            Self::Waits(caller) => caller.is_woken(),
            Self::Reads(body, _) => body.is_woken(),
        }
    }
}

const WHOLE: &str = "abcdef";

fn stream() -> Script {
    script(&["a", "b"]).hangs().data("c").yields().data("d").hangs().data("e").data("f")
}

/// Lets one that may run do so until it waits. Returns `None` when it has read all.
fn run(guest: Guest) -> Option<Guest> {
    let mut guest = guest;
    loop {
        guest = match guest {
            Guest::Waits(mut caller) => match caller.poll() {
                Poll::Pending => return Some(Guest::Waits(caller)),
                Poll::Ready(answer) => {
                    Guest::Reads(task::spawn(answer.expect("it is answered").into_body()), String::new())
                }
            },
            Guest::Reads(mut body, mut text) => match poll(&mut body) {
                Poll::Pending => return Some(Guest::Reads(body, text)),
                Poll::Ready(Some(frame)) => {
                    let data = frame.expect("nothing fails").into_data().expect("there are no trailers");
                    text.push_str(std::str::from_utf8(&data).expect("it is text"));
                    assert!(WHOLE.starts_with(&text), "{text}");
                    Guest::Reads(body, text)
                }
                Poll::Ready(None) => {
                    assert_eq!(text, WHOLE);
                    return None;
                }
            },
        };
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Come),
        5 => (0..8_usize).prop_map(Step::Run),
        2 => (0..8_usize).prop_map(Step::Leave),
        2 => Just(Step::Release),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn whoever_stays_has_all_of_it_and_is_woken_for_it(steps in steps()) {
        let bench = Bench::new();
        bench.probe.always(Reply::ok().hanging().body(stream()));
        // Those that came and were never polled count as woken.
        let mut guests: Vec<(Guest, bool)> = Vec::new();
        let mut most = 0;
        let release = || {
            bench.probe.release();
            bench.probe.bodies().release();
        };
        for step in steps {
            match step {
                Step::Come => guests.push((Guest::Waits(bench.ask("t", "q")), true)),
                Step::Run(at) if at < guests.len() => {
                    let (guest, new) = guests.remove(at);
                    if !new && !guest.is_woken() {
                        guests.insert(at, (guest, false));
                    } else if let Some(guest) = run(guest) {
                        guests.insert(at, (guest, false));
                    }
                }
                Step::Leave(at) if at < guests.len() => drop(guests.remove(at)),
                Step::Run(_) | Step::Leave(_) => {}
                Step::Release => release(),
            }
            most = most.max(bench.probe.bodies().alive() as usize + bench.probe.futures());
        }
        prop_assert!(most <= 2, "a call, and at most one that has ended and is still read");
        // Whoever is left is served by being woken alone.
        for _ in 0..20 {
            release();
            while let Some(at) = guests.iter().position(|(guest, new)| *new || guest.is_woken()) {
                let (guest, _) = guests.remove(at);
                guests.extend(run(guest).map(|guest| (guest, false)));
            }
        }
        prop_assert_eq!(guests.len(), 0, "somebody was not woken");
        bench.probe.assert_idle();
        prop_assert_eq!(bench.handle.counts().under_way, 0);
    }
}
