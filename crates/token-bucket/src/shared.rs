//! Limits that replicas share, through Redis.

mod asking;
mod away;
mod counts;
#[cfg(test)]
mod differential;
mod error;
mod exact;
#[cfg(test)]
mod kept;
mod lease;
mod near;
mod outbox;
mod script;
mod settle;
mod sharing;
mod source;
mod store;

use std::{fmt, num::NonZeroU32, time::Duration};

use buttress_core::Label;
use buttress_redis::{Namespace, Redis};

use crate::Secret;

pub(crate) use self::{
    asking::{Asking, Asks, poll_turn},
    exact::Exact,
    near::Near,
    settle::{hand_back, reserve},
    store::{Here, Store},
};
pub use self::{counts::SharedCounts, error::ShareError, sharing::Sharing};

/// Lets replicas take from the same buckets, in Redis.
///
/// 1. A call is decided by one script in one round trip: from all buckets of its key, or from none. All that a key has lies
///    in one slot. The time is the server's, and no clock of a replica counts. The arithmetic is that of
///    [`Bucket`](crate::Bucket), in whole numbers of at most 2⁵³ and whole microseconds; limits that need more are refused
///    by [`ShareError`] before anything is sent.
/// 2. What Redis said last of a key is remembered for a [second](Self::remember): what cannot pass is refused without
///    another round trip. Nobody but a settlement makes a level higher than time does, so the refusal is right, unless a
///    replica has given back meanwhile.
/// 3. A key that is asked for often is [leased](Self::lease): with a call's own costs, a round trip takes a block, no more than a
///    tenth of what the bucket holds, and none of its last fifth. Calls take from the block at once. What is left of it goes back when
///    its time is over. A lease is taken in advance, so that nobody ever takes too much; what is leased elsewhere is missing
///    here meanwhile.
/// 4. Settlements go to Redis in the [background](crate::LimitsHandle::sharing), each under a number of its own, so that one
///    that is sent twice counts once. Of those that wait to be sent, 65,536 are kept.
///    One that is about to end can [hand back](crate::LimitsHandle::hand_back) what it has leased, and wait for what is unsent; what
///    is left of leases when the layer goes is sent too.
/// 5. A replica that crashes gives nothing back: what it had reserved or leased stays charged, as a call that is given up is by
///    default, and is refilled with time. The same is true of a call that is dropped while Redis is asked.
/// 6. When Redis is [away](buttress_redis::Status), calls are decided [here](WhenAway), and nobody waits for it: one that is
///    under way then waits no longer than the [bound](buttress_redis::Config::command_timeout) of a call. When it is
///    back, what was used meanwhile and would not be refilled by now is charged to it. A call that waited in vain is held to have
///    been charged: a server that is frozen or slow does in the end what it was asked for.
/// 7. Keys expire in Redis when their buckets are full, and a key that is not there is full. Redis needs no persistence: one that
///    comes back empty has forgotten what was used, but not what replicas used while it was away. A failover forgets what had
///    not reached the replica, so that at most the rate times that delay passes in addition.
/// 8. A [queue](crate::TokenBucketLayer::queue) is fair among the calls of one replica, not between replicas. The call whose turn it is
///    asks again each second at least, and so learns of what another replica has given back.
///
/// 9. Replicas may know different limits of one key, as while a configuration is rolled out: each decides by its own, and what was
///    used of the others, up to 16 in all, is kept until it is refilled.
///
/// Redis 6 or later is needed, or Valkey. Whoever can write to Redis can make limits larger or smaller than they are.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use buttress_redis::{Config, Namespace, Redis};
/// use buttress_token_bucket::{Dimension, Limit, Secret, SharedLimits, TokenBucketLayer, WhenAway};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = tokio::runtime::Handle::current();
/// let redis = Redis::spawn_on(&runtime, Config::new("redis://localhost"))?;
/// let secret = Secret::new(*b"the same for all");
/// let shared = SharedLimits::new(redis, &Namespace::try_new("shop:prod")?, "tenants".try_into()?, secret)
///     .replicas(NonZeroU32::new(3).expect("not zero"))
///     .when_away(WhenAway::LocalShare);
/// let limit = Limit::try_new("tokens", Dimension::TOKENS, 90_000, Duration::from_secs(60))?;
/// let layer = TokenBucketLayer::new(limit).shared(shared)?;
/// let sharing = runtime.spawn(layer.handle().sharing());
/// # let _ = layer;
/// // …
/// sharing.abort();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SharedLimits {
    pub(crate) redis: Redis,
    pub(crate) namespace: Namespace,
    pub(crate) name: Label,
    pub(crate) secret: Secret,
    pub(crate) replicas: NonZeroU32,
    pub(crate) away: WhenAway,
    pub(crate) lease: Duration,
    pub(crate) memory: Duration,
}

/// What happens to calls while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each replica goes on by itself with its share: what is left, as far as it knows, and what comes, divided by the number
    /// of [replicas](SharedLimits::replicas). A call that is larger than the share, and not larger than the limit, passes when nothing is
    /// missing, and is owed.
    #[default]
    LocalShare,
    /// All calls pass, and are charged later.
    FailOpen,
    /// All calls are refused as [`Unavailable`](buttress_core::RefusalKind::Unavailable), 503.
    FailClosed,
}

// === impl SharedLimits ===

impl SharedLimits {
    /// Creates what replicas share. All of them name the same `namespace`, `name` and `secret`, and different sets of limits in
    /// one Redis differ in `name`. Keys are known in Redis by their fingerprints alone.
    #[must_use]
    pub fn new(redis: Redis, namespace: &Namespace, name: Label, secret: Secret) -> Self {
        Self {
            redis,
            namespace: namespace.clone(),
            name,
            secret,
            replicas: NonZeroU32::MIN,
            away: WhenAway::default(),
            lease: Duration::from_millis(250),
            memory: Duration::from_secs(1),
        }
    }

    /// Sets how many replicas there are, which counts while Redis is away. One by default.
    #[must_use]
    pub const fn replicas(mut self, replicas: NonZeroU32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets what happens to calls while Redis is away, under limits that do not [say otherwise](crate::Limit::when_away): each limit goes by
    /// its own rule.
    #[must_use]
    pub const fn when_away(mut self, away: WhenAway) -> Self {
        self.away = away;
        self
    }

    /// Sets for how long a block of tokens is leased, which is also how much: as much as was asked for in that time. 250 ms by
    /// default, at most 10 s; zero asks Redis for each call.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time.min(Duration::from_secs(10));
        self
    }

    /// Sets for how long what Redis said is remembered, so that calls are refused without asking. A second by default; zero asks
    /// Redis for each call.
    #[must_use]
    pub const fn remember(mut self, time: Duration) -> Self {
        self.memory = time;
        self
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, replicas, away, lease, memory, .. } = self;
        let mut all = f.debug_struct("SharedLimits");
        all.field("namespace", namespace).field("name", name).field("replicas", replicas).field("away", away);
        all.field("lease", lease).field("memory", memory).finish_non_exhaustive()
    }
}
