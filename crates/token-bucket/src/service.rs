//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{HttpRefusal, Refusal, Refuse};
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use crate::{
    Caller, Callers, Costs, Cover, Estimate, HttpProtocol, OneRequest, Protocol, Reservation, ResponseFuture,
    layer::Desk,
    limiter::{Not, Owner, Taken},
    ticket::Wish,
};

/// Limits what calls take in each time. See the [crate docs](crate).
#[derive(Debug)]
pub struct TokenBucket<S, M = HttpRefusal, P = HttpProtocol, C = Callers, E = OneRequest> {
    inner: S,
    desk: Arc<Desk<M, P, C, E>>,
}

// === impl TokenBucket ===

impl<S, M, P, C, E> TokenBucket<S, M, P, C, E> {
    pub(crate) const fn new(inner: S, desk: Arc<Desk<M, P, C, E>>) -> Self {
        Self { inner, desk }
    }
}

impl<S: Clone, M, P, C, E> Clone for TokenBucket<S, M, P, C, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), desk: Arc::clone(&self.desk) }
    }
}

impl<S, M, P, C, E, Req> Service<Req> for TokenBucket<S, M, P, C, E>
where
    S: Service<Req> + Clone,
    M: Refuse<Refusal, S::Response, S::Error>,
    P: Protocol<Req> + Cover<S::Response, S::Error> + Clone,
    C: Caller<Req>,
    E: Estimate<Req>,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, M, P, C, E, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let desk = &self.desk;
        let owner = Owner::new(desk.caller.key(&request, &desk.secret), desk.caller.tier(&request));
        let costs = desk.estimate.estimate(&request);
        let now = Instant::now();
        #[cfg(feature = "redis")]
        if desk.limiter.shared.is_some() {
            return self.call_shared(request, owner, costs, now);
        }
        match desk.limiter.reserve(owner, &costs, now) {
            Ok(grant) => {
                let taken = Taken::new(owner, costs, grant);
                // Before the call, so that a panic in it settles it.
                let reservation = if !P::TELLS && desk.limiter.settling.keeps(&costs) {
                    Reservation::kept(taken)
                } else {
                    Reservation::new(Arc::clone(&desk.limiter), taken)
                };
                ResponseFuture::called(self.inner.call(request), reservation, desk.protocol.clone())
            }
            Err(not) => self.wait(request, owner, costs, not, now),
        }
    }
}

impl<S: Clone, M, P, C, E> TokenBucket<S, M, P, C, E> {
    /// Calls if it is known here that there is enough, and asks Redis if nothing is known.
    // Apart, so that who shares nothing does not make room for it.
    #[cfg(feature = "redis")]
    #[inline(never)]
    fn call_shared<Req>(
        &mut self,
        request: Req,
        owner: Owner,
        costs: Costs,
        now: Instant,
    ) -> ResponseFuture<S, M, P, C, E, Req>
    where
        S: Service<Req>,
        P: Protocol<Req> + Clone,
        C: Caller<Req>,
    {
        let desk = Arc::clone(&self.desk);
        let store = desk.limiter.shared.as_ref().expect("limits are shared, or this were not called");
        match desk.limiter.here(store, owner, costs, now) {
            crate::shared::Here::Taken(taken) => {
                let reservation = Reservation::new(Arc::clone(&desk.limiter), taken);
                ResponseFuture::called(self.inner.call(request), reservation, desk.protocol.clone())
            }
            crate::shared::Here::Not(not) => self.wait(request, owner, costs, not, now),
            crate::shared::Here::Ask => {
                let wish = self.wish(&request, owner, costs);
                // What was made ready stays with the call: a round trip is bounded, and short.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::asking(ready, request, wish, desk)
            }
        }
    }

    fn wish<Req>(&self, request: &Req, owner: Owner, costs: Costs) -> Wish
    where
        P: Protocol<Req>,
        C: Caller<Req>,
    {
        let (flow, weight) = self.desk.caller.share(request, &self.desk.secret);
        Wish { owner, costs, flow, weight, deadline: self.desk.protocol.deadline(request) }
    }

    #[inline(never)]
    fn wait<Req>(
        &mut self,
        request: Req,
        owner: Owner,
        costs: Costs,
        not: Not,
        now: Instant,
    ) -> ResponseFuture<S, M, P, C, E, Req>
    where
        S: Service<Req>,
        P: Protocol<Req>,
        C: Caller<Req>,
    {
        let desk = Arc::clone(&self.desk);
        let wish = self.wish(&request, owner, costs);
        match wish.enter(&desk.limiter, not, now) {
            Ok(ticket) => {
                debug!(key = %owner.key, "queued");
                ResponseFuture::waiting(self.give_up_readiness(), request, ticket, desk)
            }
            Err(why) => {
                drop(self.give_up_readiness());
                ResponseFuture::refused(why, owner.key, desk)
            }
        }
    }

    /// Gives back what the inner service has reserved for a call that is not made now. Returns another clone of it.
    fn give_up_readiness(&mut self) -> S {
        let fresh = self.inner.clone();
        // Assigned, and so dropped: the instance that was made ready must not be what waits.
        self.inner = self.inner.clone();
        fresh
    }
}
