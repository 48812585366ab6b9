//! What is traced. In a process of its own: whether an event is wanted is remembered across threads.

use std::num::NonZeroU32;

use buttress_core::Payload;
use buttress_retry::RetryLayer;
use buttress_testkit::{Probe, Reply, Script, ScriptedBody, TraceGuard, run, send};
use bytes::Bytes;
use http::{HeaderValue, Request};
use tower::Layer as _;

#[test]
fn what_is_traced_tells_what_was_decided_and_no_secrets() {
    let guard = TraceGuard::new();
    run(async {
        let (probe, handle) = Probe::<ScriptedBody>::new();
        handle.always(Reply::status(503).header("x-secret", "hush-1").body(Script::new().data("hush-2")));
        let mut request = Request::new(Payload::from(Bytes::from_static(b"hush-3")));
        *request.uri_mut() = "/hush-4?key=hush-5".parse().expect("a valid path");
        request.headers_mut().insert("authorization", HeaderValue::from_static("hush-6"));
        let attempts = NonZeroU32::new(2).expect("not zero");
        assert!(send(&mut RetryLayer::new().attempts(attempts).layer(probe), request).await.is_ok());
    });
    let lines = guard.lines();
    let has = |line: usize, words: &[&str]| words.iter().all(|word| lines[line].contains(word));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(has(0, &["=retrying", "verdict=transient", "outcome=503", "attempt=1", "wait_ms="]), "{lines:?}");
    assert!(
        has(1, &["=not retrying", "verdict=transient", "outcome=503", "attempt=2", "reason=attempts"]),
        "{lines:?}"
    );
    guard.assert_hides(&["hush"]);
}
