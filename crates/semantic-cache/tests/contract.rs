//! The contract that every layer keeps.

use std::sync::atomic::{AtomicU64, Ordering};

use buttress_core::{Payload, RefusalKind};
use buttress_semantic_cache::{ByQuestion, OneTenant, SemanticCacheLayer};
use buttress_testkit::{Handle, Reply, Script};
use http::Request;

/// The same question if the request says which one it is, and another one each time if not.
fn asked<B>(request: &Request<B>) -> Option<u64> {
    static NEXT: AtomicU64 = AtomicU64::new(1_000);
    let told = request.headers().get("x-question").and_then(|value| value.to_str().ok()?.parse().ok());
    Some(told.unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed)))
}

type ByBody = ByQuestion<fn(&Request<Payload>) -> Option<u64>>;

fn layer() -> SemanticCacheLayer<OneTenant, ByBody> {
    SemanticCacheLayer::new(OneTenant, ByQuestion(asked::<Payload>))
}

mod questions_that_are_new {
    use super::*;
    use buttress_testkit::{read, request, send};

    buttress_testkit::http_contract! {
        layer: layer,
        readiness: lazy,
        state: async |mut first, mut second, handle: Handle| {
            let ask = || {
                let mut request = request();
                request.headers_mut().insert("x-question", http::HeaderValue::from_static("1"));
                request
            };
            handle.next(Reply::ok().body(Script::new().data("an answer")));
            let fresh = send(&mut first, ask()).await.expect("it is answered");
            assert_eq!(read(fresh.into_body()).await.bytes(), "an answer");
            let again = send(&mut second, ask()).await.expect("it is answered again");
            assert_eq!(again.headers()["x-cache"], "hit");
            assert_eq!(read(again.into_body()).await.bytes(), "an answer");
            assert_eq!(handle.calls(), 1);
        },
        refusal: {
            kind: RefusalKind::NotCached,
            admission: true,
            layer: |maker| layer().only_cached().on_refusal(maker),
            prepare: async |_: &mut _, _: &Handle| {},
        },
        edge: SemanticCacheLayer::new(OneTenant, ByQuestion(asked::<_>)),
    }
}

mod questions_that_are_left_alone {
    use super::*;

    fn nothing() -> SemanticCacheLayer<OneTenant, ByBody> {
        SemanticCacheLayer::new(OneTenant, ByQuestion((|_| None) as fn(&Request<Payload>) -> Option<u64>))
    }

    buttress_testkit::http_contract! {
        layer: nothing,
        readiness: lazy,
        state: none,
        refusal: none,
        edge: none,
    }
}
