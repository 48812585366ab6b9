//! A tower layer that stops calling what is failing, finds out when it is well again, and lets load back in steps.

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
mod open_time;
mod permit;
mod protocol;
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
    service::CircuitBreaker,
    settings::{ConfigError, Settings},
};
#[cfg(feature = "redis")]
pub use self::{
    share::{Share, ShareCounts},
    share_outbox::ShareObserver,
    share_worker::ShareWorker,
};
