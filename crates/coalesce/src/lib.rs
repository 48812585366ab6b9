//! A tower layer that lets identical requests of one tenant, made at the same time, share one call; streams too.
//!
//! # What it does
//!
//! 1. A request that asks the same as one whose call is under way makes no call: it waits for that one's answer. What is the
//!    same, a [`Question`] says; by default the [whole request](WholeRequest).
//! 2. Only requests of one [`Tenant`] share, and there is no layer without a word on who that is. What is compared are
//!    [keyed hashes](Key) of 256 bits. A request without a tenant makes a call of its own.
//! 3. A body is read by all as it comes. Who joins late has what came before, and then goes on with the rest, until more
//!    has come than is [kept](CoalesceLayer::max_bytes). One that reads so slowly that what it has not read is gone is cut off with an
//!    [error](SharedBodyError); if it has not begun, it makes a call of its own instead. The fastest reader sets the pace.
//! 4. The call belongs to nobody: when the caller who began it leaves, before the answer or in the midst of it, the others
//!    carry it on, and no further call is made.
//! 5. A failure is not shared. The caller whose call failed has it, and *one* of those that wait makes the next call, for all
//!    that still do. A failure in the midst of a body comes to all that read it.
//! 6. Everything is bounded: [calls](CoalesceLayer::max_calls), [followers](CoalesceLayer::max_followers) of one, bytes kept of
//!    each. What does not fit makes a call of its own. [`Counts`] tells how often.
//!
//! An answer from another one's call has `Cache-Status: …; collapsed` (RFC 9211), and [`Joined`] in its extensions. Its
//! [`AnswerReport`](buttress_core::AnswerReport) is its own: it tells how the call ended, and that this answer has used nothing.
//!
//! # When it refuses
//!
//! Never.
//!
//! # Cancellation
//!
//! Dropping a future or a body leaves the call to the others, one of whom is woken to carry it on. When the last one goes, the call
//! is dropped at once.
//!
//! # Cost
//!
//! Each request is hashed, and takes two short locks. A call that can be joined takes five allocations. A part of a body is copied by
//! reference count, and costs each reader a short lock and being woken. The layer is always ready, and clones the inner
//! service for each call; a request is held until there is an answer. A panic in the inner service is that of whoever was polled, and the
//! others make a new call. `tracing` events: `joined`, `handed over`, `promoted`, `detached`.
//!
//! # Example
//!
//! ```
//! use std::{convert::Infallible, sync::atomic::{AtomicU32, Ordering}};
//! use buttress_coalesce::{ByHeader, CoalesceLayer};
//! use buttress_core::{Body, Payload};
//! use bytes::Bytes;
//! use http::{HeaderName, Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = CoalesceLayer::new(ByHeader::new(HeaderName::from_static("x-tenant")));
//! let handle = layer.handle();
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<Payload>| {
//!     CALLS.fetch_add(1, Ordering::Relaxed);
//!     async { Ok::<_, Infallible>(Response::new(Body::from(Bytes::from("an answer")))) }
//! }));
//! let ask = |tenant: &str| {
//!     let request = Request::post("/").header("x-tenant", tenant).body(Payload::default());
//!     service.clone().oneshot(request.expect("a request"))
//! };
//! let (first, second, other) = tokio::join!(ask("a"), ask("a"), ask("b"));
//! assert_eq!(first?.headers().get("cache-status"), None);
//! assert_eq!(second?.headers()["cache-status"], "buttress-coalesce; fwd=miss; collapsed");
//! assert_eq!(other?.headers().get("cache-status"), None, "another tenant");
//! assert_eq!((CALLS.load(Ordering::Relaxed), handle.counts().joined), (2, 1));
//! # Ok(()) }
//! ```

mod body;
mod counts;
mod flight;
mod future;
mod key;
mod layer;
mod member;
mod reader;
mod registry;
mod seats;
mod service;
mod share;
mod stream;

pub use buttress_core::{ByExtension, ByHeader, ByTenant, KeyHasher, OneTenant, Tenant};

pub use self::{
    body::ResponseBody,
    counts::Counts,
    future::ResponseFuture,
    key::{ByFn, Key, Question, WholeRequest},
    layer::{CoalesceHandle, CoalesceLayer},
    reader::SharedBodyError,
    registry::Leash,
    service::Coalesce,
    share::{HttpAnswer, HttpShare, Joinable, Joined, PlainAnswer, PlainShare, Share},
};
