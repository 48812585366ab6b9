//! What keeps callers to their limits.

use std::{num::NonZeroU32, time::Duration};

use buttress_core::{HttpRefusal, Label, Payload};
use buttress_redis::Redis;
use buttress_token_bucket::{
    AsTheyCome, Callers, Fingerprint, HttpProtocol, Key, LimitError, LimitsHandle, Queue, Secret, ShareError,
    SharedLimits, Sharing, Standing, Tier, TokenBucketLayer,
};
use http::{HeaderName, Request, Response};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use crate::{
    config::{Access, LimitsConfig, RedisConfig},
    operator::Operator,
    stack::BuildError,
    tenants::{Book, Caller, Tenants},
};

/// The layer that keeps callers to their limits.
pub(crate) type LimitsLayer =
    TokenBucketLayer<HttpRefusal, HttpProtocol, Callers<ByCaller, ByCaller, AsTheyCome>, Tenants>;

/// By what was found of the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByCaller;

/// What an operator sees of limits, and does to them.
#[derive(Clone, Debug)]
pub(crate) struct Limiting {
    pub(crate) tenants: Tenants,
    buckets: LimitsHandle,
    shared: Option<Shared>,
}

/// What replicas share.
#[derive(Clone, Debug)]
struct Shared {
    limits: SharedLimits,
    redis: Redis,
    secret: Secret,
}

/// How many requests may wait for one bucket.
const MOST_WAITING: NonZeroU32 = NonZeroU32::new(1_000).expect("1,000 are not 0");

/// How long a replica that stops waits for Redis.
const HAND_BACK: Duration = Duration::from_secs(1);

/// Makes the layer for `limits`, where `book` says who callers are, and what operates it.
///
/// # Errors
///
/// Fails if limits are out of range, or cannot be shared and are to be.
pub(crate) fn build(limits: &LimitsConfig, book: Book) -> Result<(LimitsLayer, Limiting), BuildError> {
    let shared = limits.redis.as_ref().zip(book.redis.as_ref());
    let shared = shared.map(|(redis, access)| share(redis, access)).transpose()?;
    let secret = shared.as_ref().map_or_else(Secret::random, |shared| shared.secret);
    let tenants = Tenants::new(book, secret);
    let tiers = limits.tiers().map(|(name, tier)| Ok((name, limits.limits_of(tier)?)));
    let tiers = tiers.collect::<Result<Vec<_>, LimitError>>()?;
    let mut layer = TokenBucketLayer::new(limits.limits_of(&limits.default)?)
        .secret(secret)
        .max_keys(limits.max_callers)
        .queue(limits.wait.map_or(Queue::NONE, |wait| Queue::of(MOST_WAITING).max_wait(wait)));
    if let Some(shared) = &shared {
        for (_, limits) in &tiers {
            can_share(shared, limits.clone())?;
        }
        layer = layer.shared(shared.limits.clone())?;
    }
    let layer = layer.keyed(ByCaller).tiered(tiers, ByCaller)?.estimate(tenants.clone());
    let layer = if limits.announce { layer.announce() } else { layer };
    let limiting = Limiting { tenants, buckets: layer.handle(), shared };
    Ok((layer, limiting))
}

/// Begins to share limits through `redis`. Whether it is there, nobody waits for.
fn share(redis: &RedisConfig, access: &Access) -> Result<Shared, BuildError> {
    let client = Redis::spawn_on(&Handle::try_current()?, access.config.clone())?;
    let secret = access.secret;
    let limits = SharedLimits::new(client.clone(), &redis.prefix, Label::try_new("callers")?, secret)
        .replicas(redis.replicas)
        .when_away(redis.when_away);
    Ok(Shared { limits, redis: client, secret })
}

/// Says which limit cannot be shared, by name.
fn can_share(shared: &Shared, limits: impl Into<buttress_token_bucket::Limits>) -> Result<(), ShareError> {
    TokenBucketLayer::new(limits).shared(shared.limits.clone()).map(drop)
}

/// Takes out what a target tells of the limits that it has for the gateway: its callers have their own.
pub(crate) fn without_limits_of_target<B>(mut response: Response<B>) -> Response<B> {
    const FAMILIES: [&str; 3] = ["x-ratelimit-", "anthropic-ratelimit-", "ratelimit"];
    let headers = response.headers_mut();
    let is_of_target = |name: &HeaderName| FAMILIES.iter().any(|family| name.as_str().starts_with(family));
    let told = headers.keys().filter(|name| is_of_target(name)).cloned().collect::<Vec<_>>();
    for name in told {
        headers.remove(name);
    }
    response
}

// === impl ByCaller ===

impl Key<Request<Payload>> for ByCaller {
    fn key(&self, request: &Request<Payload>, _: &Secret) -> Fingerprint {
        request.extensions().get::<Caller>().map_or(Fingerprint::NO_KEY, |caller| caller.key)
    }
}

impl Tier<Request<Payload>> for ByCaller {
    fn tier(&self, request: &Request<Payload>) -> usize {
        request.extensions().get::<Caller>().map_or(0, |caller| caller.tier)
    }
}

// === impl Operator ===

impl Operator {
    /// Gives back what this replica has taken in advance of limits that replicas share, and waits until what was settled has been
    /// written, for a second at most. To be called before the [work](Self::sharing) that they need is stopped.
    pub async fn hand_back(&self) {
        if let Some(callers) = &self.callers {
            callers.hand_back().await;
        }
    }
}

// === impl Limiting ===

impl Limiting {
    /// Returns how the limits of each tenant stand, as far as is known here.
    pub(crate) fn standings(&self, now: Instant) -> Vec<(Label, Vec<Standing>)> {
        let standing = |(name, key, tier)| (name, self.buckets.standings_under(tier, key, now));
        self.tenants.all().into_iter().map(standing).collect()
    }

    /// Returns the work that shared limits need, where they are shared.
    pub(crate) fn sharing(&self) -> Option<Sharing> {
        self.shared.as_ref().map(|_| self.buckets.sharing())
    }

    /// Returns whether Redis is there, where limits are shared.
    pub(crate) fn is_connected(&self) -> Option<bool> {
        self.shared.as_ref().map(|shared| shared.redis.status().is_connected())
    }

    /// Gives back what is leased, and waits until what is settled has been written, where limits are shared: for a moment, since what
    /// is not written is refilled in time.
    async fn hand_back(&self) {
        if self.shared.is_some() && timeout(HAND_BACK, self.buckets.hand_back()).await != Ok(true) {
            tracing::warn!("what callers have not used of what was reserved for them stays charged");
        }
    }

    /// Says which of `limits` cannot be taken over, and why.
    pub(crate) fn check(&self, limits: &LimitsConfig) -> Result<(), (String, String)> {
        for (name, tier) in limits.tiers() {
            let key = if name == LimitsConfig::DEFAULT_TIER {
                "limits.default".to_owned()
            } else {
                format!("limits.tiers.{name}")
            };
            let fault = |says: String| (key, says);
            let tier = limits.limits_of(tier).map_err(|error| error.to_string());
            let checked = tier.and_then(|limits| match &self.shared {
                Some(shared) => can_share(shared, limits).map_err(|error| error.to_string()),
                None => Ok(()),
            });
            checked.map_err(fault)?;
        }
        Ok(())
    }

    /// Takes over who is known, what models cost, and what each tier of `limits` may take that `before` says otherwise. What
    /// was used stays used.
    pub(crate) fn replace(&self, book: Book, before: &LimitsConfig, limits: &LimitsConfig) {
        for ((name, tier), (_, was)) in limits.tiers().zip(before.tiers()) {
            // New limits cost a look at each bucket.
            if let (true, Ok(limits)) = (tier != was, limits.limits_of(tier))
                && !self.buckets.set_tier(name, limits)
            {
                tracing::warn!(tier = name, "the limits of the tier stay as they were");
            }
        }
        self.tenants.replace(book);
    }
}
