//! What is answered once for several requests: those that ask the same at the same time, and those that ask it again.

use std::sync::Arc;

use axum::body::Body as AxumBody;
use buttress_coalesce::{CoalesceHandle, CoalesceLayer, Joined, WholeRequest};
use buttress_core::{BoxError, ByExtension, Label, Payload, TransportError, Usage};
use buttress_redis::Redis;
use buttress_semantic_cache::{
    Admit, Ask, Asked, Asking, Bypass, CacheHandle, CacheOutcome, Draft, KeyRing, SemanticCacheLayer, SharedAnswers,
    Stored, Unfit, llm::Conversations,
};
use bytes::Bytes;
use http::{Extensions, HeaderName, Request, Response, header};
use http_body::Body;
use tokio::runtime::Handle;
use tower::{Layer as _, Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    config::{CacheConfig, CacheMode, CoalesceConfig, Config, ConfigError, KeyHash},
    ledger::{Ledger, Told},
    meaning::{Judging, Meanings},
    rules::{Holder, Rules, Treatment, freshness},
    stack::{BuildError, HttpClient},
    tenants::{PriceList, Whose},
    unasked::without_usage,
};

pub(crate) type CacheLayer = SemanticCacheLayer<ByExtension<Holder>, Asks>;
pub(crate) type Coalescing = CoalesceLayer<ByExtension<Whose>>;

/// What is below the limits of callers, where answers are shared.
pub(crate) type Shared = BoxCloneSyncService<Request<Payload>, Response<AxumBody>, TransportError>;

/// Reads what is asked, as far as it may be cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks(Conversations);

/// The layers that share answers among the requests of one caller, where they are on.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    coalesce: Option<Coalescing>,
    cache: Option<(CacheLayer, Kept)>,
}

/// What is known of the cache. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) handle: CacheHandle,
    pub(crate) rules: Rules,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) meanings: Option<Meanings>,
    /// The layer, where replicas share its answers, and their Redis.
    pub(crate) replicas: Option<(CacheLayer, Redis)>,
}

/// What an operator sees of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    pub(crate) coalesce: Option<CoalesceHandle>,
    pub(crate) cache: Option<Kept>,
}

// === impl Sharing ===

impl Sharing {
    /// Makes what `config` says. The embedder is asked through `client`, if it is asked at all; `judge` is the model that compares answers.
    ///
    /// # Errors
    ///
    /// Fails if questions that mean the same cannot be found as it says.
    pub(crate) fn new(config: &Config, client: &HttpClient, judge: Option<Judging>) -> Result<Self, BuildError> {
        let cache = Rules::new(&config.cache).map(|rules| cache(config, rules, client, judge)).transpose()?;
        Ok(Self { coalesce: config.coalesce.as_ref().map(coalesce), cache })
    }

    /// Returns whether any answer is shared.
    pub(crate) const fn is_on(&self) -> bool {
        self.coalesce.is_some() || self.cache.is_some()
    }

    pub(crate) fn shares(&self) -> Shares {
        Shares {
            coalesce: self.coalesce.as_ref().map(CoalesceLayer::handle),
            cache: self.cache.as_ref().map(|(_, kept)| kept.clone()),
        }
    }

    /// Returns what is cached of which request, where anything is.
    pub(crate) fn rules(&self) -> Option<Rules> {
        self.cache.as_ref().map(|(_, kept)| kept.rules.clone())
    }

    /// Returns `inner` with answers that are given again, where any are. What goes on with a broken answer stands around it: what
    /// two models wrote is the answer of neither.
    pub(crate) fn cached(&mut self, inner: impl FnOnce() -> Shared) -> Option<Shared> {
        let (layer, kept) = self.cache.take()?;
        Some(boxed(Told::new(layer.layer(inner()), kept.ledger)))
    }

    /// Takes the layer that shares calls.
    pub(crate) const fn take_coalesce(&mut self) -> Option<Coalescing> {
        self.coalesce.take()
    }
}

/// Makes one type of what stands below a layer that shares answers, and of what stands above it.
///
/// What a caller has not asked for is no part of an answer that others are given, who may not have asked either.
pub(crate) fn boxed<S, B>(service: S) -> Shared
where
    S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    Shared::new(service.map_response(|response: Response<_>| without_usage(response.map(AxumBody::new))))
}

fn coalesce(config: &CoalesceConfig) -> Coalescing {
    let mut question = WholeRequest::default();
    // By these the caller was told, who is compared apart. They do not reach a target.
    for name in ["x-api-key", "api-key", "x-goog-api-key"].map(HeaderName::from_static) {
        question = question.ignoring(name);
    }
    CoalesceLayer::new(ByExtension::new())
        .max_bytes(config.max_bytes)
        .question(question.ignoring(header::AUTHORIZATION).ignoring(header::COOKIE))
}

fn cache(
    config: &Config,
    rules: Rules,
    client: &HttpClient,
    judge: Option<Judging>,
) -> Result<(CacheLayer, Kept), BuildError> {
    let cache = &config.cache;
    let mut layer = SemanticCacheLayer::new(ByExtension::new(), Asks::new(cache))
        .max_bytes(cache.max_bytes)
        .max_entries(cache.max_entries)
        .max_entry_bytes(cache.max_entry_bytes)
        .max_tenant_bytes(cache.max_caller_bytes.unwrap_or(cache.max_bytes))
        .freshness(freshness(cache, None))
        .patience(cache.semantic.patience);
    let meanings = (cache.most() == CacheMode::Semantic).then(|| Meanings::new(config, client, judge)).transpose()?;
    if let Some(meanings) = &meanings {
        layer = layer.meaning(Arc::new(meanings.finder.clone()));
    }
    let redis = replicas(config)?.map(|(redis, answers)| {
        layer = layer.clone().shared(answers);
        redis
    });
    let replicas = redis.map(|redis| (layer.clone(), redis));
    let ledger = Arc::new(Ledger::new(&rules, PriceList::new(config)));
    let kept = Kept { handle: layer.handle(), rules, ledger, meanings, replicas };
    Ok((layer, kept))
}

/// Returns where replicas share answers, if they do. Whether Redis is there, nobody waits for.
fn replicas(config: &Config) -> Result<Option<(Redis, SharedAnswers)>, BuildError> {
    let Some(redis) = &config.cache.redis else { return Ok(None) };
    let Some(access) = &config.cache_access else {
        let says = "how it is reached was not looked up".to_owned();
        return Err(ConfigError::of_key("cache.redis".to_owned(), says).into());
    };
    let client = || Redis::spawn_on(&Handle::try_current()?, access.config.clone()).map_err(BuildError::from);
    let (asked, log) = (client()?, client()?);
    let mut answers = SharedAnswers::new(asked.clone(), log, &redis.prefix, Label::try_new("answers")?);
    if let Some(most) = config.cache.semantic.searched_in_redis() {
        answers = answers.search_in_redis(most);
    }
    if let Some(key) = &access.seal {
        // Named after the key, so that what another key has sealed is known as such.
        let [a, b, c, d, ..] = KeyHash::of(key).bytes();
        answers = answers.sealed(Arc::new(KeyRing::new(u32::from_be_bytes([a, b, c, d]), key)));
    }
    Ok(Some((asked, answers)))
}

/// Returns whether an answer was made for another request, so that what it used is not what such an answer uses.
pub(crate) fn was_made_before(extensions: &Extensions) -> bool {
    let is_new = |outcome: &CacheOutcome| matches!(outcome, CacheOutcome::Miss(_) | CacheOutcome::Bypassed(_));
    extensions.get::<Joined>().is_some() || !extensions.get::<CacheOutcome>().is_none_or(is_new)
}

// === impl Asks ===

impl Asks {
    fn new(config: &CacheConfig) -> Self {
        let mut conversations = Conversations::new();
        if config.sampled {
            conversations = conversations.sampled();
        }
        if config.tools {
            conversations = conversations.with_tools();
        }
        if config.media {
            conversations = conversations.with_media();
        }
        if config.personal {
            conversations = conversations.personal();
        }
        Self(conversations)
    }
}

impl Ask<Request<Payload>> for Asks {
    fn ask(&self, request: &Request<Payload>, asking: Asking) -> Result<Asked, Bypass> {
        match request.extensions().get::<Treatment>().map_or(CacheMode::Off, |treatment| treatment.mode) {
            CacheMode::Off => Err(Bypass::Off),
            CacheMode::Exact => self.0.ask(request, asking).map(Asked::exactly),
            CacheMode::Semantic => {
                let asked = self.0.ask(request, asking)?;
                Ok(match request.extensions().get::<Holder>() {
                    Some(Holder::AllOf(_)) => asked.asked_by(Whose::number(request.extensions().get())),
                    _ => asked,
                })
            }
        }
    }
}

impl Admit for Asks {
    fn admit(&self, question: &Asked, answer: &Draft) -> Result<Option<Usage>, Unfit> {
        self.0.admit(question, answer)
    }

    fn reshape(&self, question: &Asked, answer: &Arc<Stored>) -> Option<Arc<Stored>> {
        self.0.reshape(question, answer)
    }

    fn words(&self, question: &Asked, answer: &Stored) -> Option<String> {
        self.0.words(question, answer)
    }
}
