//! What the layers are told of a request.

use std::time::Duration;

use buttress_core::{CallContext, Payload};
use buttress_llm::Call;
use buttress_region_failover::HedgeRoute;
use http::Request;

use crate::{
    config::FailoverConfig,
    routes::Routes,
    rules::Rules,
    tenants::{Tenants, Whose},
};

/// What the layers are told of a request, beside what it says itself.
#[derive(Clone, Debug)]
pub(crate) struct Brief {
    routes: Routes,
    stream_timeout: Duration,
    answer_timeout: Duration,
    hedges: bool,
    tenants: Option<Tenants>,
    /// Whether answers are shared among the requests of one caller.
    shares: bool,
    /// What is cached of which request, where anything is.
    rules: Option<Rules>,
}

/// How much longer an attempt may take than its gate.
const BACKSTOP: Duration = Duration::from_secs(1);

// === impl Brief ===

impl Brief {
    pub(crate) fn new(
        config: &FailoverConfig,
        routes: Routes,
        tenants: Option<Tenants>,
        shares: bool,
        rules: Option<Rules>,
    ) -> Self {
        let FailoverConfig { stream_timeout, answer_timeout, .. } = *config;
        Self { routes, stream_timeout, answer_timeout, hedges: config.hedge.is_some(), tenants, shares, rules }
    }

    /// Tells who calls, how long an attempt may take, and which requests take alike long.
    pub(crate) fn of(&self, mut request: Request<Payload>) -> Request<Payload> {
        let Some(call) = request.extensions().get::<Call>().cloned() else { return request };
        if let Some(context) = CallContext::of(&request) {
            let patience = || self.routes.longest_first_content().unwrap_or_default().max(self.stream_timeout);
            let timeout = if call.stream() { patience() } else { self.answer_timeout };
            // The gate is nearer, and knows what it waits for: its word comes first.
            context.set_attempt_timeout(timeout.saturating_add(BACKSTOP));
        }
        if self.hedges {
            let route = HedgeRoute::new((call.operation(), call.model(), call.stream()));
            request.extensions_mut().insert(route);
        }
        if self.shares {
            let whose = match &self.tenants {
                Some(tenants) => tenants.whose(request.headers()),
                None => Whose::by_key(request.headers()),
            };
            let model = call.model().unwrap_or_default();
            let wants_its_own =
                self.rules.as_ref().is_some_and(|rules| rules.treat(&mut request, model, whose.as_ref()));
            if let Some(whose) = whose.filter(|_| !wants_its_own) {
                request.extensions_mut().insert(whose);
            }
        }
        if let Some(tenants) = &self.tenants {
            let caller = tenants.find(request.headers_mut());
            request.extensions_mut().insert(caller);
        }
        request
    }
}
