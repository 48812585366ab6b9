//! The layer.

use std::{fmt, sync::Arc};

use buttress_core::{HttpClassify, HttpRefusal};
use tower_layer::Layer;

use crate::{CircuitBreaker, ConfigError, Handle, HttpProtocol, OneKey, PlainProtocol, Settings, keys::Registry};

/// Stops calling what is failing. See the [crate docs](crate).
///
/// `M` says what a refusal becomes, `C` what a result means, `K` which circuit a request goes through, and `P` when a call
/// has ended. Clones, and all services they make, share their circuits.
#[derive(Clone)]
pub struct CircuitBreakerLayer<M = HttpRefusal, C = HttpClassify, K = OneKey, P = HttpProtocol> {
    registry: Arc<Registry>,
    parts: Parts<M, C, K, P>,
}

/// What a layer is made of, besides its circuits.
#[derive(Clone)]
pub(crate) struct Parts<M, C, K, P> {
    pub(crate) refusal: M,
    pub(crate) classify: C,
    pub(crate) keys: K,
    pub(crate) protocol: P,
}

// === impl CircuitBreakerLayer ===

impl CircuitBreakerLayer {
    /// Creates a layer for HTTP with the default [`Settings`] and one circuit for all requests.
    #[must_use]
    pub fn new() -> Self {
        Self::try_new(Settings::new()).expect("the defaults are in range")
    }

    /// Creates a layer for HTTP with one circuit for all requests.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting which is out of range.
    pub fn try_new(settings: Settings) -> Result<Self, ConfigError> {
        settings.check()?;
        let registry = Arc::new(Registry::new(settings));
        let parts = Parts { refusal: HttpRefusal, classify: HttpClassify, keys: OneKey, protocol: HttpProtocol };
        Ok(Self { registry, parts })
    }
}

impl Default for CircuitBreakerLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<M, C> CircuitBreakerLayer<M, C, OneKey, PlainProtocol> {
    /// Creates a layer for a service without HTTP: `classify` says what a result means, `refusal` what a refusal becomes. A
    /// call has ended when its future has.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting which is out of range.
    pub fn try_plain(settings: Settings, classify: C, refusal: M) -> Result<Self, ConfigError> {
        let CircuitBreakerLayer { registry, .. } = CircuitBreakerLayer::try_new(settings)?;
        Ok(Self { registry, parts: Parts { refusal, classify, keys: OneKey, protocol: PlainProtocol } })
    }
}

impl<M, C, K, P> CircuitBreakerLayer<M, C, K, P> {
    /// Sets which circuit a request goes through: [`ByTarget`](crate::ByTarget),
    /// [`ByTargetAndModel`](crate::ByTargetAndModel), or a closure. See [`KeyOf`](crate::KeyOf).
    #[must_use]
    pub fn keyed<K2>(self, keys: K2) -> CircuitBreakerLayer<M, C, K2, P> {
        let Parts { refusal, classify, protocol, .. } = self.parts;
        CircuitBreakerLayer { registry: self.registry, parts: Parts { refusal, classify, keys, protocol } }
    }

    /// Sets what a result means: see [`Classify`](buttress_core::Classify).
    #[must_use]
    pub fn classify<C2>(self, classify: C2) -> CircuitBreakerLayer<M, C2, K, P> {
        let Parts { refusal, keys, protocol, .. } = self.parts;
        CircuitBreakerLayer { registry: self.registry, parts: Parts { refusal, classify, keys, protocol } }
    }

    /// Sets what a refusal becomes: see [`Refuse`](buttress_core::Refuse). It is handed a
    /// [`CircuitOpen`](crate::CircuitOpen).
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> CircuitBreakerLayer<M2, C, K, P> {
        let Parts { classify, keys, protocol, .. } = self.parts;
        CircuitBreakerLayer { registry: self.registry, parts: Parts { refusal, classify, keys, protocol } }
    }

    /// Returns a handle to the circuits, which stays good when the layer is gone into a box.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.registry))
    }
}

impl<S, M: Clone, C: Clone, K: Clone, P: Clone> Layer<S> for CircuitBreakerLayer<M, C, K, P> {
    type Service = CircuitBreaker<S, M, C, K, P>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreaker::new(inner, Arc::clone(&self.registry), self.parts.clone())
    }
}

impl<M, C, K, P> fmt::Debug for CircuitBreakerLayer<M, C, K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer").field("handle", &self.handle()).finish_non_exhaustive()
    }
}
