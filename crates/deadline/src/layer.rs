//! The layer and its settings.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use buttress_core::HttpRefusal;
use tower_layer::Layer;

use crate::{Deadline, HttpProtocol, PlainProtocol, Source};

/// Gives each call one deadline. See the [crate docs](crate).
///
/// `M` says what a refusal becomes, `P` what a call is: with HTTP, or without.
#[derive(Clone, Debug)]
pub struct DeadlineLayer<M = HttpRefusal, P = HttpProtocol> {
    pub(crate) timeout: Duration,
    pub(crate) refusal: M,
    pub(crate) protocol: P,
}

// === impl DeadlineLayer ===

impl DeadlineLayer {
    /// Creates a layer for HTTP whose deadline holds to the end of the answer's body.
    ///
    /// The `timeout` is what a request has that asks for nothing, and the most that any may ask for. A time that is
    /// longer than a clock can hold, such as [`Duration::MAX`], sets no limit.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout, refusal: HttpRefusal, protocol: HttpProtocol::to_the_end() }
    }

    /// Creates a layer for HTTP whose deadline holds to the head of the answer: for streams that another layer watches.
    /// See [`new`](Self::new) for `timeout`.
    #[must_use]
    pub const fn headers_only(timeout: Duration) -> Self {
        Self { timeout, refusal: HttpRefusal, protocol: HttpProtocol::to_the_head() }
    }
}

impl<M> DeadlineLayer<M, PlainProtocol> {
    /// Creates a layer for a service without HTTP, where every call has `timeout`, and `refusal` says how to refuse:
    /// see
    /// [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub const fn plain(timeout: Duration, refusal: M) -> Self {
        Self { timeout, refusal, protocol: PlainProtocol }
    }
}

impl<M> DeadlineLayer<M> {
    /// Sets which headers are believed. All by default; none leaves the configured time.
    #[must_use]
    pub fn sources(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.protocol.sources = sources.into_iter().collect();
        self
    }

    /// Sets how many attempts all layers together may make, where no layer further out has set it. 5 by default.
    #[must_use]
    pub const fn allowance(mut self, attempts: NonZeroU32) -> Self {
        self.protocol.allowance = attempts;
        self
    }

    /// Shares the time out among the attempts that are allowed: each may take up to `per_try` to the head of its
    /// answer, and no more than its share, which is `floor` at least. See [`attempt_timeout`](crate::attempt_timeout).
    ///
    /// Failover holds its attempts to it. A shorter timeout that the context holds already takes the place of
    /// `per_try`.
    #[must_use]
    pub const fn attempt_timeout(mut self, per_try: Duration, floor: Duration) -> Self {
        self.protocol.attempts = Some((per_try, floor));
        self
    }
}

impl<M, P> DeadlineLayer<M, P> {
    /// Sets what a refusal becomes: see [`Refuse`](buttress_core::Refuse).
    #[must_use]
    pub fn on_refusal<M2>(self, refusal: M2) -> DeadlineLayer<M2, P> {
        DeadlineLayer { timeout: self.timeout, refusal, protocol: self.protocol }
    }

    /// Sets what a call is, where it is neither HTTP nor plain: see [`Protocol`](crate::Protocol) and
    /// [`Cover`](crate::Cover).
    #[must_use]
    pub fn protocol<P2>(self, protocol: P2) -> DeadlineLayer<M, P2> {
        DeadlineLayer { timeout: self.timeout, refusal: self.refusal, protocol }
    }
}

impl<S, M: Clone, P: Clone> Layer<S> for DeadlineLayer<M, P> {
    type Service = Deadline<S, M, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline::new(inner, Arc::new(self.clone()))
    }
}
