//! Bodies that a layer can make.

use std::task::Poll;

use buttress_core::{Body, BoxError, Payload};
use buttress_testkit::{ProbeError, Script, assert_clone_send_sync, assert_send, read, run};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio_test::task::{self, Spawn};

fn poll<B: HttpBody>(body: &mut Spawn<B>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

/// Exact length, end of stream.
fn hints<B: HttpBody>(body: &B) -> (Option<u64>, bool) {
    (body.size_hint().exact(), body.is_end_stream())
}

#[test]
fn an_empty_body_has_ended_before_it_begins() {
    for body in [Body::empty(), Body::default(), Body::from(Bytes::new()), Payload::default().into()] {
        assert_eq!(hints(&body), (Some(0), true));
        let mut body = task::spawn(body);
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
    }
    assert_eq!(Body::empty().bytes(), None);
}

#[test]
fn a_whole_body_is_one_frame_and_readable_until_it_is_sent() {
    let bytes = Bytes::from_static(b"hello");
    for body in [Body::from(bytes.clone()), Body::from(Payload::new(bytes.clone()))] {
        assert_eq!(body.bytes(), Some(&bytes));
        assert_eq!(hints(&body), (Some(5), false));
        let mut body = task::spawn(body);
        let Poll::Ready(Some(Ok(frame))) = poll(&mut body) else { panic!("a frame is there") };
        let data = frame.into_data().expect("a data frame");
        assert_eq!(data.as_ptr(), bytes.as_ptr(), "not a copy");
        assert_eq!(hints(&*body), (Some(0), true));
        assert_eq!(body.bytes(), Some(&Bytes::new()), "what was sent is no longer there");
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
    }
}

#[test]
fn a_boxed_body_keeps_frames_and_hints() {
    let script = Script::new().data("ab").data("c").sized().trailer("x-check", "1");
    let body = Body::boxed(script.body());
    assert_eq!(body.bytes(), None);
    assert_eq!(hints(&body), (Some(3), false));
    let received = run(read(body));
    assert_eq!(received.data, ["ab", "c"]);
    assert_eq!(received.trailers.expect("trailers pass")["x-check"], "1");

    let nothing = Body::boxed(Script::new().sized().body());
    assert_eq!(hints(&nothing), (Some(0), true));
}

#[test]
fn a_boxed_body_keeps_its_error_to_be_found() {
    let received = run(read(Body::boxed(Script::new().data("ab").error("gone").body())));
    assert_eq!(received.bytes(), "ab");
    let error: BoxError = received.error.expect("the error passes");
    assert_eq!(error.downcast_ref(), Some(&ProbeError::new("gone")), "in one box, not in two");

    let twice = Body::boxed(Body::boxed(Script::new().error("gone").body()));
    assert!(run(read(twice)).error.is_some_and(|error| error.is::<ProbeError>()));
}

#[test]
fn a_boxed_body_that_waits_wakes_its_reader() {
    let script = Script::new().hangs().data("ab").body();
    let watch = script.watch();
    let mut body = task::spawn(Body::boxed(script));
    assert!(poll(&mut body).is_pending());
    watch.release();
    assert!(body.is_woken());
    drop(body);
    assert_eq!((watch.alive(), watch.dropped()), (0, 1));
}

#[test]
fn a_body_is_send_even_if_what_it_boxes_is_not_sync() {
    assert_send(&Body::boxed(Script::new().body()));
}

#[test]
fn the_debug_form_of_a_body_shows_no_content() {
    let secret = || Bytes::from_static(b"a secret");
    for body in [secret().into(), Payload::new(secret()).into(), Body::boxed(Script::new().data(secret()).body())] {
        let shown = format!("{body:?}");
        assert!(shown.starts_with("Body(") && !shown.contains("secret"), "{shown}");
    }
}

// === Payload ===

#[test]
fn a_payload_is_sent_once_by_each_clone() {
    let payload = Payload::from(Bytes::from_static(b"hello"));
    assert_clone_send_sync(&payload);
    for clone in [payload.clone(), payload.clone()] {
        assert_eq!(hints(&clone), (Some(5), false));
        assert_eq!(clone.bytes().as_ptr(), payload.bytes().as_ptr(), "not a copy");
        assert_eq!(run(read(clone)).data, ["hello"]);
    }
    assert_eq!(payload.into_bytes(), "hello");
}

#[test]
fn a_payload_that_was_sent_is_empty() {
    let mut payload = task::spawn(Payload::new(Bytes::from_static(b"hello")));
    assert!(matches!(poll(&mut payload), Poll::Ready(Some(Ok(_)))));
    assert_eq!(hints(&*payload), (Some(0), true));
    assert_eq!(*payload, Payload::default());
    assert!(matches!(poll(&mut payload), Poll::Ready(None)));
}

#[test]
fn an_empty_payload_has_no_frame() {
    let mut payload = task::spawn(Payload::default());
    assert_eq!(hints(&*payload), (Some(0), true));
    assert!(matches!(poll(&mut payload), Poll::Ready(None)));
}

#[test]
fn the_debug_form_of_a_payload_shows_no_content() {
    let shown = format!("{:?}", Payload::new(Bytes::from_static(b"a secret")));
    assert!(!shown.contains("secret"), "{shown}");
}
