//! How failed answers are read, and what is left of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io::Write,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use buttress_core::{Body, BoxError, Class, Outcome, TransportError, TransportErrorKind, Verdict};
use buttress_llm::{Dialect, Inspect, InspectFuture, classify_event};
use buttress_testkit::TraceGuard;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use tokio::time::Instant;
use tower::{Service, ServiceExt, service_fn};

const QUOTA: &str = r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#;

/// A body that announces its length, and gives its frames one by one.
struct Announced(Vec<&'static str>);

impl HttpBody for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        Poll::Ready(next.map(|data| Ok(Frame::data(Bytes::from_static(data.as_bytes())))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|data| data.len() as u64).sum())
    }
}

fn streamed(frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Body {
    Body::boxed(StreamBody::new(stream::iter(frames)))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

async fn ask(inspect: impl FnOnce(Client) -> Inspect<Client>, response: Response<Body>) -> Response<Body> {
    inspect(Client(Some(response))).oneshot(Request::new(())).await.unwrap()
}

/// Gives one response, and panics if it is called twice.
struct Client(Option<Response<Body>>);

impl<B> Service<Request<B>> for Client {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(self.0.take().expect("called once")))
    }
}

fn response(status: u16, body: Body) -> Response<Body> {
    Response::builder().status(status).body(body).unwrap()
}

fn verdict(response: &Response<Body>) -> Option<Verdict> {
    response.extensions().get::<Class>().map(|class| class.verdict)
}

async fn text(body: Body) -> String {
    String::from_utf8(bytes(body).await.to_vec()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the bodies of these tests are short")]
async fn bytes(body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_failure_is_judged_by_its_body_and_goes_on_unchanged() {
    for body in [
        Body::from(Bytes::from_static(QUOTA.as_bytes())),
        Body::boxed(Announced(vec![&QUOTA[..20], &QUOTA[20..]])),
        streamed(vec![data(&QUOTA[..1]), data(""), data(&QUOTA[1..])]),
    ] {
        let answer = ask(Inspect::new, response(429, body)).await;
        assert_eq!(verdict(&answer), Some(Verdict::QuotaExhausted));
        assert_eq!(answer.body().size_hint().exact(), Some(QUOTA.len() as u64));
        assert_eq!(text(answer.into_body()).await, QUOTA);
    }
}

#[tokio::test]
async fn a_success_is_not_touched() {
    for status in [200, 204, 302] {
        let answer = ask(Inspect::new, response(status, streamed(vec![data(QUOTA)]))).await;
        assert_eq!((verdict(&answer), answer.status().as_u16()), (None, status));
        assert_eq!(text(answer.into_body()).await, QUOTA);
    }
}

#[tokio::test]
async fn a_class_that_is_there_already_stays() {
    let inner = Class::new(Verdict::Cancelled, Outcome::Word("inner"));
    let mut refused = response(429, Body::from(Bytes::from_static(QUOTA.as_bytes())));
    refused.extensions_mut().insert(inner);
    assert_eq!(verdict(&ask(Inspect::new, refused).await), Some(Verdict::Cancelled));
}

#[tokio::test]
async fn no_more_is_read_than_allowed_and_nothing_is_lost() {
    let body = Body::boxed(Announced(vec!["0123", "4567", "89", "insufficient_quota"]));
    let answer = ask(|client| Inspect::new(client).max_bytes(6), response(429, body)).await;
    assert_eq!(verdict(&answer), Some(Verdict::RateLimited));
    assert_eq!(answer.body().size_hint().exact(), Some(28));
    assert_eq!(text(answer.into_body()).await, "0123456789insufficient_quota");

    let answer = ask(|client| Inspect::new(client).max_bytes(0), response(429, Body::from(Bytes::from(QUOTA)))).await;
    assert_eq!((verdict(&answer), text(answer.into_body()).await.as_str()), (Some(Verdict::RateLimited), QUOTA));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hangs_is_judged_by_what_came_and_goes_on_later() {
    let late = stream::once(async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        data(" late")
    });
    let body = Body::boxed(StreamBody::new(stream::iter([data("credit balance")]).chain(Box::pin(late))));
    let start = Instant::now();
    let answer = ask(Inspect::new, response(429, body)).await;
    assert_eq!(Instant::now() - start, Duration::from_secs(2));
    assert_eq!(verdict(&answer), Some(Verdict::QuotaExhausted));
    assert_eq!(text(answer.into_body()).await, "credit balance late");

    let never = Body::boxed(StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>()));
    let start = Instant::now();
    let answer = ask(|client| Inspect::new(client).timeout(Duration::from_millis(5)), response(500, never)).await;
    assert_eq!((verdict(&answer), Instant::now() - start), (Some(Verdict::Transient), Duration::from_millis(5)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_always_ready_with_nothing_does_not_hold_the_call() {
    let body = Body::boxed(StreamBody::new(stream::repeat_with(|| data(""))));
    let answer = ask(Inspect::new, response(429, body)).await;
    assert_eq!(verdict(&answer), Some(Verdict::RateLimited));
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_at_once_is_read_even_without_any_time() {
    let body = streamed(vec![data(&QUOTA[..9]), data(&QUOTA[9..])]);
    let answer = ask(|client| Inspect::new(client).timeout(Duration::ZERO), response(429, body)).await;
    assert_eq!(verdict(&answer), Some(Verdict::QuotaExhausted));
}

#[tokio::test]
async fn trailers_and_errors_come_after_what_was_read() {
    let trailers = HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())]);
    let body = streamed(vec![data("a"), Ok(Frame::trailers(trailers.clone()))]);
    let mut body = ask(Inspect::new, response(500, body)).await.into_body();
    assert!(!body.is_end_stream());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(body.frame().await.is_none());

    let body = streamed(vec![data("a"), Err("broken".into())]);
    let answer = ask(Inspect::new, response(500, body)).await;
    assert_eq!(verdict(&answer), Some(Verdict::Transient));
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broken");
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test]
async fn a_compressed_body_is_judged_by_what_it_stands_for_and_goes_on_compressed() {
    let compressed = gzip(QUOTA.as_bytes());
    let mut answer = response(429, Body::from(compressed.clone()));
    answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let answer = ask(Inspect::new, answer).await;
    assert_eq!(verdict(&answer), Some(Verdict::QuotaExhausted));
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(bytes(answer.into_body()).await, compressed);
}

#[tokio::test]
async fn a_bomb_is_cut_off_and_goes_on_unchanged() {
    let mut text = vec![b' '; 1 << 19];
    text.extend(QUOTA.as_bytes());
    let bomb = gzip(&text);
    let mut answer = response(429, Body::from(bomb.clone()));
    answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let answer = ask(Inspect::new, answer).await;
    assert_eq!(verdict(&answer), Some(Verdict::RateLimited));
    assert_eq!(bytes(answer.into_body()).await, bomb);
}

#[tokio::test]
async fn a_body_with_another_coding_is_not_read() {
    let mut answer = response(429, streamed(vec![data(QUOTA)]));
    answer.headers_mut().insert("content-encoding", "zstd".parse().unwrap());
    let answer = ask(Inspect::new, answer).await;
    assert_eq!(verdict(&answer), Some(Verdict::RateLimited));
    assert_eq!(text(answer.into_body()).await, QUOTA);
}

#[tokio::test]
async fn a_wait_that_only_the_body_tells_is_told_in_headers() {
    for (status, given, body, expected) in [
        (429, None, "Please retry in 46.302s.", Some(("47", "46302"))),
        (429, None, "Please retry in 250ms.", Some(("1", "250"))),
        (429, None, "Please retry in 0s.", Some(("0", "0"))),
        (429, Some(("retry-after", "soon")), "Please retry in 2s.", Some(("2", "2000"))),
        (429, None, "Slow down.", None),
        (400, None, "Please retry in 2s.", None),
    ] {
        let mut answer = response(status, Body::from(Bytes::from(body)));
        if let Some((name, value)) = given {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = ask(Inspect::new, answer).await;
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("retry-after").zip(header("retry-after-ms")), expected, "{body}");
    }
    for (name, value) in [("retry-after", "70"), ("retry-after-ms", "350"), ("x-ms-retry-after-ms", "10")] {
        let mut answer = response(429, Body::from(Bytes::from("Please retry in 46s.")));
        answer.headers_mut().insert(name, value.parse().unwrap());
        let answer = ask(Inspect::new, answer).await;
        assert_eq!((answer.headers()[name].to_str().unwrap(), answer.headers().len()), (value, 1));
    }
}

#[tokio::test]
async fn what_a_body_repeats_of_a_prompt_or_a_key_is_neither_traced_nor_printed() {
    let traced = TraceGuard::new();
    let echo =
        r#"{"error":{"message":"Incorrect key sk-topsecret; your prompt was: my diagnosis","code":"sk-topsecret"}}"#;
    for status in [400, 401, 429, 500] {
        let answer = ask(Inspect::new, response(status, Body::from(Bytes::from(echo)))).await;
        let class = *answer.extensions().get::<Class>().unwrap();
        tracing::info!(?class, %class.outcome, %class.verdict, answer = ?answer.headers(), "answered");
        assert_eq!(text(answer.into_body()).await, echo, "the caller sees it");
    }
    let event = classify_event(Dialect::OpenAi, echo.as_bytes(), SystemTime::UNIX_EPOCH);
    tracing::info!(?event, "told");
    traced.assert_hides(&["topsecret", "diagnosis"]);
}

#[tokio::test]
async fn the_dialect_is_that_of_the_request_and_a_set_one_otherwise() {
    let full = || response(429, Body::from(Bytes::from_static(b"provisioned throughput in full use")));
    let mut to_azure = Request::new(());
    to_azure.extensions_mut().insert(Dialect::Azure);
    let answer = Inspect::new(Client(Some(full()))).oneshot(to_azure).await.unwrap();
    assert_eq!(verdict(&answer), Some(Verdict::CapacityByDesign));
    assert_eq!(verdict(&ask(Inspect::new, full()).await), Some(Verdict::RateLimited));
    let answer = ask(|client| Inspect::new(client).dialect(Dialect::AzureV1), full()).await;
    assert_eq!(verdict(&answer), Some(Verdict::CapacityByDesign));
}

#[tokio::test]
async fn an_error_of_the_client_passes_unchanged() {
    let down =
        service_fn(async |_: Request<()>| Err::<Response<Body>, _>(TransportError::new(TransportErrorKind::Reset)));
    let error = Inspect::new(down).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Reset);
}

#[tokio::test]
async fn readiness_is_that_of_the_inner_service_and_the_readied_instance_is_called() {
    let (mock, mut handle) = tower_test::mock::pair::<Request<()>, Response<Body>>();
    handle.allow(0);
    let mut first = tokio_test::task::spawn(Inspect::new(mock));
    tokio_test::assert_pending!(first.enter(|cx, mut inspect| inspect.poll_ready(cx)));
    handle.allow(3);
    for _ in 0..3 {
        tokio_test::assert_ready_ok!(first.enter(|cx, mut inspect| inspect.poll_ready(cx)));
        let call = first.call(Request::new(()));
        let (_, send) = handle.next_request().await.unwrap();
        send.send_response(response(503, Body::empty()));
        assert_eq!(verdict(&call.await.unwrap()), Some(Verdict::Transient));
    }
    handle.send_error("gone");
    let result = first.enter(|cx, mut inspect| inspect.poll_ready(cx));
    assert!(matches!(result, Poll::Ready(Err(_))), "an error of readiness passes");
}

#[test]
fn the_service_is_clone_send_and_sync_and_its_future_is_send_and_small() {
    struct NotSync(#[expect(dead_code, reason = "only its type counts")] std::cell::Cell<u8>);
    fn service<T: Clone + Send + Sync + 'static>() {}
    fn future<T: Send>() {}
    service::<Inspect<tower::util::BoxCloneSyncService<Request<()>, Response<Body>, BoxError>>>();
    future::<InspectFuture<Ready<Result<Response<Body>, NotSync>>>>();
    assert!(size_of::<InspectFuture<()>>() <= 48);
}
