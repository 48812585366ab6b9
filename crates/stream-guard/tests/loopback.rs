//! A guard between hyper's client and hyper's server, over HTTP/1.1 and HTTP/2, on loopback.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{future::poll_fn, net::SocketAddr, pin::Pin, time::Duration};

use buttress_commit_gate::CommitGateLayer;
use buttress_core::{Body, Client, Payload};
use buttress_stream_guard::StreamGuardLayer;
use buttress_testkit::{BodyWatch, LineStreams, Script, read, send};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response, Version};
use http_body::Body as _;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};
use tower::{Service, ServiceBuilder, service_fn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    One,
    Two,
}

type Http = Client<HttpConnector, Payload>;

fn client(protocol: Protocol) -> Http {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    Client::new(builder.http2_only(protocol == Protocol::Two).build_http())
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves one connection.
async fn serve<S, B>(listener: TcpListener, protocol: Protocol, service: S)
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Future: 'static> + Clone + 'static,
    S::Error: std::error::Error + Send + Sync,
    B: http_body::Body<Data = Bytes, Error: Into<buttress_core::BoxError>> + 'static,
{
    let (stream, _) = listener.accept().await.unwrap();
    let (io, service) = (TokioIo::new(stream), TowerToHyperService::new(service));
    // How a connection ends does not matter here: the client breaks it off.
    let _ended = match protocol {
        Protocol::One => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
        Protocol::Two => hyper::server::conn::http2::Builder::new(Local).serve_connection(io, service).await,
    };
}

/// Runs the tasks of an HTTP/2 connection on the thread of the test.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(task));
    }
}

/// Asks, through a gateway of gate and guard, an upstream that sends what `script` says. Calls `f` with the answer, while
/// both servers run.
async fn through<T>(
    (front, back): (Protocol, Protocol),
    script: Script,
    f: impl AsyncFnOnce(Response<Body>, BodyWatch) -> T,
) -> T {
    let ((upstream, upstream_at), (gateway, gateway_at)) = (listen().await, listen().await);
    let watch = BodyWatch::default();
    let watched = watch.clone();
    let upstream = serve(
        upstream,
        back,
        service_fn(move |_: Request<hyper::body::Incoming>| {
            let body = script.clone().watched_by(&watched);
            let answer =
                Response::builder().header("content-type", LineStreams::CONTENT_TYPE).header("trailer", "x-check");
            std::future::ready(Ok::<_, std::convert::Infallible>(answer.body(body).unwrap()))
        }),
    );
    let forward = ServiceBuilder::new()
        .map_request(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(|_| Payload::default());
            *request.uri_mut() = format!("http://{upstream_at}/v1").parse().unwrap();
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().remove("host");
            request
        })
        .layer(CommitGateLayer::new(LineStreams::default()))
        .layer(StreamGuardLayer::new(LineStreams::default()))
        .service(client(back));
    let gateway = serve(gateway, front, forward);
    let asking = async {
        let request = Request::get(format!("http://{gateway_at}/v1")).header("te", "trailers");
        let answer = send(&mut client(front), request.body(Payload::default()).unwrap()).await.unwrap();
        f(answer, watch).await
    };
    let servers = Box::pin(async { tokio::join!(upstream, gateway) });
    let both = async {
        match select(Box::pin(asking), servers).await {
            Either::Left((output, _)) => output,
            Either::Right((_, asking)) => asking.await,
        }
    };
    let both = timeout(Duration::from_secs(20), both);
    tokio::task::LocalSet::new().run_until(both).await.expect("loopback answers at once")
}

const WAYS: [(Protocol, Protocol); 4] = [
    (Protocol::One, Protocol::One),
    (Protocol::One, Protocol::Two),
    (Protocol::Two, Protocol::One),
    (Protocol::Two, Protocol::Two),
];

async fn next(body: &mut Body) -> Bytes {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    frame.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn a_whole_stream_passes_with_its_trailers() {
    for way in WAYS {
        let script =
            Script::new().data("role\n").yields().data("text a\n").yields().data("stop\n").trailer("x-check", "1");
        let received = through(way, script, async |answer, _| read(answer.into_body()).await).await;
        assert_eq!(received.bytes(), "role\ntext a\nstop\n", "{way:?}");
        assert_eq!(received.trailers.unwrap_or_else(|| panic!("trailers are kept: {way:?}"))["x-check"], "1");
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    for way in WAYS {
        let script = Script::new().data("text a\n").hangs().data("text b\n").hangs().data("stop\n");
        through(way, script, async |answer, watch| {
            let mut body = answer.into_body();
            for expected in ["text a\n", "text b\n", "stop\n"] {
                assert_eq!(next(&mut body).await, expected, "{way:?}");
                while expected != "stop\n" && !watch.waits() {
                    tokio::task::yield_now().await;
                }
                watch.release();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream() {
    for way in WAYS {
        through(way, Script::new().data("text a\n").hangs(), async |answer, watch| {
            let mut body = answer.into_body();
            assert_eq!(next(&mut body).await, "text a\n");
            assert_eq!(watch.alive(), 1);
            drop(body);
            while watch.alive() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_upstream() {
    const FRAME: usize = 16 * 1024;
    const FRAMES: usize = 4_000;
    for way in WAYS {
        let line = format!("text {}\n", "a".repeat(58)).repeat(FRAME / 64);
        let frames = (0..FRAMES).fold(Script::new(), |script, _| script.data(line.clone()));
        through(way, frames.data("stop\n"), async |answer, watch| {
            let mut body = answer.into_body();
            let _ = next(&mut body).await;
            let mut before = 0;
            // Until nothing moves any more.
            while watch.polls() != before {
                before = watch.polls();
                for _ in 0..2_000 {
                    tokio::task::yield_now().await;
                }
            }
            assert!(before < FRAMES as u64 * 3 / 4, "the upstream went on for {before} frames of {FRAMES}: {way:?}");
        })
        .await;
    }
}
