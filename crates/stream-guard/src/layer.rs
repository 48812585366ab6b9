//! The layer and its settings.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use buttress_core::Bytewise;
use tower_layer::Layer;

use crate::{
    Counts, StreamGuard,
    clock::Limits,
    counts::Counters,
    pace::{Least, Unit},
};

/// Watches each answer to its end. See the [crate docs](crate).
///
/// `O` reads the answers: [`Bytewise`] takes every byte for content.
#[derive(Clone, Debug)]
pub struct StreamGuardLayer<O = Bytewise> {
    pub(crate) streams: O,
    pub(crate) limits: Limits,
    pub(crate) ask_identity: bool,
    pub(crate) counters: Arc<Counters>,
}

// === impl StreamGuardLayer ===

impl StreamGuardLayer {
    /// Creates a layer that knows no format: every byte is content, and an end is an end.
    #[must_use]
    pub fn bytewise() -> Self {
        Self { ask_identity: false, ..Self::new(Bytewise) }
    }
}

impl<O> StreamGuardLayer<O> {
    /// How long the next content is waited for: 60 s.
    pub const IDLE: Duration = Duration::from_secs(60);

    /// Creates a layer that reads answers as `streams` knows them.
    #[must_use]
    pub fn new(streams: O) -> Self {
        let limits = Limits { first_content: None, idle: Self::IDLE, total: None, least: None };
        Self { streams, limits, ask_identity: true, counters: Arc::default() }
    }

    /// Sets how long the next content may be waited for, once some has come. A time beyond what a clock can hold, such as
    /// [`Duration::MAX`], sets no limit.
    #[must_use]
    pub const fn idle(mut self, limit: Duration) -> Self {
        self.limits.idle = limit;
        self
    }

    /// Sets how long the first content may be waited for, from the head of the answer. No limit by default: a commit gate
    /// keeps that time, and from the call on.
    #[must_use]
    pub const fn first_content(mut self, limit: Duration) -> Self {
        self.limits.first_content = Some(limit);
        self
    }

    /// Sets how long the target may be waited for in all, from the head of the answer. No limit by default.
    #[must_use]
    pub const fn total(mut self, limit: Duration) -> Self {
        self.limits.total = Some(limit);
        self
    }

    /// Asks for `events` with content at least in `window`, of any place in the stream. No rate is asked for by default; a
    /// second call, or one of [`min_bytes`](Self::min_bytes), takes the place of the first.
    #[must_use]
    pub fn min_events(self, events: NonZeroU32, window: Duration) -> Self {
        self.least(events, Unit::Events, window)
    }

    /// Asks for `bytes` of events with content at least in `window`. See [`min_events`](Self::min_events).
    #[must_use]
    pub fn min_bytes(self, bytes: NonZeroU32, window: Duration) -> Self {
        self.least(bytes, Unit::Bytes, window)
    }

    /// Leaves `accept-encoding` as it is. By default a request that has one asks for `identity`, since an encoded answer
    /// cannot be read.
    #[must_use]
    pub const fn keep_accept_encoding(mut self) -> Self {
        self.ask_identity = false;
        self
    }

    /// Returns how many streams broke so far, in all services that the layer and its clones have made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    fn least(mut self, amount: NonZeroU32, unit: Unit, per: Duration) -> Self {
        self.limits.least = Some(Least { amount: amount.get().into(), unit, per });
        self
    }
}

impl<S, O: Clone> Layer<S> for StreamGuardLayer<O> {
    type Service = StreamGuard<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        StreamGuard::new(inner, Arc::new(self.clone()))
    }
}
