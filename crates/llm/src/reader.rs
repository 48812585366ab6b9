//! Reads one answer.

use buttress_core::{Event, EventKind, EventReader, StreamFailure, Usage};
use bytes::Bytes;
use http::HeaderValue;

use crate::{
    Dialect, Format, NdjsonKind, NdjsonReader, SseKind, SseReader,
    decode::Decoded,
    events::{self, Fault, Found, Tally},
    phrase::{self, Frame},
    report::Report,
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

/// Knows what the parts of an answer mean, and what came before.
#[derive(Debug)]
struct Judge {
    format: Format,
    dialect: Dialect,
    tally: Tally,
    content: bool,
    ended: bool,
}

/// What a part of an answer is, seen alone.
enum Part<'a> {
    KeepAlive,
    Lifecycle,
    Content,
    Terminal,
    /// The mark that nothing more comes, which does not say that all went well.
    Done,
    Fault(Fault<'a>),
    Malformed,
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
        let judge = &self.reading().judge;
        judge.tally.counts.usage(judge.format)
    }

    fn closing(&self, failure: &StreamFailure) -> Option<Bytes> {
        match &self.0 {
            Source::Plain(reading) => reading.closing(failure),
            Source::Decoded(_) => None,
        }
    }

    fn envelope(&self, failure: &StreamFailure) -> (HeaderValue, Bytes) {
        phrase::envelope(self.reading().judge.format, failure)
    }
}

// === impl Reading ===

impl Reading {
    pub(crate) fn new(format: Format, dialect: Dialect, framing: Framing) -> Self {
        let judge = Judge { format, dialect, tally: Tally::default(), content: false, ended: false };
        Self { framing, judge, cut: 0, end: 0, elements: false, deaf: false }
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
                    let kind = self.judge.settle_sse(item.kind);
                    Event::new(kind, item.end).with_cut(item.cut)
                }
                Err(_) => return self.give_up(rest),
            },
            Framing::Lines(reader) => match reader.read(rest) {
                Ok(item) => {
                    let item = item?;
                    Event::new(self.judge.settle_line(item.kind), item.end)
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
        self.deaf || self.judge.ended
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
        (!self.judge.ended).then(|| self.deliver(Event::new(failure, self.end)))
    }

    fn closing(&self, failure: &StreamFailure) -> Option<Bytes> {
        let judge = &self.judge;
        Some(phrase::closing(judge.format, self.frame()?, failure, &judge.tally.opened))
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

// === impl Judge ===

impl Judge {
    fn settle_sse(&mut self, kind: SseKind<'_>) -> EventKind {
        self.settle(|judge| judge.sse(kind))
    }

    fn settle_line(&mut self, kind: NdjsonKind<'_>) -> EventKind {
        self.settle(|judge| judge.line(kind))
    }

    /// Says what a part means after those before it.
    fn settle<'a>(&mut self, part: impl FnOnce(&mut Self) -> Part<'a>) -> EventKind {
        let ended = self.ended;
        match part(self) {
            Part::KeepAlive => EventKind::KeepAlive,
            // What comes after the end changes nothing.
            _ if ended => EventKind::Lifecycle,
            Part::Lifecycle => EventKind::Lifecycle,
            Part::Content => {
                self.content = true;
                EventKind::Content
            }
            Part::Done if !self.content => EventKind::Failure(StreamFailure::empty()),
            Part::Terminal | Part::Done => {
                self.ended = true;
                EventKind::Terminal
            }
            Part::Fault(fault) => EventKind::Failure(Report::of(self.format, fault).failure(self.dialect)),
            Part::Malformed => EventKind::Failure(StreamFailure::malformed()),
        }
    }

    /// Says what that means which was left without an end, if it ends the answer. If it is torn, it says nothing.
    fn settle_left<'a>(&mut self, part: impl FnOnce(&mut Self) -> Part<'a>) -> Option<EventKind> {
        if self.ended {
            return Some(EventKind::Terminal);
        }
        let kind = self.settle(|judge| match part(judge) {
            Part::Malformed => Part::Lifecycle,
            part => part,
        });
        matches!(kind, EventKind::Terminal | EventKind::Failure(_)).then_some(kind)
    }

    /// Says what an answer means that is one value. There is no end but its own, whatever it holds.
    fn settle_root(&mut self, value: &[u8]) -> EventKind {
        let object = value.first() == Some(&b'{');
        self.settle(|judge| match events::read(judge.format, None, value, &mut judge.tally) {
            Ok(Found { fault: Some(fault), .. }) => Part::Fault(fault),
            Ok(_) if object || judge.format == Format::Json => Part::Terminal,
            _ => Part::Malformed,
        })
    }

    /// Says what it means that nothing more comes.
    fn end(&self) -> EventKind {
        match (self.ended, self.content) {
            (true, _) => EventKind::Terminal,
            (false, true) => EventKind::Failure(StreamFailure::truncated()),
            (false, false) => EventKind::Failure(StreamFailure::empty()),
        }
    }

    fn sse<'a>(&mut self, kind: SseKind<'a>) -> Part<'a> {
        match kind {
            SseKind::Event(event) | SseKind::Unfinished(event) => self.event(event.name, event.data),
            SseKind::Comment(_) | SseKind::Blank => Part::KeepAlive,
            SseKind::Retry(_) => Part::Lifecycle,
            // The stream goes on as if it were not there, unless it tells of an error.
            SseKind::Stray(line) => match self.event(None, line) {
                Part::Fault(fault) => Part::Fault(fault),
                _ => Part::Lifecycle,
            },
        }
    }

    fn line<'a>(&mut self, kind: NdjsonKind<'a>) -> Part<'a> {
        match kind {
            NdjsonKind::Line(line) | NdjsonKind::Unfinished(line) => self.event(None, line),
            NdjsonKind::Blank => Part::KeepAlive,
        }
    }

    fn event<'a>(&mut self, name: Option<&[u8]>, data: &'a [u8]) -> Part<'a> {
        // The official client of OpenAI takes all that begins so for the end.
        if data.starts_with(b"[DONE]") {
            return Part::Done;
        }
        if data.is_empty() {
            return Part::KeepAlive;
        }
        match events::read(self.format, name, data, &mut self.tally) {
            Err(_) => Part::Malformed,
            Ok(Found { fault: Some(fault), .. }) => Part::Fault(fault),
            Ok(Found { terminal: true, .. }) => Part::Terminal,
            Ok(Found { content: true, .. }) => Part::Content,
            Ok(Found { keep_alive: true, .. }) => Part::KeepAlive,
            Ok(_) => Part::Lifecycle,
        }
    }
}
