//! A tower layer that stops calling what is failing, finds out when it is well again, and lets load back in steps.
//!
//! # What it does
//!
//! 1. A **closed** circuit lets all calls pass and counts how they end. Three rules open it, whichever is met first: so many
//!    failures in a row; so many of a hundred calls in the window; so many slow ones. [`Settings`] has the defaults. Rates
//!    are judged with every call that ends, successes too, once there were enough calls.
//! 2. The window slides: the last so many calls, or the calls of the last so much time. Its memory is fixed, and a call
//!    costs the same however long it is.
//! 3. What counts as a failure is for the [`Verdict`] to say, and over HTTP for the **end of the body**: what a layer further
//!    in found in the answer ([`AnswerReport`]), or how its bytes ended. A [`Class`] in the extensions is final. Rate limits,
//!    capacity by design, faults of the caller, filtered content and cancelled calls say nothing about a target's health.
//! 4. A call is slow by its first byte (the head of the answer), by its first token where a layer further in reads the
//!    answer, or in total. **A call that is dropped after that time counts as slow**, so that a target that hangs behind an
//!    outer timeout opens the circuit; one that is dropped sooner counts for nothing. Set the time below that timeout.
//! 5. An **open** circuit refuses until its time is over: [`OpenTime`], longer each time in a row, jittered, shorter again
//!    for each interval that it was well; and never shorter than the server itself asked for (`Retry-After`), within
//!    [`Settings::max_hint`].
//! 6. Then it is **half-open**: as many calls as there are [probes](Settings::probes), and not one more, find out whether the
//!    target is well. It is decided as soon as the probes still out cannot change it. A probe that is dropped, or whose
//!    answer says nothing, gives its place to another. One that hangs for [`Settings::max_wait`] opens the circuit again.
//!    One whose answer has begun may take its time, and another is let through beside it at each such interval.
//! 7. After good probes the circuit is **ramping**: one call may be out at a time for each that went well, so that load
//!    doubles with each round, as in TCP's slow start. When it goes badly the circuit opens again, for longer.
//! 8. Every call bears the **generation** it was let through in. What ends in another one changes nothing: neither does a
//!    late success close a circuit, nor a late failure open one.
//! 9. Circuits are by [`Key`]: one for all requests, one for each target, for each target and model, or what a closure says.
//!    They are bounded: what is closed and idle goes first; what is forced or still open, or has calls out, is never forgotten. Where
//!    all are needed, a
//!    further key has a circuit for one call alone, which is counted ([`Handle::overflow`]).
//! 10. An [`EjectionGroup`] keeps a part of the circuits from being open, whatever they see: judged after the opening, and
//!     at least one is left.
//! 11. [`Settings::sticky`] opens at once for a verdict that is no failure: a quota that is spent, a dead credential, a model
//!     that is gone.
//! 12. A [`Handle`] lists and operates all circuits, also when the layer is in a box: forced open, disabled, metrics only,
//!     reset. [`OnChange`] hears of each change; with it and [`Handle::advise`] replicas can tell each other what they
//!     found, as a hint. With the feature `redis`, `Share` does so.
//!
//! # When it refuses
//!
//! When the circuit is open, or all probes are out: with `503`, the code `circuit_open`, and `Retry-After`: exact for an
//! open circuit, a guess while probes are out, and none for one that was forced open. The inner service is not called. The
//! message names key, state and time until the next probe; [`CircuitOpen`] has them typed. To layers further out it means
//! *full by design*: another target may be asked at once, and no breaker counts it.
//!
//! # Cancellation
//!
//! Dropping the future or the body drops what is inside, and gives the call's place back. See rules 4 and 6.
//!
//! # Cost
//!
//! No allocation. A call through a closed circuit takes no lock, as long as all is well: a count of references, one load to
//! enter, one compare-and-swap at the end; each 64th takes a short lock, as does each failure. How long the window is makes
//! no difference.
//!
//! What costs more than all of that is the **clock**. A window by calls without the slow rule hardly ever reads it; a window by
//! time reads it at the end of a call; and the slow rule at its beginning, and again at its first byte or its end. Where a
//! reading takes 40 ns, as on many virtual machines, that is 16 to 25 ns for a call without, as its caller is compiled, about
//! 40 ns more with a window by time, and twice that with the defaults.
//!
//! By key, there is a hash, a shared lock and a look into a map as well. Among ten thousand keys in turn what counts is
//! memory: the key, its place in the map and its circuit are seldom in the cache. An open circuit refuses under a short lock.
//!
//! Threads at one circuit take no turns, but share the words that count: two at once pay for the way of a cache line between
//! their processors.
//!
//! # Example
//!
//! ```
//! use std::{convert::Infallible, num::NonZeroU32, time::Duration};
//! use buttress_circuit_breaker::{CircuitBreakerLayer, OpenTime, Settings, State};
//! use buttress_core::Body;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new()
//!     .consecutive(NonZeroU32::new(3).unwrap())
//!     .slow_to_first_byte(Duration::from_secs(20), 50)
//!     .open_time(OpenTime::default().with_jitter(0));
//! let layer = CircuitBreakerLayer::try_new(settings)?;
//! let handle = layer.handle();
//! let down = service_fn(async |_: Request<()>| {
//!     Ok::<_, Infallible>(Response::builder().status(500).body(Body::empty()).unwrap())
//! });
//! let service = ServiceBuilder::new().layer(layer).service(down);
//!
//! for _ in 0..3 {
//!     assert_eq!(service.clone().oneshot(Request::new(())).await?.status(), 500);
//! }
//! let refused = service.clone().oneshot(Request::new(())).await?;
//! assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse()?));
//! assert_eq!(handle.list()[0].state, State::Open);
//!
//! tokio::time::advance(Duration::from_secs(5)).await;
//! assert_eq!(service.oneshot(Request::new(())).await?.status(), 500, "a probe");
//! assert_eq!(handle.list()[0].open_for, Some(Duration::from_secs(10)));
//! # Ok(()) }
//! ```
//!
//! Without HTTP, one closure says what a result means, and another how to refuse; and without a service, a [`Handle`] hands
//! out [`Permit`]s:
//!
//! ```
//! use buttress_circuit_breaker::{CircuitBreakerLayer, CircuitOpen, Key, Settings};
//! use buttress_core::{Class, Label, Outcome, Verdict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let classify = |result: Result<&u32, &std::io::Error>| match result {
//!     Ok(_) => Class::SUCCESS,
//!     Err(_) => Class::new(Verdict::Transient, Outcome::Word("io")),
//! };
//! let refuse = |open: CircuitOpen| Err::<u32, _>(std::io::Error::other(open));
//! let layer = CircuitBreakerLayer::try_plain(Settings::new(), classify, refuse)?;
//!
//! let key = Key::new(Label::try_new("store")?);
//! let permit = layer.handle().acquire(&key)?;
//! permit.conclude(&Class::SUCCESS);
//! assert_eq!(layer.handle().list()[0].calls, 1);
//! # Ok(()) }
//! ```
//!
//! [`AnswerReport`]: buttress_core::AnswerReport
//! [`Class`]: buttress_core::Class
//! [`Verdict`]: buttress_core::Verdict

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod breaker;
mod change;
mod circuit;
mod error;
mod future;
mod group;
mod handle;
mod key;
mod keys;
mod layer;
#[cfg(all(test, not(buttress_loom)))]
mod model;
mod moment;
mod open_time;
mod outcome;
mod permit;
mod protocol;
mod rules;
mod service;
mod settings;
#[cfg(feature = "redis")]
mod share;
#[cfg(feature = "redis")]
mod share_message;
#[cfg(feature = "redis")]
mod share_outbox;
#[cfg(feature = "redis")]
mod share_worker;
mod sync;
mod trial;
#[cfg(all(test, not(buttress_loom)))]
mod vectors;
mod window;

pub use self::{
    body::ResponseBody,
    change::{Cause, Change, OnChange, State},
    error::CircuitOpen,
    future::ResponseFuture,
    group::EjectionGroup,
    handle::{Handle, Snapshot},
    key::{ByTarget, ByTargetAndModel, Key, KeyOf, OneKey},
    layer::CircuitBreakerLayer,
    open_time::OpenTime,
    permit::Permit,
    protocol::{Cover, HttpProtocol, PlainProtocol},
    rules::ConfigError,
    service::CircuitBreaker,
    settings::Settings,
};
#[cfg(feature = "redis")]
pub use self::{
    share::{Share, ShareCounts},
    share_outbox::ShareObserver,
    share_worker::ShareWorker,
};
