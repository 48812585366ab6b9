//! The part of the contract that every layer keeps, with HTTP or without.

use std::future::poll_fn;

use tokio_test::{assert_pending, assert_ready_ok, task};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Flavour, Handle, HttpFlavour, PlainFlavour, PlainProbe, ProbeError, Reply, ScriptedBody, assert_clone_send_sync,
    assert_send,
    caller::{Caller, pair},
    send,
};

/// A layer under test. [`http_contract!`](crate::http_contract) and [`plain_contract!`](crate::plain_contract) make one
/// for each test; each method is one promise and panics where it is broken.
#[derive(Clone, Debug)]
pub struct Contract<K, F> {
    pub(crate) flavour: K,
    pub(crate) make: F,
    pub(crate) readiness: Readiness,
}

/// What readiness means to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// `poll_ready` forwards: the inner service's place is reserved before the call.
    Forwarded,
    /// The layer is always ready: each attempt finds its own service ready, and fails as the call does.
    Lazy,
}

// === impl Contract ===

impl<K, F> Contract<K, F> {
    /// Takes another layer.
    pub fn with<G>(self, make: G) -> Contract<K, G> {
        Contract { flavour: self.flavour, make, readiness: self.readiness }
    }
}

impl<R, F> Contract<HttpFlavour<ScriptedBody, R>, F> {
    /// Creates the contract of the layers that `make` makes, for requests that `request` makes.
    pub const fn http(make: F, request: R, readiness: Readiness) -> Self {
        Self { flavour: HttpFlavour::new(request), make, readiness }
    }

    /// Takes `B` as the body of the inner service's responses.
    pub fn answering<B: From<ScriptedBody>>(self) -> Contract<HttpFlavour<B, R>, F> {
        let flavour = HttpFlavour::new(self.flavour.request);
        Contract { flavour, make: self.make, readiness: self.readiness }
    }
}

impl<F> Contract<PlainFlavour, F> {
    /// Creates the contract of the layers that `make` makes.
    pub const fn plain(make: F, readiness: Readiness) -> Self {
        Self { flavour: PlainFlavour, make, readiness }
    }
}

impl<K, F, L> Contract<K, F>
where
    K: Flavour,
    F: Fn() -> L,
    L: Layer<K::Probe> + Clone + Send + Sync + 'static,
    L::Service: Service<K::Request, Error = ProbeError, Future: Send> + Clone + Send + Sync + 'static,
{
    /// Item 1. Three calls in a row go through, each on the instance that was ready.
    pub async fn drives_the_readied_instance_three_calls_in_a_row(&self) {
        let (mut service, handle) = self.service();
        for calls in 1..=3 {
            for _ in 0..2 {
                let ready = poll_fn(|cx| service.poll_ready(cx)).await;
                ready.expect("the inner service is ready");
                assert!(handle.permits() <= 1, "asking twice must not reserve twice");
            }
            self.call_ok(&mut service).await;
            assert_eq!(handle.calls(), calls, "a call that succeeds is made once");
        }
        drop(service);
        handle.assert_idle();
    }

    /// Item 2, first half. A clone is not ready because its original is.
    pub async fn two_clones_are_ready_each_for_itself(&self) {
        let (service, handle) = self.service();
        let (mut first, mut second) = pair(service);
        assert_ready_ok!(first.poll_ready());
        assert_ready_ok!(second.poll_ready());
        // The other way round, so that a readiness that was mixed up shows.
        self.call_ready(&mut second.service).await;
        self.call_ready(&mut first.service).await;
        assert_eq!(handle.calls(), 2);

        handle.limit(1);
        assert_ready_ok!(first.poll_ready());
        let mut heir = first.service.clone();
        if self.readiness == Readiness::Forwarded {
            assert_pending!(second.poll_ready(), "one place, and the first holds it");
            let mut task = task::spawn(());
            assert_pending!(
                task.enter(|cx, _| heir.poll_ready(cx)),
                "a clone must not take its original's place along"
            );
        }
        drop(first);
        self.call_ok(&mut heir).await;
    }

    /// Items 2 and 3 for a layer without shared state: its services work side by side.
    pub async fn layer_called_twice_makes_services_that_work(&self) {
        let (probe, handle) = self.flavour.probe();
        let layer = (self.make)();
        let (mut first, mut second) = (layer.layer(probe.clone()), layer.layer(probe));
        self.call_ok(&mut first).await;
        self.call_ok(&mut second).await;
        assert_eq!(handle.calls(), 2);
    }

    /// Item 2, second half. What one clone did, `check` must see through the other.
    pub async fn two_clones_share_state<C>(&self, check: C)
    where
        C: AsyncFnOnce(L::Service, L::Service, Handle<K::Answer>),
    {
        let (service, handle) = self.service();
        check(service.clone(), service, handle).await;
    }

    /// Item 3. What one service of a layer did, `check` must see through another one.
    pub async fn layer_called_twice_shares_state<C>(&self, check: C)
    where
        C: AsyncFnOnce(L::Service, L::Service, Handle<K::Answer>),
    {
        let (probe, handle) = self.flavour.probe();
        let layer = (self.make)();
        check(layer.layer(probe.clone()), layer.layer(probe), handle).await;
    }

    /// Item 3, through a clone of the layer: axum clones it for each route.
    pub async fn clones_of_the_layer_share_state<C>(&self, check: C)
    where
        C: AsyncFnOnce(L::Service, L::Service, Handle<K::Answer>),
    {
        let (probe, handle) = self.flavour.probe();
        let layer = (self.make)();
        check(layer.clone().layer(probe.clone()), layer.layer(probe), handle).await;
    }

    /// Item 6. An error of the inner service is the layer's error.
    pub async fn inner_error_passes_unchanged(&self) {
        let (mut service, handle) = self.service();
        handle.always(Reply::error("inner failed"));
        let error = send(&mut service, self.flavour.request()).await.err();
        assert_eq!(error, Some(ProbeError::new("inner failed")), "the inner error must pass unchanged");
    }

    /// Item 6. An error of readiness comes from `poll_ready`, or from the call of a layer that is always ready.
    pub async fn inner_readiness_error_passes_unchanged(&self) {
        let (mut service, handle) = self.service();
        handle.fail_readiness("inner is gone");
        let ready = poll_fn(|cx| service.poll_ready(cx)).await;
        let error = match self.readiness {
            Readiness::Forwarded => ready.err(),
            Readiness::Lazy => {
                ready.expect("who is always ready does not fail in `poll_ready`");
                service.call(self.flavour.request()).await.err()
            }
        };
        assert_eq!(error, Some(ProbeError::new("inner is gone")), "the error of readiness must pass unchanged");
        assert_eq!(handle.calls(), 0);
    }

    /// A layer that forwards readiness waits as long as the inner service does, and wakes with it.
    pub async fn inner_not_ready_is_waited_for(&self) {
        let (service, handle) = self.service();
        let mut caller = Caller::new(service);
        handle.be_unready();
        assert_pending!(caller.poll_ready());
        handle.be_ready();
        assert!(caller.task.is_woken(), "the inner service is ready and nobody was told");
        assert_ready_ok!(caller.poll_ready());
        self.call_ready(&mut caller.service).await;
    }

    /// A layer that is always ready asks nothing of the inner service before the call.
    pub async fn is_ready_without_asking_the_inner_service(&self) {
        let (service, handle) = self.service();
        let mut caller = Caller::new(service);
        handle.be_unready();
        assert_ready_ok!(caller.poll_ready());
        assert_eq!(handle.permits(), 0);
    }

    /// Item 9. Layer, service and future can go where axum and hyper put them.
    pub async fn layer_service_and_future_have_their_auto_traits(&self) {
        let layer = (self.make)();
        assert_clone_send_sync(&layer);
        let mut service = layer.layer(self.flavour.probe().0);
        assert_clone_send_sync(&service);
        poll_fn(|cx| service.poll_ready(cx)).await.expect("the inner service is ready");
        assert_send(&service.call(self.flavour.request()));
    }

    /// Item 7. A service refuses with its own error, where its maker says so.
    pub async fn refuses_by_its_own_error<C>(&self, code: &str, admission: bool, prepare: C)
    where
        C: AsyncFnOnce(&mut L::Service, &Handle<K::Answer>),
    {
        let error = self.refused(admission, prepare).await.err();
        assert_eq!(error, Some(crate::ByError::error(code)), "the refusal must become the service's own error");
    }

    pub(crate) async fn refused<C>(
        &self,
        admission: bool,
        prepare: C,
    ) -> Result<<L::Service as Service<K::Request>>::Response, ProbeError>
    where
        C: AsyncFnOnce(&mut L::Service, &Handle<K::Answer>),
    {
        let (mut service, handle) = self.service();
        prepare(&mut service, &handle).await;
        let calls = handle.calls();
        let result = send(&mut service, self.flavour.request()).await;
        assert!(!admission || handle.calls() == calls, "refused at admission, and the inner service was called");
        drop(service);
        assert_eq!((handle.permits(), handle.futures()), (0, 0), "a refusal leaves nothing behind");
        result
    }

    pub(crate) fn service(&self) -> (L::Service, Handle<K::Answer>) {
        let (probe, handle) = self.flavour.probe();
        ((self.make)().layer(probe), handle)
    }

    pub(crate) async fn call_ok(&self, service: &mut L::Service) {
        poll_fn(|cx| service.poll_ready(cx)).await.expect("the inner service is ready");
        self.call_ready(service).await;
    }

    pub(crate) async fn call_ready(&self, service: &mut L::Service) {
        let result = service.call(self.flavour.request()).await;
        assert!(result.is_ok(), "the inner service answers: {:?}", result.err());
    }
}

// === impl PlainFlavour ===

impl<F, L> Contract<PlainFlavour, F>
where
    F: Fn() -> L,
    L: Layer<PlainProbe> + Clone + Send + Sync + 'static,
    L::Service: Service<u64, Response = u64, Error = ProbeError, Future: Send> + Clone + Send + Sync + 'static,
{
    /// Item 7. A service refuses with its own answer, where its maker says so.
    pub async fn refuses_by_its_own_answer<C>(&self, admission: bool, prepare: C)
    where
        C: AsyncFnOnce(&mut L::Service, &Handle<u64>),
    {
        let answer = self.refused(admission, prepare).await;
        assert_eq!(answer, Ok(crate::ByResponse::NUMBER), "the refusal must become the service's own answer");
    }

    /// Request and answer pass unchanged.
    pub async fn request_and_answer_pass(&self) {
        let (mut service, handle) = self.service();
        handle.next(Reply::from(42));
        assert_eq!(send(&mut service, 11).await, Ok(42));
        assert_eq!(handle.seen(), [11]);
    }
}
