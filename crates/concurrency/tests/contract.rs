//! The contract that every layer keeps.

use std::{
    future::pending,
    mem,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use buttress_concurrency::{Aimd, Bounds, ConcurrencyLayer, Criticality, Queue, Shares};
use buttress_core::{Body, HttpRefusal, Payload, RefusalKind};
use buttress_testkit::{Handle, ProbeError};
use http::{Request, Response};
use tower::{Layer, Service as _, service_fn};

const fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

fn waiting() -> Queue {
    Queue::of(n(8)).max_wait(Duration::from_secs(5))
}

/// Takes a place of `layer`, for ever.
fn taken<L>(layer: L) -> L
where
    L: Clone + Layer<tower::util::ServiceFn<fn(Request<Payload>) -> Never>>,
    L::Service: tower::Service<Request<Payload>>,
{
    let never: fn(_) -> Never = |_| Box::pin(pending());
    mem::forget(layer.layer(service_fn(never)).call(buttress_testkit::request()));
    layer
}

type Never = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, ProbeError>> + Send>>;

mod fixed {
    use super::*;

    buttress_testkit::http_contract! {
        layer: || ConcurrencyLayer::fixed(n(100)).seed(7),
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::Overloaded,
            admission: true,
            layer: |maker| taken(ConcurrencyLayer::fixed(n(1)).seed(7)).on_refusal(maker),
            prepare: async |_: &mut _, _: &Handle| {},
        },
    }
}

mod one_place_for_all {
    use super::*;
    use buttress_testkit::{Reply, Script, send};

    buttress_testkit::http_contract! {
        layer: || ConcurrencyLayer::fixed(n(1)).queue(waiting()).seed(7),
        readiness: forwarded,
        state: async |mut first, mut second, handle: Handle| {
            handle.always(Reply::ok().body(Script::new().data("a").hangs()));
            let streaming = send(&mut first, buttress_testkit::request()).await.expect("there is a place");
            let refused = send(&mut second, buttress_testkit::request()).await.expect("a refusal is a response");
            assert_eq!((refused.status().as_u16(), handle.calls()), (503, 1));
            drop(streaming);
            let served = send(&mut second, buttress_testkit::request()).await.expect("there is a place");
            assert_eq!((served.status().as_u16(), handle.calls()), (200, 2));
        },
        refusal: {
            kind: RefusalKind::Overloaded,
            admission: true,
            layer: |maker| taken(ConcurrencyLayer::fixed(n(1)).queue(waiting())).on_refusal(maker),
            prepare: async |_: &mut _, _: &Handle| {},
        },
    }
}

mod adaptive_with_shares_and_keys {
    use super::*;

    fn layer<M>(maker: M, initial: u32) -> ConcurrencyLayer<M> {
        let bounds = Bounds::try_new(n(1), n(100)).expect("1 is less than 100");
        let shares = Shares::try_new([(Criticality::Critical, 50), (Criticality::Sheddable, 20)]).expect("70 %");
        ConcurrencyLayer::adaptive(Aimd::new(initial, bounds)).queue(waiting()).shares(shares).on_refusal(maker)
    }

    fn of_one_key() -> ConcurrencyLayer<HttpRefusal, buttress_concurrency::HttpProtocol, OneKey> {
        layer(HttpRefusal, 10).keyed(NonZeroUsize::MIN, |_| 1)
    }

    type OneKey = buttress_concurrency::Keyed<fn(&Request<Payload>) -> u8, u8>;

    buttress_testkit::http_contract! {
        layer: of_one_key,
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::Overloaded,
            admission: true,
            layer: |maker| taken(layer(maker, 1)),
            prepare: async |_: &mut _, _: &Handle| {},
        },
        edge: layer(HttpRefusal, 10),
    }
}

mod plain {
    use super::*;
    use buttress_testkit::ByError;

    type NeverNumber = std::pin::Pin<Box<dyn Future<Output = Result<u64, ProbeError>> + Send>>;

    fn taken<M: Clone>(layer: ConcurrencyLayer<M>) -> ConcurrencyLayer<M> {
        let never: fn(u64) -> NeverNumber = |_| Box::pin(pending());
        let plain = layer.clone().plain(ByError);
        mem::forget(plain.layer(service_fn(never)).call(1));
        layer
    }

    buttress_testkit::plain_contract! {
        layer: || ConcurrencyLayer::fixed(n(100)).plain(ByError),
        readiness: forwarded,
        state: none,
        refusal: {
            kind: RefusalKind::Overloaded,
            admission: true,
            layer: |maker| taken(ConcurrencyLayer::fixed(n(1))).plain(maker),
            prepare: async |_: &mut _, _: &Handle<u64>| {},
        },
    }
}
