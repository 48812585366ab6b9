//! A request body that is sent again.

use std::{num::NonZeroU32, panic::AssertUnwindSafe, task::Poll};

use buttress_core::{CallContext, HttpReplay, NotReplayable, Replay, ReplayBody, Superseded};
use buttress_testkit::{BodyWatch, ProbeError, Received, Script, ScriptedBody, read, run};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Version};
use http_body::{Body, Frame};
use proptest::prelude::*;
use tokio_test::task::{self, Spawn};

type Replayed = ReplayBody<ScriptedBody>;

const ROOM: u64 = 1_000;

/// Three frames, six bytes, trailers; no length announced.
fn streamed() -> Script {
    Script::new().data("ab").data("c").data("def").trailer("x-check", "1")
}

fn body(script: Script) -> Spawn<Replayed> {
    body_within(script, ROOM)
}

fn body_within(script: Script, max_bytes: u64) -> Spawn<Replayed> {
    task::spawn(ReplayBody::new(script.body(), max_bytes))
}

fn again(body: &Spawn<Replayed>) -> Spawn<Replayed> {
    task::spawn(body.replay().expect("within the bound"))
}

fn poll(body: &mut Spawn<Replayed>) -> Poll<Option<Result<Frame<Bytes>, buttress_core::BoxError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

#[track_caller]
fn data(body: &mut Spawn<Replayed>) -> Bytes {
    let Poll::Ready(Some(Ok(frame))) = poll(body) else { panic!("a frame is there") };
    frame.into_data().expect("a data frame")
}

#[track_caller]
fn trailers(body: &mut Spawn<Replayed>) -> http::HeaderMap {
    let Poll::Ready(Some(Ok(frame))) = poll(body) else { panic!("a frame is there") };
    frame.into_trailers().expect("trailers")
}

#[track_caller]
fn assert_superseded(body: &mut Spawn<Replayed>) {
    let Poll::Ready(Some(Err(error))) = poll(body) else { panic!("an older attempt fails") };
    assert!(error.is::<Superseded>(), "{error:?}");
}

fn rest(body: Spawn<Replayed>) -> Received {
    run(read(body.into_inner()))
}

#[track_caller]
fn assert_whole(body: Spawn<Replayed>) {
    let received = rest(body);
    assert_eq!(received.bytes(), "abcdef");
    assert_eq!(received.trailers.expect("trailers are replayed")["x-check"], "1");
    assert!(received.error.is_none());
}

/// Lower bound, upper bound, end of stream.
fn hints(body: &Spawn<Replayed>) -> (u64, Option<u64>, bool) {
    let hint = body.size_hint();
    (hint.lower(), hint.upper(), body.is_end_stream())
}

#[test]
fn nothing_is_read_ahead() {
    let watch = BodyWatch::default();
    let mut first = task::spawn(ReplayBody::new(streamed().watched_by(&watch), ROOM));
    let second = again(&first);
    assert_eq!(watch.polls(), 0);
    drop(second);
    let mut third = again(&first);
    data(&mut third);
    assert_eq!(watch.polls(), 1);
    assert_superseded(&mut first);
    assert_eq!(watch.polls(), 1, "an older attempt must not touch the inner body");
}

#[test]
fn an_attempt_replayed_before_any_byte_is_whole() {
    assert_whole(again(&body(streamed())));
}

#[test]
fn an_attempt_replayed_after_a_part_is_whole() {
    let mut first = body(streamed());
    data(&mut first);
    assert_whole(again(&first));
}

#[test]
fn an_attempt_replayed_after_all_data_is_whole() {
    let mut first = body(streamed());
    for expected in ["ab", "c", "def"] {
        assert_eq!(data(&mut first), expected);
    }
    assert_whole(again(&first));
}

#[test]
fn an_attempt_replayed_after_the_trailers_is_whole() {
    let mut first = body(streamed());
    for _ in 0..3 {
        data(&mut first);
    }
    trailers(&mut first);
    let second = again(&first);
    assert!(matches!(poll(&mut first), Poll::Ready(None)), "it has sent all, whoever sends it again");
    assert_whole(second);
}

#[test]
fn an_attempt_replayed_after_the_last_none_is_whole() {
    let mut first = body(streamed());
    while !matches!(poll(&mut first), Poll::Ready(None)) {}
    assert!(matches!(poll(&mut first), Poll::Ready(None)), "and the end is the end");
    let second = again(&first);
    assert_whole(again(&second));
}

#[test]
fn a_replay_goes_on_where_the_last_attempt_stopped() {
    let watch = BodyWatch::default();
    let mut first = task::spawn(ReplayBody::new(streamed().watched_by(&watch), ROOM));
    data(&mut first);
    let mut second = again(&first);
    data(&mut second);
    data(&mut second);
    drop((first, second.into_inner().replay().map(|third| assert_whole(task::spawn(third)))));
    assert_eq!(watch.polls(), 4, "each frame is read once");
    assert_eq!((watch.alive(), watch.polls_after_end()), (0, 0));
}

#[test]
fn an_older_attempt_that_waits_is_woken_and_fails() {
    let watch = BodyWatch::default();
    let script = Script::new().data("ab").hangs().data("cdef").trailer("x-check", "1");
    let mut first = task::spawn(ReplayBody::new(script.watched_by(&watch), ROOM));
    data(&mut first);
    assert!(poll(&mut first).is_pending());

    let mut second = again(&first);
    assert!(first.is_woken(), "an older attempt would wait for ever");
    assert_superseded(&mut first);
    assert_superseded(&mut first);
    assert!(!hints(&first).2, "nor does it look as if it had ended well");

    assert_eq!(data(&mut second), "ab");
    assert!(poll(&mut second).is_pending());
    watch.release();
    assert!(second.is_woken(), "the newest attempt is the one that waits");
    assert_eq!(data(&mut second), "cdef");
}

#[test]
fn a_body_that_announces_too_much_is_sent_again_only_while_nobody_has_read_it() {
    let script = || streamed().announcing(6);
    let unread = body_within(script(), 5);
    let mut first = again(&unread);
    assert!(first.is_replayable());
    assert_eq!(hints(&first), (6, Some(6), false));
    assert_eq!(data(&mut first), "ab");
    assert!(!first.is_replayable());
    assert!(first.replay().is_none());
    assert_eq!(hints(&first), (4, Some(4), false));
    let received = rest(first);
    assert_eq!(received.bytes(), "cdef");
    assert!(received.trailers.is_some());

    assert!(body_within(script(), 6).is_replayable(), "the bound itself is within the bound");
}

#[test]
fn a_body_that_turns_out_too_long_goes_on_and_is_lost() {
    let mut first = body_within(streamed(), 2);
    assert_eq!(data(&mut first), "ab");
    assert!(first.is_replayable(), "the bound itself is within the bound");
    let mut second = again(&first);
    assert_eq!(data(&mut second), "ab");
    assert_eq!(data(&mut second), "c");
    assert!(!first.is_replayable() && !second.is_replayable());
    assert!(second.replay().is_none());

    assert_superseded(&mut first);
    let received = rest(second);
    assert_eq!(received.bytes(), "def", "the attempt under way is not harmed");
    assert!(received.trailers.is_some());
}

#[test]
fn a_lost_body_keeps_its_end_and_its_hints() {
    let mut first = body_within(Script::new().data("abc").data("def").bounded(0, Some(6)), 2);
    assert_eq!(hints(&first), (0, Some(6), false));
    data(&mut first);
    assert_eq!(hints(&first), (0, Some(3), false));
    data(&mut first);
    assert_eq!(hints(&first), (0, Some(0), true));
    assert!(matches!(poll(&mut first), Poll::Ready(None)));
    assert!(first.replay().is_none(), "the end does not bring back what was let go");
}

#[test]
fn without_room_only_an_empty_body_is_sent_again() {
    let first = body_within(Script::new(), 0);
    assert_eq!(rest(again(&first)).bytes(), "");

    let mut first = body_within(streamed(), 0);
    assert!(first.is_replayable(), "nothing is known yet");
    data(&mut first);
    assert!(!first.is_replayable());

    let mut first = body_within(Script::new().data("a").sized(), 0);
    assert!(first.is_replayable(), "nobody has read it");
    data(&mut first);
    assert!(!first.is_replayable());
}

#[test]
fn an_error_passes_and_ends_the_replays() {
    let mut first = body(Script::new().data("ab").error("gone"));
    data(&mut first);
    let mut second = again(&first);
    data(&mut second);
    let Poll::Ready(Some(Err(error))) = poll(&mut second) else { panic!("the inner error passes") };
    assert_eq!(error.downcast_ref(), Some(&ProbeError::new("gone")));
    assert!(!second.is_replayable() && second.replay().is_none());
    assert_superseded(&mut first);
    assert!(matches!(poll(&mut second), Poll::Ready(None)));
}

#[test]
fn a_panic_of_the_inner_body_loses_no_byte() {
    let mut first = body(Script::new().data("ab").panics("inner").data("c"));
    data(&mut first);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| poll(&mut first)));
    assert!(result.is_err());
    assert_eq!(rest(again(&first)).bytes(), "abc", "a scripted body goes on after its panic");
}

#[test]
fn a_pending_inner_body_wakes_its_reader() {
    let watch = BodyWatch::default();
    let mut first = task::spawn(ReplayBody::new(Script::new().hangs().data("ab").watched_by(&watch), ROOM));
    assert!(poll(&mut first).is_pending());
    assert!(!first.is_woken());
    watch.release();
    assert!(first.is_woken());
    assert_eq!(data(&mut first), "ab");
}

#[test]
fn a_replay_that_nobody_reads_leaves_the_next_one_whole() {
    let mut first = body(streamed());
    data(&mut first);
    drop(again(&first));
    drop(again(&first));
    assert_whole(again(&first));
}

#[test]
fn an_empty_body_has_ended_in_every_attempt() {
    let first = body(Script::new().sized());
    assert_eq!(hints(&first), (0, Some(0), true));
    let mut second = again(&first);
    assert_eq!(hints(&second), (0, Some(0), true));
    assert!(matches!(poll(&mut second), Poll::Ready(None)));
}

#[test]
fn hints_are_true_at_every_stage() {
    let mut first = body(streamed().announcing(6));
    let stages = [(6, false), (4, false), (3, false), (0, false)];
    for (i, (left, ended)) in stages.into_iter().enumerate() {
        assert_eq!(hints(&first), (left, Some(left), ended), "stage {i}");
        if i < 3 {
            data(&mut first);
        }
    }
    trailers(&mut first);
    assert_eq!(hints(&first), (0, Some(0), true), "trailers are the end");

    let mut second = again(&first);
    for (left, ended) in stages {
        assert_eq!(hints(&second), (left, Some(left), ended));
        if left > 0 {
            data(&mut second);
        }
    }
    trailers(&mut second);
    assert_eq!(hints(&second), (0, Some(0), true));
}

#[test]
fn hints_of_a_replay_count_what_is_kept_and_what_is_not_read() {
    let mut first = body(streamed().announcing(6));
    data(&mut first);
    let mut second = again(&first);
    assert_eq!(hints(&second), (6, Some(6), false), "two kept and four to come");
    data(&mut second);
    assert_eq!(hints(&second), (4, Some(4), false));
}

#[test]
fn a_known_length_ends_without_a_last_none() {
    let mut first = body(Script::new().data("abc").sized());
    assert_eq!(hints(&first), (3, Some(3), false));
    data(&mut first);
    assert_eq!(hints(&first), (0, Some(0), true));
    let mut second = again(&first);
    assert_eq!(hints(&second), (3, Some(3), false));
    data(&mut second);
    assert_eq!(hints(&second), (0, Some(0), true));
}

#[test]
fn an_end_that_was_seen_late_is_seen_at_once_in_a_replay() {
    let mut first = body(Script::new().data("abc").late());
    data(&mut first);
    assert!(!hints(&first).2);
    assert!(matches!(poll(&mut first), Poll::Ready(None)));
    assert!(hints(&first).2);
    let mut second = again(&first);
    data(&mut second);
    assert!(hints(&second).2);
}

#[test]
fn debug_shows_no_content() {
    let mut first = body(Script::new().data("a secret"));
    data(&mut first);
    let shown = format!("{:?}", *first);
    assert!(shown.contains("kept_bytes: 8") && !shown.contains("secret"), "{shown}");
}

// === HttpReplay ===

fn split(script: Script, max_bytes: u64) -> (HttpReplay, Request<Replayed>, Request<Replayed>, CallContext) {
    let replay = HttpReplay::new(max_bytes);
    let mut request = Request::builder()
        .method(Method::PUT)
        .uri("/v1/things?id=7")
        .version(Version::HTTP_2)
        .header("x-kept", "1")
        .header("x-kept", "2")
        .body(script.body())
        .expect("each part is valid");
    let context = replay.context(&mut request, NonZeroU32::MIN.saturating_add(2)).expect("extensions hold it");
    let (first, saved) = replay.split(request);
    (replay, first, saved, context)
}

#[test]
fn a_request_is_the_same_in_every_attempt() {
    let (replay, first, saved, context) = split(streamed(), ROOM);
    assert!(context.take_attempt());
    let second = replay.again(&saved).unwrap();
    for request in [&first, &second] {
        assert_eq!((request.method(), request.version()), (&Method::PUT, Version::HTTP_2));
        assert_eq!(request.uri(), "/v1/things?id=7");
        assert_eq!(request.headers().get_all("x-kept").iter().collect::<Vec<_>>(), ["1", "2"]);
        let found = CallContext::of(request).expect("extensions travel with each attempt");
        assert_eq!(found.attempts_left(), 1, "and share one allowance");
    }
    assert_whole(task::spawn(second.into_body()));
}

#[test]
fn a_request_dropped_half_way_is_sent_again() {
    let (replay, first, saved, _) = split(streamed(), ROOM);
    let mut first = task::spawn(first.into_body());
    data(&mut first);
    drop(first);
    for _ in 0..2 {
        assert_whole(task::spawn(replay.again(&saved).unwrap().into_body()));
    }
}

#[test]
fn a_request_beyond_the_bound_is_not_sent_again() {
    let (replay, first, saved, _) = split(streamed().announcing(6), 5);
    assert_whole(task::spawn(first.into_body()));
    assert_eq!(
        replay.again(&saved).err().map(|error| error.to_string()),
        Some("the request cannot be sent again".into())
    );

    let (replay, first, saved, _) = split(streamed(), 5);
    assert_whole(task::spawn(first.into_body()));
    assert!(matches!(replay.again(&saved), Err(NotReplayable { .. })));
}

#[test]
fn what_may_be_repeated_is_known_after_the_split() {
    let (replay, _, saved, _) = split(streamed(), ROOM);
    assert!(Replay::<Request<ScriptedBody>>::is_idempotent(&replay, &saved), "by method");
    let post = |key: Option<&str>| {
        let mut request = Request::post("/").body(Script::new().body()).unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        let (_, saved) = replay.split(request);
        Replay::<Request<ScriptedBody>>::is_idempotent(&replay, &saved)
    };
    assert!(!post(None) && post(Some("k-1")));
}

// === Any body, cut anywhere ===

#[derive(Clone, Debug)]
struct Case {
    frames: Vec<Vec<u8>>,
    trailers: bool,
    late: bool,
    announced: bool,
    pauses: bool,
    /// After how many polls each attempt is cut off.
    cuts: Vec<usize>,
}

fn cases() -> impl Strategy<Value = Case> {
    let frames = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8);
    let cuts = prop::collection::vec(0..25_usize, 0..6);
    (frames, any::<[bool; 4]>(), cuts).prop_map(|(frames, [trailers, late, announced, pauses], cuts)| Case {
        frames,
        trailers,
        late,
        announced,
        pauses,
        cuts,
    })
}

impl Case {
    fn script(&self) -> Script {
        let mut script = self.frames.iter().fold(Script::new(), |script, frame| {
            let script = if self.pauses { script.yields() } else { script };
            script.data(frame.clone())
        });
        if self.announced {
            script = script.sized();
        }
        if self.trailers {
            script = script.trailer("x-check", "1");
        }
        if self.late { script.late() } else { script }
    }

    fn bytes(&self) -> Vec<u8> {
        self.frames.concat()
    }
}

proptest! {
    #[test]
    fn any_body_cut_anywhere_is_sent_whole(case in cases()) {
        let mut body = body(case.script());
        for cut in &case.cuts {
            let (mut sent, mut ended) = (Vec::new(), false);
            for _ in 0..*cut {
                let announced = body.size_hint();
                let left = case.bytes().len() as u64 - sent.len() as u64;
                prop_assert!(announced.lower() <= left && announced.upper().is_none_or(|upper| upper >= left));
                ended |= body.is_end_stream();
                match poll(&mut body) {
                    Poll::Ready(Some(Ok(frame))) => {
                        prop_assert!(!ended, "nothing comes after the end");
                        sent.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                    }
                    Poll::Ready(Some(Err(error))) => return Err(TestCaseError::fail(error.to_string())),
                    Poll::Ready(None) => ended = true,
                    Poll::Pending => {}
                }
            }
            prop_assert!(case.bytes().starts_with(&sent), "each attempt begins at the beginning");
            body = again(&body);
        }
        let received = rest(body);
        prop_assert_eq!(received.bytes(), case.bytes());
        prop_assert_eq!(received.trailers.is_some(), case.trailers);
        prop_assert!(received.error.is_none());
    }

    #[test]
    fn the_bound_decides_about_replays_and_never_about_the_attempt_under_way(case in cases(), max_bytes in 0..80_u64) {
        let mut body = body_within(case.script(), max_bytes);
        for cut in &case.cuts {
            let next = body.replay().map(task::spawn);
            prop_assert_eq!(next.is_some(), body.is_replayable());
            let Some(next) = next else { break };
            body = next;
            let mut read = 0;
            for _ in 0..*cut {
                if let Poll::Ready(Some(Ok(frame))) = poll(&mut body) {
                    read += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
            }
            prop_assert!(read <= max_bytes || !body.is_replayable());
        }
        let total = case.bytes().len() as u64;
        prop_assert!(total > max_bytes || body.is_replayable(), "what fits is kept");

        let fresh = body_within(case.script(), max_bytes);
        let received = rest(fresh);
        prop_assert_eq!(received.bytes(), case.bytes());
        prop_assert_eq!(received.trailers.is_some(), case.trailers);
    }
}

#[test]
fn a_body_is_read_across_a_replay_in_async_code() {
    let first = ReplayBody::new(streamed().body(), ROOM);
    let second = first.replay().unwrap();
    assert!(run(read(first)).error.is_some_and(|error| error.is::<Superseded>()));
    assert_eq!(run(read(second)).bytes(), "abcdef");
    assert!(read(Script::new().hangs().body()).now_or_never().is_none());
}

#[test]
fn empty_frames_are_not_kept() {
    let script = (0..1_000).fold(Script::new(), |script, _| script.data(Bytes::new()));
    let body = ReplayBody::new(script.body(), 0);
    let again = || body.replay().unwrap();
    run(read(again()));
    assert_eq!(run(read(again())).data.len(), 0, "a thousand frames kept within a bound of nothing");
}

#[test]
fn a_replay_of_a_body_that_ended_knows_its_length() {
    let body = ReplayBody::new(Script::new().data("ab").announcing(5).body(), 100);
    let again = || body.replay().unwrap();
    run(read(again()));
    assert_eq!(again().size_hint().exact(), Some(2));
}

#[test]
fn a_lost_body_is_not_polled_past_its_end() {
    let watch = BodyWatch::default();
    let body = ReplayBody::new(Script::new().data("abc").late().watched_by(&watch), 1);
    let mut body = task::spawn(body);
    for _ in 0..3 {
        let _ = body.enter(|cx, body| body.poll_frame(cx)).map(drop);
    }
    assert_eq!(watch.polls_after_end(), 0);
}
