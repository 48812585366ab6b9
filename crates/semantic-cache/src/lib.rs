//! A tower layer that answers a question again that was answered before: the same one, or one that means the same.
//!
//! # What it does
//!
//! 1. A question is known by a [`Key`]: 256 bits of SHA-256 of its [`Tenant`] and of all that its answer depends on. There is no layer
//!    without a word on who the tenant is, and a request without one is left alone. What a request asks, an [`Ask`] reads:
//!    `llm::Conversations` (feature `llm`) for language models, [`ByQuestion`] for anything else.
//! 2. Only whole answers are kept: of status 200, read to their true end, that no layer further in calls a failure, and that
//!    [`Admit`] finds to be complete. They are copied while they flow, up to a [bound](SemanticCacheLayer::max_entry_bytes), and a
//!    body that is dropped before its end is forgotten.
//! 3. An answer is given again part for part and byte for byte, at once or [as fast as it came](Pace). Headers of one
//!    connection, exchange or caller are not; `Age` is. Of OpenAI's chats, a stream answers who wants none, and the
//!    reverse.
//! 4. How long it is [fresh](Freshness) is counted from when it came, give or take a tenth; no hit makes it longer. A route can say
//!    otherwise by [`FreshFor`]. After that it can be served for a while, as a new one is fetched in the background, once; or
//!    if the inner service fails.
//! 5. Callers have their say in `Cache-Control` (RFC 9111): `no-store`, `no-cache`, `max-age`, `min-fresh`, `only-if-cached`. Tags
//!    come in `x-cache-tags`.
//! 6. [`CacheHandle`] forgets: one answer, a tenant, a model, a tag, everything; also what is under way. It takes as long for
//!    one as for a million.
//! 7. Bytes and answers are bounded, those of each tenant too. What was asked for once goes before what was asked for again
//!    (S3-FIFO).
//! 8. Every answer tells what was done: `Cache-Status` (RFC 9211), `x-cache`, and [`CacheOutcome`] and [`Key`] in the extensions. One
//!    from the cache has cost nothing, and says so in its [`AnswerReport`](buttress_core::AnswerReport), whatever its own words tell
//!    of what it once cost.
//! 9. A [`Meaning`] finds questions that mean the same, within the same [`Scope`]. A call waits for it no longer than its
//!    [patience](SemanticCacheLayer::patience); then the two run side by side. Where principals [share](Asked::asked_by) a scope,
//!    [several](Policy::min_principals) must have had an answer of their own before others are given it.
//!
//! 10. Replicas can share all of it by way of Redis (feature `redis`): answers, what is forgotten, questions that mean the same, and what
//!     was learned of them. See `SharedAnswers`. What is not in local memory is looked for there, for a bounded time; a Redis that does not
//!     answer costs nobody anything. Values can be sealed (feature `seal`). Questions that mean the same are searched for in each
//!     replica's memory, or in Redis 8 (`SharedAnswers::search_in_redis`).
//!
//! What a server says of caching in its answer is not heeded: providers say `no-cache` of every stream.
//!
//! # When it refuses
//!
//! As [`NotCached`](buttress_core::RefusalKind::NotCached), 504, when the answer was to come from the cache only, and is not there.
//!
//! # Cancellation
//!
//! Dropping the future, or a body before its end, drops the call, and nothing is kept. What is done in the background is
//! [bounded](SemanticCacheLayer::background) in number and time and goes on: dropping the layer does not end it. With shared answers, what
//! is written to Redis waits in a bounded queue; dropping the work that writes loses what waits, and nothing is shared from then on.
//!
//! # Cost
//!
//! A question is hashed, and takes one short lock. A hit copies the headers and counts references of the body; it needs no
//! readiness of the inner service. A miss costs two boxes and a copy of the answer. At the end of an answer to a language model,
//! all of it is read once more, as JSON. With shared answers, a question that is not in local memory costs a round trip to Redis, and is
//! read twice; where questions are searched for in Redis, each that is not answered exactly costs two more, bounded together.
//! `tracing` events: `decided` (with the outcome, the reason, the age, the
//! similarity), `stored`, `not stored`, `late`; none holds a question, an answer or a tenant.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_core::{Body, Payload};
//! use buttress_semantic_cache::{ByHeader, ByQuestion, SemanticCacheLayer};
//! use bytes::Bytes;
//! use http::{HeaderName, Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
//! let asked = ByQuestion(|request: &Request<Payload>| Some((request.uri().path().to_owned(), request.body().bytes().clone())));
//! let layer = SemanticCacheLayer::new(tenant, asked);
//! let handle = layer.handle();
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<Payload>| async {
//!     Ok::<_, Infallible>(Response::new(Body::from(Bytes::from("an answer"))))
//! }));
//! let ask = async |tenant: &str| {
//!     let request = Request::post("/v1/chat").header("x-tenant", tenant).body(Payload::new(Bytes::from("a question")));
//!     let response = service.clone().oneshot(request.expect("a request")).await.expect("it is answered");
//!     let cache = response.headers()["x-cache"].clone();
//!     // It is kept when it was read to its end.
//!     http_body_util::BodyExt::collect(http_body_util::Limited::new(response, 1_024)).await.expect("it is short");
//!     cache
//! };
//! assert_eq!(ask("a").await, "miss");
//! assert_eq!(ask("a").await, "hit");
//! assert_eq!(ask("b").await, "miss", "another tenant");
//! assert_eq!(handle.counts().hits, 1);
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admit;
mod ask;
mod body;
mod by_meaning;
mod counts;
mod directives;
mod embed;
mod epochs;
mod freshness;
mod future;
mod index;
mod judge;
mod key;
mod layer;
#[cfg(feature = "llm")]
pub mod llm;
mod meaning;
mod plan;
mod policy;
mod queue;
mod record;
mod recording;
mod remote;
mod replay;
mod semantic;
mod service;
mod shared;
mod store;
mod stored;
mod tally;
mod text;
mod told;

pub use self::embed::{
    EmbedError, EmbedErrorKind, EmbedFuture, EmbedLimits, EmbedStats, Embedder, Embedding, Fingerprint, HttpEmbedder,
    HttpEmbedderConfig, HttpEmbedderWorker, HttpVectors, HttpVectorsFuture, Lexical, Texts,
};
#[cfg(feature = "minilm")]
pub use self::embed::{LoadError, MiniLm, MiniLmModel};
pub use self::index::{Index, Neighbour, Slot, VectorError, VectorErrorKind};
pub use self::judge::{
    And, Comparison, Judge, JudgeCounts, JudgeLimits, Judging, Opinion, Or, SameFacts, SameJson, SameText,
    ServiceJudge, ServiceJudgeWorker, Similar,
};
pub use self::policy::{ErrorBound, Policy, PolicyError, Risk, SnapshotError};
#[cfg(feature = "seal")]
pub use self::remote::KeyRing;
#[cfg(feature = "redis")]
pub use self::remote::{Seal, Search, SharedAnswers, SharedCounts, Sharing};
pub use self::semantic::{Bounds, Decision, Learned, Learning, Question, Reason, Semantic, Settled, Ticket};
pub use self::text::{Guard, Guards, Text};
pub use self::{
    admit::{Admit, Draft, Unfit},
    ask::{Ask, Asked, Asking, ByQuestion, Bypass, Shape},
    body::ResponseBody,
    by_meaning::{ByMeaning, MeaningCounts},
    counts::{Counts, Gone},
    directives::Directives,
    freshness::Freshness,
    future::ResponseFuture,
    key::{Key, Mark, NoKey, Scope},
    layer::{CacheHandle, FreshFor, SemanticCacheLayer},
    meaning::{Learn, Like, Meaning, Memo, Neighbours, Seek, Shelf, Sought},
    remote::{Lesson, Taught},
    replay::Pace,
    service::SemanticCache,
    stored::Stored,
    told::{CacheOutcome, Explanation, Miss, OnceCost},
};
pub use buttress_core::{ByExtension, ByHeader, ByTenant, KeyHasher, OneTenant, Tenant};
