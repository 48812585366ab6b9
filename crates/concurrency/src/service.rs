//! The service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use buttress_core::{Refusal, Refuse};
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use crate::{
    Cover, Criticality, HttpProtocol, Place, Protocol, ResponseFuture, Select, Shared,
    error::Reason,
    layer::Desk,
    limiter::{Admission, Limiter},
};

/// Bounds how many calls are under way. See the [crate docs](crate).
#[derive(Debug)]
pub struct Concurrency<S, M = buttress_core::HttpRefusal, P = HttpProtocol, K = Shared> {
    inner: S,
    select: K,
    desk: Arc<Desk<M, P>>,
}

// === impl Concurrency ===

impl<S, M, P, K> Concurrency<S, M, P, K> {
    pub(crate) const fn new(inner: S, select: K, desk: Arc<Desk<M, P>>) -> Self {
        Self { inner, select, desk }
    }
}

impl<S: Clone, M, P, K: Clone> Clone for Concurrency<S, M, P, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), select: self.select.clone(), desk: Arc::clone(&self.desk) }
    }
}

impl<S, M, P, K, Req> Service<Req> for Concurrency<S, M, P, K>
where
    S: Service<Req> + Clone,
    M: Refuse<Refusal, S::Response, S::Error>,
    P: Protocol<Req> + Cover<S::Response, S::Error> + Clone,
    K: Select<Req>,
{
    type Response = P::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, M, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let Some(selected) = self.select.select(&request) else {
            return self.refused(Reason::Keys);
        };
        let class = self.desk.protocol.criticality(&request);
        match selected.0.try_admit(class) {
            Ok(permit) => {
                // Before the call, so that a panic in it gives the place back.
                let place = Place::begin(permit);
                ResponseFuture::called(self.inner.call(request), place, self.desk.protocol.clone())
            }
            Err(limiter) => self.wait(request, class, &limiter),
        }
    }
}

impl<S: Clone, M, P, K> Concurrency<S, M, P, K> {
    #[inline(never)]
    fn wait<Req>(&mut self, request: Req, class: Criticality, limiter: &Arc<Limiter>) -> ResponseFuture<S, M, P, Req>
    where
        S: Service<Req>,
        P: Protocol<Req> + Clone,
    {
        let protocol = &self.desk.protocol;
        let (mut reason, mut by_deadline) = (Reason::Full, false);
        let times = || {
            let now = Instant::now();
            let until = now.checked_add(self.desk.max_wait).unwrap_or(now);
            let deadline = protocol.deadline(&request);
            by_deadline = deadline.is_some_and(|at| at <= until);
            if deadline.is_some_and(|at| at <= now) {
                reason = Reason::Deadline;
                return None;
            }
            Some((now, deadline.map_or(until, |at| at.min(until))))
        };
        match limiter.admit(class, times) {
            Admission::Free(permit) => {
                let place = Place::begin(permit);
                ResponseFuture::called(self.inner.call(request), place, self.desk.protocol.clone())
            }
            Admission::Wait(ticket) => {
                debug!("queued");
                let service = self.give_up_readiness();
                let late = if by_deadline { Reason::Deadline } else { Reason::TooLong };
                ResponseFuture::waiting(service, request, ticket, late, Arc::clone(&self.desk))
            }
            Admission::Full => self.refused(reason),
        }
    }

    fn refused<Req>(&mut self, reason: Reason) -> ResponseFuture<S, M, P, Req>
    where
        S: Service<Req>,
        P: Clone,
    {
        drop(self.give_up_readiness());
        ResponseFuture::refused(reason, Arc::clone(&self.desk))
    }

    /// Gives back what the inner service has reserved for a call that is not made now. Returns another clone of it.
    fn give_up_readiness(&mut self) -> S {
        let fresh = self.inner.clone();
        // Assigned, and so dropped: the instance that was made ready must not be what waits.
        self.inner = self.inner.clone();
        fresh
    }
}
