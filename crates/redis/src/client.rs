//! The client.

use std::{fmt, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind as Raw, FromRedisValue, Pipeline, RedisError, RedisResult, Value, from_redis_value};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, timeout},
};

use crate::{
    config::Config,
    config_error::ConfigError,
    connect::{Work, not_serving},
    error::{Error, ErrorKind},
    script::Invocation,
    shared::{Live, Shared},
    status::{AwayReason, Counts, Status, count},
    worker::Worker,
};

/// A guarded client of one Redis. Clones are handles of it. See the [crate's page](crate).
#[derive(Clone)]
pub struct Redis(Arc<Handles>);

/// What goes when the last handle goes.
struct Handles {
    shared: Arc<Shared>,
    worker: Option<AbortHandle>,
}

// === impl Redis ===

impl Redis {
    /// Creates a client, and the worker that connects it. Until the worker runs, Redis is away.
    ///
    /// # Errors
    ///
    /// Fails if the configuration cannot be used. That Redis cannot be reached is no error.
    pub fn pair(config: Config) -> Result<(Self, Worker), ConfigError> {
        let checked = config.check()?;
        let shared = Arc::new(Shared::new(checked.limits, Instant::now()));
        let worker = Worker::new(shared.clone(), checked);
        Ok((Self(Arc::new(Handles { shared, worker: None })), worker))
    }

    /// Creates a client, and spawns its worker on `runtime`. The worker ends with the last handle.
    ///
    /// # Errors
    ///
    /// As [`pair`](Self::pair).
    pub fn spawn_on(runtime: &Handle, config: Config) -> Result<Self, ConfigError> {
        let checked = config.check()?;
        let shared = Arc::new(Shared::new(checked.limits, Instant::now()));
        let worker = runtime.spawn(Worker::new(shared.clone(), checked)).abort_handle();
        Ok(Self(Arc::new(Handles { shared, worker: Some(worker) })))
    }

    /// Sends one command.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future frees its place. The command may be carried out all the same; the call is not counted.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        self.run(Work::One(cmd), self.0.shared.limits.command_timeout).await
    }

    /// Sends one command that may take as long as `bound`, as one that moves much data. If it takes longer, it tells as much
    /// about Redis as one that takes longer than [`Config::command_timeout`].
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn query_within<T: FromRedisValue>(&self, cmd: &Cmd, bound: Duration) -> Result<T, Error> {
        self.run(Work::One(cmd), bound).await
    }

    /// Sends several commands at once, for one round trip and one time bound.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        self.run(Work::Many(pipeline), self.0.shared.limits.command_timeout).await
    }

    /// Sends several commands at once that may take as long as `bound`: see [`query_within`](Self::query_within).
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn pipeline_within<T: FromRedisValue>(&self, pipeline: &Pipeline, bound: Duration) -> Result<T, Error> {
        self.run(Work::Many(pipeline), bound).await
    }

    /// Calls a script by its hash. If the server does not know it, sends it in full, once, within the same time.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn invoke<T: FromRedisValue>(&self, call: &Invocation) -> Result<T, Error> {
        self.run(Work::Script(call), self.0.shared.limits.command_timeout).await
    }

    /// Calls a script that may take as long as `bound`, as one that moves much data: see [`query_within`](Self::query_within).
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn invoke_within<T: FromRedisValue>(&self, call: &Invocation, bound: Duration) -> Result<T, Error> {
        self.run(Work::Script(call), bound).await
    }

    /// Returns how Redis stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.shared.status()
    }

    /// Returns what has been counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.shared.counters.snapshot()
    }

    /// Completes when Redis is there; at once if it is. For a start that wants to wait, within a bound of its own: if Redis
    /// never comes, this never completes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn connected(&self) {
        self.until(Status::is_connected).await;
    }

    /// Completes when Redis is away; at once if it is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn away(&self) {
        self.until(|status| !status.is_connected()).await;
    }

    async fn until(&self, wanted: impl Fn(&Status) -> bool) {
        // The sender lives in `shared`, so it cannot be gone.
        drop(self.0.shared.changes().wait_for(|status| wanted(status)).await);
    }

    async fn run<T: FromRedisValue>(&self, work: Work<'_>, bound: Duration) -> Result<T, Error> {
        let shared = &*self.0.shared;
        let (place, Live { mut connection, generation }) = shared.admit()?;
        let loaded = || count(&shared.counters.scripts_loaded);
        let answer = timeout(bound, connection.run(work, loaded)).await;
        drop(place);
        let Ok(answer) = answer else {
            count(&shared.counters.timed_out);
            shared.timed_out(generation, Instant::now());
            return Err(Error::new(ErrorKind::TimedOut));
        };
        self.judge(answer, matches!(work, Work::Script(_)), generation)
    }

    /// Tells what the answer says of Redis, and makes the caller's result of it.
    fn judge<T: FromRedisValue>(&self, answer: RedisResult<Value>, script: bool, generation: u64) -> Result<T, Error> {
        let shared = &*self.0.shared;
        let error = match answer.map(from_redis_value) {
            Ok(Ok(data)) => {
                shared.succeeded();
                count(&shared.counters.answered);
                return Ok(data);
            }
            Ok(Err(_)) => {
                shared.succeeded();
                count(&shared.counters.wrong_data);
                return Err(Error::new(ErrorKind::WrongData));
            }
            Err(error) => error,
        };
        match not_serving(&error) {
            Some(reason) => shared.trip(generation, reason, Instant::now()),
            None => shared.succeeded(),
        }
        let kind = kind(&error, script);
        count(match kind {
            ErrorKind::Broken => &shared.counters.broken,
            ErrorKind::WrongData => &shared.counters.wrong_data,
            _ => &shared.counters.refused,
        });
        Err(Error::new(kind).with_code(error.code()))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("status", &self.status()).field("counts", &self.counts()).finish()
    }
}

// === impl Handles ===

impl Drop for Handles {
    fn drop(&mut self) {
        self.shared.abandoned.notify_one();
        if let Some(worker) = &self.worker {
            worker.abort();
        }
    }
}

fn kind(error: &RedisError, script: bool) -> ErrorKind {
    match not_serving(error) {
        Some(AwayReason::Broken) => ErrorKind::Broken,
        Some(_) => ErrorKind::Refused,
        None if error.kind() == Raw::UnexpectedReturnType => ErrorKind::WrongData,
        None if script => ErrorKind::Script,
        None => ErrorKind::Refused,
    }
}
