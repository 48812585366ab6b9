//! Callers on several threads.

use std::sync::atomic::{AtomicU32, Ordering};

use buttress_coalesce::{CoalesceLayer, OneTenant};
use buttress_core::{Body, BoxError};
use buttress_testkit::read;
use tokio::task::JoinSet;
use tower::{Layer as _, service_fn};

use super::*;

/// A body that yields between its parts.
struct Slow(u8, bool);

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        self.0 += 1;
        let frame = (self.0 <= 50).then(|| Ok(http_body::Frame::data(Bytes::copy_from_slice(&[self.0]))));
        std::task::Poll::Ready(frame)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_on_many_threads_all_have_the_whole() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let layer = CoalesceLayer::new(OneTenant);
    let service = layer.layer(service_fn(|_: Request<Payload>| async {
        CALLS.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok::<_, BoxError>(Response::new(Body::boxed(Slow(0, false))))
    }));
    let whole: Vec<u8> = (1..=50).collect();
    for _ in 0..20 {
        let mut readers = JoinSet::new();
        for reader in 0..32 {
            let mut service = service.clone();
            readers.spawn(async move {
                let response = service.call(buttress_testkit::request()).await.expect("it is answered");
                if reader % 4 == 0 {
                    // It leaves.
                    return None;
                }
                Some(read(response.into_body()).await.bytes())
            });
        }
        while let Some(read) = readers.join_next().await {
            let read = read.expect("no reader panics");
            assert!(read.is_none_or(|bytes| bytes == whole));
        }
    }
    let calls = CALLS.load(Ordering::Relaxed);
    assert!((20..=20 * 32).contains(&calls), "{calls}");
    assert_eq!(layer.handle().counts().under_way, 0);
}
