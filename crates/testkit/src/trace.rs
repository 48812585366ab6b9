//! What is traced, captured.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

/// Captures the events and spans of this thread, with all their fields, until it is dropped.
#[must_use = "what happens after the guard was dropped is not captured"]
pub struct TraceGuard {
    lines: Lines,
    _default: DefaultGuard,
    /// With one dispatcher alone, `tracing` remembers for good what the first thread to come by was interested in, and a
    /// thread without a subscriber is interested in nothing.
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Capture {
    lines: Lines,
    last_id: AtomicU64,
}

/// Writes fields as ` name=value`.
struct Line(String);

// === impl TraceGuard ===

impl TraceGuard {
    /// Begins to capture.
    pub fn new() -> Self {
        let lines = Lines::default();
        let capture = Capture { lines: lines.clone(), last_id: AtomicU64::new(0) };
        let second = Dispatch::new(Capture { lines: Lines::default(), last_id: AtomicU64::new(0) });
        Self { lines, _default: tracing::subscriber::set_default(capture), _second: second }
    }

    /// Returns what was captured, one line for each event, span and late field.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.all().clone()
    }

    /// Asserts that something was captured, and none of `secrets` in it.
    ///
    /// # Panics
    ///
    /// Panics if nothing was captured, for then nothing is proved; and if a secret was.
    #[track_caller]
    pub fn assert_hides(&self, secrets: &[&str]) {
        let lines = self.lines();
        assert!(!lines.is_empty(), "nothing was traced, so nothing is proved");
        for secret in secrets {
            let leak = lines.iter().find(|line| line.contains(secret));
            assert!(leak.is_none(), "{secret:?} was traced: {leak:?}");
        }
    }
}

impl Default for TraceGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TraceGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceGuard").field("lines", &self.lines()).finish_non_exhaustive()
    }
}

// === impl Lines ===

impl Lines {
    fn all(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, head: &str, record: impl FnOnce(&mut Line)) {
        let mut line = Line(head.to_owned());
        record(&mut line);
        self.all().push(line.0);
    }
}

// === impl Capture ===

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.lines.push(&head(attributes.metadata()), |line| attributes.record(line));
        span::Id::from_u64(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        self.lines.push("record", |line| values.record(line));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.lines.push(&head(event.metadata()), |line| event.record(line));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn head(metadata: &Metadata<'_>) -> String {
    format!("{} {} {}", metadata.level(), metadata.target(), metadata.name())
}

// === impl Line ===

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Not by `Debug`: an escape would hide a secret from the search.
        write!(self.0, " {field}={value}").expect("a string takes everything");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes everything");
    }
}
