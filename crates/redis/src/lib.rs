//! One guarded Redis client for every shared store.
//!
//! A store that several processes share makes each of them slower or safer, and must never make one hang. This crate is
//! what stands between a layer and Redis (5 or later, or Valkey): it has no layer of its own.
//!
//! # What it does
//!
//! 1. All callers share one connection, on which commands are pipelined ([`Redis::query`], [`Redis::pipeline`],
//!    [`Redis::invoke`]). Each call has a time bound, 50 ms unless set otherwise; to wait for a place in the connection's
//!    buffer and to load a script are within it.
//! 2. When [`Config::trip_after`] calls in a row got no answer in time, when the connection breaks, or when the server says
//!    that it cannot serve, Redis is *away*: calls are answered with [`ErrorKind::Away`] at once. Each caller so waits in
//!    vain at most once.
//! 3. While Redis is away, the [`Worker`] looks for it at jittered, growing intervals, one look at a time. A connection that
//!    was only silent is asked again before a new one is made. Redis is back when it answers within the time of a call:
//!    one that is slow stays away. If it comes and goes, the intervals stay long.
//! 4. While nobody had an answer for a while, the worker asks for one ([`Config::heartbeat`]), so that an outage is mostly
//!    found out before a caller waits for it.
//! 5. A [`Script`] is called by its hash, computed here. If the server does not know it, as after a restart or a failover,
//!    it is sent in full, once, within the same call.
//! 6. Nothing else is sent twice: a command that timed out may have been carried out, and only the caller knows whether it
//!    may be repeated ([`Error::may_have_run`]).
//! 7. Calls under way are bounded ([`Config::max_in_flight`]); there is no queue beyond.
//! 8. A single server, Sentinel ([`Config::sentinel`]) and, as feature `cluster`, Redis Cluster are supported. A primary
//!    that Sentinel names is asked whether it is one. A command refused because the server has become a replica makes the
//!    client look for the primary anew. In a cluster, one node that does not answer makes all of it count as away, until the
//!    cluster has replaced it.
//! 9. [`Redis::status`] and [`Redis::counts`] tell how it stands. An event is traced when Redis goes away and when it is
//!    back, and at no other time.
//! 10. A [`Namespace`] makes keys that cannot collide and share a slot by their tag; [`lua_exact`] checks numbers that a
//!     script is to compute with.
//! 11. Feature `pool`: connections of one's own for commands that block. Feature `tls`: `rediss` URLs, by rustls with ring.
//!
//! # When it refuses
//!
//! With an [`Error`], whose [`kind`](Error::kind) says whether anything was sent, and whose text holds no key, value, script,
//! address or credential. [`Error::is_unavailable`] is the question that a layer asks: then it goes by what it knows itself.
//! A wrong configuration is a [`ConfigError`] that names the field; an unreachable Redis is not an error at start.
//!
//! # Cancellation
//!
//! Dropping the future of a call frees its place; the command may be carried out. Nothing is counted, and it tells nothing
//! about Redis: callers with less patience than the time bound rely on the heartbeat. When the last handle is dropped, the
//! worker completes, and the connection closes.
//!
//! # Cost
//!
//! A call is one command on a shared connection: a short read lock, a timer, a few atomic operations, and what the `redis`
//! crate allocates for a command. While Redis is away, a call reads two locks and allocates nothing. Redis's answers are
//! not bounded in size; ask for no more than you can hold.
//!
//! # Example
//!
//! Redis is not there, and nobody waits for it:
//!
//! ```
//! use buttress_redis::{Config, ErrorKind, Redis, Script, redis};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Redis::spawn_on(&tokio::runtime::Handle::current(), Config::new("unix:///nobody/listens.sock"))?;
//! let add = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
//!
//! let outcome: Result<u64, _> = client.invoke(&add.call(&["shop:hits"]).arg(2)).await;
//!
//! assert_eq!(outcome.map_err(|error| error.kind()), Err(ErrorKind::Away));
//! let outcome: Result<String, _> = client.query(redis::cmd("GET").arg("shop:hits")).await;
//! assert!(outcome.is_err_and(|error| error.is_unavailable() && !error.may_have_run()));
//! assert_eq!(client.counts().away, 2);
//! assert!(!client.status().is_connected());
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod config;
mod config_error;
mod connect;
mod error;
mod exact;
mod limits;
mod namespace;
#[cfg(feature = "pool")]
mod pool;
mod probes;
mod script;
mod shared;
mod status;
mod url;
mod worker;

#[cfg(feature = "pool")]
pub use deadpool_redis;
pub use redis;

#[cfg(feature = "pool")]
pub use self::pool::Pool;
pub use self::{
    client::Redis,
    config::Config,
    config_error::ConfigError,
    error::{Error, ErrorKind},
    exact::{LUA_EXACT, lua_exact, lua_exact_product},
    namespace::Namespace,
    script::{Invocation, Script},
    status::{AwayReason, Counts, Status},
    worker::Worker,
};
