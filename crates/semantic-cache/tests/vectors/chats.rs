//! Questions to language models.

use std::convert::Infallible;

use buttress_core::{Body, Payload};
use buttress_redis::{Namespace, Redis};
use buttress_semantic_cache::{ByHeader, CacheOutcome, SemanticCacheLayer, SharedAnswers, llm::Conversations};
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::*;

const WHOLE: &str = concat!(
    r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m-1","choices":[{"index":0,"message":"#,
    r#"{"role":"assistant","content":"Like this"},"logprobs":null,"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#
);

fn chat(tenant: &str, model: &str, system: &str, text: &str) -> Request<Payload> {
    let body = format!(
        r#"{{"model":"{model}","temperature":0,"messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{text}"}}]}}"#
    );
    let request = Request::post("/v1/chat/completions").header("x-tenant", tenant);
    request.body(Payload::new(Bytes::from(body))).expect("a request")
}

#[test]
fn another_tenant_model_or_system_prompt_has_no_candidate() {
    let server = RedisServer::start();
    run(async {
        let runtime = tokio::runtime::Handle::current();
        let client = || Redis::spawn_on(&runtime, config(server.url())).expect("the configuration is right");
        let namespace = Namespace::try_new("t").expect("allowed");
        let shared = SharedAnswers::new(client(), client(), &namespace, "answers".try_into().expect("a label"));
        let knows = meaning("1");
        let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
        let layer = SemanticCacheLayer::new(tenant, Conversations::new().personal())
            .meaning(knows.clone())
            .patience(Duration::from_secs(5))
            .shared(shared.patience(BOUND).search_in_redis(NonZeroUsize::new(99).expect("not zero")));
        let work = runtime.spawn(layer.sharing());
        let cache = layer.handle();
        soon(cache.following()).await;
        let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<Payload>| async {
            let answer = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(answer.body(Body::from(Bytes::from_static(WHOLE.as_bytes()))).expect("a response"))
        }));
        let ask = async |request: Request<Payload>| {
            let response = service.clone().oneshot(request).await.expect("it is answered");
            let outcome = *response.extensions().get::<CacheOutcome>().expect("each answer tells");
            buttress_testkit::read(response.into_body()).await;
            until(|| cache.in_background() == 0).await;
            until(|| cache.shared_counts().is_some_and(|counts| counts.waiting == 0)).await;
            outcome
        };
        ask(chat("t", "m", "s", ASKED)).await;
        for (tenant, model, system) in [("u", "m", "s"), ("t", "n", "s"), ("t", "m", "z")] {
            let outcome = ask(chat(tenant, model, system, LIKE)).await;
            assert!(matches!(outcome, CacheOutcome::Miss(_)), "{outcome:?}");
        }
        let unknown = knows.decided_for(buttress_semantic_cache::Reason::Unknown);
        assert_eq!(unknown, 4, "none of them had a candidate, however far");
        assert!(matches!(ask(chat("t", "m", "s", LIKE)).await, CacheOutcome::SemanticHit(_)));
        assert_eq!(cache.shared_counts().map(|counts| counts.searched), Some(5));
        work.abort();
    });
}
