//! Reads one answer.

use buttress_core::{Event, EventKind, EventReader, StreamFailure, Usage};
use bytes::Bytes;
use http::HeaderValue;

use crate::{
    Dialect, Format, NdjsonReader, SseReader,
    decoded::Decoded,
    judge::{Judge, Part},
    phrase::{self, Frame},
    whole::{Rest, Step, Whole},
};

/// Reads one answer of a language model, and says what its parts mean. [`LlmStreams`](crate::LlmStreams) makes it.
///
/// A [`Failure`](EventKind::Failure) ends what is read. Its [`cut`](Event::cut) lies before the event that failed, so that
/// [`closing`](EventReader::closing) stands in its place. An answer that is not a stream, or that is compressed, can be closed
/// nowhere: then `closing` has nothing to say, and `cut` is always `end`.
#[derive(Debug)]
pub struct LlmReader(Source);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every answer is plain, and a box would be its only allocation")]
enum Source {
    Plain(Reading),
    Decoded(Box<Decoded>),
}

/// Reads an answer that is not compressed.
#[derive(Debug)]
pub(crate) struct Reading {
    framing: Framing,
    judge: Judge,
    /// The last place where the answer can be cut.
    cut: u64,
    /// Where the last event ended.
    end: u64,
    /// Whether a whole element of an array stands before `cut`.
    elements: bool,
    /// Whether nothing more is listened to.
    deaf: bool,
}

/// How the parts of an answer are set apart.
#[derive(Debug)]
pub(crate) enum Framing {
    Sse(SseReader),
    Lines(NdjsonReader),
    Whole(Whole),
}

// === impl LlmReader ===

impl LlmReader {
    pub(crate) const fn plain(reading: Reading) -> Self {
        Self(Source::Plain(reading))
    }

    pub(crate) fn decoded(decoded: Decoded) -> Self {
        Self(Source::Decoded(Box::new(decoded)))
    }

    /// Returns how many bytes of the answer are held.
    ///
    /// Of a stream they are at most those of an event, as [`StreamLimits`](crate::StreamLimits) allows it, and of any other answer
    /// what [`max_answer`](crate::LlmStreams::max_answer) allows. A compressed answer takes what its decoder needs besides: some
    /// 80 KiB for gzip and deflate, and up to 16 MiB for Brotli, if the answer asks for it.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.0 {
            Source::Plain(reading) => reading.held(),
            Source::Decoded(decoded) => decoded.reading().held(),
        }
    }

    fn reading(&self) -> &Reading {
        match &self.0 {
            Source::Plain(reading) => reading,
            Source::Decoded(decoded) => decoded.reading(),
        }
    }
}

impl EventReader for LlmReader {
    fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        match &mut self.0 {
            Source::Plain(reading) => reading.read(rest),
            Source::Decoded(decoded) => decoded.read(rest),
        }
    }

    fn finish(&mut self) -> Event {
        match &mut self.0 {
            Source::Plain(reading) => reading.finish(),
            Source::Decoded(decoded) => decoded.finish(),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.reading().judge.usage()
    }

    fn closing(&self, failure: &StreamFailure) -> Option<Bytes> {
        match &self.0 {
            Source::Plain(reading) => reading.closing(failure),
            Source::Decoded(_) => None,
        }
    }

    fn envelope(&self, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        phrase::envelope(self.reading().judge.format(), failure)
    }
}

// === impl Reading ===

impl Reading {
    pub(crate) fn new(format: Format, dialect: Dialect, framing: Framing) -> Self {
        Self { framing, judge: Judge::new(format, dialect), cut: 0, end: 0, elements: false, deaf: false }
    }

    pub(crate) fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        if self.deaf {
            *rest = &[];
            return None;
        }
        let event = match &mut self.framing {
            Framing::Sse(reader) => match reader.read(rest) {
                Ok(item) => {
                    let item = item?;
                    let kind = self.judge.settle(|judge| judge.sse(item.kind));
                    Event::new(kind, item.end).with_cut(item.cut)
                }
                Err(_) => return self.give_up(rest),
            },
            Framing::Lines(reader) => match reader.read(rest) {
                Ok(item) => {
                    let item = item?;
                    Event::new(self.judge.settle(|judge| judge.line(item.kind)), item.end)
                }
                Err(_) => return self.give_up(rest),
            },
            Framing::Whole(_) => return self.read_whole(rest),
        };
        Some(self.deliver(event))
    }

    /// Ends the answer. Where something is left without an end, the answer's own end may be in it.
    pub(crate) fn finish(&mut self) -> Event {
        let left = match &mut self.framing {
            Framing::Sse(reader) => {
                let mut left = None;
                while let Ok(Some(item)) = reader.finish() {
                    left = left.or_else(|| self.judge.settle_left(|judge| judge.sse(item.kind)));
                }
                left
            }
            Framing::Lines(reader) => match reader.finish() {
                Ok(Some(item)) => self.judge.settle_left(|judge| judge.line(item.kind)),
                _ => None,
            },
            Framing::Whole(whole) => match whole.finish() {
                Rest::Nothing => None,
                Rest::Value(value) => Some(self.judge.settle_root(value)),
                Rest::Done => Some(EventKind::Terminal),
            },
        };
        let kind = left.unwrap_or_else(|| self.judge.end());
        let end = self.offset();
        self.deliver(Event::new(kind, end))
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.deaf || self.judge.is_over()
    }

    fn read_whole(&mut self, rest: &mut &[u8]) -> Option<Event> {
        let Framing::Whole(whole) = &mut self.framing else { return None };
        let array = whole.is_in_array();
        let step = whole.next(rest)?;
        let is_value = matches!(step, Step::Value(_));
        let kind = match step {
            Step::Blank => EventKind::KeepAlive,
            Step::Begun | Step::After => EventKind::Lifecycle,
            Step::Value(value) if array => self.judge.settle(|judge| judge.event(None, value)),
            Step::Value(value) => self.judge.settle_root(value),
            Step::Beyond if array => self.judge.settle(|_| Part::Malformed),
            Step::Beyond => self.judge.settle(|_| Part::Content),
            Step::Malformed => self.judge.settle(|_| Part::Malformed),
        };
        let end = whole.offset();
        // After a comma or in an element, nothing can be said that would leave the array whole.
        let can_cut = is_value || !array || !whole.is_in_array();
        self.elements |= is_value && array && !matches!(kind, EventKind::Failure(_));
        let cut = if can_cut { end } else { self.cut };
        Some(self.deliver(Event::new(kind, end).with_cut(cut)))
    }

    /// Puts down where the answer can be cut, which for a failure is before it.
    fn deliver(&mut self, event: Event) -> Event {
        self.end = event.end;
        if !matches!(event.kind, EventKind::Failure(_)) {
            self.cut = event.cut;
            return event;
        }
        self.deaf = true;
        let cut = if self.frame().is_some() { self.cut } else { event.end };
        event.with_cut(cut)
    }

    /// Stops at what is longer than can be read, and of which the end is not known. After the end of an answer that matters to
    /// nobody.
    fn give_up(&mut self, rest: &mut &[u8]) -> Option<Event> {
        *rest = &[];
        self.deaf = true;
        let failure = EventKind::Failure(StreamFailure::malformed());
        (!self.judge.is_over()).then(|| self.deliver(Event::new(failure, self.end)))
    }

    fn closing(&self, failure: &StreamFailure) -> Option<Bytes> {
        let judge = &self.judge;
        Some(phrase::closing(judge.format(), self.frame()?, failure, judge.opened()))
    }

    fn frame(&self) -> Option<Frame> {
        match &self.framing {
            Framing::Sse(_) => Some(Frame::Sse),
            Framing::Lines(_) => Some(Frame::Line),
            Framing::Whole(whole) => whole.is_in_array().then_some(Frame::Element { first: !self.elements }),
        }
    }

    fn offset(&self) -> u64 {
        match &self.framing {
            Framing::Sse(reader) => reader.offset(),
            Framing::Lines(reader) => reader.offset(),
            Framing::Whole(whole) => whole.offset(),
        }
    }

    fn held(&self) -> usize {
        match &self.framing {
            Framing::Sse(reader) => reader.held(),
            Framing::Lines(reader) => reader.held(),
            Framing::Whole(whole) => whole.held(),
        }
    }
}
