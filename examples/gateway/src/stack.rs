//! The layers, in their order.

use std::{convert::Infallible, time::Duration};

use buttress_core::{Answering, Body, Client, Http, Payload};
use buttress_deadline::{DeadlineLayer, ForwardDeadlineLayer, ResponseBody};
use buttress_llm::{Inspect, LlmRewrite};
use buttress_region_failover::{ConfigError, RegionFailoverLayer};
use buttress_retry::{Budget, RetryLayer, Share};
use buttress_served_by::ServedByLayer;
use http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::{ServiceBuilder, layer::layer_fn, util::BoxCloneSyncService};

use crate::config::{Config, Upstream};

/// The whole stack. The one box is here, at its edge.
pub type Stack = BoxCloneSyncService<Request<Payload>, Response<ResponseBody<Body>>, Infallible>;

/// Builds the stack for `upstreams`.
///
/// Requests are repeated although they are not idempotent: a model computes and stores nothing, and an answer that is paid
/// for twice is better than none.
///
/// # Errors
///
/// Fails if there is no target, or if two have one name.
pub fn build(config: &Config, upstreams: Vec<Upstream>) -> Result<Stack, ConfigError> {
    let targets = upstreams.iter().map(|upstream| upstream.target.clone());
    let failover = RegionFailoverLayer::try_new(targets)?;
    let endpoints = upstreams.into_iter().map(|Upstream { target, endpoint }| (target.name().clone(), endpoint));
    let stack = ServiceBuilder::new()
        .layer(ServedByLayer::new())
        .layer(layer_fn(Answering::new))
        // To the head only: a stream may go on for as long as the model has something to say.
        .layer(DeadlineLayer::headers_only(config.deadline))
        .layer(
            RetryLayer::new()
                .replay(Http)
                .attempts(config.retry.attempts)
                .max_hint(config.retry.max_hint)
                .budget(Budget::concurrency(Share::percent(config.retry.budget_percent), config.retry.budget_min))
                .allowance(config.failover.attempts)
                .repeat_all(),
        )
        .layer(
            failover
                .policy(config.failover.policy)
                .health(config.failover.health())
                .replay(Http)
                .rewrite(LlmRewrite::new(endpoints))
                .allowance(config.failover.attempts)
                .attempt_timeout(config.failover.answer_timeout)
                .repeat_all(),
        )
        .layer(ForwardDeadlineLayer::new())
        .service(Inspect::new(client()));
    Ok(BoxCloneSyncService::new(stack))
}

fn client() -> Client<HttpsConnector<HttpConnector>, Payload> {
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
