//! The layer and its settings.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use buttress_core::{HttpClassify, HttpRefusal};
use rand::{SeedableRng as _, rngs::StdRng};
use tower_layer::Layer;

use crate::{
    Bypass, Counts, Freshness, Gone, Key, Mark, Meaning, Miss, Pace, SemanticCache, Unfit,
    record::RecordBounds,
    remote::Remote,
    shared::{Background, Keeper, Shared},
    store::Bounds,
};

/// Answers questions again that were answered before. See the [crate docs](crate).
///
/// `T` says whose a question is, `A` reads questions and answers, `M` says what a refusal becomes, and `C` what is a failure.
///
/// The methods that set what is kept ([`max_bytes`](Self::max_bytes), [`max_entries`](Self::max_entries),
/// [`max_entry_bytes`](Self::max_entry_bytes), [`max_tenant_bytes`](Self::max_tenant_bytes), [`seed`](Self::seed)) begin with an
/// empty cache: set the layer up first, then clone it or take a [`handle`](Self::handle).
pub struct SemanticCacheLayer<T, A, M = HttpRefusal, C = HttpClassify> {
    pub(crate) tenant: T,
    pub(crate) refusal: M,
    pub(crate) classify: C,
    pub(crate) settings: Settings,
    pub(crate) keeper: Keeper<A>,
    bounds: Bounds,
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) pace: Pace,
    pub(crate) record: RecordBounds,
    pub(crate) only_cached: bool,
    pub(crate) patience: Duration,
    pub(crate) shows_similarity: bool,
}

/// Reads what the cache did, and lets it forget.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) remote: Option<Arc<Remote>>,
}

/// How long the answer to a request is fresh, in its extensions, instead of what the layer says: for a route of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing else to it")]
pub struct FreshFor(pub Duration);

const MIB: usize = 1_024 * 1_024;

// === impl SemanticCacheLayer ===

impl<T, A> SemanticCacheLayer<T, A> {
    /// Creates a layer. `tenant` says whose a question is, and nobody has another one's answers; `ask` reads questions and answers.
    ///
    /// It keeps 64 MiB and 100,000 answers, of 1 MiB each at most, for an hour.
    #[must_use]
    pub fn new(tenant: T, ask: A) -> Self {
        let bounds =
            Bounds { bytes: 64 * MIB, entries: 100_000, entry_bytes: MIB, tenant_bytes: 64 * MIB, marks: 10_000 };
        let keeper = Keeper {
            shared: Shared::new(bounds, StdRng::from_rng(&mut rand::rng())),
            ask: Arc::new(ask),
            meaning: None,
            remote: None,
            freshness: Freshness::default(),
            background: Background { most: 64, time: Duration::from_secs(60) },
        };
        let settings = Settings {
            pace: Pace::Instant,
            record: RecordBounds { bytes: MIB, time: Duration::from_secs(600) },
            only_cached: false,
            patience: Duration::from_millis(50),
            shows_similarity: false,
        };
        Self { tenant, refusal: HttpRefusal, classify: HttpClassify, settings, keeper, bounds, seed: None }
    }
}

impl<T, A, M, C> SemanticCacheLayer<T, A, M, C> {
    /// Sets how long answers are good.
    #[must_use]
    pub const fn freshness(mut self, freshness: Freshness) -> Self {
        self.keeper.freshness = freshness;
        self
    }

    /// Sets how many bytes are kept in all.
    #[must_use]
    pub fn max_bytes(self, most: NonZeroUsize) -> Self {
        self.bounded(|bounds| bounds.bytes = most.get())
    }

    /// Sets how many answers are kept in all, four thousand million at most.
    #[must_use]
    pub fn max_entries(self, most: NonZeroUsize) -> Self {
        self.bounded(|bounds| bounds.entries = most.get().min(u32::MAX as usize - 1))
    }

    /// Sets how long an answer may be to be kept, in bytes.
    #[must_use]
    pub fn max_entry_bytes(mut self, most: NonZeroUsize) -> Self {
        self.settings.record.bytes = most.get();
        self.bounded(|bounds| bounds.entry_bytes = most.get())
    }

    /// Sets how many bytes are kept for each tenant. Its oldest answers go first.
    #[must_use]
    pub fn max_tenant_bytes(self, most: NonZeroUsize) -> Self {
        self.bounded(|bounds| bounds.tenant_bytes = most.get())
    }

    /// Sets the seed of how long answers are good, for tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self.bounded(|_| {})
    }

    /// Sets how long an answer may take to be kept: 10 minutes by default.
    #[must_use]
    pub const fn max_time(mut self, most: Duration) -> Self {
        self.settings.record.time = most;
        self
    }

    /// Sets how fast streams are given again: at once by default.
    #[must_use]
    pub const fn pace(mut self, pace: Pace) -> Self {
        self.settings.pace = pace;
        self
    }

    /// Sets how many calls may be made in the background at a time, 64 by default, and how long each may take, a minute by
    /// default.
    #[must_use]
    pub const fn background(mut self, most: usize, time: Duration) -> Self {
        self.keeper.background = Background { most, time };
        self
    }

    /// Answers from the cache only, and refuses what is not there: as if each request asked for `only-if-cached`.
    #[must_use]
    pub const fn only_cached(mut self) -> Self {
        self.settings.only_cached = true;
        self
    }

    /// Lets questions be answered that mean the same as one that was answered before: see [`Meaning`].
    #[must_use]
    pub fn meaning(mut self, meaning: Arc<dyn Meaning>) -> Self {
        self.keeper.meaning = Some(meaning);
        self
    }

    /// Sets for how long a call waits for a [`Meaning`] before it is made: 50 ms by default. From then on the two run side by side,
    /// and whichever has an answer first is it.
    #[must_use]
    pub const fn patience(mut self, most: Duration) -> Self {
        self.settings.patience = most;
        self
    }

    /// Tells callers how alike a question is to the one whose answer they have. It helps to find out what others have asked, so it
    /// is for callers that are trusted.
    #[must_use]
    pub const fn showing_similarity(mut self) -> Self {
        self.settings.shows_similarity = true;
        self
    }

    /// Sets what a refusal becomes: see [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> SemanticCacheLayer<T, A, M2, C> {
        self.with(|_, classify| (refusal, classify))
    }

    /// Sets what tells a failure. By default [`HttpClassify`].
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> SemanticCacheLayer<T, A, M, C2> {
        self.with(|refusal, _| (refusal, classify))
    }

    /// Returns a handle of the cache.
    #[must_use]
    pub fn handle(&self) -> CacheHandle {
        CacheHandle { shared: Arc::clone(&self.keeper.shared), remote: self.keeper.remote.clone() }
    }

    fn bounded(mut self, f: impl FnOnce(&mut Bounds)) -> Self {
        f(&mut self.bounds);
        let rng = self.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        self.keeper.shared = Shared::new(self.bounds, rng);
        self
    }

    fn with<M2, C2>(self, f: impl FnOnce(M, C) -> (M2, C2)) -> SemanticCacheLayer<T, A, M2, C2> {
        let Self { tenant, refusal, classify, settings, keeper, bounds, seed } = self;
        let (refusal, classify) = f(refusal, classify);
        SemanticCacheLayer { tenant, refusal, classify, settings, keeper, bounds, seed }
    }
}

impl<T: Clone, A, M: Clone, C: Clone> Clone for SemanticCacheLayer<T, A, M, C> {
    fn clone(&self) -> Self {
        Self {
            tenant: self.tenant.clone(),
            refusal: self.refusal.clone(),
            classify: self.classify.clone(),
            settings: self.settings,
            keeper: self.keeper.clone(),
            bounds: self.bounds,
            seed: self.seed,
        }
    }
}

impl<S, T: Clone, A, M: Clone, C: Clone> Layer<S> for SemanticCacheLayer<T, A, M, C> {
    type Service = SemanticCache<S, T, A, M, C>;

    fn layer(&self, inner: S) -> Self::Service {
        SemanticCache::new(inner, Arc::new(self.clone()))
    }
}

impl<T, A, M, C> fmt::Debug for SemanticCacheLayer<T, A, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemanticCacheLayer")
            .field("settings", &self.settings)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

// === impl CacheHandle ===

impl CacheHandle {
    /// Returns what the cache did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let books = self.shared.books();
        self.shared.counters.read(books.store.len(), books.store.bytes())
    }

    /// Returns how many questions were passed on for this reason.
    #[must_use]
    pub fn missed_for(&self, why: Miss) -> u64 {
        self.shared.counters.missed(why).read()
    }

    /// Returns why answers are kept no more.
    #[must_use]
    pub fn gone(&self) -> Gone {
        self.shared.books().store.gone
    }

    /// Returns how many requests were left alone for this reason.
    #[must_use]
    pub fn bypassed_for(&self, why: Bypass) -> u64 {
        self.shared.counters.bypassed(why).read()
    }

    /// Returns how many answers were not kept for this reason.
    #[must_use]
    pub fn unfit_for(&self, why: Unfit) -> u64 {
        self.shared.counters.unfit(why).read()
    }

    /// Forgets one answer, by the [`Key`] in its response's extensions. Returns whether it was in local memory.
    #[expect(clippy::must_use_candidate, reason = "it is forgotten, whether or not it was there")]
    pub fn forget(&self, key: Key) -> bool {
        // In this order: what is on its way from there is seen here, or not let in there.
        if let Some(remote) = &self.remote {
            remote.forget(key);
        }
        let mut books = self.shared.books();
        #[cfg(feature = "redis")]
        books.deleted.note(key);
        books.store.forget(&key)
    }

    /// Forgets all answers of a tenant, of a model, or with a tag; also those that are under way. It takes as long for one as for a
    /// million, whose room is taken back little by little.
    pub fn forget_all_of(&self, mark: Mark) {
        if let Some(remote) = &self.remote {
            remote.forget_all_of(mark);
        }
        self.shared.books().store.epochs.forget(mark);
    }

    /// Forgets everything.
    pub fn forget_everything(&self) {
        if let Some(remote) = &self.remote {
            remote.forget_everything();
        }
        self.shared.books().store.epochs.forget_all();
    }

    /// Returns how much is being done in the background.
    #[must_use]
    pub fn in_background(&self) -> usize {
        self.shared.under_way()
    }
}
