//! Which model to ask, where, and how much at once.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::super::{EmbedLimits, Fingerprint, front::Admits};

/// Which model a [`HttpEmbedder`](super::HttpEmbedder) asks, where, and how much at once.
#[derive(Clone)]
pub struct HttpEmbedderConfig {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) fingerprint: Fingerprint,
    pub(super) names_dimensions: bool,
    pub(super) limits: EmbedLimits,
    pub(super) batching: Batching,
    pub(super) call_timeout: Duration,
    pub(super) hash_key: [u64; 2],
    pub(super) admits: Option<Admits>,
}

/// What goes out together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    pub(super) window: Duration,
    pub(super) texts: usize,
    pub(super) calls: usize,
}

// === impl HttpEmbedderConfig ===

impl HttpEmbedderConfig {
    /// Creates the configuration of `model`, asked at `uri`, whose vectors have so many dimensions.
    pub fn new(uri: Uri, model: impl Into<Box<str>>, dimensions: NonZeroUsize) -> Self {
        Self {
            uri,
            headers: HeaderMap::new(),
            fingerprint: Fingerprint::new(model, "1", dimensions),
            names_dimensions: false,
            limits: EmbedLimits::new(),
            batching: Batching { window: Duration::from_millis(2), texts: 64, calls: 4 },
            call_timeout: Duration::from_secs(5),
            hash_key: rand::random(),
            admits: None,
        }
    }

    /// Adds a header to each request, such as a key. Its value is shown nowhere.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Sets the version in the [`Fingerprint`]: change it when the model behind the name changes.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.fingerprint = Fingerprint::new(self.fingerprint.name(), version, self.fingerprint.dimensions());
        self
    }

    /// Asks the model for vectors of that many dimensions. Not all models can do that.
    #[must_use]
    pub const fn name_dimensions(mut self) -> Self {
        self.names_dimensions = true;
        self
    }

    /// Sets how long callers wait, and how much is held for them.
    #[must_use]
    pub const fn limits(mut self, limits: EmbedLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long the first text of a request waits for others: 2 ms unless set.
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.batching.window = window;
        self
    }

    /// Sets how many texts a request has at most: 64 unless set.
    #[must_use]
    pub const fn batch(mut self, texts: NonZeroUsize) -> Self {
        self.batching.texts = texts.get();
        self
    }

    /// Sets how many requests are under way at once: 4 unless set.
    #[must_use]
    pub const fn calls(mut self, calls: NonZeroUsize) -> Self {
        self.batching.calls = calls.get();
        self
    }

    /// Sets how long one request may take, to the end of its answer: 5 s unless set. It is longer than callers wait, so that a
    /// vector which comes late is there for the next who asks.
    #[must_use]
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets the key of the hash that tells texts apart: random unless set.
    #[must_use]
    pub const fn hash_key(mut self, key: [u64; 2]) -> Self {
        self.hash_key = key;
        self
    }

    /// Asks for a vector only where `admits` says that there is any use in it, such as the handle of a circuit breaker: else there is
    /// none at once. Vectors of late are given all the same. It is called under a lock, so it must be quick.
    #[must_use]
    pub fn admitted_by(mut self, admits: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.admits = Some(Arc::new(admits));
        self
    }
}

impl fmt::Debug for HttpEmbedderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a key; headers do.
        f.debug_struct("HttpEmbedderConfig")
            .field("host", &self.uri.host())
            .field("fingerprint", &self.fingerprint)
            .field("limits", &self.limits)
            .field("batching", &self.batching)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}
