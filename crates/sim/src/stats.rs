use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::watch;

/// What a target has seen since it started or was reset.
///
/// Every request ends as exactly one of `completed`, `cancelled` and `aborted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests whose head arrived.
    pub requests: u64,
    /// Requests being answered now.
    pub in_flight: u64,
    /// Answers that were event streams.
    pub streams: u64,
    /// Requests that met a fault, switched on or scripted.
    pub faults: u64,
    /// Requests refused by the target's own limits.
    pub limited: u64,
    /// Answers handed to the socket to the end.
    pub completed: u64,
    /// Requests the client gave up before their answer ended.
    pub cancelled: u64,
    /// Answers the simulator cut itself: truncated, reset, or lost to a refusal or a shutdown.
    pub aborted: u64,
    /// Event streams being sent now.
    pub open_streams: u64,
    /// Bytes of bodies handed to the socket: without headers, and as they travel, compressed or not. What is awaited with
    /// [`Simulator::wait_for`](crate::Simulator::wait_for) learns of them when an answer ends.
    pub bytes_sent: u64,
    /// Requests by what they asked for.
    pub operations: Operations,
}

/// How many requests asked for what, whatever became of them: one that a client repeats counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Operations {
    /// Chat completions.
    pub chat: u64,
    /// Legacy completions.
    pub completions: u64,
    /// Responses.
    pub responses: u64,
    /// Embeddings.
    pub embeddings: u64,
    /// Messages of Anthropic.
    pub messages: u64,
    /// Counts of tokens, of Anthropic and Gemini.
    pub count_tokens: u64,
    /// Content of Gemini, streamed or not.
    pub generate: u64,
    /// Ollama's own chat and text.
    pub ollama: u64,
    /// Lists of models, health, versions.
    pub reads: u64,
    /// Paths that do not exist.
    pub unknown: u64,
}

/// The counters of one target, watchable.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stats: watch::Sender<Stats>,
    /// Counts the times the simulator dropped its connections; tells a guard who ended its request.
    cuts: watch::Sender<u64>,
    /// Counted apart: an event should not wake all who wait for a count.
    bytes: AtomicU64,
}

/// Counts one request as in flight until it is finished. Dropped unfinished, the request was cancelled by the client,
/// or lost with a connection that the simulator dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    counters: Arc<Counters>,
    cuts: u64,
    open: bool,
    stream: bool,
}

// === impl Counters ===

impl Counters {
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.count(|stats| {
            stats.requests += 1;
            stats.in_flight += 1;
        });
        InFlight { counters: Arc::clone(self), cuts: *self.cuts.borrow(), open: true, stream: false }
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    /// Announces that the simulator drops its connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Starts all counts again, except that of the requests still in flight.
    pub(crate) fn reset(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.count(|stats| {
            let Stats { in_flight, open_streams, .. } = *stats;
            *stats = Stats { in_flight, open_streams, ..Stats::default() };
        });
    }

    pub(crate) fn now(&self) -> Stats {
        let bytes_sent = self.bytes.load(Ordering::Relaxed);
        Stats { bytes_sent, ..*self.stats.borrow() }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    pub(crate) fn watch_cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }
}

// === impl InFlight ===

impl InFlight {
    /// The answer ended as planned.
    pub(crate) fn complete(self) {
        self.end(|stats| stats.completed += 1);
    }

    /// The simulator cuts the answer short.
    pub(crate) fn abort(self) {
        self.end(|stats| stats.aborted += 1);
    }

    /// The answer is a stream, which is open until the request ends.
    pub(crate) fn stream(&mut self) {
        self.stream = true;
        self.counters.count(|stats| {
            stats.streams += 1;
            stats.open_streams += 1;
        });
    }

    /// So many bytes of the body go to the socket.
    pub(crate) fn sent(&self, bytes: usize) {
        self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    fn end(mut self, change: impl FnOnce(&mut Stats)) {
        self.close(change);
    }

    fn close(&mut self, change: impl FnOnce(&mut Stats)) {
        self.open = false;
        let bytes_sent = self.counters.bytes.load(Ordering::Relaxed);
        self.counters.count(|stats| {
            stats.in_flight -= 1;
            stats.open_streams -= u64::from(self.stream);
            stats.bytes_sent = bytes_sent;
            change(stats);
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let cut = *self.counters.cuts.borrow() != self.cuts;
        self.close(|stats| if cut { stats.aborted += 1 } else { stats.cancelled += 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_exactly_once() {
        let counters = Arc::new(Counters::default());
        counters.begin().complete();
        counters.begin().abort();
        drop(counters.begin());
        let open = counters.begin();
        let stats = counters.now();
        assert_eq!((stats.requests, stats.in_flight), (4, 1));
        assert_eq!((stats.completed, stats.aborted, stats.cancelled), (1, 1, 1));
        counters.cut();
        drop(open);
        assert_eq!(counters.now().aborted, 2);
    }

    #[test]
    fn reset_keeps_the_requests_in_flight() {
        let counters = Arc::new(Counters::default());
        let open = counters.begin();
        counters.reset();
        assert_eq!(counters.now(), Stats { in_flight: 1, ..Stats::default() });
        open.complete();
        assert_eq!(counters.now().in_flight, 0);
    }
}
