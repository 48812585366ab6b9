//! With HTTP, or without.

use std::marker::PhantomData;

use http::Request;

use crate::{Answer, Handle, HttpAnswer, PlainProbe, Probe};

/// What kind of service is around and inside the layer.
pub trait Flavour {
    /// What the probe answers.
    type Answer: Answer;
    /// The inner service.
    type Probe: Clone;
    /// What the layer is called with.
    type Request;

    /// Creates an inner service.
    fn probe(&self) -> (Self::Probe, Handle<Self::Answer>);

    /// Creates a request.
    fn request(&self) -> Self::Request;
}

/// HTTP: requests made by `R`, responses with a body `B`.
#[derive(Clone, Debug)]
pub struct HttpFlavour<B, R> {
    pub(crate) request: R,
    body: PhantomData<fn() -> B>,
}

/// No HTTP: numbers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PlainFlavour;

// === impl HttpFlavour ===

impl<B, R> HttpFlavour<B, R> {
    pub(crate) const fn new(request: R) -> Self {
        Self { request, body: PhantomData }
    }
}

impl<B, R, Q> Flavour for HttpFlavour<B, R>
where
    R: Fn() -> Request<Q>,
{
    type Answer = HttpAnswer;
    type Probe = Probe<B>;
    type Request = Request<Q>;

    fn probe(&self) -> (Probe<B>, Handle) {
        Probe::new()
    }

    fn request(&self) -> Request<Q> {
        (self.request)()
    }
}

// === impl PlainFlavour ===

impl Flavour for PlainFlavour {
    type Answer = u64;
    type Probe = PlainProbe;
    type Request = u64;

    fn probe(&self) -> (PlainProbe, Handle<u64>) {
        PlainProbe::new()
    }

    fn request(&self) -> u64 {
        7
    }
}
