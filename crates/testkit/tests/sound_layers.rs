//! Layers that do nothing, or do it well, pass the contract.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::Router;
use buttress_core::{HttpRefusal, Oneshot, Payload, Refusal, RefusalKind, Refuse};
use buttress_testkit::{read, run, send};
use http::Request;
use http_body::Body as _;
use pin_project::pin_project;
use tower::{layer::util::Identity, limit::GlobalConcurrencyLimitLayer};
use tower_layer::Layer;
use tower_service::Service;

/// Refuses once its allowance is used up.
#[derive(Clone, Debug)]
struct AllowLayer<M = HttpRefusal> {
    left: Arc<AtomicU64>,
    refusal: M,
}

#[derive(Clone, Debug)]
struct Allow<S, M> {
    inner: S,
    layer: AllowLayer<M>,
}

#[pin_project(project = AllowFutureProj)]
enum AllowFuture<F, T> {
    Inner(#[pin] F),
    Refused(Option<T>),
}

/// Asks nothing of the inner service before the call.
#[derive(Clone, Debug)]
struct Lazy<S>(S);

// === impl AllowLayer ===

impl AllowLayer {
    fn new(calls: u64) -> Self {
        Self::refusing(calls, HttpRefusal)
    }
}

impl<M> AllowLayer<M> {
    fn refusing(calls: u64, refusal: M) -> Self {
        Self { left: Arc::new(AtomicU64::new(calls)), refusal }
    }
}

impl<S, M: Clone> Layer<S> for AllowLayer<M> {
    type Service = Allow<S, M>;

    fn layer(&self, inner: S) -> Allow<S, M> {
        Allow { inner, layer: self.clone() }
    }
}

// === impl Allow ===

impl<S, M, Req> Service<Req> for Allow<S, M>
where
    S: Service<Req>,
    M: Refuse<Refusal, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AllowFuture<S::Future, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let left = &self.layer.left;
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return AllowFuture::Inner(self.inner.call(request));
        }
        let refusal =
            Refusal::new(RefusalKind::Overloaded, "no more").with_retry_after(std::time::Duration::from_millis(1_500));
        AllowFuture::Refused(Some(self.layer.refusal.refuse(refusal)))
    }
}

// === impl AllowFuture ===

impl<F: Future<Output = T>, T> Future for AllowFuture<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.project() {
            AllowFutureProj::Inner(inner) => inner.poll(cx),
            AllowFutureProj::Refused(refused) => Poll::Ready(refused.take().expect("polled after completion")),
        }
    }
}

// === impl Lazy ===

impl<S: Service<Req> + Clone, Req> Service<Req> for Lazy<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Oneshot<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Oneshot::new(self.0.clone(), request)
    }
}

#[test]
fn a_refusal_under_axum_is_an_answer_with_a_length() {
    let mut router: Router = Router::new().fallback(async || "answered").layer(AllowLayer::new(0));
    let response =
        run(send(&mut router, Request::new(axum::body::Body::empty()))).unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["retry-after"], "2");
    assert!(response.extensions().get::<Refusal>().is_some());
    let length = response.body().size_hint().exact().expect("a refusal is wholly in memory");
    assert_eq!(run(read(response.into_body())).bytes().len() as u64, length);
}

mod identity_http {
    buttress_testkit::http_contract! {
        layer: super::Identity::new,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

mod identity_http_with_every_key {
    use buttress_testkit::{Handle, Probe, Script};

    fn streamed() -> http::Request<buttress_testkit::ScriptedBody> {
        http::Request::new(Script::new().data("x").data("yz").trailer("x-check", "1").body())
    }

    buttress_testkit::http_contract! {
        layer: super::Identity::new,
        request: streamed,
        body: buttress_core::Body,
        readiness: forwarded,
        state: async |mut first: Probe<buttress_core::Body>, _second, handle: Handle| {
            buttress_testkit::send(&mut first, streamed()).await.unwrap();
            assert_eq!(handle.calls(), 1);
        },
        refusal: none,
        edge: super::Identity::new(),
    }
}

mod identity_plain {
    buttress_testkit::plain_contract! {
        layer: super::Identity::new,
        readiness: forwarded,
        state: none,
        refusal: none,
    }
}

mod global_concurrency_limit_http {
    use std::task::Poll;

    use buttress_testkit::{Reply, request};
    use tower_service::Service as _;

    buttress_testkit::http_contract! {
        layer: || super::GlobalConcurrencyLimitLayer::new(2),
        readiness: forwarded,
        state: async |mut first, mut second, handle| {
            handle.always(Reply::ok().hanging());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let under_way = [(); 2].map(|()| {
                assert!(super::ready(&mut first, &mut cx).is_ready());
                first.call(request())
            });
            assert!(super::ready(&mut second, &mut cx).is_pending(), "both places are taken through the other service");
            drop(under_way);
            assert!(matches!(super::ready(&mut second, &mut cx), Poll::Ready(Ok(()))));
        },
        refusal: none,
    }
}

fn ready<S>(service: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
where
    S: Service<Request<Payload>>,
{
    service.poll_ready(cx)
}

mod allow_http {
    use super::AllowLayer;
    use buttress_core::RefusalKind;
    use buttress_testkit::{request, send};

    buttress_testkit::http_contract! {
        layer: || AllowLayer::new(100),
        readiness: forwarded,
        state: async |mut first, second, _handle| {
            send(&mut first, request()).await.unwrap();
            assert_eq!(second.layer.left.load(super::Ordering::Relaxed), 99);
        },
        refusal: {
            kind: RefusalKind::Overloaded,
            admission: true,
            layer: |maker| AllowLayer::refusing(1, maker),
            prepare: async |service, _handle| drop(send(service, request()).await),
        },
    }
}

mod allow_plain {
    use super::AllowLayer;
    use buttress_core::RefusalKind;
    use buttress_testkit::send;

    buttress_testkit::plain_contract! {
        layer: || AllowLayer::refusing(100, buttress_testkit::ByError),
        readiness: forwarded,
        state: async |mut first, second, _handle| {
            assert_eq!(send(&mut first, 1).await, Ok(1));
            assert_eq!(second.layer.left.load(super::Ordering::Relaxed), 99);
        },
        refusal: {
            kind: RefusalKind::Overloaded,
            admission: true,
            layer: |maker| AllowLayer::refusing(0, maker),
            prepare: async |_service, _handle| {},
        },
    }
}

mod lazy_http {
    buttress_testkit::http_contract! {
        layer: || tower::layer::layer_fn(super::Lazy),
        readiness: lazy,
        state: none,
        refusal: none,
    }
}

mod lazy_plain {
    buttress_testkit::plain_contract! {
        layer: || tower::layer::layer_fn(super::Lazy),
        readiness: lazy,
        state: none,
        refusal: none,
        edge: tower::layer::layer_fn(super::Lazy),
    }
}
