//! The layer and its settings.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use buttress_core::Bytewise;
use http::Extensions;
use tower_layer::Layer;

use crate::{
    CommitGate, Counts,
    counts::Counters,
    gate::{Bounds, Opening},
};

/// Holds each answer back until its first content. See the [crate docs](crate).
///
/// `O` reads the answers: [`Bytewise`] takes the first byte for content.
#[derive(Clone, Debug)]
pub struct CommitGateLayer<O = Bytewise> {
    pub(crate) streams: O,
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Counters>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) bounds: Bounds,
    first_content: Duration,
    first_content_by: Option<Arc<TimeBy>>,
    whole_answer: Duration,
    pub(crate) ask_identity: bool,
}

type TimeBy = dyn Fn(&Extensions) -> Option<Duration> + Send + Sync;

// === impl CommitGateLayer ===

impl CommitGateLayer {
    /// Creates a layer that knows no format: it waits for the first byte of each answer.
    #[must_use]
    pub fn first_byte() -> Self {
        Self { settings: Settings { ask_identity: false, ..Settings::new() }, ..Self::new(Bytewise) }
    }
}

impl<O> CommitGateLayer<O> {
    /// How many events are held back at most: 64.
    pub const MAX_EVENTS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");

    /// How many bytes are held back at most: 256 KiB.
    pub const MAX_BYTES: NonZeroUsize = NonZeroUsize::new(256 * 1024).expect("256 KiB is not 0");

    /// How long the first content is waited for: 30 s.
    pub const FIRST_CONTENT: Duration = Duration::from_secs(30);

    /// How long an answer is waited for that comes whole: 600 s.
    pub const WHOLE_ANSWER: Duration = Duration::from_secs(600);

    /// Creates a layer that reads answers as `streams` knows them.
    #[must_use]
    pub fn new(streams: O) -> Self {
        Self { streams, settings: Settings::new(), counters: Arc::default() }
    }

    /// Sets how long the first content may take, from the call. A time beyond what a clock can hold, such as
    /// [`Duration::MAX`], sets no limit; zero passes only what is there at once.
    #[must_use]
    pub const fn first_content(mut self, limit: Duration) -> Self {
        self.settings.first_content = limit;
        self
    }

    /// Sets how long the first content may take by what is in the request's extensions: its
    /// [`Target`](buttress_core::Target), its model. Local models are slow to load. `None` leaves the limit as set for all.
    #[must_use]
    pub fn first_content_by<F>(mut self, limit: F) -> Self
    where
        F: Fn(&Extensions) -> Option<Duration> + Send + Sync + 'static,
    {
        self.settings.first_content_by = Some(Arc::new(limit));
        self
    }

    /// Sets how long the first content may take of an answer that
    /// [comes whole](buttress_core::OpenStream::comes_whole): all of it is made before any of it is sent.
    #[must_use]
    pub const fn whole_answer(mut self, limit: Duration) -> Self {
        self.settings.whole_answer = limit;
        self
    }

    /// Sets how many events are held back at most. The answer goes out with the last of them. Signs of life do not count.
    #[must_use]
    pub const fn max_events(mut self, events: NonZeroU32) -> Self {
        self.settings.bounds.events = events.get();
        self
    }

    /// Sets how many bytes are held back at most. The answer goes out with the frame that reaches it.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: NonZeroUsize) -> Self {
        self.settings.bounds.bytes = bytes.get();
        self
    }

    /// Leaves `accept-encoding` as it is. By default a request that has one asks for `identity`, since an encoded answer
    /// cannot be read.
    #[must_use]
    pub const fn keep_accept_encoding(mut self) -> Self {
        self.settings.ask_identity = false;
        self
    }

    /// Returns what the layer has done so far, in all services that it and its clones have made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    pub(crate) fn opened(&self, by: Opening) {
        self.counters.opened(by);
    }
}

impl<S, O: Clone> Layer<S> for CommitGateLayer<O> {
    type Service = CommitGate<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        CommitGate::new(inner, Arc::new(self.clone()))
    }
}

// === impl Settings ===

impl Settings {
    fn new() -> Self {
        type Defaults = CommitGateLayer;
        Self {
            bounds: Bounds { events: Defaults::MAX_EVENTS.get(), bytes: Defaults::MAX_BYTES.get() },
            first_content: Defaults::FIRST_CONTENT,
            first_content_by: None,
            whole_answer: Defaults::WHOLE_ANSWER,
            ask_identity: true,
        }
    }

    pub(crate) fn limit(&self, extensions: &Extensions, whole: bool) -> Duration {
        let own = self.first_content_by.as_ref().and_then(|limit| limit(extensions));
        own.unwrap_or(if whole { self.whole_answer } else { self.first_content })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bounds", &self.bounds)
            .field("first_content", &self.first_content)
            .field("first_content_by", &self.first_content_by.is_some())
            .field("whole_answer", &self.whole_answer)
            .field("ask_identity", &self.ask_identity)
            .finish()
    }
}
