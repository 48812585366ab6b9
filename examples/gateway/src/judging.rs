//! The model that says whether two answers come to the same, asked through the gateway's own layers.
//!
//! It stands below what callers share, so that nothing of it is joined with their calls, kept or judged; and beside their limits, with an
//! account of its own.

use std::{num::NonZeroU32, sync::Arc};

use buttress_core::{BoxError, CallContext, Label, Payload, TransportError};
use buttress_deadline::DeadlineLayer;
use buttress_llm::Call;
use buttress_semantic_cache::{ServiceJudge, ServiceJudgeWorker, llm::ModelJudge};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::{
    config::{Config, JudgeKind},
    limiting::{Limiting, LimitsLayer},
    sharing::{Shared, boxed},
    tenants::Caller,
};

/// The one target that may be asked, in a request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct OnlyTarget(pub(crate) Label);

/// What a layer is told of a request of the judge.
#[derive(Clone, Debug)]
struct Brief {
    attempts: NonZeroU32,
    only: Option<Label>,
    account: Option<Caller>,
}

/// Makes the judge that `config` names, if that is a model, and its work. It asks through `inner`, within the limits of its account.
pub(crate) fn judge<S, B>(
    config: &Config,
    inner: impl FnOnce() -> S,
    limits: Option<(&LimitsLayer, &Limiting)>,
) -> Option<(ServiceJudge, ServiceJudgeWorker)>
where
    S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError> + 'static> + From<Bytes> + Send + 'static,
{
    if config.cache.semantic.judge != JudgeKind::Model {
        return None;
    }
    let judge = &config.cache.judge;
    let tier = judge.tier.as_deref().zip(config.limits.as_ref()).and_then(|(tier, limits)| limits.tier(tier));
    let account = limits.map(|(_, limiting)| limiting.tenants.judge(tier.unwrap_or(0)));
    let brief = Arc::new(Brief { attempts: config.failover.attempts, only: judge.only(), account });
    // What is left to an attempt is nobody's fault: the judge's hurry says nothing about a target.
    let inner = DeadlineLayer::headers_only(judge.timeout).layer(inner());
    let service = match limits {
        Some((layer, _)) => limited(layer, inner, brief),
        None => boxed(inner.map_request(move |request| brief.of(request))),
    };
    Some(ServiceJudge::pair(ModelJudge::new(service, judge.asked()), judge.limits()))
}

fn limited<S, B>(layer: &LimitsLayer, inner: S, brief: Arc<Brief>) -> Shared
where
    S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError> + 'static> + From<Bytes> + Send + 'static,
{
    boxed(layer.layer(inner).map_request(move |request| brief.of(request)))
}

// === impl Brief ===

impl Brief {
    fn of(&self, mut request: Request<Payload>) -> Request<Payload> {
        // What cannot be read is refused further in.
        drop(Call::of_or_read(&mut request));
        let _ = CallContext::of_or_insert(&mut request, self.attempts);
        let extensions = request.extensions_mut();
        if let Some(only) = &self.only {
            extensions.insert(OnlyTarget(only.clone()));
        }
        if let Some(account) = self.account {
            extensions.insert(account);
        }
        request
    }
}
