//! The contract that every layer keeps.

use std::num::NonZeroU32;

use buttress_circuit_breaker::{CircuitBreakerLayer, Settings};
use buttress_core::{Class, Outcome, RefusalKind, Verdict};
use buttress_testkit::{Handle, ProbeError, Reply, send};

fn touchy() -> Settings {
    Settings::new().consecutive(NonZeroU32::MIN)
}

mod http {
    use super::*;

    fn touchy_http() -> CircuitBreakerLayer {
        CircuitBreakerLayer::try_new(touchy()).expect("in range")
    }

    buttress_testkit::http_contract! {
        layer: CircuitBreakerLayer::new,
        readiness: forwarded,
        state: async |mut first, mut second, handle: Handle| {
            handle.always(Reply::status(503));
            for _ in 0..5 {
                drop(send(&mut first, buttress_testkit::request()).await);
            }
            drop(send(&mut second, buttress_testkit::request()).await);
            assert_eq!(handle.calls(), 5, "what one has seen, the other goes by");
        },
        refusal: {
            kind: RefusalKind::CircuitOpen,
            admission: true,
            layer: |maker| touchy_http().on_refusal(maker),
            prepare: async |service: &mut _, handle: &Handle| {
                handle.next(Reply::status(503));
                drop(send(service, buttress_testkit::request()).await);
            },
        },
    }
}

mod http_by_target {
    use super::*;
    use buttress_circuit_breaker::ByTarget;
    use buttress_core::{Payload, Target};

    fn aimed() -> ::http::Request<Payload> {
        let mut request = buttress_testkit::request();
        request.extensions_mut().insert(Target::named("eastus").expect("a name"));
        request
    }

    buttress_testkit::http_contract! {
        layer: || CircuitBreakerLayer::new().keyed(ByTarget),
        request: aimed,
        readiness: forwarded,
        state: async |mut first, mut second, handle: Handle| {
            handle.always(Reply::status(503));
            for _ in 0..5 {
                drop(send(&mut first, aimed()).await);
            }
            drop(send(&mut second, aimed()).await);
            drop(send(&mut second, buttress_testkit::request()).await);
            assert_eq!(handle.calls(), 6, "another key has another circuit");
        },
        refusal: {
            kind: RefusalKind::CircuitOpen,
            admission: true,
            layer: |maker| CircuitBreakerLayer::try_new(touchy()).expect("in range").keyed(ByTarget).on_refusal(maker),
            prepare: async |service: &mut _, handle: &Handle| {
                handle.next(Reply::status(503));
                drop(send(service, aimed()).await);
            },
        },
    }
}

mod plain {
    use super::*;
    use buttress_circuit_breaker::{OneKey, PlainProtocol};
    use buttress_testkit::ByError;

    type Numbers = fn(Result<&u64, &ProbeError>) -> Class;
    type Layer<M> = CircuitBreakerLayer<M, Numbers, OneKey, PlainProtocol>;

    fn layer<M>(settings: Settings, maker: M) -> Layer<M> {
        let classify: Numbers = |result| match result {
            Ok(_) => Class::SUCCESS,
            Err(_) => Class::new(Verdict::Transient, Outcome::Word("error")),
        };
        CircuitBreakerLayer::try_plain(settings, classify, maker).expect("in range")
    }

    buttress_testkit::plain_contract! {
        layer: || layer(Settings::new(), ByError),
        readiness: forwarded,
        state: async |mut first, mut second, handle: Handle<u64>| {
            handle.always(Reply::error("down"));
            for _ in 0..5 {
                drop(send(&mut first, 1).await);
            }
            drop(send(&mut second, 1).await);
            assert_eq!(handle.calls(), 5, "what one has seen, the other goes by");
        },
        refusal: {
            kind: RefusalKind::CircuitOpen,
            admission: true,
            layer: |maker| layer(touchy(), maker),
            prepare: async |service: &mut _, handle: &Handle<u64>| {
                handle.next(Reply::error("down"));
                drop(send(service, 1).await);
            },
        },
    }
}
