//! Asks for readiness, poll by poll.

use std::task::Poll;

use tokio_test::task::{self, Spawn};
use tower_service::Service;

/// A task that asks for readiness and hears when to ask again.
pub(crate) struct Caller<S> {
    pub(crate) service: S,
    pub(crate) task: Spawn<()>,
}

// === impl Caller ===

impl<S> Caller<S> {
    pub(crate) fn new(service: S) -> Self {
        Self { service, task: task::spawn(()) }
    }

    pub(crate) fn poll_ready<Q>(&mut self) -> Poll<Result<(), S::Error>>
    where
        S: Service<Q>,
    {
        let service = &mut self.service;
        self.task.enter(|cx, _| service.poll_ready(cx))
    }
}

pub(crate) fn pair<S: Clone>(service: S) -> (Caller<S>, Caller<S>) {
    (Caller::new(service.clone()), Caller::new(service))
}
