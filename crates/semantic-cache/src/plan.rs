//! What is done with a request: decided, not yet done.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Request};
use tokio::time::Instant;

use crate::{
    Admit, Ask, Asked, Bypass, CacheOutcome, Directives, FreshFor, Freshness, Judging, Key, Mark, Miss,
    SemanticCacheLayer, Tenant,
    ask::Asking,
    freshness::Good,
    remote::{Recalling, Remote, Want},
    store::Found,
};

/// What is done with a request.
pub(crate) enum Plan {
    /// It is passed on, and nothing is kept.
    Pass(Bypass),
    /// It is answered.
    Serve { found: Found, outcome: CacheOutcome, renew: Option<(Asked, u64)> },
    /// It is passed on, and the answer may be kept. What there is may be served if all else fails.
    Fetch { question: Asked, born: u64, miss: Miss, stale: Option<Found> },
    /// It is looked for elsewhere first.
    Recall(Recalling),
    /// It was to be answered by what there is, and there is nothing.
    Refuse,
}

// === impl SemanticCacheLayer ===

impl<T, A, M, C> SemanticCacheLayer<T, A, M, C> {
    /// Decides. What was `recalled` already is not looked for elsewhere again.
    pub(crate) fn plan<B>(&self, request: &Request<B>, recalled: bool, now: Instant) -> Plan
    where
        T: Tenant<Request<B>>,
        A: Ask<Request<B>> + Admit,
    {
        if request.extensions().get::<Judging>().is_some() {
            return Plan::Pass(Bypass::Judging);
        }
        let directives = Directives::read(request.headers());
        let only_cached = directives.only_if_cached || self.settings.only_cached;
        let question = match self.question(request) {
            Ok(question) if !directives.no_store => question,
            result if only_cached => {
                drop(result);
                return Plan::Refuse;
            }
            Ok(_) => return Plan::Pass(Bypass::NoStore),
            Err(why) => return Plan::Pass(why),
        };
        let remote = self.keeper.remote.as_ref();
        let remote = remote.filter(|remote| !recalled && !directives.no_cache && remote.is_there());
        match self.look(question, &directives, remote, now) {
            Plan::Fetch { .. } if only_cached => Plan::Refuse,
            plan => plan,
        }
    }

    fn question<B>(&self, request: &Request<B>) -> Result<Asked, Bypass>
    where
        T: Tenant<Request<B>>,
        A: Ask<Request<B>>,
    {
        let mut hasher = Mark::begin_tenant();
        if !self.tenant.tell(request, &mut hasher) {
            return Err(Bypass::NoTenant);
        }
        let mut question = self.keeper.ask.ask(request, Asking::new(Mark::of_tenant(hasher)))?;
        if let Some(FreshFor(ttl)) = request.extensions().get() {
            question = question.fresh_for(*ttl);
        }
        if let Some(freshness) = request.extensions().get::<Freshness>() {
            question = question.good_as(*freshness);
        }
        Ok(tagged(question, request.headers()))
    }

    fn look(&self, question: Asked, directives: &Directives, remote: Option<&Arc<Remote>>, now: Instant) -> Plan
    where
        A: Admit,
    {
        let mut books = self.keeper.shared.books();
        let born = books.store.epochs.now();
        let Some(found) = books.store.find(&question.key, now) else {
            drop(books);
            return match remote {
                Some(remote) => Plan::Recall(remote.recall(&self.keeper.shared, question.want(question.key))),
                None => Plan::Fetch { question, born, miss: Miss::Absent, stale: None },
            };
        };
        drop(books);
        let Some(answer) = self.keeper.ask.reshape(&question, &found.answer) else {
            return Plan::Fetch { question, born, miss: Miss::Form, stale: None };
        };
        let found = Found { answer, ..found };
        match found.span.judge(found.age, directives) {
            Good::Fresh => Plan::Serve { found, outcome: CacheOutcome::Hit, renew: None },
            Good::WhileRenewed => {
                let until = now + self.keeper.background.time;
                let renews = self.keeper.shared.books().store.renews(&question.key, until, now);
                Plan::Serve { found, outcome: CacheOutcome::Stale, renew: renews.then_some((question, born)) }
            }
            Good::IfError => {
                // Another replica may have a fresh one.
                if let Some(remote) = remote {
                    return Plan::Recall(remote.recall(&self.keeper.shared, question.want(question.key)));
                }
                let stale = Some(found).filter(|found| found.age < found.span.if_error);
                Plan::Fetch { question, born, miss: Miss::Expired, stale }
            }
            Good::Unwanted => Plan::Fetch { question, born, miss: Miss::Unwanted, stale: None },
        }
    }

    /// Finds the answer to a question that means the same as `question`.
    pub(crate) fn find_like(&self, question: &Asked, key: &Key, now: Instant) -> Option<Found>
    where
        A: Admit,
    {
        let found = self.keeper.shared.books().store.find(key, now);
        let Some(found) = found else {
            if let Some(meaning) = &self.keeper.meaning {
                meaning.gone(key);
            }
            return None;
        };
        let answer = self.keeper.ask.reshape(question, &found.answer)?;
        (found.age < found.span.fresh).then_some(Found { answer, ..found })
    }
}

const TAGS: HeaderName = HeaderName::from_static("x-cache-tags");

// === impl Asked ===

impl Asked {
    /// What to look for elsewhere, of the same scope.
    pub(crate) fn want(&self, key: Key) -> Want {
        Want { key, scope: self.scope, tenant: self.marks[0] }
    }
}

/// Adds the tags that the caller gives in `x-cache-tags`.
fn tagged(mut question: Asked, headers: &HeaderMap) -> Asked {
    for value in headers.get_all(TAGS) {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        for tag in tags.filter(|tag| !tag.is_empty()).take(Asked::MARKS) {
            question = question.marked(Mark::tag(tag));
        }
    }
    question
}
