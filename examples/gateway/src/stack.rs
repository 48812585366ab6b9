//! The layers, in their order.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc, time::Duration};

use axum::body::Body as AxumBody;
use buttress_circuit_breaker::{ByTarget, CircuitBreakerLayer, Key};
use buttress_commit_gate::CommitGateLayer;
use buttress_concurrency::ConcurrencyLayer;
use buttress_core::{Answering, BoxError, Client, HttpShared, Label, Payload, Target, TransportError};
use buttress_deadline::{DeadlineLayer, ForwardDeadlineLayer};
use buttress_llm::{ExpectedOutput, Inspect, LlmStreams};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::{Budget, RetryLayer, Share};
use buttress_served_by::ServedByLayer;
use buttress_stream_guard::{ChatContinue, ContinueLayer, StreamGuardLayer};
use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, layer::layer_fn, util::BoxCloneSyncService};

use crate::{
    brief::Brief,
    config::{Config, Upstream},
    judging,
    learn::Learn,
    limiting::{self, LimitsLayer},
    operator::Operator,
    probe::Asker,
    routes::Routes,
    sharing::{Sharing, boxed},
    tenants::{Book, Tenants},
    unasked::{Mark, without_usage},
};

/// The whole stack. The one box is here, at its edge.
pub type Stack = BoxCloneSyncService<Request<Payload>, Response<AxumBody>, Infallible>;

/// What speaks to targets.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Payload>;

/// Why a stack cannot be built.
pub type BuildError = Box<dyn std::error::Error + Send + Sync>;

/// Builds the stack for `upstreams`, and what operates it. `book` says who callers are, where they have limits.
///
/// Requests are repeated although they are not idempotent: a model computes and stores nothing, and an answer that is paid
/// for twice is better than none.
///
/// # Errors
///
/// Fails if there is no target, if two have one name, or if the settings of a layer are out of range.
pub fn build(config: &Config, upstreams: &[Upstream], book: Option<Book>) -> Result<(Stack, Operator), BuildError> {
    let breaker = CircuitBreakerLayer::try_new(config.breaker.settings())?.keyed(ByTarget);
    let (routes, client) = (Routes::new(upstreams), client());
    let failover = failover(config, upstreams, breaker.handle())?;
    let targets = failover.handle();
    let limits = ConcurrencyLayer::fixed(config.concurrency.per_target).keyed(MOST_TARGETS, target_of);
    let gate = gate(config, routes.clone());
    // The rewrite has asked for `identity` already.
    let guard = StreamGuardLayer::new(LlmStreams::new()).idle(config.streams.idle).keep_accept_encoding();
    let limited = config.limits.as_ref().zip(book).map(|(limits, book)| limiting::build(limits, book)).transpose()?;
    let (callers, limiting) = limited.unzip();
    let tenants = limiting.as_ref().map(|limiting| limiting.tenants.clone());
    let inner = ServiceBuilder::new()
        .layer(
            RetryLayer::new()
                .replay(HttpShared)
                .attempts(config.retry.attempts)
                .max_hint(config.retry.max_hint)
                .budget(Budget::concurrency(Share::percent(config.retry.budget_percent), config.retry.budget_min))
                .allowance(config.failover.attempts)
                .repeat_all(),
        )
        .layer(failover.rewrite(routes.clone()))
        .layer(limits.clone())
        .layer(breaker.clone())
        .layer(gate.clone())
        .layer(guard.clone())
        .layer(ForwardDeadlineLayer::new())
        .service(Mark(Inspect::new(client.clone())));
    let limits_of_judge = callers.as_ref().zip(limiting.as_ref());
    let sharing = Sharing::new(config, &client, judging::judge(config, || inner.clone(), limits_of_judge))?;
    let operator = Operator {
        targets,
        routes: routes.clone(),
        asker: Asker::new(routes.clone(), client),
        probing: config.probes.probing(),
        callers: limiting,
        shares: sharing.shares(),
        circuits: breaker.handle(),
        limit: Arc::new(move |name| limits.handle(&Some(name.clone()))),
        gate: Arc::new(move || gate.counts()),
        guard: Arc::new(move || guard.counts()),
    };
    let expected = tenants.as_ref().map(Tenants::expected);
    let brief = Brief::new(&config.failover, routes, tenants, sharing.is_on(), sharing.rules());
    let edge = Edge { brief, callers, sharing, expected, deadline: config.deadline };
    let go_on = config.streams.continue_elsewhere;
    let continuing =
        go_on.then(|| ContinueLayer::new(LlmStreams::new(), ChatContinue).allowance(config.failover.attempts));
    Ok((edge.cached(inner, continuing), operator))
}

type Continuing = ContinueLayer<LlmStreams, ChatContinue>;

/// The outermost layers.
struct Edge {
    brief: Brief,
    callers: Option<LimitsLayer>,
    sharing: Sharing,
    expected: Option<Arc<ExpectedOutput>>,
    deadline: Duration,
}

impl Edge {
    fn cached<S, B>(mut self, inner: S, continuing: Option<Continuing>) -> Stack
    where
        S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError> + 'static> + From<Bytes> + Send + 'static,
    {
        match self.sharing.cached(|| boxed(inner.clone())) {
            Some(cached) => self.continued(cached, continuing),
            None => self.continued(inner, continuing),
        }
    }

    fn continued<S, B>(self, inner: S, continuing: Option<Continuing>) -> Stack
    where
        S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError> + 'static> + From<Bytes> + Send + 'static,
    {
        match continuing {
            Some(continuing) => self.joined(continuing.layer(inner)),
            None => self.joined(inner),
        }
    }

    fn joined<S, B>(mut self, inner: S) -> Stack
    where
        S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError> + 'static> + From<Bytes> + Send + 'static,
    {
        match self.sharing.take_coalesce() {
            Some(coalesce) => self.limited(boxed(coalesce.layer(boxed(inner)))),
            None => self.limited(inner),
        }
    }

    fn limited<S, B>(mut self, inner: S) -> Stack
    where
        S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError> + 'static> + From<Bytes> + Send + 'static,
    {
        match self.callers.take() {
            Some(callers) => self.outermost(callers.layer(inner.map_response(limiting::without_limits_of_target::<B>))),
            None => self.outermost(inner),
        }
    }

    fn outermost<S, B>(self, inner: S) -> Stack
    where
        S: Service<Request<Payload>, Response = Response<B>, Error = TransportError> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + From<Bytes> + Send + 'static,
    {
        let Self { brief, expected, deadline, .. } = self;
        let stack = ServiceBuilder::new()
            .map_request(move |request| brief.of(request))
            .layer(ServedByLayer::new())
            .layer(layer_fn(Answering::new))
            // To the head only: a stream may go on for as long as the model has something to say.
            .layer(DeadlineLayer::headers_only(deadline))
            .service(inner);
        let stack = stack.map_response(|response: Response<_>| without_usage(response.map(AxumBody::new)));
        BoxCloneSyncService::new(Learn::new(stack, expected))
    }
}

/// How many targets have a limit of their own at the same time: as many as a configuration could ever name.
const MOST_TARGETS: NonZeroUsize = NonZeroUsize::new(65_536).expect("65,536 are not 0");

fn failover(
    config: &Config,
    upstreams: &[Upstream],
    circuits: buttress_circuit_breaker::Handle,
) -> Result<RegionFailoverLayer<HttpShared>, BuildError> {
    let targets = upstreams.iter().map(|upstream| upstream.target.clone());
    let admits = move |target: &Target, now: Instant| circuits.admits(&Key::new(target.name().clone()), now);
    let mut layer = RegionFailoverLayer::try_new(targets)?
        .policy(config.failover.policy)
        // Replicas of one seed would all choose the same.
        .seed(config.failover.seed.unwrap_or_else(rand::random))
        .health(config.failover.health());
    if let Some(hedge) = &config.failover.hedge {
        layer = layer.hedge(hedge.bounds());
    }
    let layer = layer
        .admit(admits)
        .replay(HttpShared)
        .allowance(config.failover.attempts)
        .attempt_timeout(config.failover.answer_timeout)
        .repeat_all();
    Ok(layer)
}

fn gate(config: &Config, routes: Routes) -> CommitGateLayer<LlmStreams> {
    CommitGateLayer::new(LlmStreams::new())
        .first_content(config.failover.stream_timeout)
        .whole_answer(config.failover.answer_timeout)
        .first_content_by(move |extensions: &Extensions| routes.first_content(extensions.get::<Target>()?.name()))
        .max_bytes(config.streams.max_held_bytes)
        .keep_accept_encoding()
}

fn target_of(request: &Request<Payload>) -> Option<Label> {
    request.extensions().get::<Target>().map(|target| target.name().clone())
}

fn client() -> HttpClient {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(Duration::from_secs(5)));
    let connector =
        HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_all_versions().wrap_connector(http);
    let client = HyperClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .build(connector);
    Client::new(client)
}
