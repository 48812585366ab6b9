//! What the parts of a streamed answer mean, and who reads them.

use bytes::Bytes;
use http::{HeaderValue, Request, response};

use crate::StreamFailure;

/// Knows which answers can be read while they flow, and makes the reader of each.
///
/// [`Bytewise`] knows nothing of formats. `buttress-llm` has the one that knows the providers' streams.
pub trait OpenStream {
    /// What a request tells of the answer to come.
    type Expected;
    /// Reads one answer.
    type Reader: EventReader + 'static;

    /// Reads from `request` what to expect. Called before the request is sent on.
    fn expect<B>(&self, request: &Request<B>) -> Self::Expected;

    /// Makes a reader of the answer with this head, or `None` if its body is not to be read: it is an error by its status, or
    /// nothing is known of its format.
    fn open(&self, expected: Self::Expected, head: &response::Parts) -> Option<Self::Reader>;

    /// Returns whether the answer is one that is made whole before it is sent, so that its first content comes late. By
    /// default, answers are streams.
    fn comes_whole(&self, _expected: &Self::Expected) -> bool {
        false
    }

    /// Phrases `failure` as the answer to a request whose own answer never began: its content type and its body. By
    /// default, in plain text.
    fn envelope(&self, _expected: &Self::Expected, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        in_plain_text(failure)
    }
}

/// Reads one answer from chunks cut anywhere, and says what stands where. It changes nothing.
pub trait EventReader {
    /// Reads on in `rest`, takes from it what it has read, and returns the next event that ends there.
    ///
    /// To be called until it returns `None`: then all of `rest` is taken. After a [`Failure`](EventKind::Failure) nothing
    /// more need be asked.
    fn read(&mut self, rest: &mut &[u8]) -> Option<Event>;

    /// Ends the answer: its body ended without an error. The event says whether that was the end of an answer
    /// ([`Terminal`](EventKind::Terminal)) or not ([`Failure`](EventKind::Failure)).
    fn finish(&mut self) -> Event;

    /// Returns what was counted so far, where the answer told.
    fn usage(&self) -> Option<Usage> {
        None
    }

    /// Phrases `failure` as the last bytes of this answer, to stand after the last [`cut`](Event::cut). `None` if nothing
    /// that its client would understand can stand there: then the body must fail.
    fn closing(&self, failure: &StreamFailure) -> Option<Bytes>;

    /// Phrases `failure` as an answer of its own: its content type and its body.
    fn envelope(&self, failure: &StreamFailure) -> (HeaderValue, Bytes);
}

/// A part of an answer: what it is, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    /// The place in the body just past it.
    pub end: u64,
    /// The last place up to `end` where the body can be cut without anything being torn.
    pub cut: u64,
}

/// What a part of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// Something that the caller asked for: text, a tool call, a refusal in words.
    Content,
    /// Something about the answer: that it was begun, that a part begins, what it cost.
    Lifecycle,
    /// A sign of life that says nothing: a comment, a ping, a blank line.
    KeepAlive,
    /// The end of the answer. It may hold the last content. What comes after it is [`Lifecycle`](Self::Lifecycle).
    Terminal,
    /// The answer failed, or cannot be understood.
    Failure(StreamFailure),
}

/// What an answer cost, in tokens, counted alike for every provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// All tokens that were read, cached ones included.
    pub input: u64,
    /// Those of `input` that came from a cache.
    pub cached_input: u64,
    /// Those of `input` that were written to a cache.
    pub cache_write: u64,
    /// All tokens that were made, thoughts included.
    pub output: u64,
    /// Those of `output` that were thoughts.
    pub reasoning: u64,
}

/// Reads any answer, and knows nothing of its format: every byte is content, and the end is an end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytewise;

/// The reader of [`Bytewise`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BytewiseReader {
    offset: u64,
}

// === impl Event ===

impl Event {
    /// Creates an event of `kind` that ends at `end`, where the body can be cut too.
    #[must_use]
    pub const fn new(kind: EventKind, end: u64) -> Self {
        Self { kind, end, cut: end }
    }

    /// Says that the body can be cut only at `cut`, which is before the end.
    #[must_use]
    pub const fn with_cut(mut self, cut: u64) -> Self {
        self.cut = cut;
        self
    }
}

// === impl Usage ===

impl Usage {
    /// Creates the count of an answer without a cache and without thoughts.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, cached_input: 0, cache_write: 0, output, reasoning: 0 }
    }
}

// === impl Bytewise ===

impl OpenStream for Bytewise {
    type Expected = ();
    type Reader = BytewiseReader;

    fn expect<B>(&self, _request: &Request<B>) {}

    fn open(&self, (): (), _head: &response::Parts) -> Option<BytewiseReader> {
        Some(BytewiseReader::default())
    }
}

impl EventReader for BytewiseReader {
    fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let chunk = std::mem::take(rest);
        self.offset += chunk.len() as u64;
        (!chunk.is_empty()).then(|| Event::new(EventKind::Content, self.offset))
    }

    fn finish(&mut self) -> Event {
        Event::new(EventKind::Terminal, self.offset)
    }

    fn closing(&self, _failure: &StreamFailure) -> Option<Bytes> {
        None
    }

    fn envelope(&self, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        in_plain_text(failure)
    }
}

fn in_plain_text(failure: &StreamFailure) -> (HeaderValue, Bytes) {
    (HeaderValue::from_static("text/plain; charset=utf-8"), Bytes::from(failure.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_content_to_one_who_knows_no_format() {
        let (head, ()) = http::Response::new(()).into_parts();
        let mut reader = Bytewise.open((), &head).expect("every answer is read");
        let mut rest = &b"abc"[..];
        assert_eq!(reader.read(&mut rest), Some(Event::new(EventKind::Content, 3)));
        assert_eq!((rest, reader.read(&mut rest)), (&b""[..], None));
        assert_eq!(reader.finish(), Event::new(EventKind::Terminal, 3));
        assert_eq!(reader.closing(&StreamFailure::truncated()), None);
        assert!(!Bytewise.comes_whole(&()));
        let failure = StreamFailure::late();
        assert_eq!(Bytewise.envelope(&(), &failure), reader.envelope(&failure));
    }
}
