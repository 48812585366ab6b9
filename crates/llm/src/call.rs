//! What one inbound request asks for.

use std::{fmt, sync::Arc};

use buttress_core::{Payload, Refusal, RefusalKind};
use bytes::Bytes;
use http::{Method, Request};

use crate::{Operation, RequestDetails, RequestFacts, Route, facts::Place};

/// What one inbound request asks for: operation, model, stream.
///
/// It is read once and travels in the request's extensions. Clones count a reference.
#[derive(Clone, PartialEq, Eq)]
pub struct Call(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    route: Route,
    model: Option<Box<str>>,
    stream: bool,
    /// `None` if the operation has no body.
    place: Option<Place>,
}

// === impl Call ===

impl Call {
    /// Reads what `request` asks for, from its method, path and body.
    ///
    /// # Errors
    ///
    /// Returns the refusal to answer with: there is nothing at this path, the method is another one, or the body is not
    /// understood.
    pub fn read(request: &Request<Payload>) -> Result<Self, Refusal> {
        let route = Route::parse(request.uri().path())?;
        Self::of_parts(request.method(), route, request.body().bytes())
    }

    /// Finds the call in the extensions of `request`, or reads it and leaves it there.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn of_or_read(request: &mut Request<Payload>) -> Result<Self, Refusal> {
        if let Some(call) = request.extensions().get::<Self>() {
            return Ok(call.clone());
        }
        let call = Self::read(request)?;
        request.extensions_mut().insert(call.clone());
        Ok(call)
    }

    fn of_parts(method: &Method, route: Route, body: &[u8]) -> Result<Self, Refusal> {
        let expected = route.operation.method();
        if *method != expected {
            return Err(Refusal::new(RefusalKind::BadRequest, format!("this path is to be asked with {expected}")));
        }
        let mut inner = Inner { route, model: None, stream: false, place: None };
        if inner.route.operation.has_body() {
            let facts = RequestFacts::read(body)?;
            inner.place = Some(facts.place().clone());
            inner.stream = inner.route.operation.streams(facts.stream);
            inner.model = facts.model.map(|model| model.into_owned().into());
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Returns what is asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.route.operation
    }

    /// Returns the model asked for: by the path if it names one, as at Azure and Gemini, and by the body otherwise.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.route.model.as_deref().or_else(|| self.body_model())
    }

    /// Returns whether the answer is to be streamed. Gemini says it in the path; Ollama streams unless told not to.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.0.stream
    }

    /// Finds what else `body`, the one this was read from, says.
    #[must_use]
    pub fn details<'a>(&self, body: &'a [u8]) -> RequestDetails<'a> {
        RequestDetails::new(self.operation(), body)
    }

    /// Returns the model that the body names.
    pub(crate) fn body_model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Returns `body` with `model` as its model. A body that is not the one this was read from is read again.
    pub(crate) fn with_model(&self, body: &Bytes, model: &str) -> Result<Bytes, Refusal> {
        match &self.0.place {
            Some(place) if self.knows(body, place) => Ok(place.splice(body, model)),
            _ => Ok(RequestFacts::read(body)?.with_model(body, model)),
        }
    }

    /// A layer in between may have changed the body. The place counts only if the name still stands there.
    fn knows(&self, body: &[u8], place: &Place) -> bool {
        let Place::At(range) = place else { return false };
        let literal = body.get(range.clone()).and_then(|value| value.strip_prefix(b"\"")?.strip_suffix(b"\""));
        literal.is_some_and(|literal| Some(literal) == self.0.model.as_deref().map(str::as_bytes))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation())
            .field("model", &self.model())
            .field("stream", &self.stream())
            .finish()
    }
}
