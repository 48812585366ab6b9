//! One copy of a request for several layers.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Request};

use crate::{
    HttpMark,
    replay::{Head, NotReplayable, Replay, is_idempotent},
};

/// An HTTP request that several layers keep as one. Clones count a reference; whoever changes one has its own from then on.
#[derive(Debug)]
pub struct SharedRequest<B>(Arc<Request<B>>);

/// HTTP requests whose body is `Clone`, of which two layers that send again keep one copy. See [`Replay`].
///
/// The outer layer takes a [`Request`] and hands on a [`SharedRequest`]; the inner one takes that, and makes of it the request
/// that each attempt sends. So a request is copied once for each attempt and not at all for the outer layer, and no layer in
/// between can change what the two of them keep without having a copy of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpShared;

// === impl SharedRequest ===

impl<B> SharedRequest<B> {
    /// Returns the request.
    #[must_use]
    pub fn get(&self) -> &Request<B> {
        &self.0
    }
}

impl<B> Clone for SharedRequest<B> {
    fn clone(&self) -> Self {
        // Not derived: the body need not be `Clone` for a reference to be counted.
        Self(Arc::clone(&self.0))
    }
}

impl<B> From<Request<B>> for SharedRequest<B> {
    fn from(request: Request<B>) -> Self {
        Self(Arc::new(request))
    }
}

impl<B: Clone> Head for SharedRequest<B> {
    fn method(&self) -> &Method {
        self.0.method()
    }

    fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        Arc::make_mut(&mut self.0).headers_mut()
    }

    fn extensions(&self) -> &Extensions {
        self.0.extensions()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        Arc::make_mut(&mut self.0).extensions_mut()
    }
}

// === impl HttpShared ===

impl<B: Clone> Replay<Request<B>> for HttpShared {
    type Request = SharedRequest<B>;
    type Saved = SharedRequest<B>;
    type Mark = HttpMark;

    fn split(&self, request: Request<B>) -> (SharedRequest<B>, SharedRequest<B>) {
        let shared = SharedRequest::from(request);
        (shared.clone(), shared)
    }

    fn again(&self, saved: &SharedRequest<B>) -> Result<SharedRequest<B>, NotReplayable> {
        Ok(saved.clone())
    }

    fn is_idempotent(&self, saved: &SharedRequest<B>) -> bool {
        is_idempotent(saved)
    }

    fn inbound<'a>(&self, request: &'a mut Request<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn outbound<'a>(&self, request: &'a mut SharedRequest<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn kept<'a>(&self, saved: &'a SharedRequest<B>) -> Option<&'a dyn Head> {
        Some(saved)
    }
}

impl<B: Clone> Replay<SharedRequest<B>> for HttpShared {
    type Request = Request<B>;
    type Saved = SharedRequest<B>;
    type Mark = HttpMark;

    fn split(&self, request: SharedRequest<B>) -> (Request<B>, SharedRequest<B>) {
        (request.get().clone(), request)
    }

    fn again(&self, saved: &SharedRequest<B>) -> Result<Request<B>, NotReplayable> {
        Ok(saved.get().clone())
    }

    fn is_idempotent(&self, saved: &SharedRequest<B>) -> bool {
        is_idempotent(saved)
    }

    fn inbound<'a>(&self, request: &'a mut SharedRequest<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn outbound<'a>(&self, request: &'a mut Request<B>) -> Option<&'a mut dyn Head> {
        Some(request)
    }

    fn kept<'a>(&self, saved: &'a SharedRequest<B>) -> Option<&'a dyn Head> {
        Some(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<&'static str> {
        Request::post("/").header("x-own", "first").body("body").unwrap()
    }

    #[test]
    fn two_layers_keep_one_copy_and_send_another() {
        let (handed_on, outer) = Replay::<Request<_>>::split(&HttpShared, request());
        let (mut sent, inner) = Replay::<SharedRequest<_>>::split(&HttpShared, handed_on);
        assert!(Arc::ptr_eq(&outer.0, &inner.0));
        sent.headers_mut().clear();
        assert_eq!(inner.get().headers()["x-own"], "first", "what is sent is not what is kept");
        let again: Request<_> = Replay::<SharedRequest<_>>::again(&HttpShared, &inner).unwrap();
        assert_eq!((again.headers()["x-own"].as_bytes(), *again.body()), (&b"first"[..], "body"));
    }

    #[test]
    fn whoever_changes_it_has_its_own_from_then_on() {
        let (mut handed_on, kept) = Replay::<Request<_>>::split(&HttpShared, request());
        handed_on.headers_mut().insert("x-own", "second".parse().unwrap());
        handed_on.extensions_mut().insert(7_u8);
        assert_eq!(handed_on.headers()["x-own"], "second");
        assert_eq!(handed_on.extensions().get(), Some(&7_u8));
        assert_eq!(kept.headers()["x-own"], "first");
        assert_eq!(kept.extensions().get::<u8>(), None);
    }

    #[test]
    fn whether_it_may_be_repeated_is_asked_of_its_head() {
        let keyed = Request::post("/").header("idempotency-key", "1").body(()).unwrap();
        let asked = |request: Request<()>| Replay::<Request<()>>::is_idempotent(&HttpShared, &request.into());
        assert!(asked(keyed) && asked(Request::new(())));
        assert!(!Replay::<SharedRequest<_>>::is_idempotent(&HttpShared, &request().into()));
    }
}
