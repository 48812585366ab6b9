//! What is traced. In a process of its own: whether an event is wanted is remembered across threads.

use buttress_core::{Http, Payload, Refusal, RefusalKind, Rewritten, Target};
use buttress_region_failover::RegionFailoverLayer;
use buttress_testkit::{Probe, Reply, Script, ScriptedBody, TraceGuard, run, send};
use bytes::Bytes;
use http::{HeaderValue, Request};
use tower::Layer as _;

#[test]
fn what_is_traced_tells_what_was_decided_and_no_secrets() {
    let targets = ["east", "west", "north"].map(|name| Target::named(name).expect("a valid name"));
    let layer = RegionFailoverLayer::try_new(targets).expect("names that differ").replay(Http).rewrite(
        |request: Request<Payload>, target: &Target| match target.name().as_str() {
            "west" => Err(Refusal::new(RefusalKind::NotFound, "hush-0")),
            _ => Ok(Rewritten::new(request)),
        },
    );
    let guard = TraceGuard::new();
    run(async {
        let (probe, handle) = Probe::<ScriptedBody>::new();
        handle.next(Reply::status(503).header("x-secret", "hush-1").body(Script::new().data("hush-2")));
        let mut request = Request::new(Payload::from(Bytes::from_static(b"hush-3")));
        *request.uri_mut() = "/hush-4?key=hush-5".parse().expect("a valid path");
        request.headers_mut().insert("authorization", HeaderValue::from_static("hush-6"));
        assert!(send(&mut layer.layer(probe), request).await.is_ok());
    });
    let lines = guard.lines();
    let has = |line: usize, words: &[&str]| words.iter().all(|word| lines[line].contains(word));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        has(0, &["=attempt ended", "upstream=east", "verdict=transient", "outcome=503", "elapsed_ms=0"]),
        "{lines:?}"
    );
    assert!(has(1, &["=target passed over", "upstream=west", "reason=not_found"]), "{lines:?}");
    assert!(has(2, &["=attempt ended", "upstream=north", "verdict=success", "outcome=200"]), "{lines:?}");
    guard.assert_hides(&["hush"]);
}
