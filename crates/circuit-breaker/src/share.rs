//! Replicas tell each other what opened, through Redis.

use std::{fmt, sync::Arc, time::Duration};

use buttress_redis::{Namespace, Redis};

use crate::{
    Handle,
    share_outbox::{Outbox, ShareObserver},
    share_worker::ShareWorker,
};

/// Tells other replicas what opened here, and this one what opened there.
///
/// It shortens detection, and nothing depends on it:
///
/// 1. What opened by [evidence](crate::Cause::is_evidence) of this process is written to Redis with the time it is open for,
///    at most 10 minutes. What opened on advice is not, so that word does not go round in circles.
/// 2. Every [`interval`](Self::interval), what is there of others is handed to [`Handle::advise`], each message once. It
///    lowers the threshold to one failure, or opens where [`trust_advice`](crate::Settings::trust_advice) is set, for no
///    longer than [`max_advice`](crate::Settings::max_advice), whoever wrote it.
/// 3. Messages stay until their time is over by the server's clock, so a replica that starts later hears them too.
/// 4. No call of the breaker waits for any of this. While Redis is away, each replica goes by what it sees itself.
/// 5. Redis holds at most [`max_hints`](Self::max_hints) messages under one key; a replica remembers no more, and keeps no more
///    than 256 to be sent. What is no message of this version is ignored.
///
/// Whoever can write to Redis can make replicas shun a target, within that bound. If that is not for all of them to say, do
/// not set `trust_advice`.
///
/// ```
/// use buttress_circuit_breaker::{CircuitBreakerLayer, Settings, Share};
/// use buttress_redis::{Config, Namespace, Redis};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = tokio::runtime::Handle::current();
/// let redis = Redis::spawn_on(&runtime, Config::new("redis://localhost"))?;
/// let share = Share::new(redis, &Namespace::try_new("shop:prod")?);
/// let layer = CircuitBreakerLayer::try_new(Settings::new().on_change(share.observer()))?;
/// let sharing = runtime.spawn(share.run(layer.handle()));
/// # let _ = layer;
/// // …
/// sharing.abort();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Share {
    pub(crate) redis: Redis,
    pub(crate) key: String,
    pub(crate) interval: Duration,
    pub(crate) max_hints: u16,
    pub(crate) seed: Option<u64>,
    pub(crate) outbox: Arc<Outbox>,
}

/// What was shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareCounts {
    /// Messages that were written.
    pub sent: u64,
    /// Messages of others that were of use here.
    pub heard: u64,
    /// Messages that were none, of another version or of somebody else.
    pub ignored: u64,
    /// Messages that were not written, since too many waited.
    pub dropped: u64,
    /// Looks that failed, also because Redis was away.
    pub failed: u64,
}

// === impl Share ===

impl Share {
    /// Creates what is shared within `namespace`. All replicas of a service name the same one.
    #[must_use]
    pub fn new(redis: Redis, namespace: &Namespace) -> Self {
        Self {
            redis,
            key: namespace.key("cb", "hints", "v1"),
            interval: Duration::from_millis(250),
            max_hints: 256,
            seed: None,
            outbox: Arc::default(),
        }
    }

    /// Sets how often to look, and adds up to a quarter to each interval. 250 ms by default; clamped to 10 ms to 1 min.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(Duration::from_millis(10), Duration::from_secs(60));
        self
    }

    /// Sets how many messages there may be at once, of all replicas together. 256 by default; at least 1. Those that end
    /// soonest give way.
    #[must_use]
    pub fn max_hints(mut self, hints: u16) -> Self {
        self.max_hints = hints.max(1);
        self
    }

    /// Makes the intervals the same in each run.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Returns what hears of changes here.
    #[must_use]
    pub fn observer(&self) -> ShareObserver {
        ShareObserver::new(self.outbox.clone())
    }

    /// Returns the work of sharing for the circuits of `handle`, to be spawned or polled beside other work.
    pub fn run(&self, handle: Handle) -> ShareWorker {
        ShareWorker::new(self.clone(), handle)
    }

    /// Returns what was shared.
    #[must_use]
    pub fn counts(&self) -> ShareCounts {
        self.outbox.counts()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
