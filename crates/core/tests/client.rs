//! hyper-util's client against servers that answer, hang up and cut off.

#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use buttress_core::{
    Body, BodyEnd, Classify as _, Client, End, EndBody, HttpClassify, Payload, ReplayBody, TransportError,
    TransportErrorKind, Verdict,
};
use buttress_testkit::{Received, Script, ScriptedBody, assert_clone_send_sync, read, send};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

const HEAD_AND_TRAILERS: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-check\r\n\r\n\
    3\r\nhel\r\n2\r\nlo\r\n0\r\nx-check: 1\r\n\r\n";

fn client<B>() -> Client<HttpConnector, B>
where
    B: HttpBody<Data: Send> + Send,
{
    Client::new(legacy::Client::builder(TokioExecutor::new()).build_http())
}

fn post(address: SocketAddr, body: &'static str) -> Request<Payload> {
    Request::post(format!("http://{address}/v1")).body(Payload::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

/// Sends `hello` to a server that treats its one connection as `serve` says.
async fn exchange<F>(serve: impl FnOnce(TcpStream) -> F) -> Result<Response<Body>, TransportError>
where
    F: Future,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = client();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    };
    let both = async { tokio::join!(send(&mut client, post(address, "hello")), server).0 };
    timeout(Duration::from_secs(20), both).await.expect("loopback answers at once")
}

/// Reads until the request of [`exchange`] is complete.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request is complete");
    }
    String::from_utf8(request).unwrap()
}

/// Answers with `bytes` and closes.
async fn answer(bytes: &'static [u8]) -> Result<Response<Body>, TransportError> {
    exchange(async |mut stream| {
        read_request(&mut stream).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await
}

/// Closes without the farewell that TCP is used to.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn read_to_its_end(body: Body) -> (Received, BodyEnd) {
    let reported = Arc::new(Mutex::new(None));
    let report = Arc::clone(&reported);
    let body = EndBody::new(body, move |end| *report.lock().unwrap() = Some(end), Instant::now());
    let received = read(body).await;
    (received, reported.lock().unwrap().take().expect("an end is reported"))
}

#[test]
fn a_client_is_cloned_and_shared_whatever_the_request_body() {
    assert_clone_send_sync(&client::<ReplayBody<Payload>>());
    assert_clone_send_sync(&client::<ScriptedBody>());
}

#[tokio::test]
async fn request_and_answer_pass_with_trailers() {
    let seen = Mutex::new(String::new());
    let response = exchange(async |mut stream| {
        *seen.lock().unwrap() = read_request(&mut stream).await;
        stream.write_all(HEAD_AND_TRAILERS).await.unwrap();
    })
    .await
    .unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.starts_with("POST /v1 HTTP/1.1\r\n") && seen.contains("content-length: 5\r\n"), "{seen}");
    assert_eq!(response.status(), 200);

    let (received, end) = read_to_its_end(response.into_body()).await;
    assert_eq!(received.bytes(), "hello");
    assert_eq!(received.trailers.expect("trailers pass")["x-check"], "1");
    assert_eq!((end.end, end.bytes), (End::Complete, 5));
}

#[tokio::test]
async fn a_known_length_is_announced_and_the_last_frame_is_the_end() {
    let response = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(5));
    let (received, end) = read_to_its_end(response.into_body()).await;
    assert_eq!((received.bytes(), end.end), (Bytes::from_static(b"hello"), End::Complete));
}

#[tokio::test]
async fn an_answer_without_content_has_ended() {
    let response = answer(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert!(response.body().is_end_stream());
    assert_eq!(read_to_its_end(response.into_body()).await.1.end, End::Complete);
}

#[tokio::test]
async fn a_refused_connection_is_connect_and_nothing_was_begun() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = send(&mut client(), post(address, "hello")).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Connect);
    assert!(std::error::Error::source(&error).is_some(), "the client's own error is the cause");
    let class = HttpClassify.classify(Err::<&Response<Body>, _>(&error));
    assert_eq!((class.verdict, class.begun), (Verdict::Transient, false));
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_reset_and_may_have_begun() {
    let error = answer(b"").await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Reset);
    assert!(HttpClassify.classify(Err::<&Response<Body>, _>(&error)).begun);
}

#[tokio::test]
async fn a_connection_closed_within_the_head_is_reset() {
    let error = answer(b"HTTP/1.1 200 OK\r\ncontent-le").await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Reset);
}

#[tokio::test]
async fn a_connection_reset_before_the_answer_is_reset() {
    let error = exchange(async |mut stream| {
        read_request(&mut stream).await;
        reset(&stream);
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Reset);
}

#[tokio::test]
async fn a_connection_closed_as_soon_as_it_is_made_is_reset() {
    let error = exchange(async |stream| drop(stream)).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Reset, "{:?}", std::error::Error::source(&error));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_an_error_of_its_own() {
    let error = answer(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Other);
    assert_eq!(error.to_string(), "the exchange with the target failed");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_truncated() {
    for (bytes, got) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"[..], 5),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", 5),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe", 2),
    ] {
        let response = answer(bytes).await.unwrap();
        let (received, end) = read_to_its_end(response.into_body()).await;
        assert_eq!((end.end, end.bytes), (End::Truncated, got), "{:?}", received.error);
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_complete() {
    let response = answer(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello").await.unwrap();
    let (received, end) = read_to_its_end(response.into_body()).await;
    assert_eq!((received.bytes(), end.end), (Bytes::from_static(b"hello"), End::Complete));
}

#[tokio::test]
async fn a_body_that_is_kept_for_a_replay_is_sent_and_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = client();
    let first = ReplayBody::new(Script::new().data("hel").data("lo").sized().body(), 100);
    let second = {
        let request = |body| Request::post(format!("http://{address}/")).body(body).unwrap();
        let serve = |bytes: &'static [u8]| {
            let listener = &listener;
            async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                stream.write_all(bytes).await.unwrap();
                request
            }
        };
        let saved = first.replay().expect("it fits");
        let (result, _) = tokio::join!(send(&mut client, request(saved.replay().expect("it fits"))), serve(b""));
        assert_eq!(result.unwrap_err().kind(), TransportErrorKind::Reset);
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        tokio::join!(send(&mut client, request(saved.replay().expect("it fits"))), serve(ok))
    };
    assert_eq!(second.0.unwrap().status(), 200);
    assert!(second.1.contains("content-length: 5\r\n"), "a replay announces its length too: {}", second.1);
}

#[tokio::test]
async fn a_body_whose_connection_is_reset_is_truncated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = Request::get(format!("http://{}/", listener.local_addr().unwrap())).body(Payload::default()).unwrap();
    let mut client = client();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await.unwrap();
        stream
    };
    let (response, stream) = tokio::join!(send(&mut client, request), server);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let end = Arc::new(Mutex::new(None));
    let report = Arc::clone(&end);
    let body = EndBody::new(
        response.unwrap().into_body(),
        move |e: BodyEnd| *report.lock().unwrap() = Some(e.end),
        Instant::now(),
    );
    let received = read(body).await;
    assert_eq!(end.lock().unwrap().take(), Some(End::Truncated), "{:?}", received.error);
}

#[tokio::test]
async fn a_failure_of_the_requests_own_body_is_not_the_targets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = Request::post(format!("http://{}/", listener.local_addr().unwrap()))
        .body(Script::new().data("ab").yields().error("caller gone").body())
        .unwrap();
    let mut client = client();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buf = Vec::new();
        let _ = stream.read_to_end(&mut buf).await;
    };
    let (response, ()) = tokio::join!(send(&mut client, request), server);
    let error = response.unwrap_err();
    let class = HttpClassify.classify(Err::<&Response<Body>, _>(&error));
    assert!(!class.verdict.breaker_counts(), "{class:?} {error:?}");
}
