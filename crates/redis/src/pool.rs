//! Connections of one's own.

use std::{fmt, num::NonZeroUsize};

use deadpool_redis::{Manager, PoolError, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, IntoConnectionInfo as _, io::tcp::TcpSettings};

use crate::{
    config::{Config, Topology},
    config_error::ConfigError,
    error::{Error, ErrorKind},
    status::AwayReason,
};

/// A bounded pool of connections that are nobody else's, for commands that block: `XREAD BLOCK`, `BLPOP`, `WATCH`.
///
/// All else belongs on the shared connection of [`Redis`](crate::Redis), which does several times as much with less work. A
/// command on such a connection has no time bound but the caller's own, and tells nothing about Redis to the guard.
#[derive(Clone)]
pub struct Pool(deadpool_redis::Pool);

// === impl Pool ===

impl Pool {
    /// Creates a pool of at most `size` connections, made when they are asked for. [`Config::connect_timeout`] bounds the
    /// making of one, [`Config::command_timeout`] the wait for one and the look whether it is still good.
    ///
    /// # Errors
    ///
    /// Fails if the configuration cannot be used, or is not of a single server.
    pub fn try_new(config: Config, size: NonZeroUsize) -> Result<Self, ConfigError> {
        let checked = config.check()?;
        let Topology::Single(addr) = checked.topology else {
            return Err(ConfigError::new("config", "one of several servers".to_owned(), "one of a single server"));
        };
        let unusable =
            |_| ConfigError::new("url", "one that cannot be connected to here".to_owned(), "TCP or a socket");
        let info = addr.into_connection_info().map_err(unusable)?.set_redis_settings(checked.info);
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        // A command that blocks takes as long as it takes.
        let settings = AsyncConnectionConfig::new().set_response_timeout(None);
        let manager = Manager::new_with_config(info, settings).map_err(unusable)?;
        let timeouts = Timeouts {
            wait: Some(checked.limits.command_timeout),
            create: Some(checked.limits.connect_timeout),
            recycle: Some(checked.limits.command_timeout),
        };
        let pool = deadpool_redis::Pool::builder(manager)
            .max_size(size.get())
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is set, which is all that can be missing");
        Ok(Self(pool))
    }

    /// Takes a connection. Dropped, it goes back; one whose command was broken off should be
    /// [taken out](deadpool_redis::Connection::take) and dropped instead, since an answer may still come over it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Away`] if there is no connection to be had in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in line.
    pub async fn take(&self) -> Result<deadpool_redis::Connection, Error> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Timeout(deadpool_redis::TimeoutType::Wait) => Error::new(ErrorKind::Away),
            PoolError::Timeout(_) => Error::away(AwayReason::TimedOut),
            _ => Error::away(AwayReason::Unreachable),
        })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.0.status()).finish()
    }
}
