//! The end of a body, reported exactly once.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use buttress_core::{Body, BodyEnd, BoxError, End, EndBody, OnBodyEnd};
use buttress_testkit::{BodyWatch, Script, ScriptedBody, read, run};
use bytes::Bytes;
use futures_util::stream;
use http_body::{Body as HttpBody, Frame};
use http_body_util::StreamBody;
use proptest::prelude::*;
use tokio::time::{Instant, advance};
use tokio_test::task::{self, Spawn};

/// Keeps what was reported.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<BodyEnd>>>);

impl OnBodyEnd for Reports {
    fn on_end(self, end: BodyEnd) {
        self.0.lock().expect("no reporter panics").push(end);
    }
}

impl Reports {
    /// How it ended and after how many bytes, where it has ended.
    #[track_caller]
    fn end(&self) -> Option<(End, u64)> {
        let reports = self.0.lock().expect("no reporter panics");
        assert!(reports.len() <= 1, "reported more than once: {reports:?}");
        reports.first().map(|report| (report.end, report.bytes))
    }
}

fn wrap<B: HttpBody>(body: B) -> (Spawn<EndBody<B, Reports>>, Reports) {
    let reports = Reports::default();
    (task::spawn(EndBody::new(body, reports.clone(), Instant::now())), reports)
}

fn scripted(script: Script) -> (Spawn<EndBody<ScriptedBody, Reports>>, Reports) {
    wrap(script.body())
}

fn poll<B>(body: &mut Spawn<EndBody<B, Reports>>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>>
where
    B: HttpBody<Error: 'static>,
{
    body.enter(|cx, body| body.poll_frame(cx))
}

#[track_caller]
fn frame<B>(body: &mut Spawn<EndBody<B, Reports>>)
where
    B: HttpBody<Error: 'static>,
{
    assert!(matches!(poll(body), Poll::Ready(Some(Ok(_)))), "a frame is there");
}

#[test]
fn the_last_none_is_an_end() {
    let (mut body, reports) = scripted(Script::new().data("ab").data("c").late());
    frame(&mut body);
    frame(&mut body);
    assert_eq!(reports.end(), None, "the body does not know yet that it has ended");
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    assert_eq!(reports.end(), Some((End::Complete, 3)));
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    drop(body);
    assert_eq!(reports.end(), Some((End::Complete, 3)));
}

#[test]
fn trailers_are_an_end() {
    let (mut body, reports) = scripted(Script::new().data("ab").trailer("x-check", "1").late());
    frame(&mut body);
    assert_eq!(reports.end(), None);
    frame(&mut body);
    assert_eq!(reports.end(), Some((End::Complete, 2)));
    drop(body);
    assert_eq!(reports.end(), Some((End::Complete, 2)));
}

#[test]
fn an_error_is_an_end() {
    let (mut body, reports) = scripted(Script::new().data("ab").error("gone"));
    frame(&mut body);
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(_)))));
    assert_eq!(reports.end(), Some((End::Error, 2)));
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    drop(body);
    assert_eq!(reports.end(), Some((End::Error, 2)));
}

#[test]
fn a_body_that_is_empty_from_the_start_has_ended() {
    let (body, reports) = scripted(Script::new().sized());
    assert_eq!(reports.end(), Some((End::Complete, 0)));
    drop(body);
    assert_eq!(reports.end(), Some((End::Complete, 0)));
}

#[test]
fn the_last_frame_of_a_known_length_is_an_end() {
    let (mut body, reports) = scripted(Script::new().data("ab").data("c").sized());
    frame(&mut body);
    assert_eq!(reports.end(), None);
    frame(&mut body);
    assert_eq!(reports.end(), Some((End::Complete, 3)), "hyper does not ask again");
    drop(body);
    assert_eq!(reports.end(), Some((End::Complete, 3)));
}

#[test]
fn a_drop_before_the_first_frame_is_an_end() {
    let (body, reports) = scripted(Script::new().data("ab"));
    assert_eq!(reports.end(), None);
    drop(body);
    assert_eq!(reports.end(), Some((End::Cancelled, 0)));
}

#[test]
fn a_drop_half_way_is_an_end() {
    let (mut body, reports) = scripted(Script::new().data("ab").hangs());
    frame(&mut body);
    assert!(poll(&mut body).is_pending());
    assert_eq!(reports.end(), None, "waiting is no end");
    drop(body);
    assert_eq!(reports.end(), Some((End::Cancelled, 2)));
}

#[test]
fn a_drop_after_all_data_and_before_the_trailers_is_a_cancellation() {
    let (mut body, reports) = scripted(Script::new().data("ab").trailer("x-check", "1"));
    frame(&mut body);
    drop(body);
    assert_eq!(reports.end(), Some((End::Cancelled, 2)));
}

#[test]
fn a_panic_of_the_body_is_reported_when_it_is_dropped() {
    let (mut body, reports) = scripted(Script::new().data("ab").panics("inner"));
    frame(&mut body);
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| poll(&mut body))).is_err());
    assert_eq!(reports.end(), None);
    drop(body);
    assert_eq!(reports.end(), Some((End::Cancelled, 2)));
}

#[test]
fn a_body_shorter_than_announced_is_truncated() {
    for script in [
        Script::new().data("ab").announcing(5),
        Script::new().data("ab").announcing(5).late(),
        Script::new().data("ab").announcing(5).trailer("x-check", "1"),
    ] {
        let (body, reports) = scripted(script);
        run(read(body.into_inner()));
        assert_eq!(reports.end(), Some((End::Truncated, 2)));
    }
}

#[test]
fn a_length_that_is_not_exact_announces_nothing() {
    let (body, reports) = scripted(Script::new().data("ab").bounded(2, Some(9)));
    run(read(body.into_inner()));
    assert_eq!(reports.end(), Some((End::Complete, 2)));
}

fn failing_with<E>(error: E) -> StreamBody<stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, E>, 2>>> {
    StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from_static(b"ab"))), Err(error)]))
}

fn end_of<B: HttpBody<Error: Into<BoxError> + 'static> + Unpin>(body: B) -> End {
    let (body, reports) = wrap(body);
    run(read(body.into_inner()));
    reports.end().expect("it was read to its end").0
}

#[test]
fn an_unexpected_end_of_input_is_truncation_bare_and_boxed_and_wrapped() {
    let eof = || io::Error::from(io::ErrorKind::UnexpectedEof);
    assert_eq!(end_of(failing_with(eof())), End::Truncated);
    assert_eq!(end_of(failing_with::<BoxError>(eof().into())), End::Truncated);
    assert_eq!(end_of(failing_with::<BoxError>(io::Error::other(eof()).into())), End::Truncated);
    assert_eq!(end_of(Body::boxed(failing_with(eof()))), End::Truncated);

    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    assert_eq!(end_of(failing_with(broken())), End::Error);
    assert_eq!(end_of(failing_with::<BoxError>(broken().into())), End::Error);
    assert_eq!(end_of(failing_with::<BoxError>("cut".into())), End::Error);
}

#[test]
fn frames_and_hints_pass() {
    let script = Script::new().data("ab").yields().data("c").sized().trailer("x-check", "1");
    let (mut body, _reports) = scripted(script.clone());
    let mut bare = task::spawn(script.body());
    for step in 0.. {
        assert_eq!(body.size_hint().exact(), bare.size_hint().exact(), "step {step}");
        assert_eq!(body.is_end_stream(), bare.is_end_stream(), "step {step}");
        let expected = bare.enter(|cx, bare| bare.poll_frame(cx));
        match (poll(&mut body), expected) {
            (Poll::Ready(Some(Ok(frame))), Poll::Ready(Some(Ok(expected)))) => {
                assert_eq!(frame.data_ref(), expected.data_ref());
                assert_eq!(frame.trailers_ref(), expected.trailers_ref());
            }
            (Poll::Pending, Poll::Pending) => assert!(body.is_woken()),
            (Poll::Ready(None), Poll::Ready(None)) => break,
            (got, expected) => panic!("{got:?} is not {expected:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn time_is_counted_from_the_making_to_the_end() {
    let started = Instant::now();
    advance(Duration::from_millis(5)).await;
    let reports = Reports::default();
    let body = EndBody::new(Script::new().data("ab").late().body(), reports.clone(), started);
    let mut body = task::spawn(body);
    advance(Duration::from_millis(20)).await;
    frame(&mut body);
    advance(Duration::from_millis(300)).await;
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    advance(Duration::from_secs(9)).await;
    drop(body);
    assert_eq!(reports.end(), Some((End::Complete, 2)));
    assert_eq!(reports.0.lock().unwrap()[0].elapsed, Duration::from_millis(325), "an unread end costs no time");
}

#[tokio::test(start_paused = true)]
async fn a_start_in_the_future_counts_as_no_time() {
    let reports = Reports::default();
    drop(EndBody::new(Script::new().data("a").body(), reports.clone(), Instant::now() + Duration::from_secs(1)));
    assert_eq!(reports.0.lock().unwrap()[0].elapsed, Duration::ZERO);
}

#[test]
fn who_read_all_that_was_announced_has_not_cancelled() {
    let (mut body, reports) = scripted(Script::new().data("ab").sized().late());
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
    assert_eq!(reports.end(), None, "the body does not say that this was all");
    drop(body);
    assert_eq!(reports.end(), Some((End::Complete, 2)));
}

#[test]
fn a_closure_hears_of_the_end() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let body = EndBody::new(Script::new().body(), move |end: BodyEnd| sender.send(end.end).unwrap(), Instant::now());
    assert_eq!(receiver.recv(), Ok(End::Complete));
    drop(body);
    assert!(receiver.recv().is_err(), "the reporter is gone once it was told");
}

#[test]
fn the_inner_body_is_dropped_with_it_and_not_polled_past_its_end() {
    let watch = BodyWatch::default();
    let (body, _reports) = wrap(Script::new().data("ab").late().watched_by(&watch));
    run(read(body.into_inner()));
    assert_eq!((watch.alive(), watch.polls_after_end()), (0, 0));
}

proptest! {
    #[test]
    fn an_end_is_reported_once_whatever_happens(
        frames in prop::collection::vec(0..9_usize, 0..6),
        last in 0..4_u8,
        flags in any::<[bool; 3]>(),
        polls in 0..20_usize,
    ) {
        let [late, announced, pauses] = flags;
        let mut script = frames.iter().fold(Script::new(), |script, length| {
            let script = if pauses { script.yields() } else { script };
            script.data(vec![b'x'; *length])
        });
        if announced {
            script = script.sized();
        }
        script = match last {
            0 => script.trailer("x-check", "1"),
            1 => script.error("gone"),
            2 => script.hangs(),
            _ => script,
        };
        let (mut body, reports) = scripted(if late { script.late() } else { script });
        let mut read = 0;
        for _ in 0..polls {
            if let Poll::Ready(Some(Ok(frame))) = poll(&mut body) {
                read += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
        }
        let before = reports.end();
        let whole = announced && read == frames.iter().sum::<usize>() as u64;
        drop(body);
        let (end, bytes) = reports.end().expect("a drop is an end");
        prop_assert_eq!(bytes, read);
        prop_assert_eq!(before.is_none() && !whole, end == End::Cancelled);
        prop_assert!(end != End::Truncated, "all lengths announced here are true");
        prop_assert!(end != End::Error || last == 1);
    }
}
