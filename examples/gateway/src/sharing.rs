//! What is answered once for several requests: those that ask the same at the same time, and those that ask it again.

use axum::body::Body as AxumBody;
use buttress_coalesce::{CoalesceHandle, CoalesceLayer, Joined, WholeRequest};
use buttress_core::{BoxError, ByExtension, Payload, TransportError};
use buttress_semantic_cache::{CacheHandle, CacheOutcome, Freshness, SemanticCacheLayer, llm::Conversations};
use bytes::Bytes;
use http::{Extensions, HeaderName, Request, Response, header};
use http_body::Body;
use serde_json::{Value, json};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    config::{CacheConfig, CacheMode, CoalesceConfig, Config},
    tenants::Whose,
    unasked::without_usage,
};

pub(crate) type CacheLayer = SemanticCacheLayer<ByExtension<Whose>, Conversations>;
pub(crate) type Coalescing = CoalesceLayer<ByExtension<Whose>>;

/// What is below the limits of callers, where answers are shared.
pub(crate) type Shared = BoxCloneSyncService<Request<Payload>, Response<AxumBody>, TransportError>;

/// The layers that share answers among the requests of one caller, where they are on.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    coalesce: Option<Coalescing>,
    cache: Option<CacheLayer>,
}

/// What an operator sees of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    coalesce: Option<CoalesceHandle>,
    cache: Option<CacheHandle>,
}

// === impl Sharing ===

impl Sharing {
    pub(crate) fn new(config: &Config) -> Self {
        Self { coalesce: config.coalesce.as_ref().map(coalesce), cache: cache(&config.cache) }
    }

    /// Returns whether any answer is shared.
    pub(crate) const fn is_on(&self) -> bool {
        self.coalesce.is_some() || self.cache.is_some()
    }

    pub(crate) fn shares(&self) -> Shares {
        Shares {
            coalesce: self.coalesce.as_ref().map(CoalesceLayer::handle),
            cache: self.cache.as_ref().map(SemanticCacheLayer::handle),
        }
    }

    /// Takes the layer that gives answers again. What goes on with a broken answer stands around it: what two models wrote is the
    /// answer of neither.
    pub(crate) const fn take_cache(&mut self) -> Option<CacheLayer> {
        self.cache.take()
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

fn cache(config: &CacheConfig) -> Option<CacheLayer> {
    if config.mode == CacheMode::Off {
        return None;
    }
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
    let freshness = Freshness::lasting(config.ttl).stale_if_error(config.stale_if_error.unwrap_or_default());
    let layer = SemanticCacheLayer::new(ByExtension::new(), conversations)
        .max_bytes(config.max_bytes)
        .max_entries(config.max_entries)
        .max_entry_bytes(config.max_entry_bytes)
        .max_tenant_bytes(config.max_caller_bytes.unwrap_or(config.max_bytes))
        .freshness(freshness);
    Some(layer)
}

/// Returns whether an answer was made for another request, so that what it used is not what such an answer uses.
pub(crate) fn was_made_before(extensions: &Extensions) -> bool {
    let is_new = |outcome: &CacheOutcome| matches!(outcome, CacheOutcome::Miss(_) | CacheOutcome::Bypassed(_));
    extensions.get::<Joined>().is_some() || !extensions.get::<CacheOutcome>().is_none_or(is_new)
}

// === impl Shares ===

impl Shares {
    /// Returns what the cache did so far, where there is one.
    pub(crate) fn cache(&self) -> Option<Value> {
        let counts = self.cache.as_ref()?.counts();
        Some(json!({
            "hits": counts.hits,
            "stale_if_error": counts.stale_if_error,
            "misses": counts.misses,
            "bypassed": counts.bypassed,
            "stored": counts.stored,
            "unfit": counts.unfit,
            "evicted": counts.evicted,
            "entries": counts.entries,
            "bytes": counts.bytes,
        }))
    }

    /// Returns how many calls were shared so far, where they are.
    pub(crate) fn coalesced(&self) -> Option<Value> {
        let counts = self.coalesce.as_ref()?.counts();
        Some(json!({
            "led": counts.led,
            "joined": counts.joined,
            "handed_over": counts.handed_over,
            "promoted": counts.promoted,
            "detached": counts.detached,
            "full": counts.full,
            "alone": counts.alone,
            "under_way": counts.under_way,
        }))
    }
}
