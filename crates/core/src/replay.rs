//! How a request is sent more than once.

use std::{error::Error, fmt, num::NonZeroU32};

use http::{Extensions, HeaderMap, Method, Request};

use crate::{
    CallContext, Criticality, HttpMark, NoMark, ReplayBody, Target,
    begin::{begin, complete},
};

/// How a request is sent more than once.
///
/// | | for | [`CallContext`] | idempotent |
/// |---|---|---|---|
/// | [`Http`] | HTTP, the body is `Clone` | in the extensions | by method or `Idempotency-Key` |
/// | [`HttpReplay`] | HTTP, any body | in the extensions | by method or `Idempotency-Key` |
/// | [`HttpReplayed`] | HTTP, a layer further out made the body a [`ReplayBody`] | in the extensions | by method or `Idempotency-Key` |
/// | [`HttpShared`](crate::HttpShared) | HTTP, the body is `Clone`, two layers keep one copy | in the extensions | by method or `Idempotency-Key` |
/// | [`ByClone`] | any `Clone` request | none | yes: whoever chooses it says so |
/// | [`ByFn`] | any request, by closure | none | yes, where the closure gives a copy |
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know how to send a `{Req}` again",
    label = "no way to send this request again",
    note = "`Http` takes a `Request<B>` where `B` is `Clone`, such as `buttress_core::Payload`; `HttpReplay` one with any body; `ByClone` any request that is `Clone`; `ByFn` any other. Choose by `.replay(..)`"
)]
pub trait Replay<Req> {
    /// What the inner service is called with.
    type Request;
    /// What is kept for further attempts.
    type Saved;
    /// How a response is marked: [`HttpMark`] or [`NoMark`].
    type Mark;

    /// Splits `request` into what is sent first and what is kept.
    fn split(&self, request: Req) -> (Self::Request, Self::Saved);

    /// Makes the request once more.
    ///
    /// # Errors
    ///
    /// Fails if the request, or what was kept of it, cannot be sent again.
    fn again(&self, saved: &Self::Saved) -> Result<Self::Request, NotReplayable>;

    /// Returns whether sending the request twice does no more than sending it once.
    fn is_idempotent(&self, saved: &Self::Saved) -> bool;

    /// Returns whether all has been sent of the request that went out last, so that to make it [once more](Self::again) takes
    /// nothing from it.
    fn is_sent(&self, saved: &Self::Saved) -> bool {
        let _ = saved;
        true
    }

    /// Returns the head of a request that came in, where it has one.
    fn inbound<'a>(&self, request: &'a mut Req) -> Option<&'a mut dyn Head> {
        let _ = request;
        None
    }

    /// Returns the head of a request that is about to go out, where it has one.
    fn outbound<'a>(&self, request: &'a mut Self::Request) -> Option<&'a mut dyn Head> {
        let _ = request;
        None
    }

    /// Returns the head of what is kept, where it has one.
    fn kept<'a>(&self, saved: &'a Self::Saved) -> Option<&'a dyn Head> {
        let _ = saved;
        None
    }

    /// Finds the context of `request`, or creates one that allows `attempts` in all; `None` if it can hold none.
    fn context(&self, request: &mut Req, attempts: NonZeroU32) -> Option<CallContext> {
        Some(CallContext::in_head(self.inbound(request)?, attempts))
    }

    /// Splits `request` as [`split`](Self::split) does, and finds its context or creates one, as [`context`](Self::context) does.
    /// What is sent carries the context; what is kept may have none until it is [completed](Self::complete).
    fn begin(&self, mut request: Req, attempts: NonZeroU32) -> (Self::Request, Self::Saved, Option<CallContext>) {
        let context = self.context(&mut request, attempts);
        let (first, saved) = self.split(request);
        (first, saved, context)
    }

    /// Puts `context` into what is kept, if [`begin`](Self::begin) left it out: before anybody looks there, or makes the request
    /// once more.
    fn complete(&self, saved: &mut Self::Saved, context: &CallContext) {
        let _ = (saved, context);
    }

    /// Returns how much `request` matters: what its extensions say, where it has them.
    fn criticality(&self, request: &mut Req) -> Criticality {
        self.inbound(request).and_then(|head| head.extensions().get().copied()).unwrap_or_default()
    }

    /// Lets the layers further in know which target `request` goes to: in its extensions, where it has them.
    fn aim(&self, request: &mut Self::Request, target: &Target) {
        if let Some(head) = self.outbound(request) {
            head.extensions_mut().insert(target.clone());
        }
    }
}

/// The head of an HTTP request, whatever its body.
pub trait Head {
    /// Returns the method.
    fn method(&self) -> &Method;
    /// Returns the headers.
    fn headers(&self) -> &HeaderMap;
    /// Returns the headers, to be changed.
    fn headers_mut(&mut self) -> &mut HeaderMap;
    /// Returns the extensions.
    fn extensions(&self) -> &Extensions;
    /// Returns the extensions, to be changed.
    fn extensions_mut(&mut self) -> &mut Extensions;
}

/// The error of a request that cannot be sent again: its body is longer than what may be kept, or it is no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotReplayable;

/// HTTP requests whose body is `Clone`, such as [`Payload`](crate::Payload) or `Full<Bytes>`. See [`Replay`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

/// HTTP requests with any body, which is kept while it is sent. See [`Replay`] and [`ReplayBody`].
#[derive(Clone, Copy, Debug)]
pub struct HttpReplay {
    max_bytes: u64,
}

/// HTTP requests whose body a layer further out has made a [`ReplayBody`], so that nothing is kept twice. See [`Replay`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpReplayed;

/// Any `Clone` request of a service without HTTP. See [`Replay`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ByClone;

/// Requests that a closure `Fn(&Req) -> Option<Req>` copies, or declines to. See [`Replay`].
#[derive(Clone, Copy, Debug)]
pub struct ByFn<F>(pub F);

// === impl Head ===

impl<B> Head for Request<B> {
    fn method(&self) -> &Method {
        self.method()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }

    fn extensions(&self) -> &Extensions {
        self.extensions()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

/// By method (RFC 9110, section 9.2.2), or because the caller gave a key to tell repetitions by.
pub(crate) fn is_idempotent(head: &dyn Head) -> bool {
    head.method().is_idempotent() || head.headers().contains_key("idempotency-key")
}

// === impl NotReplayable ===

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request cannot be sent again")
    }
}

impl Error for NotReplayable {}

// === impl Http ===

impl<B: Clone> Replay<Request<B>> for Http {
    type Request = Request<B>;
    type Saved = Request<B>;
    type Mark = HttpMark;

    fn split(&self, request: Request<B>) -> (Request<B>, Request<B>) {
        (request.clone(), request)
    }

    fn again(&self, saved: &Request<B>) -> Result<Request<B>, NotReplayable> {
        Ok(saved.clone())
    }

    #[inline]
    fn begin(&self, request: Request<B>, attempts: NonZeroU32) -> (Self::Request, Self::Saved, Option<CallContext>) {
        begin(self, request, attempts)
    }

    fn complete(&self, saved: &mut Self::Saved, context: &CallContext) {
        complete(saved, context);
    }

    fn is_idempotent(&self, saved: &Request<B>) -> bool {
        is_idempotent(saved)
    }

    fn inbound<'a>(&self, request: &'a mut Request<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn outbound<'a>(&self, request: &'a mut Request<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn kept<'a>(&self, saved: &'a Request<B>) -> Option<&'a dyn Head> {
        Some(saved)
    }
}

// === impl HttpReplay ===

impl HttpReplay {
    /// What [`default`](Self::default) keeps of a body: 16 MiB.
    pub const DEFAULT_MAX_BYTES: u64 = 16 * 1024 * 1024;

    /// Keeps up to `max_bytes` of a body. A longer one is sent once.
    #[must_use]
    pub const fn new(max_bytes: u64) -> Self {
        Self { max_bytes }
    }
}

impl Default for HttpReplay {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX_BYTES)
    }
}

impl<B: http_body::Body> Replay<Request<B>> for HttpReplay {
    type Request = Request<ReplayBody<B>>;
    type Saved = Request<ReplayBody<B>>;
    type Mark = HttpMark;

    fn split(&self, request: Request<B>) -> (Self::Request, Self::Saved) {
        HttpReplayed.split(request.map(|body| ReplayBody::new(body, self.max_bytes)))
    }

    fn again(&self, saved: &Self::Saved) -> Result<Self::Request, NotReplayable> {
        HttpReplayed.again(saved)
    }

    #[inline]
    fn begin(&self, request: Request<B>, attempts: NonZeroU32) -> (Self::Request, Self::Saved, Option<CallContext>) {
        begin(self, request, attempts)
    }

    fn complete(&self, saved: &mut Self::Saved, context: &CallContext) {
        complete(saved, context);
    }

    fn is_idempotent(&self, saved: &Self::Saved) -> bool {
        is_idempotent(saved)
    }

    fn is_sent(&self, saved: &Self::Saved) -> bool {
        saved.body().is_sent()
    }

    fn inbound<'a>(&self, request: &'a mut Request<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn outbound<'a>(&self, request: &'a mut Self::Request) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn kept<'a>(&self, saved: &'a Self::Saved) -> Option<&'a dyn Head> {
        Some(saved)
    }
}

// === impl HttpReplayed ===

impl<B> Replay<Request<ReplayBody<B>>> for HttpReplayed {
    type Request = Request<ReplayBody<B>>;
    type Saved = Request<ReplayBody<B>>;
    type Mark = HttpMark;

    fn split(&self, request: Self::Request) -> (Self::Request, Self::Saved) {
        let (parts, body) = request.into_parts();
        let handle = body.handle();
        (Request::from_parts(parts.clone(), body), Request::from_parts(parts, handle))
    }

    fn again(&self, saved: &Self::Saved) -> Result<Self::Request, NotReplayable> {
        let body = saved.body().replay().ok_or(NotReplayable)?;
        let mut request = Request::new(body);
        *request.method_mut() = saved.method().clone();
        *request.uri_mut() = saved.uri().clone();
        *request.version_mut() = saved.version();
        *request.headers_mut() = saved.headers().clone();
        *request.extensions_mut() = saved.extensions().clone();
        Ok(request)
    }

    #[inline]
    fn begin(&self, request: Self::Request, attempts: NonZeroU32) -> (Self::Request, Self::Saved, Option<CallContext>) {
        begin(self, request, attempts)
    }

    fn complete(&self, saved: &mut Self::Saved, context: &CallContext) {
        complete(saved, context);
    }

    fn is_idempotent(&self, saved: &Self::Saved) -> bool {
        is_idempotent(saved)
    }

    fn is_sent(&self, saved: &Self::Saved) -> bool {
        saved.body().is_sent()
    }

    fn inbound<'a>(&self, request: &'a mut Self::Request) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn outbound<'a>(&self, request: &'a mut Self::Request) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn kept<'a>(&self, saved: &'a Self::Saved) -> Option<&'a dyn Head> {
        Some(saved)
    }
}

// === impl ByClone ===

impl<Req: Clone> Replay<Req> for ByClone {
    type Request = Req;
    type Saved = Req;
    type Mark = NoMark;

    fn split(&self, request: Req) -> (Req, Req) {
        (request.clone(), request)
    }

    fn again(&self, saved: &Req) -> Result<Req, NotReplayable> {
        Ok(saved.clone())
    }

    fn is_idempotent(&self, _: &Req) -> bool {
        true
    }
}

// === impl ByFn ===

impl<F> ByFn<F> {
    /// The same as `ByFn(copy)`: copies requests by `copy`; where it returns `None`, the request is sent once.
    pub const fn new(copy: F) -> Self {
        Self(copy)
    }
}

impl<Req, F: Fn(&Req) -> Option<Req>> Replay<Req> for ByFn<F> {
    type Request = Req;
    type Saved = Option<Req>;
    type Mark = NoMark;

    fn split(&self, request: Req) -> (Req, Option<Req>) {
        let copy = self.0(&request);
        (request, copy)
    }

    fn again(&self, saved: &Option<Req>) -> Result<Req, NotReplayable> {
        saved.as_ref().and_then(&self.0).ok_or(NotReplayable)
    }

    fn is_idempotent(&self, saved: &Option<Req>) -> bool {
        saved.is_some()
    }
}
