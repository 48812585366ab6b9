//! What the tests of Buttress layers share.
//!
//! 1. [`Probe`] is an inner service that panics when it is called unready, follows a script, and counts what is alive: its
//!    calls, permits, futures and bodies. [`PlainProbe`] is the same without HTTP. A [`Handle`] writes the script and reads
//!    the counts.
//! 2. [`Script`] makes a [`ScriptedBody`]: data, trailers, an error, a pause, a panic; with honest hints or without.
//! 3. [`http_contract!`] and [`plain_contract!`] run the contract that every layer keeps, one test for each promise.
//! 4. [`LineStreams`] reads streams of a format that is small enough to be written by hand.
//! 5. [`TraceGuard`] captures what is traced, so that a test can say what must never be in it.
//! 6. Feature `redis-server`: `RedisServer` is a real Redis in a process of its own, to be killed, frozen and restarted.
//!
//! # Example
//!
//! The whole of a layer's `tests/contract.rs`:
//!
//! ```
//! use tower::layer::util::Identity;
//!
//! mod http {
//!     buttress_testkit::http_contract! {
//!         layer: super::Identity::new,
//!         readiness: forwarded,
//!         state: none,
//!         refusal: none,
//!     }
//! }
//!
//! mod plain {
//!     buttress_testkit::plain_contract! {
//!         layer: super::Identity::new,
//!         readiness: forwarded,
//!         state: none,
//!         refusal: none,
//!     }
//! }
//! ```

mod body_watch;
mod bounds;
mod caller;
mod contract;
mod edge;
mod error;
mod flavour;
mod handle;
mod http_contract;
mod lines;
mod macros;
mod places;
mod probe;
#[cfg(feature = "redis-server")]
mod redis_server;
mod refusal;
mod reply;
mod script;
#[cfg(feature = "redis-server")]
mod slow_proxy;
mod state;
mod trace;
mod wire;

#[doc(no_inline)]
pub use buttress_core::HttpRefusal;

pub use self::{
    body_watch::BodyWatch,
    bounds::{assert_clone_send_sync, assert_send},
    contract::{Contract, Readiness},
    edge::{AnyClient, stands_around_service_fn, stands_over_hypers_client, stands_under_axum},
    error::ProbeError,
    flavour::{Flavour, HttpFlavour, PlainFlavour},
    handle::Handle,
    lines::{LineReader, LineStreams},
    probe::{PlainFuture, PlainProbe, Probe, ProbeFuture},
    refusal::{ByError, ByResponse},
    reply::{Answer, HttpAnswer, Reply, Seen},
    script::{Script, ScriptedBody},
    trace::TraceGuard,
    wire::{Received, read, request, run, send},
};
#[cfg(feature = "redis-server")]
pub use self::{redis_server::RedisServer, slow_proxy::SlowProxy};
