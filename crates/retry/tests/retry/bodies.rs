//! Request bodies that are sent again.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use buttress_core::{HttpReplay, ReplayBody, Superseded};
use buttress_retry::RetryLayer;
use buttress_testkit::{BodyWatch, ProbeError, Reply, Script, ScriptedBody, read, send};
use bytes::Bytes;
use http::{Request, Response};
use tokio_test::assert_pending;
use tower::{Layer as _, service_fn};

use super::{begin, get, n, over, retry};

fn replay() -> RetryLayer {
    RetryLayer::new().seed(7)
}

fn within(max_bytes: u64) -> RetryLayer {
    replay().replay(HttpReplay::new(max_bytes))
}

fn request(script: Script) -> Request<ScriptedBody> {
    Request::new(script.body())
}

fn failure() -> Reply {
    Reply::status(503)
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_are_sent_again_byte_for_byte_with_their_trailers() {
    let chunks = (0..160_u32).map(|i| {
        let bytes = (0..65_536_u32).map(|j| (i.wrapping_mul(31).wrapping_add(j.wrapping_mul(j)) >> 3) as u8);
        Bytes::from_iter(bytes)
    });
    let chunks: Vec<_> = chunks.collect();
    let script = chunks.iter().cloned().fold(Script::new(), |script, chunk| script.data(chunk).yields());
    let (mut service, handle) = over(&replay(), [failure().reading_all(), Reply::ok().reading_all()]);
    let response = send(&mut service, request(script.trailer("x-sum", "42"))).await.unwrap();
    assert_eq!(response.status(), 200);

    let [first, second] = &handle.seen()[..] else { panic!("two calls") };
    for seen in [first, second] {
        assert!(seen.data.concat() == chunks.concat(), "the body differs");
        assert_eq!(seen.trailers.as_ref().unwrap()["x-sum"], "42");
    }
    assert_eq!(first.data[0].as_ptr(), second.data[0].as_ptr(), "kept by reference, not by copy");
}

#[tokio::test(start_paused = true)]
async fn a_body_at_its_bound_is_sent_again_and_one_beyond_it_is_sent_once() {
    for (max, calls) in [(9, 1), (10, 2)] {
        let (mut service, handle) = over(&within(max), [failure().header("x-nth", "1").reading_all()]);
        let response = send(&mut service, request(Script::new().data("01234").data("56789"))).await.unwrap();
        assert_eq!(handle.calls(), calls, "{max}");
        assert_eq!(handle.seen()[0].data.concat(), b"0123456789", "the attempt under way is not cut off");
        assert_eq!(response.headers().contains_key("x-nth"), calls == 1, "the failure is returned as it came");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_too_much_is_sent_again_only_while_nobody_has_read_it() {
    for (first, status, calls) in [(failure(), 200, 2), (failure().reading(1), 503, 1)] {
        let (mut service, handle) = over(&within(9), [first]);
        let response = send(&mut service, request(Script::new().data("0123456789").sized())).await.unwrap();
        assert_eq!((response.status().as_u16(), handle.calls()), (status, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_of_zero_lets_only_the_empty_body_be_sent_again() {
    for (script, calls) in [(Script::new(), 2), (Script::new().late(), 2), (Script::new().data("0"), 1)] {
        let (mut service, handle) = over(&within(0), [failure().reading_all()]);
        drop(send(&mut service, request(script)).await);
        assert_eq!(handle.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_passed_in_the_second_attempt_ends_the_retries() {
    let replies = [failure().reading(1), failure().header("x-nth", "2").reading_all()];
    let (mut service, handle) = over(&within(9), replies);
    let response = send(&mut service, request(Script::new().data("01234").data("56789"))).await.unwrap();
    assert_eq!((handle.calls(), response.headers()["x-nth"].to_str().unwrap()), (2, "2"));
    assert_eq!(handle.seen()[1].data.concat(), b"0123456789");
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_attempt_has_read_does_not_matter() {
    for frames in 0..=4 {
        let (mut service, handle) = over(&replay(), [failure().reading(frames), Reply::ok().reading_all()]);
        let script = Script::new().data("a").yields().data("b").data("c").trailer("x-end", "1");
        drop(send(&mut service, request(script)).await);
        let second = &handle.seen()[1];
        assert_eq!(second.data.concat(), b"abc", "after {frames} frames");
        assert_eq!(second.trailers.as_ref().unwrap()["x-end"], "1", "after {frames} frames");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_sent_when_the_answer_comes_goes_to_the_retry() {
    let kept = Arc::new(Mutex::new(Vec::<ReplayBody<ScriptedBody>>::new()));
    let keep = Arc::clone(&kept);
    let upstream = service_fn(move |request: Request<ReplayBody<ScriptedBody>>| {
        let mut kept = keep.lock().unwrap();
        kept.push(request.into_body());
        let status = if kept.len() == 1 { 503 } else { 200 };
        ready(Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()))
    });
    drop(send(&mut replay().layer(upstream), request(Script::new().data("a").data("b"))).await);

    let [first, second] = <[_; 2]>::try_from(std::mem::take(&mut *kept.lock().unwrap())).expect("two attempts");
    let first = read(first).await;
    assert!(first.error.is_some_and(|error| error.is::<Superseded>()) && first.data.is_empty());
    assert_eq!(read(second).await.bytes(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_sent_goes_on_when_no_retry_follows() {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let upstream = service_fn(move |request: Request<ReplayBody<ScriptedBody>>| {
        *keep.lock().unwrap() = Some(request.into_body());
        ready(Ok::<_, Infallible>(Response::builder().status(503).body(()).unwrap()))
    });
    let mut service = replay().allowance(n(1)).layer(upstream);
    drop(send(&mut service, request(Script::new().data("a").data("b"))).await);

    let body = kept.lock().unwrap().take().expect("one attempt");
    let received = read(body).await;
    assert!(received.error.is_none(), "no other attempt took the body over: {:?}", received.error);
    assert_eq!(received.bytes(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_cannot_be_sent_again() {
    let (mut service, handle) = over(&replay(), [Reply::ok().reading_all()]);
    let error = send(&mut service, request(Script::new().data("a").error("caller is gone"))).await.err();
    assert_eq!(error, Some(ProbeError::new("caller is gone")));
    assert_eq!(handle.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_as_its_attempt_needs_it_and_dropped_with_the_call() {
    let watch = BodyWatch::default();
    let (mut service, handle) = over(&replay(), [failure().reading(1), Reply::ok().reading_all().hanging()]);
    let body = Script::new().data("a").data("b").hangs().data("c").watched_by(&watch);
    let mut call = begin(&mut service, Request::new(body)).await;
    assert_pending!(call.poll());
    assert_eq!((watch.polls(), watch.alive()), (1, 1), "nothing is read ahead");
    tokio::time::advance(super::ms(51)).await;
    assert_pending!(call.poll());
    assert_eq!(handle.seen()[1].data.concat(), b"ab");
    drop(call);
    assert_eq!(watch.alive(), 0, "what was kept of a body goes with its call");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_wakes_the_second_attempt() {
    let watch = BodyWatch::default();
    let (mut service, handle) = over(&replay(), [failure().reading(1), Reply::ok().reading_all()]);
    let body = Script::new().data("a").hangs().data("b").watched_by(&watch);
    let mut call = begin(&mut service, Request::new(body)).await;
    assert_pending!(call.poll());
    tokio::time::advance(super::ms(51)).await;
    assert_pending!(call.poll());
    watch.release();
    assert!(call.is_woken(), "the body went on and nobody was told");
    assert_eq!(call.await.unwrap().status(), 200);
    assert_eq!(handle.seen()[1].data.concat(), b"ab");
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_cloned_by_reference() {
    let (mut service, handle) = over(&retry(), [failure().reading_all(), Reply::ok().reading_all()]);
    let request = get();
    let at = request.body().bytes().as_ptr();
    drop(send(&mut service, request).await);
    let pointers: Vec<_> = handle.seen().iter().map(|seen| seen.data[0].as_ptr()).collect();
    assert_eq!(pointers, [at, at]);
}

#[tokio::test(start_paused = true)]
async fn one_retry_inside_another_sends_the_same_body_each_time() {
    // Not a failure that the inner layer could wait for: it asks for more time than that one allows.
    let far = || failure().header("retry-after", "2");
    let replies = [failure().reading(1), far().reading_all(), far().reading(1), Reply::ok().reading_all()];
    let (probe, handle) = buttress_testkit::Probe::<ScriptedBody>::new();
    replies.into_iter().for_each(|reply| handle.next(reply));
    let inner = replay().max_hint(crate::ms(1_000));
    let outer = replay().attempts(n(3));
    let mut service = outer.layer(inner.layer(probe));
    let response = send(&mut service, request(Script::new().data("a").data("b").trailer("x-end", "1"))).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (200, 4), "{:?} {:?}", inner.counts(), outer.counts());
    let last = &handle.seen()[3];
    assert_eq!((last.data.concat(), last.trailers.is_some()), (b"ab".to_vec(), true));
}
