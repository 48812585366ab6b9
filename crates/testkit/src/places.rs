//! The part of the contract that is about places in the inner service: each one taken is given back.

use tokio_test::{assert_pending, assert_ready_ok, task};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Contract, Flavour, Handle, ProbeError, Readiness, Reply,
    caller::{Caller, pair},
};

// === impl Contract ===

impl<K, F, L> Contract<K, F>
where
    K: Flavour,
    F: Fn() -> L,
    L: Layer<K::Probe> + Clone + Send + Sync + 'static,
    L::Service: Service<K::Request, Error = ProbeError, Future: Send> + Clone + Send + Sync + 'static,
{
    /// Item 4. A place is reserved for one instance, and is another's once it was used.
    pub async fn reserve_capacity_without_sending_request(&self) {
        let (mut first, mut second, handle) = self.two_for_one_place();
        assert_ready_ok!(first.poll_ready());
        if self.readiness == Readiness::Lazy {
            assert_eq!(handle.permits(), 0, "who is always ready reserves nothing");
            self.call_ok(&mut second.service).await;
            self.call_ready(&mut first.service).await;
            return;
        }
        assert_eq!(handle.permits(), 1);
        assert_pending!(second.poll_ready());
        self.call_ready(&mut first.service).await;
        assert!(second.task.is_woken(), "nobody told the one who waits that a place is free");
        assert_ready_ok!(second.poll_ready());
    }

    /// Item 4. A service that was ready and is dropped gives its place back.
    pub async fn service_drop_frees_capacity(&self) {
        let (mut first, mut second, handle) = self.two_for_one_place();
        assert_ready_ok!(first.poll_ready());
        if self.readiness == Readiness::Forwarded {
            assert_pending!(second.poll_ready());
        }
        drop(first);
        assert_eq!(handle.permits(), 0, "a service was dropped and its place is still held");
        self.second_gets_the_place(&mut second).await;
    }

    /// Items 5 and 6. An error gives the place back.
    pub async fn response_error_releases_capacity(&self) {
        let (mut first, mut second, handle) = self.two_for_one_place();
        handle.always(Reply::error("inner failed"));
        assert_ready_ok!(first.poll_ready());
        let response = first.service.call(self.flavour.request());
        if self.readiness == Readiness::Forwarded {
            assert_pending!(second.poll_ready());
        }
        assert!(response.await.is_err(), "the inner service fails each time");
        assert_eq!(handle.permits(), 0, "the call has failed and its place is still held");
        handle.always(Reply::ok());
        self.second_gets_the_place(&mut second).await;
    }

    /// Item 5. A call that is dropped under way gives the place back.
    pub async fn response_future_drop_releases_capacity(&self) {
        let (mut first, mut second, handle) = self.two_for_one_place();
        handle.always(Reply::ok().hanging());
        assert_ready_ok!(first.poll_ready());
        let mut response = task::spawn(first.service.call(self.flavour.request()));
        assert!(response.poll().is_pending(), "the inner service has not answered");
        assert_eq!(handle.calls(), 1, "the call is under way");
        if self.readiness == Readiness::Forwarded {
            assert_pending!(second.poll_ready());
        }
        drop(response);
        handle.assert_idle();
        handle.always(Reply::ok());
        self.second_gets_the_place(&mut second).await;
    }

    /// Item 5. A call that is dropped before its first poll gives the place back.
    pub async fn response_future_drop_before_its_first_poll_releases_capacity(&self) {
        let (mut first, mut second, handle) = self.two_for_one_place();
        assert_ready_ok!(first.poll_ready());
        let response = first.service.call(self.flavour.request());
        if self.readiness == Readiness::Forwarded {
            assert_pending!(second.poll_ready());
        }
        drop(response);
        handle.assert_idle();
        self.second_gets_the_place(&mut second).await;
    }

    fn two_for_one_place(&self) -> (Caller<L::Service>, Caller<L::Service>, Handle<K::Answer>) {
        let (service, handle) = self.service();
        handle.limit(1);
        let (first, second) = pair(service);
        (first, second, handle)
    }

    async fn second_gets_the_place(&self, second: &mut Caller<L::Service>) {
        if self.readiness == Readiness::Forwarded {
            assert!(second.task.is_woken(), "nobody told the one who waits that a place is free");
        }
        assert_ready_ok!(second.poll_ready());
        self.call_ready(&mut second.service).await;
    }
}
