//! What replicas share, and where.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use buttress_core::Label;
use buttress_redis::{Namespace, Redis};

use super::Seal;

/// Lets replicas share their answers, in Redis (5 or later, or Valkey).
///
/// 1. An answer that is not in local memory is looked for in Redis, for [50 ms](Self::patience) at most, and kept in local memory
///    from then on. When Redis is [away](buttress_redis::Status), it is a miss, and nobody waits for it: whoever found out waited
///    once.
/// 2. Answers are written in the background, from a [bounded queue](Self::queue), compressed by LZ4, and expire when they are good
///    for nothing any more. What is read is bounded in length, both as it comes and once it is unpacked. A value that is damaged, of
///    another version, or in the place of another one is a miss.
/// 3. Age is counted by the clock of Redis and by those of the replicas, and the greater one is told. What comes from the future is a
///    miss: a clock that is set back does not make an answer fresh for ever.
/// 4. What is forgotten on one replica is forgotten on all: in Redis by the same script that tells the others, on the others as soon
///    as they read of it. Redis judges an answer where it lies, so that none is read that was forgotten there. While Redis has not
///    heard of a forgetting yet, the replica that forgot reads nothing from it.
/// 5. One stream is the log of what is forgotten and learned. A replica reads all of it when it begins, and then what comes. If it
///    missed some, it drops what it cannot vouch for and reads it all again. A Redis that comes back empty has a new name for its run,
///    and takes no answer whose call began before; replicas go on with what they have.
/// 6. With a [`Meaning`](crate::Meaning), questions and their vectors are told in the log, and what a judge found; what the policy
///    has learned is saved [now and then](Self::saving_every), and read at the beginning.
///
/// # Where questions are searched for
///
/// By default each replica has all questions in its own memory, from the log: a search costs no round trip and some 0.45 to 1.6 KB of
/// memory for each question and replica, goes on while Redis is away, and needs no more than Redis 5. With
/// [`search_in_redis`](Self::search_in_redis) it asks a vector set of Redis 8: choose it for more than a million questions in one
/// scope, or for many small replicas. Then
///
/// 1. there is one vector set for each scope and embedder: tenants, models and instructions never meet. Questions are in Redis once,
///    and each replica remembers only those that it met lately. One of 384 dimensions takes some 1.3 KB in the set, and 0.25 KB beside it;
/// 2. a search takes two round trips, together within the [patience](Self::patience) of one. Who finds Redis away or slow has a miss:
///    nothing is found by its meaning then, also of what is in local memory;
/// 3. the answer decides: a question whose answer expired, was evicted or forgotten is no candidate, and is removed when it is found.
///    Sets hold no more than the bound, and expire with the last of their answers. The set of a scope is one key, on one node of a
///    cluster;
/// 4. what a judge found of an answer is kept beside it, for all replicas. Who [vouches](crate::Policy::min_principals) for it is
///    not told, as ever.
///
/// If Redis has no vector sets, if values are [sealed](Self::sealed), which vectors cannot be, or if the [`Meaning`](crate::Meaning)
/// can do nothing else, each replica searches its own memory: an event tells once, and [`SharedCounts::search`](crate::SharedCounts)
/// always. It is asked anew whenever the connection is.
///
/// While Redis is away, what is forgotten on one replica is served by the others until it is back.
///
/// Whoever can read Redis reads answers and questions, unless they are [sealed](Self::sealed); their keys are hashes without a
/// secret, by which a question that is guessed can be told. What was forgotten is served by nobody, and stays in Redis until it expires,
/// or is cut off from the log. Whoever can write to it can make replicas forget, and, unless values are
/// sealed, answer what he wants. Sealed values are compressed first: their lengths tell a little of what is in them.
///
/// ```no_run
/// use std::sync::Arc;
/// use buttress_redis::{Config, Namespace, Redis};
/// use buttress_semantic_cache::{ByHeader, ByMeaning, ByQuestion, Lexical, Policy, SemanticCacheLayer, SharedAnswers};
/// use http::{HeaderName, Request};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = tokio::runtime::Handle::current();
/// let config = Config::new("redis://localhost");
/// let client = || Redis::spawn_on(&runtime, config.clone());
/// let shared = SharedAnswers::new(client()?, client()?, &Namespace::try_new("shop:prod")?, "answers".try_into()?);
///
/// let tenant = ByHeader::new(HeaderName::from_static("x-tenant"));
/// let asked = ByQuestion(|request: &Request<String>| Some(request.body().clone()));
/// let meaning = ByMeaning::new(Policy::threshold(0.95)?, Lexical::default());
/// let layer = SemanticCacheLayer::new(tenant, asked).meaning(Arc::new(meaning)).shared(shared);
/// let sharing = runtime.spawn(layer.sharing());
/// // …
/// layer.handle().forget_everything();
/// # sharing.abort();
/// # Ok(()) }
/// ```
///
/// All of it lies in one slot of a cluster. Give Redis a `maxmemory` with a policy of eviction: nothing wrong is served whatever is
/// evicted.
#[derive(Clone)]
pub struct SharedAnswers {
    pub(super) redis: Redis,
    pub(super) log: Redis,
    pub(super) namespace: Namespace,
    pub(super) name: Label,
    pub(super) seal: Option<Arc<dyn Seal>>,
    pub(super) patience: Duration,
    pub(super) value_bytes: usize,
    pub(super) queue: (usize, usize),
    pub(super) marks: usize,
    pub(super) log_entries: usize,
    pub(super) saving: Duration,
    /// The most questions of a scope, where they are searched for in Redis.
    pub(super) questions: Option<usize>,
}

const MIB: usize = 1_024 * 1_024;

// === impl SharedAnswers ===

impl SharedAnswers {
    /// Creates what replicas share that name the same `namespace` and `name`. `redis` is asked for answers, and may serve others as
    /// well. `log` is a client of its own for the same Redis, which nobody else may use: its commands block.
    #[must_use]
    pub fn new(redis: Redis, log: Redis, namespace: &Namespace, name: Label) -> Self {
        Self {
            redis,
            log,
            namespace: namespace.clone(),
            name,
            seal: None,
            patience: Duration::from_millis(50),
            value_bytes: 2 * MIB,
            queue: (4_096, 64 * MIB),
            marks: 10_000,
            log_entries: 100_000,
            saving: Duration::from_secs(60),
            questions: None,
        }
    }

    /// Sets for how long an answer is looked for in Redis, one second at most: 50 ms by default.
    #[must_use]
    pub fn patience(mut self, most: Duration) -> Self {
        self.patience = most.clamp(Duration::from_millis(1), Duration::from_secs(1));
        self
    }

    /// Sets how large a value may be, as it is kept and unpacked, in bytes: 2 MiB by default.
    #[must_use]
    pub const fn max_value_bytes(mut self, most: NonZeroUsize) -> Self {
        self.value_bytes = most.get();
        self
    }

    /// Sets how many answers and lessons may wait to be written, and how many bytes they may take: 4,096 and 64 MiB by default.
    #[must_use]
    pub const fn queue(mut self, entries: NonZeroUsize, bytes: NonZeroUsize) -> Self {
        self.queue = (entries.get(), bytes.get());
        self
    }

    /// Sets how many entries the log has, about: 100,000 by default, 100 at least. It is also cut off at the age that no answer
    /// reaches, from Redis 6.2.
    #[must_use]
    pub fn max_log_entries(mut self, most: NonZeroUsize) -> Self {
        self.log_entries = most.get().max(100);
        self
    }

    /// Sets how often it is saved what the policy has learned: each minute by default, each second at most.
    #[must_use]
    pub fn saving_every(mut self, time: Duration) -> Self {
        self.saving = time.max(Duration::from_secs(1));
        self
    }

    /// Searches for questions that mean the same in Redis (8 or later) by its vector sets, and not in each replica's own memory. No more
    /// than `most` questions of a scope are kept; the oldest go first. All replicas must do the same: they do not hear of each
    /// other's questions otherwise.
    #[must_use]
    pub const fn search_in_redis(mut self, most: NonZeroUsize) -> Self {
        self.questions = Some(most.get());
        self
    }

    /// Seals what is written, and takes in nothing that is not sealed.
    #[must_use]
    pub fn sealed(mut self, seal: Arc<dyn Seal>) -> Self {
        self.seal = Some(seal);
        self
    }
}

impl fmt::Debug for SharedAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAnswers")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("sealed", &self.seal.is_some())
            .finish_non_exhaustive()
    }
}
