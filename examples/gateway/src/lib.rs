//! An LLM gateway built only from Buttress layers.
//!
//! One endpoint that speaks what its targets speak, and many targets behind it. What makes it stand is in the layers; what is here is
//! configuration ([`Config`]), the order of the layers ([`stack`]), the reading of requests ([`intake`]), a server
//! ([`Gateway`]) and a demonstration on simulated regions ([`demo`]).
//!
//! ```text
//! intake → served-by → deadline → retry → region-failover (rewrite)
//!   └ per target: concurrency → circuit-breaker → commit-gate → stream-guard → deadline forwarded → inspect → client
//! ```

pub mod config;
pub mod demo;
pub mod intake;
pub mod operator;
pub mod server;
pub mod stack;

pub use self::{
    config::{Config, ConfigError},
    server::Gateway,
};
