//! A tower layer that tries another target at once when one fails.
//!
//! A target is a region, a deployment, a provider, a replica: anything that can serve the same request. The inner service
//! is one client for all of them; the layer fits each attempt to its target by a [`Rewrite`](buttress_core::Rewrite).
//!
//! # What it does
//!
//! 1. Targets are tried in the order given. An attempt that fails moves on to the next one at once, with no wait: waiting
//!    is for a retry layer further out, which then walks the targets again.
//! 2. A failure moves on if its [`Verdict`] says that another target may do better. A caller's fault, a filtered prompt or
//!    a prompt that is too long goes straight back.
//! 3. What may have been done and cannot be repeated is not sent twice: a request that is not idempotent (by method, or by
//!    an `Idempotency-Key`) moves on only if the failed attempt never began.
//!    [`RegionFailoverLayer::repeat_all`] lifts this for services where repeating does no harm.
//! 4. No failure domain is tried twice in one walk. Each attempt after the first draws on the one allowance in the
//!    [`CallContext`], which retry and hedging draw on too. No attempt begins after the deadline of the context.
//! 5. An attempt that brings no head of an answer within [`RegionFailoverLayer::attempt_timeout`], or by the deadline, is
//!    dropped. The answer's body is not timed here.
//! 6. The request is sent to each target as it came: method, path, query, headers and body, fitted by the rewrite. A
//!    target that the rewrite refuses is passed over; it costs no attempt.
//! 7. The response's extensions name the target that answered ([`ServedBy`](buttress_core::ServedBy)) and hold the
//!    context with the trail of attempts. The request's extensions hold the [`Target`](buttress_core::Target) during each
//!    attempt, for layers further in.
//!
//! # When it refuses
//!
//! When several targets failed, no single answer is the truth. The layer then answers itself: `429` if all of them were
//! throttling, with the soonest of their hints, and `503` otherwise; `504` if the deadline passed. If only one target was
//! tried and it answered, or all say that they do not have the model, that answer is returned as it came.
//!
//! # Cancellation
//!
//! Dropping the future drops the attempt under way, and with it the request to the target.
//!
//! # Cost
//!
//! Always ready: a target cannot be chosen before the request is seen, so each attempt makes a clone of the inner service
//! ready. One [`CallContext`], where no layer further out has made it; one clone of request and service per attempt. A
//! timer is registered only for an attempt that is not answered at once.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use buttress_core::{Http, Payload, ServedBy, Target};
//! use buttress_region_failover::RegionFailoverLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = RegionFailoverLayer::try_new([Target::named("east")?, Target::named("west")?])?.replay(Http);
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|request: Request<Payload>| async move {
//!     let target = request.extensions().get::<Target>().expect("the layer aims each attempt");
//!     let status = if target.name().as_str() == "east" { 503 } else { 200 };
//!     Ok::<_, Infallible>(Response::builder().status(status).body(Payload::default()).unwrap())
//! }));
//!
//! let response = service.oneshot(Request::get("/").body(Payload::default())?).await?;
//!
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.extensions().get::<ServedBy>().unwrap().target.name().as_str(), "west");
//! # Ok(()) }
//! ```
//!
//! [`Verdict`]: buttress_core::Verdict
//! [`CallContext`]: buttress_core::CallContext

mod error;
mod future;
mod layer;
mod service;
mod walk;

pub use self::{
    error::ConfigError,
    future::ResponseFuture,
    layer::{RegionFailoverLayer, Unchanged},
    service::RegionFailover,
};
