//! A tower layer that bounds how many calls are under way, to the ends of their bodies.
//!
//! # What it does
//!
//! 1. A call takes a place when it begins, and keeps it until its answer has really ended: the last frame, trailers, an error,
//!    or the drop of the body; without HTTP, until it is answered. Two places mean two streamed answers.
//! 2. The limit is fixed ([`ConcurrencyLayer::fixed`]), or found out ([`ConcurrencyLayer::adaptive`]): by latency
//!    ([`Gradient2`], [`Vegas`]), by failures ([`Aimd`]), or by the target's own word, such as a 429 ([`Cubic`]).
//! 3. An adaptive limit goes by the time to the first content of an answer, or by the time for each token ([`Signal`]): the
//!    time to the end says more about the question than about the load. A failure counts only if it speaks of load: not a
//!    fault of the caller's, not a call that somebody ended, not the refusal of another layer. While fewer than half of the
//!    places are in use, the limit does not grow.
//! 4. A call that finds no place waits, where there is a [`Queue`]: in the order in which calls came, or newest first once the
//!    oldest has waited for too long. It waits no longer than its deadline and the queue allow. A call that goes away leaves no
//!    gap, and if it was given a place that it had not yet taken, the place goes to the next.
//! 5. Calls that matter more are served first ([`Criticality`]), and each class can be guaranteed a part of the limit
//!    ([`Shares`]). What a class does not want is lent. When the limit shrinks, the class that matters least loses first.
//! 6. A call that waits holds nothing: its reservation in the inner service is given up first. When it is given a place and the
//!    inner service is not ready, the place goes to the next, and the call keeps its turn until the inner service is.
//! 7. With [`ConcurrencyLayer::keyed`] each target, model or tenant has a limit of its own, and the number of keys is bounded.
//! 8. [`LimitHandle`] shows the limit, and changes it while calls are under way.
//!
//! Beneath a retry, a failover or a hedge, each attempt takes a place of its own and gives it back before the next wait: a
//! back-off holds none.
//!
//! # When it refuses
//!
//! - As [`Overloaded`](buttress_core::RefusalKind::Overloaded), when there is neither a place nor room in the queue: decided in
//!   `call`, and the inner service is not called. Also when a call has waited for as long as the queue allows, and when there are
//!   too many keys.
//! - As [`DeadlineExceeded`](buttress_core::RefusalKind::DeadlineExceeded), when the deadline in the
//!   [`CallContext`](buttress_core::CallContext) passed before there was a place, or had passed when the call would have begun to
//!   wait.
//!
//! A refusal tells the caller to come back after a time that is drawn for it alone. Layers of this process go by their own
//! back-off.
//!
//! # Cancellation
//!
//! Dropping the future or the body gives the place back, and with it wakes who is next. Dropping a call that waits gives up its
//! turn. A call that was ended by its caller is no sample, unless its first content had come.
//!
//! # Cost
//!
//! A call that finds a place costs two atomic operations on one word, and one count of references; no lock, no clock and no
//! allocation. That is less than `tower::limit::ConcurrencyLimit` takes in the same place. What says what a call is, is cloned with each
//! call: keep it small. Over HTTP the body asks the clock at its beginning and its end. An adaptive limit takes a short lock
//! for each sample. With shares, each place is taken and given back under a short lock; with keys, the key is looked up under one.
//! A call that waits allocates its turn and a timer. `tracing` events: `queued`, `refused`, `limit changed`.
//!
//! # Example
//!
//! ```
//! use std::{convert::Infallible, num::NonZeroU32};
//! use buttress_concurrency::ConcurrencyLayer;
//! use buttress_core::{Body, Payload};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Infallible> {
//! let layer = ConcurrencyLayer::fixed(NonZeroU32::MIN);
//! let handle = layer.handle();
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|_: Request<Payload>| async {
//!     Ok::<_, Infallible>(Response::new(Body::from(bytes::Bytes::from("streamed"))))
//! }));
//!
//! let streaming = service.clone().oneshot(Request::new(Payload::default())).await?;
//! assert_eq!(handle.in_flight(), 1, "the head is there, the body is not");
//!
//! let refused = service.clone().oneshot(Request::new(Payload::default())).await?;
//! assert_eq!(refused.status(), 503);
//! assert!(refused.headers().contains_key("retry-after"));
//!
//! drop(streaming);
//! assert_eq!(service.oneshot(Request::new(Payload::default())).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! A limit that goes by 429s, with a queue in which what a person waits for comes first, and its share:
//!
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//! use buttress_concurrency::{Bounds, ConcurrencyLayer, Criticality, Cubic, Queue, Shares};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let [least, most, room] = [1, 200, 64].map(|n| NonZeroU32::new(n).expect("not zero"));
//! let layer = ConcurrencyLayer::adaptive(Cubic::new(20, Bounds::try_new(least, most)?))
//!     .queue(Queue::of(room).max_wait(Duration::from_secs(2)))
//!     .shares(Shares::try_new([(Criticality::Critical, 60), (Criticality::Sheddable, 10)])?);
//! assert_eq!(layer.handle().limit(), 20);
//! # Ok(()) }
//! ```
//!
//! Without HTTP, and one limit for each key:
//!
//! ```
//! use std::{io, num::{NonZeroU32, NonZeroUsize}};
//! use buttress_concurrency::ConcurrencyLayer;
//! use buttress_core::Refusal;
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> io::Result<()> {
//! let layer = ConcurrencyLayer::fixed(NonZeroU32::MIN)
//!     .plain(|refusal: Refusal| -> io::Result<u32> { Err(io::Error::other(refusal)) })
//!     .keyed(NonZeroUsize::new(100).expect("not zero"), |request: &u32| request % 10);
//! let service = ServiceBuilder::new().layer(layer.clone()).service(service_fn(|request: u32| async move { Ok(request + 1) }));
//!
//! assert_eq!(service.oneshot(7).await?, 8);
//! assert_eq!(layer.keys(), 1);
//! # Ok(()) }
//! ```

mod aimd;
mod body;
mod criticality;
mod cubic;
mod error;
mod future;
mod gate;
mod gradient;
mod handle;
mod keyed;
mod layer;
mod limit;
mod limiter;
#[cfg(all(test, not(buttress_loom)))]
mod model;
mod protocol;
mod queue;
mod service;
mod standing;
mod sync;
mod vegas;

pub use buttress_core::Criticality;

pub use self::{
    aimd::Aimd,
    body::ResponseBody,
    criticality::{Alike, ByExtension, Rank, Shares, SharesError},
    cubic::Cubic,
    error::NotAdmitted,
    future::ResponseFuture,
    gradient::Gradient2,
    handle::LimitHandle,
    keyed::{Keyed, Select, Selected, Shared},
    layer::ConcurrencyLayer,
    limit::{Algorithm, Bounds, BoundsError, Heard, Sample},
    protocol::{ByResult, Cover, HttpProtocol, Place, PlainProtocol, Protocol, Signal},
    queue::Queue,
    service::Concurrency,
    vegas::Vegas,
};
