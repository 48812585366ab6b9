//! How many attempts, and what comes back.

use buttress_core::{CallContext, Class, Outcome, Trail, Verdict};
use buttress_testkit::{ProbeError, Reply, Script, read, send};

use super::{get, ms, n, over, retry, timed};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Marker(u8);

#[tokio::test(start_paused = true)]
async fn a_success_at_once_is_one_call_on_the_readied_service_and_no_more() {
    let (mut service, handle) = over(&retry(), []);
    let (response, took) = timed(send(&mut service, get())).await;
    let response = response.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls(), took), (200, 1, ms(0)));
    assert_eq!(handle.ready_polls(), 1, "only the caller's own instance is made ready");
    assert!(response.extensions().get::<CallContext>().is_none(), "there was no retry to tell of");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_and_the_answer_tells_of_both_attempts() {
    let (mut service, handle) = over(&retry(), [Reply::status(503).after(ms(20)), Reply::ok().after(ms(30))]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (200, 2));
    let context = response.extensions().get::<CallContext>().expect("a retried answer carries the trail");
    assert_eq!(
        context.with_trail(Trail::to_string),
        "-;503;20ms, -;200;30ms",
        "the wait between them is no one's time"
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    for attempts in [1, 2, 3, 4, 5] {
        let (mut service, handle) = over(&retry().attempts(n(attempts)), []);
        handle.always(Reply::status(503));
        let response = send(&mut service, get()).await.unwrap();
        assert_eq!((response.status().as_u16(), handle.calls()), (503, attempts as usize));
    }
}

#[tokio::test(start_paused = true)]
async fn three_attempts_are_made_by_default() {
    let (mut service, handle) = over(&retry(), []);
    handle.always(Reply::status(503));
    drop(send(&mut service, get()).await);
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_returned_as_it_came_and_says_that_retries_are_spent() {
    let body = |text: &'static str| Script::new().data(text).trailer("x-end", "yes");
    let failure = |nth, text| Reply::status(503).header("x-nth", nth).extension(Marker(3)).body(body(text));
    let (mut service, handle) = over(&retry(), [failure("1", "a"), failure("2", "b"), failure("3", "c")]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (503, 3));
    assert_eq!(response.headers()["x-nth"], "3");
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(response.headers().len(), 2, "nothing else is added");
    assert_eq!(response.extensions().get(), Some(&Marker(3)));
    let received = read(response.into_body()).await;
    assert_eq!(received.bytes(), "c");
    assert_eq!(received.trailers.unwrap()["x-end"], "yes");
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_returned_as_it_came() {
    let (mut service, handle) = over(&retry(), [Reply::error("one"), Reply::error("two"), Reply::error("three")]);
    assert_eq!(send(&mut service, get()).await.err(), Some(ProbeError::new("three")));
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_another_kind_ends_the_retries() {
    let (mut service, handle) = over(&retry(), [Reply::status(503), Reply::status(404)]);
    let response = send(&mut service, get()).await.unwrap();
    assert_eq!((response.status().as_u16(), handle.calls()), (404, 2));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_sends_the_same_request() {
    let (mut service, handle) = over(&retry(), [Reply::status(503).reading_all(), Reply::ok().reading_all()]);
    let mut request = get();
    *request.uri_mut() = "/v1/things?a=1&b=%20".parse().unwrap();
    request.headers_mut().append("x-many", "1".parse().unwrap());
    request.headers_mut().append("x-many", "2".parse().unwrap());
    request.extensions_mut().insert(Marker(1));
    drop(send(&mut service, request).await);

    let [first, second] = &handle.seen()[..] else { panic!("two calls") };
    for seen in [first, second] {
        assert_eq!(seen.uri, "/v1/things?a=1&b=%20");
        assert_eq!(seen.headers.get_all("x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(seen.extensions.get(), Some(&Marker(1)));
        assert_eq!(seen.data.concat(), b"question");
    }
    let mut headers = second.headers.clone();
    assert_eq!(headers.remove("x-attempt").unwrap(), "2", "a retry says that it is one");
    assert_eq!((&first.method, &first.headers), (&second.method, &headers));
}

#[tokio::test(start_paused = true)]
async fn statuses_are_retried_as_their_verdicts_say() {
    for status in [408, 425, 429, 500, 502, 503, 504, 524, 529] {
        let (mut service, handle) = over(&retry(), [Reply::status(status)]);
        assert_eq!(send(&mut service, get()).await.unwrap().status(), 200, "{status}");
        assert_eq!(handle.calls(), 2, "{status}");
    }
    for status in [204, 301, 304, 400, 401, 402, 403, 404, 409, 413, 422, 499, 501] {
        let (mut service, handle) = over(&retry(), [Reply::status(status)]);
        assert_eq!(send(&mut service, get()).await.unwrap().status(), status);
        assert_eq!(handle.calls(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_that_a_layer_further_in_left_overrules_the_status() {
    let class = |verdict| Class::new(verdict, Outcome::Word("read"));
    let empty_answer = Reply::ok().extension(class(Verdict::Transient));
    let (mut service, handle) = over(&retry(), [empty_answer]);
    drop(send(&mut service, get()).await);
    assert_eq!(handle.calls(), 2, "an answer without content is no success");

    let (mut service, handle) = over(&retry(), [Reply::status(429).extension(class(Verdict::QuotaExhausted))]);
    assert_eq!(send(&mut service, get()).await.unwrap().status(), 429);
    assert_eq!(handle.calls(), 1, "no wait brings the money back");
}
