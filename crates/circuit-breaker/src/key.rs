//! What has a circuit of its own.

use std::fmt;

use buttress_core::{Label, Target};
use http::Request;

/// Names a circuit: a target, and a model where circuits are by model.
///
/// It stands in refusals, log lines and events. Never make one of a credential or of anything a caller would not want to
/// read there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    target: Label,
    model: Option<Label>,
}

/// Says which circuit a request goes through. Any `Fn(&Req) -> Option<Key>` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell the circuit of a `{Req}`",
    label = "not a key of this request",
    note = "`ByTarget` reads a `Request<B>`; a closure `|request: &Request| -> Option<Key>` reads any, with the type of its argument written out"
)]
pub trait KeyOf<Req> {
    /// Returns the key of `request`, or `None` if it goes through the layer's own circuit, with all others that have none.
    fn key(&self, request: &Req) -> Option<Key>;
}

/// One circuit for all requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneKey;

/// A circuit for each [`Target`] that a layer further out has put into the extensions of a request, as failover does.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByTarget;

/// A circuit for each [`Target`] and model. The closure, any `Fn(&Request<B>) -> Option<Label>`, says which model a request
/// asks for; where it does not know, the circuit is that of the target.
#[derive(Clone, Copy, Debug)]
pub struct ByTargetAndModel<F>(pub F);

// === impl Key ===

impl Key {
    /// Creates the key of a target.
    #[must_use]
    pub const fn new(target: Label) -> Self {
        Self { target, model: None }
    }

    /// Names a model of the target.
    #[must_use]
    pub fn with_model(mut self, model: Label) -> Self {
        self.model = Some(model);
        self
    }

    /// Returns the target.
    #[must_use]
    pub const fn target(&self) -> &Label {
        &self.target
    }

    /// Returns the model.
    #[must_use]
    pub const fn model(&self) -> Option<&Label> {
        self.model.as_ref()
    }
}

impl From<&Target> for Key {
    fn from(target: &Target) -> Self {
        Self::new(target.name().clone())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.target.as_str())?;
        match &self.model {
            Some(model) => write!(f, "/{model}"),
            None => Ok(()),
        }
    }
}

// === impl KeyOf ===

impl<F: Fn(&Req) -> Option<Key>, Req> KeyOf<Req> for F {
    fn key(&self, request: &Req) -> Option<Key> {
        self(request)
    }
}

impl<Req> KeyOf<Req> for OneKey {
    fn key(&self, _: &Req) -> Option<Key> {
        None
    }
}

impl<B> KeyOf<Request<B>> for ByTarget {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        request.extensions().get::<Target>().map(Key::from)
    }
}

impl<F: Fn(&Request<B>) -> Option<Label>, B> KeyOf<Request<B>> for ByTargetAndModel<F> {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        let key = ByTarget.key(request)?;
        Some(match (self.0)(request) {
            Some(model) => key.with_model(model),
            None => key,
        })
    }
}
