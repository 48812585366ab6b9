//! The contract that every layer keeps.

use std::{future::ready, num::NonZeroU32, time::Duration};

use buttress_core::{Body, Payload, RefusalKind};
use buttress_testkit::{Handle, ProbeError};
use buttress_token_bucket::{ByFn, Costs, Dimension, Limit, Limits, Queue, TokenBucketLayer};
use http::{Request, Response};
use tower::{Layer as _, Service as _, service_fn};

fn limit(amount: u64) -> Limit {
    Limit::try_new("requests", Dimension::REQUESTS, amount, Duration::from_secs(3_600)).expect("it makes sense")
}

/// Takes all there is.
fn spent<M: Clone>(layer: TokenBucketLayer<M>) -> TokenBucketLayer<M> {
    let answer = |_: Request<Payload>| ready(Ok::<_, ProbeError>(Response::new(Body::empty())));
    let http = layer.clone().on_refusal(buttress_core::HttpRefusal);
    drop(http.layer(service_fn(answer)).call(buttress_testkit::request()));
    layer
}

mod one_bucket_for_all {
    use super::*;
    use buttress_testkit::send;

    buttress_testkit::http_contract! {
        layer: || TokenBucketLayer::new(limit(3)).announce(),
        readiness: forwarded,
        state: async |mut first, mut second, handle: Handle| {
            for _ in 0..3 {
                let served = send(&mut first, buttress_testkit::request()).await.expect("there is enough");
                assert_eq!(served.status().as_u16(), 200);
            }
            let refused = send(&mut second, buttress_testkit::request()).await.expect("a refusal is a response");
            assert_eq!((refused.status().as_u16(), handle.calls()), (429, 3));
        },
        refusal: {
            kind: RefusalKind::RateLimited,
            admission: true,
            layer: |maker| spent(TokenBucketLayer::new(limit(1)).on_refusal(maker)),
            prepare: async |_: &mut _, _: &Handle| {},
        },
    }
}

mod keys_and_a_queue {
    use super::*;

    fn layer() -> Keyed {
        let tokens =
            Limit::try_new("tokens", Dimension::TOKENS, 1_000_000, Duration::from_secs(60)).expect("it makes sense");
        let estimate: fn(&Request<Payload>) -> Costs = |_| Costs::tokens(10, 10);
        TokenBucketLayer::new(Limits::try_new([limit(1_000), tokens]).expect("two limits"))
            .queue(Queue::of(NonZeroU32::new(8).expect("not zero")))
            .keyed(ByFn((|_| 1) as fn(&Request<Payload>) -> u8))
            .estimate(estimate)
    }

    type Keyed = TokenBucketLayer<
        buttress_core::HttpRefusal,
        buttress_token_bucket::HttpProtocol,
        buttress_token_bucket::Callers<ByFn<fn(&Request<Payload>) -> u8>>,
        fn(&Request<Payload>) -> Costs,
    >;

    buttress_testkit::http_contract! {
        layer: layer,
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::RateLimited,
            admission: true,
            layer: |maker| spent(TokenBucketLayer::new(limit(1)).queue(Queue::of(NonZeroU32::MIN)).on_refusal(maker)),
            prepare: async |_: &mut _, _: &Handle| {},
        },
        edge: TokenBucketLayer::new(limit(1_000)),
    }
}

mod plain {
    use super::*;
    use buttress_testkit::ByError;

    buttress_testkit::plain_contract! {
        layer: || TokenBucketLayer::new(limit(1_000)).plain(ByError),
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::RateLimited,
            admission: true,
            layer: |maker| spent(TokenBucketLayer::new(limit(1))).plain(maker),
            prepare: async |_: &mut _, _: &Handle<u64>| {},
        },
    }
}
