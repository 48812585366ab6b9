//! How each target is spoken to, which can change while requests are under way.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use buttress_core::{Label, Payload, Refusal, RefusalKind, Rewrite, Rewritten, Target};
use buttress_llm::LlmRewrite;
use http::Request;

use crate::{
    config::{Probe, Upstream},
    judging::OnlyTarget,
};

/// How each target is spoken to. Clones are one.
#[derive(Clone)]
pub(crate) struct Routes(Arc<ArcSwap<Table>>);

/// How the targets of one list are spoken to.
pub(crate) struct Table {
    rewrite: LlmRewrite,
    /// That of the list before: a request that came under it may still be on its way to a target that is gone.
    before: Option<LlmRewrite>,
    ways: HashMap<Label, Way>,
    longest_first_content: Option<Duration>,
}

/// What is particular to a target.
struct Way {
    first_content: Option<Duration>,
    probe: Probe,
    credentials: Vec<Label>,
}

// === impl Routes ===

impl Routes {
    pub(crate) fn new(upstreams: &[Upstream]) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Table::new(upstreams, None))))
    }

    /// Speaks to `upstreams` from now on. Returns what to [`put back`](Self::put_back) if nothing comes of it.
    ///
    /// What is under way keeps what it knows for this change, and not for the next one: a request that outlives two lists
    /// within one walk is walked again, by the newest.
    pub(crate) fn replace(&self, upstreams: &[Upstream]) -> Arc<Table> {
        let before = self.0.load_full();
        self.0.store(Arc::new(Table::new(upstreams, Some(before.rewrite.clone()))));
        before
    }

    pub(crate) fn put_back(&self, table: Arc<Table>) {
        self.0.store(table);
    }

    /// Returns how long the target called `name` may take to its first content, where that is not as long as for all.
    pub(crate) fn first_content(&self, name: &Label) -> Option<Duration> {
        self.0.load().ways.get(name)?.first_content
    }

    /// Returns how long the most patient target may take to its first content, where one has a time of its own.
    pub(crate) fn longest_first_content(&self) -> Option<Duration> {
        self.0.load().longest_first_content
    }

    /// Makes the request that asks `target` whether it is there, at its first address, if it is to be asked.
    pub(crate) fn probe(&self, target: &Target) -> Option<Request<Payload>> {
        let table = self.0.load();
        let mut request = table.rewrite.endpoints(target).first()?.probe();
        match &table.ways.get(target.name())?.probe {
            Probe::Usual => {}
            Probe::At(path) => {
                let mut parts = request.uri().clone().into_parts();
                parts.path_and_query = Some(path.clone());
                *request.uri_mut() = parts.try_into().ok()?;
            }
            Probe::Off => return None,
        }
        Some(request)
    }
}

impl Rewrite<Request<Payload>> for Routes {
    fn rewrite(&self, request: Request<Payload>, target: &Target) -> Result<Rewritten<Request<Payload>>, Refusal> {
        if let Some(OnlyTarget(only)) = request.extensions().get()
            && only != target.name()
        {
            return Err(Refusal::new(RefusalKind::NotFound, format!("only the target {only} is to be asked")));
        }
        let table = self.0.load();
        let rewrite = table.before.as_ref().filter(|_| !table.knows(target)).unwrap_or(&table.rewrite);
        rewrite.rewrite(request, target)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.0.load().rewrite).finish()
    }
}

// === impl Table ===

impl Table {
    fn new(upstreams: &[Upstream], before: Option<LlmRewrite>) -> Self {
        let endpoints = upstreams.iter().flat_map(|upstream| {
            let name = upstream.target.name();
            upstream.endpoints.iter().map(move |endpoint| (name.clone(), endpoint.clone()))
        });
        let way = |upstream: &Upstream| {
            let Upstream { target, first_content, probe, .. } = upstream;
            let (probe, credentials) = (probe.clone(), target.credentials().to_vec());
            (target.name().clone(), Way { first_content: *first_content, probe, credentials })
        };
        Self {
            rewrite: LlmRewrite::new(endpoints),
            before,
            ways: upstreams.iter().map(way).collect(),
            longest_first_content: upstreams.iter().filter_map(|upstream| upstream.first_content).max(),
        }
    }

    /// Returns whether it is known how to speak to `target`, with the credential that it is to be shown.
    fn knows(&self, target: &Target) -> bool {
        let has = |name| self.ways.get(target.name()).is_some_and(|way| way.credentials.contains(name));
        !self.rewrite.endpoints(target).is_empty() && target.credential().is_none_or(has)
    }
}
