//! What an operator sees of the gateway, and does to it.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use buttress_circuit_breaker as breaker;
use buttress_commit_gate as gate;
use buttress_concurrency::LimitHandle;
use buttress_core::Label;
use buttress_region_failover as failover;
use buttress_stream_guard as guard;
use buttress_token_bucket::Standing;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cache_orders, config::Upstream, limiting::Limiting, probe::Asker, routes::Routes, sharing::Shares,
    tenants::PriceList,
};

/// What an operator sees of the gateway, and does to it.
#[derive(Clone)]
pub struct Operator {
    pub(crate) targets: failover::Handle,
    pub(crate) routes: Routes,
    pub(crate) asker: Asker,
    pub(crate) probing: Option<failover::Probing>,
    /// The limits of callers, where there are some.
    pub(crate) callers: Option<Limiting>,
    /// What is answered once for several requests.
    pub(crate) shares: Shares,
    pub(crate) circuits: breaker::Handle,
    pub(crate) limit: Arc<dyn Fn(&Label) -> Option<LimitHandle> + Send + Sync>,
    pub(crate) gate: Arc<dyn Fn() -> gate::Counts + Send + Sync>,
    pub(crate) guard: Arc<dyn Fn() -> guard::Counts + Send + Sync>,
}

/// How long a target is ejected for.
const EJECTED: Duration = Duration::from_secs(300);

// === impl Operator ===

impl Operator {
    /// Returns the handle of the targets.
    #[must_use]
    pub const fn targets(&self) -> &failover::Handle {
        &self.targets
    }

    /// Returns the handle of the circuits.
    #[must_use]
    pub const fn circuits(&self) -> &breaker::Handle {
        &self.circuits
    }

    /// Returns how many answers of the target called `name` are under way, to the ends of their bodies.
    #[must_use]
    pub fn in_flight(&self, name: &Label) -> u32 {
        (self.limit)(name).map_or(0, |limit| limit.in_flight())
    }

    /// Returns what became of answers before their first content.
    #[must_use]
    pub fn held(&self) -> gate::Counts {
        (self.gate)()
    }

    /// Returns what became of answers that had begun.
    #[must_use]
    pub fn broken(&self) -> guard::Counts {
        (self.guard)()
    }

    /// Returns how the limits of each tenant stand at `now`.
    #[must_use]
    pub fn standings(&self, now: Instant) -> Vec<(Label, Vec<Standing>)> {
        self.callers.as_ref().map_or_else(Vec::new, |callers| callers.standings(now))
    }

    /// Returns the worker that looks at targets while nobody asks them, unless that is off. It ends with the stack.
    #[must_use]
    pub fn prober(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let asker = self.asker.clone();
        self.probing.map(|probing| self.targets.prober(probing, move |target| asker.clone().ask(target)))
    }

    /// Returns whether the Redis is there in which limits are shared, where they are.
    #[must_use]
    pub fn redis_is_connected(&self) -> Option<bool> {
        self.callers.as_ref().and_then(Limiting::is_connected)
    }

    /// Returns the work that limits need which replicas share through Redis, where they do. It is to be spawned once.
    #[must_use]
    pub fn sharing(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.callers.as_ref().and_then(Limiting::sharing)
    }

    /// Returns the work that the cache needs whose answers replicas share, where they do. It is to be spawned once.
    #[must_use]
    pub fn sharing_answers(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (layer, _) = self.shares.cache.as_ref()?.replicas.as_ref()?;
        Some(layer.sharing())
    }

    /// Returns the work of the model that compares answers, where one does. It is to be spawned once.
    #[must_use]
    pub fn judging(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.shares.cache.as_ref()?.meanings.as_ref()?.take_judging()
    }

    /// Completes when the answers of other replicas can be had; at once where none are shared.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn following(&self) {
        let Some(kept) = &self.shares.cache else { return };
        kept.handle.following().await;
    }

    /// Puts `upstreams` in the place of the targets that were. What is known of one of the same name stays known; requests
    /// and streams under way go on.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if there is no target, or if two have one name.
    pub fn replace(&self, upstreams: &[Upstream]) -> Result<(), failover::ConfigError> {
        // First how they are spoken to, so that nobody goes to a target of which nothing is known.
        let before = self.routes.replace(upstreams);
        let replaced = self.targets.replace(upstreams.iter().map(|upstream| upstream.target.clone()));
        replaced.inspect_err(|_| self.routes.put_back(before))
    }

    /// Takes over what models cost, for what is told of what was saved.
    pub(crate) fn reprice(&self, prices: PriceList) {
        let Some(kept) = &self.shares.cache else { return };
        kept.ledger.reprice(prices);
    }

    /// Returns how much the cache does that no caller waits for.
    #[must_use]
    pub fn in_background(&self) -> usize {
        self.shares.cache.as_ref().map_or(0, |kept| kept.handle.in_background())
    }

    /// Returns the work that writes what the cache has learned to its file, now and then, where it does. It never completes.
    #[must_use]
    pub fn keeper(&self, every: Duration) -> Option<impl Future<Output = ()> + Send + use<>> {
        let meanings = self.shares.cache.as_ref()?.meanings.clone().filter(|meanings| meanings.state.is_some())?;
        Some(async move {
            let mut turns = tokio::time::interval(every.max(Duration::from_millis(1)));
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                turns.tick().await;
                meanings.save().await;
            }
        })
    }

    /// Writes what the cache has learned to its file, where it does: for the end of the process.
    pub async fn keep(&self) {
        if let Some(meanings) = self.shares.cache.as_ref().and_then(|kept| kept.meanings.as_ref()) {
            meanings.save().await;
        }
    }

    /// Makes the router for operators: `GET /status.json` and `/metrics`, `POST /cache/forget` and `/cache/bad`, and `POST /targets/{name}/drain`, `/eject` (for five minutes),
    /// `/weigh` (with `?weight=3`, or `{"weight":3}` as its body) and `/restore`. It asks nobody who they are, so it must not be reached from other machines.
    pub fn router(self) -> Router {
        Router::new()
            .route("/status.json", get(async |State(operator): State<Self>| Json(operator.status(Instant::now()))))
            .route("/metrics", get(async |State(operator): State<Self>| operator.metrics(Instant::now())))
            .route("/cache/forget", post(cache_orders::forget))
            .route("/cache/bad", post(cache_orders::bad))
            .route("/targets/{name}/{order}", post(order))
            .with_state(self)
    }

    fn status(&self, now: Instant) -> Value {
        let targets = self.targets.list(now).into_iter().map(|report| {
            let name = report.target.name();
            let circuit = self.circuits.snapshot(&breaker::Key::new(name.clone()));
            let credential = |report: &failover::CredentialReport| {
                json!({ "name": report.name.as_str(), "parked_ms": report.parked.map(millis) })
            };
            json!({
                "name": name.as_str(),
                "region": report.target.region().map(Label::as_str),
                "provider": report.target.provider().map(Label::as_str),
                "priority": report.target.priority(),
                "drained": report.stance == failover::Stance::Drained,
                "health": report.health,
                "weight": report.weight,
                "effective_weight": report.effective_weight,
                "outlier": report.outlier,
                "in_flight": self.in_flight(name),
                "latency_ms": report.latency.map(millis),
                "parked_ms": report.parked.map(millis),
                "credentials": report.credentials.iter().map(credential).collect::<Vec<_>>(),
                "circuit": circuit.as_ref().map_or("closed", |circuit| circuit.state.as_str()),
                "circuit_open_ms": circuit.and_then(|circuit| circuit.open_for).map(millis),
            })
        });
        let (held, broken, hedges) = (self.held(), self.broken(), self.targets.hedges());
        let tenants = self.standings(now).into_iter().map(|(name, limits)| {
            let limit = |standing: &Standing| {
                json!({
                    "name": standing.limit.name().as_str(),
                    "holds": standing.limit.capacity(),
                    // Below zero, it is owed.
                    "left": i64::try_from(standing.level).unwrap_or(i64::MIN),
                    "full_in_ms": millis(standing.full_in),
                })
            };
            json!({ "name": name.as_str(), "limits": limits.iter().map(limit).collect::<Vec<_>>() })
        });
        json!({
            "targets": targets.collect::<Vec<_>>(),
            "levels": self.levels(now),
            "redis_connected": self.redis_is_connected(),
            "tenants": tenants.collect::<Vec<_>>(),
            "cache": self.shares.cache(),
            "coalesce": self.shares.coalesced(),
            "hedges": {
                "sent": hedges.sent,
                "won": hedges.won,
                "lost": hedges.lost,
                "suppressed": hedges.suppressed,
            },
            "answers": {
                "failed_before_content": held.failed,
                "late": held.late,
                "reported": broken.reported,
                "truncated": broken.truncated,
                "reset": broken.reset,
                "malformed": broken.malformed,
                "idle": broken.idle,
            },
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn order(
    State(operator): State<Operator>,
    Path((name, order)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let unknown = || (StatusCode::NOT_FOUND, "there is no such target").into_response();
    let Ok(label) = Label::try_new(&name) else { return unknown() };
    let targets = operator.targets();
    let known = match order.as_str() {
        "drain" => targets.drain(&label),
        "eject" => targets.eject(&label, EJECTED, Instant::now()),
        "restore" => {
            operator.circuits().reset(&breaker::Key::new(label.clone()));
            targets.restore(&label)
        }
        "weigh" => match weight(query.as_deref(), &body).map(|weight| targets.weigh(&label, weight)) {
            Some(Ok(())) => true,
            Some(Err(error)) if error.is_unknown_target() => false,
            Some(Err(error)) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            None => return (StatusCode::BAD_REQUEST, NO_WEIGHT).into_response(),
        },
        _ => return (StatusCode::NOT_FOUND, NO_ORDER).into_response(),
    };
    if !known {
        return unknown();
    }
    tracing::info!(target = %label, order, "told by an operator");
    StatusCode::NO_CONTENT.into_response()
}

const NO_ORDER: &str = "a target can be told to `drain`, `eject`, `weigh` or `restore`";
const NO_WEIGHT: &str =
    "`weight` must be a whole number from 1 to 4294967295: `?weight=3`, or `{\"weight\":3}` as the body";

fn weight(query: Option<&str>, body: &[u8]) -> Option<u32> {
    match query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("weight="))) {
        Some(text) => text.parse().ok(),
        None => u32::try_from(serde_json::from_slice::<Value>(body).ok()?.get("weight")?.as_u64()?).ok(),
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("targets", &self.targets).finish_non_exhaustive()
    }
}
