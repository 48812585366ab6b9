//! Services of HTTP: what a caller of a language model sends, and what hyper's client hands up for it.

use std::{
    future::{Ready, ready},
    hint::black_box,
    num::NonZeroU32,
    sync::LazyLock,
    task::{Context, Poll},
    time::Duration,
};

use buttress_core::{
    Attempt, Body, CallContext, Http, Label, Outcome, Payload, Refusal, RefusalKind, Rewritten, ServedBy, Target,
    TransportError, Verdict,
};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use buttress_served_by::ServedByLayer;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use tower::{Layer as _, Service, ServiceBuilder, retry};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::{Group, plain_cases::OnError};

/// Answers at once, as hyper's client would.
#[derive(Clone, Debug)]
pub(crate) struct Bare {
    status: StatusCode,
    /// For how many headers the answer's map has room beyond its own.
    room: usize,
    /// What a failover further in would have left in the extensions.
    facts: Option<(ServedBy, CallContext)>,
}

/// What a request and an answer are made of. Header values share one buffer, as in hyper.
struct Template {
    uri: Uri,
    request: HeaderMap,
    response: Vec<(HeaderName, HeaderValue)>,
    request_body: Bytes,
    response_body: Bytes,
}

const REQUEST: &str = "host: gateway.example\nuser-agent: OpenAI/Python 1.99.9\naccept: application/json\n\
    content-type: application/json\ncontent-length: 1024\naccept-encoding: gzip, deflate\n\
    authorization: Bearer sk-0123456789abcdef0123456789abcdef\nx-stainless-lang: python";

const RESPONSE: &str = "date: Mon, 01 Jan 2029 00:00:00 GMT\ncontent-type: application/json\ncontent-length: 900\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\nopenai-processing-ms: 412\nopenai-version: 2020-10-01\n\
    x-ratelimit-limit-requests: 10000\nx-ratelimit-limit-tokens: 2000000\nx-ratelimit-remaining-requests: 9999\n\
    x-ratelimit-remaining-tokens: 1999000\nx-ratelimit-reset-requests: 6ms\nx-ratelimit-reset-tokens: 30ms";

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| Template {
    uri: Uri::from_static("http://gateway.example/v1/chat/completions"),
    request: headers(REQUEST).into_iter().collect(),
    response: headers(RESPONSE),
    request_body: vec![b'q'; 1024].into(),
    response_body: vec![b'a'; 900].into(),
});

/// Calls of a client: sent again if need be, to other targets if need be.
pub(crate) fn calls() -> Group<Request<Payload>> {
    type Resilience = tower_resilience_retry::RetryLayer<Request<Payload>, Response<Body>, TransportError>;
    let bare = Bare::ok();
    let failover = || RegionFailoverLayer::try_new(targets()).expect("three names").replay(Http).repeat_all();
    let retry = || RetryLayer::new().replay(Http).repeat_all();
    let refuse = |_: Request<Payload>, _: &Target| -> Result<Rewritten<Request<Payload>>, Refusal> {
        Err(Refusal::new(RefusalKind::NotFound, "no such model here"))
    };
    let unavailable = Bare { status: StatusCode::SERVICE_UNAVAILABLE, ..bare.clone() };
    let stack = ServiceBuilder::new().layer(ServedByLayer::new()).layer(retry()).layer(failover());
    Group::new("HTTP calls, the first attempt succeeds", request, "bare", bare.clone())
        .case("tower::retry", retry::RetryLayer::new(OnError).layer(bare.clone()))
        .case("tower-resilience retry", Resilience::builder().build().layer(bare.clone()))
        .case("buttress RetryLayer, Http", retry().layer(bare.clone()))
        // Two for the headers, as everywhere; one for the context, and three for its place in the extensions.
        .promise(6)
        .case("buttress RetryLayer, HttpReplay", RetryLayer::new().layer(bare.clone()))
        .promise(7)
        // The same, one for the target, and four for the answer's extensions and the two that are put there.
        .case("buttress RegionFailoverLayer, 3 targets", failover().layer(bare.clone()))
        .promise(11)
        // One context for all, headers once more, one for the trail, and two because the map of headers grows.
        .case("buttress ServedBy > Retry > RegionFailover", stack.service(bare.clone()))
        .promise(16)
        .case("buttress RegionFailoverLayer, no target fits", failover().rewrite(refuse).layer(bare))
        .case("buttress RegionFailoverLayer, 3 answer 503", failover().layer(unavailable))
}

/// Answers that get headers, which say who served them and what was tried, into a map with room for them.
pub(crate) fn stamps() -> Group<Request<Payload>> {
    let bare = marked(5);
    let layer = ServedByLayer::new();
    Group::new("HTTP answers with 5 headers more, for which there is room", request, "bare", bare.clone())
        .case("tower-http SetResponseHeader x5, fixed values", fixed(bare.clone()))
        .case("buttress ServedByLayer", layer.layer(bare))
        .promise(1)
}

/// The same, where the map must grow, as most do that come from hyper.
pub(crate) fn stamps_that_grow() -> Group<Request<Payload>> {
    let bare = marked(0);
    let layer = ServedByLayer::new();
    Group::new("HTTP answers with 5 headers more, for which the map must grow", request, "bare", bare.clone())
        .case("tower-http SetResponseHeader x5, fixed values", fixed(bare.clone()))
        .case("buttress ServedByLayer", layer.layer(bare))
}

/// Answers as after a failover to the first target.
fn marked(room: usize) -> Bare {
    let context = CallContext::new(NonZeroU32::MIN);
    let [target, ..] = targets();
    let status = Outcome::Status(StatusCode::OK);
    context.record(Attempt::new(Some(target.clone()), Verdict::Success, status, Duration::from_millis(412)));
    let served_by = ServedBy { target, model: Some(label("gpt-4o-2024-11-20")) };
    Bare { status: StatusCode::OK, room, facts: Some((served_by, context)) }
}

/// Sets five headers that are known beforehand: the least that can be done.
fn fixed<S: Service<Request<Payload>, Response = Response<Body>, Error = TransportError> + Clone>(
    service: S,
) -> impl Service<Request<Payload>, Error = TransportError> + Clone {
    let stamp = |name, value| {
        SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    ServiceBuilder::new()
        .layer(stamp("x-served-by", "azure-eastus"))
        .layer(stamp("x-served-region", "eastus"))
        .layer(stamp("x-served-model", "gpt-4o-2024-11-20"))
        .layer(stamp("x-attempts", "1"))
        .layer(stamp("x-attempt-trail", "azure-eastus;200;412ms"))
        .service(service)
}

fn headers(text: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    let buffer = Bytes::from(text.as_bytes().to_vec());
    let pair = |line: &'static str| {
        let (name, value) = line.split_once(": ").expect("a name and a value");
        let at = value.as_ptr().addr() - text.as_ptr().addr();
        let value = HeaderValue::from_maybe_shared(buffer.slice(at..at + value.len())).expect("visible ASCII");
        (HeaderName::from_static(name), value)
    };
    text.lines().map(pair).collect()
}

pub(crate) fn request() -> Request<Payload> {
    let Template { uri, request, request_body, .. } = &*TEMPLATE;
    let mut built = Request::new(Payload::new(request_body.clone()));
    *built.method_mut() = http::Method::POST;
    *built.uri_mut() = uri.clone();
    *built.headers_mut() = request.clone();
    built
}

fn targets() -> [Target; 3] {
    ["eastus", "westeurope", "swedencentral"].map(|region| {
        let name = label(&format!("azure-{region}"));
        Target::new(name).with_region(label(region)).with_provider(label("azure"))
    })
}

fn label(text: &str) -> Label {
    Label::try_new(text).expect("visible ASCII")
}

// === impl Bare ===

impl Bare {
    pub(crate) const fn ok() -> Self {
        Self { status: StatusCode::OK, room: 0, facts: None }
    }

    fn answer(&self) -> Response<Body> {
        let Template { response, response_body, .. } = &*TEMPLATE;
        let mut built = Response::new(Body::from(response_body.clone()));
        *built.status_mut() = self.status;
        // As hyper does: room for what came.
        let mut headers = HeaderMap::with_capacity(response.len() + self.room);
        for (name, value) in response {
            headers.append(name.clone(), value.clone());
        }
        *built.headers_mut() = headers;
        if let Some((served_by, context)) = &self.facts {
            built.extensions_mut().insert(served_by.clone());
            built.extensions_mut().insert(context.clone());
        }
        built
    }
}

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = Ready<Result<Response<Body>, TransportError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(self.answer()))
    }
}
