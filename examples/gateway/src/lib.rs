//! An LLM gateway built only from Buttress layers.
//!
//! One endpoint that speaks what its targets speak, and many targets behind it. What makes it stand is in the layers; what is here is
//! configuration ([`Config`]), the order of the layers ([`stack`]), the reading of requests ([`intake`]), a server
//! ([`Gateway`]), what operates it while it runs ([`operator`], [`reload`]), and a demonstration on simulated regions ([`demo`]).
//!
//! ```text
//! intake → served-by → deadline → token-bucket → coalesce → semantic-cache → retry → region-failover (rewrite, hedge)
//!   └ per target: concurrency → circuit-breaker → commit-gate → stream-guard → deadline forwarded → inspect → client
//! ```

mod brief;
mod cache_figures;
mod cache_orders;
pub mod config;
pub mod demo;
mod embedding;
pub mod intake;
mod judging;
mod learn;
mod learned;
mod ledger;
mod level_figures;
mod limiting;
mod meaning;
mod meaning_figures;
mod metrics;
pub mod operator;
mod probe;
pub mod reload;
mod routes;
mod rules;
pub mod server;
mod sharing;
pub mod stack;
mod tenants;
mod unasked;

pub use self::{
    config::{Config, ConfigError},
    server::Gateway,
    tenants::Book,
};
