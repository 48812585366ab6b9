//! The contract that every layer keeps, while Redis is away.

use std::time::Duration;

use buttress_core::RefusalKind;
use buttress_redis::{Config, Redis};
use buttress_testkit::Handle;
use buttress_token_bucket::{Fingerprint, TokenBucketLayer, WhenAway};

use crate::support::{HOUR, requests, shared};

/// Nobody connects it.
fn away() -> Redis {
    Redis::pair(Config::new("unix:///nobody/listens.sock")).expect("allowed").0
}

fn layer<M: Clone>(layer: TokenBucketLayer<M>, policy: WhenAway) -> TokenBucketLayer<M> {
    layer.shared(shared(away()).when_away(policy)).expect("they can be shared")
}

buttress_testkit::http_contract! {
    layer: || layer(TokenBucketLayer::new(requests(30_000, HOUR)), WhenAway::LocalShare),
    readiness: forwarded,
    state: async |mut first, mut second, handle: Handle| {
        use buttress_testkit::send;
        for service in [&mut first, &mut second] {
            let served = send(service, buttress_testkit::request()).await.expect("there is enough");
            assert_eq!(served.status().as_u16(), 200);
        }
        assert_eq!(handle.calls(), 2);
    },
    refusal: {
        kind: RefusalKind::Unavailable,
        admission: true,
        layer: |maker| layer(TokenBucketLayer::new(requests(1, HOUR)).on_refusal(maker), WhenAway::FailClosed),
        prepare: async |_: &mut _, _: &Handle| {},
    },
}

#[test]
fn levels_can_be_looked_at_without_redis() {
    let layer = layer(TokenBucketLayer::new(requests(30, HOUR)), WhenAway::LocalShare);
    let standings = layer.handle().standings(Fingerprint::SHARED, tokio::time::Instant::now());
    assert_eq!((standings[0].level, standings[0].full_in), (30, Duration::ZERO));
}
