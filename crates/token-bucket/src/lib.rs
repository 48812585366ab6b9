//! A tower layer that limits what calls take in each time: requests, tokens, money; for all of them, or for each key.
//!
//! # What it does
//!
//! 1. A [`Limit`] is a token bucket with a signed level: it holds so much, and is refilled without pause. It counts in one
//!    [`Dimension`], and a key can be under several limits ([`Limits`]). A call takes from all their buckets, or from none.
//! 2. What a call will cost is [estimated](Estimate) and taken before it; when its answer has really ended, it is
//!    replaced by what it has cost, which a layer that reads the answer has left in its
//!    [`AnswerReport`](buttress_core::AnswerReport). Too much comes back. Too little is owed, and nobody passes before the debt is
//!    refilled. A call that does not tell is charged by [`Settling`]. Each call is settled once.
//! 3. Keys come from a [header](ByHeader), an [API key](ByApiKey), an [address](ByIp) behind *configured* proxies, an
//!    [extension](ByExtension) or a [closure](ByFn). Only a keyed hash of them is kept. [Tiers](TokenBucketLayer::tiered) and
//!    [overrides](LimitsHandle::set_override) give keys limits of their own, and can be changed while calls are under way:
//!    what was used stays used.
//! 4. The number of keys is [bounded](TokenBucketLayer::max_keys). For a new one, keys are forgotten whose buckets are full; a
//!    bucket that is made anew is full, so that nothing is lost. If all are in use, all new keys share one bucket, under the limits
//!    of the first tier: memory does not grow, and nobody is without a limit. Keys with an override always have room.
//! 5. A call that finds too little is refused, or waits in a [`Queue`]: bounded, fair between [flows](Share) by weight, no longer
//!    than its deadline. A call that could not be served in time is refused at once. One that waits holds neither a part of a
//!    bucket nor a reservation of the inner service, and nobody overtakes a large one whose turn it is.
//! 6. Beneath a target the same layer shapes what is sent to a provider: it [heeds](TokenBucketLayer::heed_headroom) what answers
//!    say is left, and lowers its levels by itself.
//! 7. [`LimitsHandle`] lists keys, changes limits, resets and [lowers](LimitsHandle::observe) levels.
//! 8. With feature `redis`, replicas take from the same buckets (`SharedLimits`): one script and
//!    one round trip for a call, none for a key that is leased or known to be refused, and a rule for each limit for when Redis is
//!    away.
//!
//! The arithmetic is a pure core, [`Bucket`]: whole numbers, nothing rounded, and the time is told. It is what a store elsewhere
//! can be compared with.
//!
//! # When it refuses
//!
//! - As [`RateLimited`](buttress_core::RefusalKind::RateLimited), 429, when there is too little. The wait is exact, and rounded up
//!   in `Retry-After`.
//! - As [`QuotaExhausted`](buttress_core::RefusalKind::QuotaExhausted), 403, when a limit that is a [quota](Limit::quota) is used
//!   up.
//! - As [`TooLarge`](buttress_core::RefusalKind::TooLarge), 413, when the call asks for more than a bucket holds: no wait can help,
//!   and it is told so at once.
//! - As [`DeadlineExceeded`](buttress_core::RefusalKind::DeadlineExceeded), when its deadline had passed before it could wait.
//!
//! The message names the limits, never the key. Over HTTP the answer has `RateLimit` and `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers-10), `Retry-After`, `retry-after-ms` and the `x-ratelimit-*` of OpenAI;
//! [`announce`](TokenBucketLayer::announce) puts them on every answer. [`struct@RateLimited`] is in its extensions.
//!
//! # Cancellation
//!
//! Dropping the future before the answer settles the call by [`Settling::dropped`]: in full by default, since the work may have been
//! done. Dropping the body settles it by what was told and by what had come: the rest of the reservation comes back. An answer that
//! tells of its failure and then ends well, as a stream does that is closed for its caller, is settled in the same way. Dropping a
//! call that waits gives up its turn, and the next is told. A process that ends keeps nothing.
//!
//! # Cost
//!
//! A call that passes takes the clock once, and one short lock of one of up to 64 shards; with a key, a hash of it. Nothing is
//! allocated for a key that is known. A key takes 32 bytes and 8 for each limit, and a quarter to two fifths more for places that are
//! free; all lie in one array, so that a key among a million costs one way to memory. A call that ends with what was reserved takes no lock. What costs no more and no less than is known before has
//! nothing to settle: [`take`](LimitsHandle::take) does without, and so does a layer whose answers [cannot tell](Cover::TELLS).
//! A call that waits allocates its turn and a timer, and is woken when it is first: no other one is. A refusal allocates what it
//! tells: twice without HTTP, and thirteen times with it. [`announce`](TokenBucketLayer::announce) allocates twice,
//! and twice more where the answer's header map must grow. A call for which Redis is asked boxes its question; one from a lease does not.
//! `tracing` events: `queued`, `refused`, `no room for the key`; with Redis `redis did not decide`, `decided without redis`.
//!
//! # Example
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use buttress_core::{AnswerReport, Body, Payload, Usage};
//! use buttress_token_bucket::{ByApiKey, Costs, Dimension, Limit, Limits, TokenBucketLayer};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let minute = Duration::from_secs(60);
//! let limits = Limits::try_new([
//!     Limit::try_new("requests", Dimension::REQUESTS, 60, minute)?,
//!     Limit::try_new("tokens", Dimension::TOKENS, 1_000, minute)?,
//! ])?;
//! let layer = TokenBucketLayer::new(limits)
//!     .keyed(ByApiKey)
//!     .estimate(|_: &Request<Payload>| Costs::tokens(100, 500));
//! let handle = layer.handle();
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<Payload>| async {
//!     let mut response = Response::new(Body::from(bytes::Bytes::from("an answer")));
//!     // A layer that reads the answer does this as it flows.
//!     AnswerReport::of_or_new(response.extensions_mut()).count(Usage::new(100, 200));
//!     Ok::<_, Infallible>(response)
//! }));
//! let ask = || Request::builder().header("authorization", "Bearer sk-1").body(Payload::default()).expect("a request");
//! let left = || handle.standings(handle.fingerprint("sk-1"), tokio::time::Instant::now())[1].level;
//!
//! let streaming = service.clone().oneshot(ask()).await?;
//! assert_eq!(left(), 400, "600 are reserved");
//! let refused = service.clone().oneshot(ask()).await?;
//! assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"12".parse()?));
//!
//! http_body_util::BodyExt::collect(http_body_util::Limited::new(streaming, 1_024)).await.map_err(|_| "too long")?;
//! assert_eq!(left(), 700, "and 300 were used");
//! assert_eq!(service.oneshot(ask()).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! Without HTTP, with a queue that is fair between tenants, and their calls of different weight:
//!
//! ```
//! use std::{io, num::NonZeroU32, time::Duration};
//! use buttress_core::Refusal;
//! use buttress_token_bucket::{ByShare, Dimension, Limit, Queue, TokenBucketLayer};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = TokenBucketLayer::new(Limit::try_new("requests", Dimension::REQUESTS, 1, Duration::from_secs(1))?)
//!     .queue(Queue::of(NonZeroU32::new(100).expect("not zero")))
//!     .share(ByShare(|request: &u32| (request % 10, NonZeroU32::MIN)))
//!     .plain(|refusal: Refusal| -> io::Result<u32> { Err(io::Error::other(refusal)) });
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|request: u32| async move { Ok(request + 1) }));
//!
//! let begun = tokio::time::Instant::now();
//! assert_eq!(service.clone().oneshot(1).await?, 2);
//! assert_eq!(service.oneshot(2).await?, 3);
//! assert_eq!((tokio::time::Instant::now() - begun).as_secs(), 1, "the second has waited");
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod arithmetic;
mod body;
mod bucket;
mod caller;
mod costs;
mod error;
mod future;
mod handle;
mod headers;
mod ip;
mod keys;
mod layer;
mod levels;
mod limit;
mod limit_error;
mod limiter;
#[cfg(test)]
mod model;
mod operator;
mod protocol;
mod queue;
mod reservation;
mod rule;
mod service;
mod shard;
#[cfg(feature = "redis")]
mod shared;
mod shortage;
mod table;
mod taken;
mod terms;
mod ticket;
#[cfg(test)]
mod vectors;
mod words;

#[cfg(feature = "redis")]
pub use self::shared::{ShareError, SharedCounts, SharedLimits, Sharing, WhenAway};
pub use self::{
    body::ResponseBody,
    bucket::{Bucket, Standing},
    caller::{AsTheyCome, ByShare, Caller, Callers, OneTier, Share, Tier},
    costs::{Costs, Dimension, Estimate, OneRequest, Prices},
    error::RateLimited,
    future::ResponseFuture,
    handle::LimitsHandle,
    ip::{ByIp, Net, NetError, network},
    keys::{ByApiKey, ByExtension, ByFn, ByHeader, Fingerprint, Key, KeyHasher, Secret, Shared},
    layer::{TierError, TokenBucketLayer},
    limit::{Limit, Limits},
    limit_error::LimitError,
    protocol::{Cover, HttpProtocol, PlainProtocol, Protocol, TellUsage, Untold},
    queue::Queue,
    reservation::{Charge, Reservation, Settling},
    service::TokenBucket,
    shortage::Shortage,
};
