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
//! 4. The wait is full jitter: uniform between zero and `base · 2ⁿ`, up to a cap; the base is longer after throttling.
//!    Where the server said how long ([`RetryHint`]), the wait is never shorter than that, and up to a tenth longer, so
//!    that callers do not all come back in one moment. A hint beyond [`RetryLayer::max_hint`] is not waited out: the
//!    failure is returned at once, with its hint, for somebody further out to act on.
//! 5. A retry is not begun if its wait would pass the deadline of the [`CallContext`] or of the layer.
//! 6. Each retry draws on the one allowance in the [`CallContext`], which failover and hedging draw on too.
//! 7. The failed response is dropped before the wait, and no readiness of the inner service is held during it.
//! 8. When no retry is possible, the last failure is returned as it came.
//!
//! # When it refuses
//!
//! Never. It has no answer of its own.
//!
//! # Cancellation
//!
//! Dropping the future drops the attempt or the wait under way. Nothing is left behind.
//!
//! # Cost
//!
//! One [`CallContext`], where no layer further out has made it; one clone of the inner service and of the request. The
//! second attempt boxes its state; the first does not.
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
