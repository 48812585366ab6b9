//! Scenes in which the client is the one that stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use buttress_circuit_breaker::Key;
use buttress_core::Label;
use buttress_sim::{At::Content, Builder, Fault, Then::Stall};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    dialect::Dialect,
    stage::{PATIENT, Stage, serve_all, start, target, until},
    support::FAR,
};

#[tokio::test]
async fn s36_a_client_that_leaves_in_the_midst_of_a_stream_ends_the_request_upstream() {
    let slow = |builder: Builder| builder.length(1_000..=1_000).gap(Duration::from_millis(5));
    let mut longest = Duration::ZERO;
    for dialect in Dialect::ALL {
        for stalled in [false, true] {
            let stage = Stage::set(dialect, &["first", "second"], PATIENT, slow).await;
            if stalled {
                stage.break_first(Fault::at(Content(1), Stall));
            }
            let mut response = stage.begin(true).await;
            let frame = timeout(FAR, response.body_mut().frame()).await.expect("content comes");
            assert!(!frame.expect("content comes").expect("content comes").into_data().unwrap().is_empty());
            let left = Instant::now();
            drop(response);
            let stats = timeout(FAR, stage.first().wait_for(|stats| stats.cancelled == 1)).await;
            longest = longest.max(Instant::now() - left);

            let stats = stats.expect("the upstream hears of it");
            assert_eq!((stats.in_flight, stats.open_streams), (0, 0), "{dialect:?}");
            stage.rest().await;
            assert_eq!(stage.running.seen(), [1, 0], "{dialect:?}: nobody tries again");
            assert_eq!(stage.counted(0).1, 0, "{dialect:?}: no failure of the target's");
            assert_eq!(stage.running.operator.broken(), Default::default(), "{dialect:?}");
        }
    }
    println!("the upstream heard of it within {longest:?}");
}

#[tokio::test]
async fn s36_a_client_that_leaves_before_content_ends_the_request_upstream() {
    for dialect in Dialect::ALL {
        let stage = Stage::two(dialect).await;
        stage.break_first(Fault::Hang);
        let reached = stage.first().wait_for(|stats| stats.in_flight == 1);
        tokio::select! {
            biased;
            _ = stage.begin(true) => panic!("{dialect:?}: there is no answer"),
            _ = reached => {}
        }
        let stats = timeout(FAR, stage.first().wait_for(|stats| stats.cancelled == 1)).await;
        stats.expect("the upstream hears of it");
        stage.rest().await;
        assert_eq!((stage.counted(0).1, stage.running.seen()), (0, vec![1, 0]), "{dialect:?}");
    }
}

/// What a target sends without end, as fast as it is taken, and how much of it was taken.
async fn endless(event: String) -> (String, Arc<AtomicUsize>, JoinSet<()>) {
    let (event, taken) = (Bytes::from(event), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&taken);
    let answer = async move || {
        let next = move || {
            counter.fetch_add(event.len(), Ordering::Relaxed);
            Ok::<_, std::io::Error>(event.clone())
        };
        let body = Body::from_stream(stream::iter(std::iter::repeat_with(next)));
        http::Response::builder().header("content-type", "text/event-stream").body(body).expect("the parts are good")
    };
    let (url, server) = serve_all(Router::new().fallback(answer)).await;
    (url, taken, server)
}

/// What the sockets of both connections may hold at most, by what systems commonly allow them: some 10 MB each.
const IN_SOCKETS: usize = 32 << 20;

#[tokio::test]
async fn s37_a_client_that_stops_reading_stops_the_target() {
    let word = "word ".repeat(3_000);
    let chat = format!(r#"data: {{"id":"c","choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#);
    let delta =
        format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{word}"}}}}"#);
    for (dialect, event) in
        [(Dialect::Chat, chat), (Dialect::Anthropic, format!("event: content_block_delta\ndata: {delta}"))]
    {
        let (url, taken, _server) = endless(event + "\n\n").await;
        let config = format!("listen = \"127.0.0.1:0\"\n{PATIENT}\n{}", target("endless", &url, dialect));
        let stage = Stage { running: start(&config, Vec::new()).await, dialect };
        let taken = || taken.load(Ordering::Relaxed);

        let mut response = stage.begin(true).await;
        let sent = settled(&stage, taken).await;
        println!("{dialect:?}: {} KiB were taken from the target", sent >> 10);
        assert!(sent < IN_SOCKETS, "{dialect:?}: {sent} bytes are somewhere on the way");

        // It goes on when the client does, and ends when the client leaves.
        let mut read = 0;
        while read <= sent {
            let frame = timeout(FAR, response.body_mut().frame()).await.expect("it goes on").unwrap().unwrap();
            read += frame.into_data().map_or(0, |data| data.len());
        }
        assert!(taken() > sent, "{dialect:?}");
        drop(response);
        let name = Label::try_new("endless").unwrap();
        until(|| stage.running.operator.in_flight(&name) == 0).await;
        let circuit = stage.running.operator.circuits().snapshot(&Key::new(name)).unwrap();
        assert_eq!(circuit.failed, 0, "{dialect:?}: a slow reader is no fault of the target's");
    }
}

/// Returns how much was taken once that grows no more. What the gateway is asked meanwhile stands for time: the stream could
/// have gone on as far.
async fn settled(stage: &Stage, taken: impl Fn() -> usize) -> usize {
    let wait = async {
        let mut before = 0;
        loop {
            for _ in 0..200 {
                assert_eq!(stage.running.get("/health/live").await.status, 200);
            }
            let now = taken();
            if now == before {
                return now;
            }
            before = now;
        }
    };
    timeout(FAR, wait).await.expect("the target is read no more")
}
