//! A tower layer that retries politely.
//!
//! # What it does
//!
//! 1. The first attempt is the caller's own, sent at once, on the service that was made ready. If it succeeds, its answer
//!    is returned as it came; no timer was set, and no randomness drawn.
//! 2. A failure is retried if its [`Verdict`] says that the same target may be asked again, or if the server says so
//!    (`x-should-retry: true`); never if the server says not (`x-should-retry: false`).
//! 3. What may have been done and cannot be repeated is not sent twice: a request that is not idempotent (by method, or
//!    by an `Idempotency-Key`) is retried only if the failed attempt never began, as when no connection was made or the
//!    server refused it for its rate. [`RetryLayer::repeat_all`] lifts this for services where repeating does no harm.
//! 4. The wait is drawn by the [`Backoff`]: full jitter unless another is chosen, uniform between zero and `base · 2ⁿ`, up
//!    to a cap; the base is longer after throttling. Where the server said how long ([`RetryHint`]), the wait is never
//!    shorter than that, and up to a tenth longer, so that callers do not all come back in one moment; the back-off then
//!    begins anew. A hint beyond [`RetryLayer::max_hint`] is not waited out: the failure is returned at once, with its
//!    hint, for somebody further out to act on.
//! 5. A retry is not begun if its wait would reach the deadline of the [`CallContext`] or of the layer.
//! 6. Each retry draws on the one allowance in the [`CallContext`], which failover and hedging draw on too. Retries that the
//!    client made itself, by its own word (`x-stainless-retry-count`), count as attempts of this layer.
//! 7. Each retry is granted by all [`Budget`]s of the layer, or none of them pays for it. Clones of a budget are one: share
//!    it among all layers and clients of an upstream. A call that is dropped during its back-off puts back what it took.
//! 8. A retry says that it is one: `x-attempt`, and for gRPC `grpc-previous-rpc-attempts`. A request that comes in as
//!    somebody's retry, by these or by `x-envoy-attempt-count`, is sent once, so that retries do not multiply from one
//!    process to the next.
//! 9. The [`Policy`] of a request is the one in its extensions, or else what [`RetryLayer::policy`] chooses for it, as by its
//!    route, or else the layer's own.
//! 10. The failed response is dropped before the wait, and no readiness of the inner service is held during it.
//! 11. When no retry is possible, the last failure is returned. [`RetryLayer::counts`] tells for which reasons.
//!
//! # When it refuses
//!
//! Never. It has no answer of its own. But where attempts, allowance, budget or time are spent, it adds to the failure that it
//! returns `x-should-retry: false`, and a `Retry-After` if the server said how long and there is none: a client that obeys
//! does not repeat what was tried here. Where it is only the hint that is too long, it adds the `Retry-After` alone.
//!
//! # Cancellation
//!
//! Dropping the future drops the attempt or the wait under way. Places in budgets are free again, and a retry that was not
//! begun costs none of them anything. One that was begun stays spent, since the upstream had its load. The allowance in the
//! context does not come back: an attempt that was taken for a retry stays taken, also if its wait is dropped.
//!
//! # Cost
//!
//! One clone of the inner service and of the request, and no allocation for a call that has no context and no deadline of
//! the layer's own, with or without a budget. A call that has one, as over HTTP, reads the clock, and allocates the
//! [`CallContext`], where no layer further out has made it. Each further attempt boxes its state. A budget
//! costs one or two atomic operations, [`Budget::rate`] a short lock and a look at the clock. A policy is looked for only
//! after a failure.
//!
//! # Example
//!
//! ```
//! use std::{convert::Infallible, sync::{Arc, atomic::{AtomicU32, Ordering}}};
//! use buttress_core::Payload;
//! use buttress_retry::RetryLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Infallible> {
//! let calls = Arc::new(AtomicU32::new(0));
//! let seen = calls.clone();
//! let service = ServiceBuilder::new().layer(RetryLayer::new().seed(7)).service(service_fn(move |_: Request<_>| {
//!     let status = if seen.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 200 };
//!     async move { Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()) }
//! }));
//!
//! let response = service.oneshot(Request::get("/").body(Payload::default()).unwrap()).await?;
//!
//! assert_eq!(response.status(), 200);
//! assert_eq!(calls.load(Ordering::Relaxed), 2);
//! # Ok(()) }
//! ```
//!
//! Around hyper-util's client, which `Client` of `buttress-core` (feature `client`) gives a body that layers can make and an error that
//! they can read. By default, the client is called with a [`ReplayBody`](buttress_core::ReplayBody) of the request's own body, whatever
//! that is; by `.replay(Http)` with the body itself, which is then `Clone`:
//!
//! ```
//! use buttress_core::{Client, Payload, ReplayBody, TransportErrorKind};
//! use buttress_retry::RetryLayer;
//! use http::Request;
//! use hyper_util::{client::legacy, rt::TokioExecutor};
//! use tower::{Layer as _, ServiceExt as _};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let socket = tokio::net::TcpSocket::new_v4()?;
//! # socket.bind("127.0.0.1:0".parse()?)?;
//! # let nobody_listens = socket.local_addr()?;
//! let layer = RetryLayer::new();
//! let client = legacy::Client::builder(TokioExecutor::new()).build_http::<ReplayBody<Payload>>();
//! let service = layer.layer(Client::new(client));
//!
//! let request = Request::get(format!("http://{nobody_listens}/")).body(Payload::default())?;
//! let error = service.oneshot(request).await.unwrap_err();
//!
//! assert_eq!(error.kind(), TransportErrorKind::Connect);
//! assert_eq!(layer.counts().retries, 2);
//! # Ok(()) }
//! ```
//!
//! A budget, shared by two clients of one upstream that is down:
//!
//! ```
//! # use std::convert::Infallible;
//! # use buttress_core::Payload;
//! # use http::{Request, Response};
//! # use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//! use buttress_retry::{Budget, RetryLayer, Share};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Infallible> {
//! let budget = Budget::concurrency(Share::percent(20), 0);
//! let [chat, search] = [(), ()].map(|()| RetryLayer::new().budget(budget.clone()));
//! let down = service_fn(|_: Request<_>| async { Ok::<_, Infallible>(Response::builder().status(503).body(()).unwrap()) });
//!
//! for layer in [&chat, &search] {
//!     let client = ServiceBuilder::new().layer(layer.clone()).service(down);
//!     let response = client.oneshot(Request::get("/").body(Payload::default()).unwrap()).await?;
//!     assert_eq!(response.headers()["x-should-retry"], "false");
//! }
//!
//! // A fifth of a single call is no retry.
//! assert_eq!([chat.counts().budget, search.counts().budget], [1, 1]);
//! assert_eq!([chat.counts().retries, search.counts().retries], [0, 0]);
//! # Ok(()) }
//! ```
//!
//! gRPC, as with tonic: the server's status is in the head of an answer without messages, and its push-back says when to
//! come back. All of gRPC is `POST`, so what may be repeated must be said:
//!
//! ```
//! # use std::{convert::Infallible, future::ready, sync::{Arc, atomic::{AtomicU32, Ordering}}, time::Duration};
//! # use buttress_core::Payload;
//! # use http::{Request, Response};
//! # use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//! use buttress_core::GrpcClassify;
//! use buttress_retry::{Budget, Policy, RetryLayer, Share};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Infallible> {
//! let reads = |request: &Request<_>| match request.uri().path().rsplit_once("/Get") {
//!     Some(_) => Policy::default().repeat_all(),
//!     None => Policy::default(),
//! };
//! let layer = RetryLayer::new()
//!     .classify(GrpcClassify)
//!     .budget(Budget::throttle(10, Share::percent(10)))
//!     .policy(reads);
//! # let calls = Arc::new(AtomicU32::new(0));
//! # let seen = calls.clone();
//! # let channel = service_fn(move |request: Request<_>| {
//! #     let nth = seen.fetch_add(1, Ordering::Relaxed);
//! #     let head = Response::builder().header("content-type", "application/grpc");
//! #     let response = match nth {
//! #         0 => head.header("grpc-status", "14").header("grpc-retry-pushback-ms", "250").body(()),
//! #         _ => {
//! #             assert_eq!(request.headers()["grpc-previous-rpc-attempts"], "1");
//! #             head.body(())
//! #         }
//! #     };
//! #     ready(Ok::<_, Infallible>(response.unwrap()))
//! # });
//! let client = ServiceBuilder::new().layer(layer).service(channel);
//! # let began = tokio::time::Instant::now();
//!
//! let request = Request::post("/shop.Items/GetItem").header("content-type", "application/grpc");
//! let response = client.oneshot(request.body(Payload::default()).unwrap()).await?;
//!
//! assert!(!response.headers().contains_key("grpc-status"), "the second answer has begun to stream");
//! # assert_eq!(calls.load(Ordering::Relaxed), 2);
//! # assert_eq!(tokio::time::Instant::now() - began, Duration::from_millis(250));
//! # Ok(()) }
//! ```
//!
//! Without HTTP, a closure says what a result means, and requests are cloned:
//!
//! ```
//! use buttress_core::{ByClone, Class, Outcome, Verdict};
//! use buttress_retry::RetryLayer;
//!
//! let layer = RetryLayer::new().replay(ByClone).classify(|result: Result<&u32, &std::io::Error>| match result {
//!     Ok(_) => Class::SUCCESS,
//!     Err(_) => Class::new(Verdict::Transient, Outcome::Word("io")),
//! });
//! # let _ = layer;
//! ```
//!
//! [`Verdict`]: buttress_core::Verdict
//! [`RetryHint`]: buttress_core::RetryHint
//! [`CallContext`]: buttress_core::CallContext

mod backoff;
mod budget;
mod call;
mod concurrency;
mod counts;
mod future;
mod layer;
mod marks;
mod policy;
mod quota;
mod rate;
mod service;
mod sync;
mod throttle;
#[cfg(all(test, not(buttress_loom)))]
mod vectors;

pub use self::{
    backoff::Backoff,
    budget::{Budget, Share},
    counts::Counts,
    future::ResponseFuture,
    layer::RetryLayer,
    policy::{Policies, Policy},
    quota::QuotaCosts,
    service::Retry,
};
