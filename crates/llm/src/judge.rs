//! What the parts of an answer mean, one after the other.

use buttress_core::{EventKind, StreamFailure, Usage};

use crate::{
    Dialect, Format, NdjsonKind, SseKind,
    events::{self, Fault, Found, Opened, Tally},
    report::Report,
};

/// Knows what the parts of an answer mean, and what came before.
#[derive(Debug)]
pub(crate) struct Judge {
    format: Format,
    dialect: Dialect,
    tally: Tally,
    content: bool,
    ended: bool,
}

/// What a part of an answer is, seen alone.
pub(crate) enum Part<'a> {
    KeepAlive,
    Lifecycle,
    Content,
    Terminal,
    /// The mark that nothing more comes, which does not say that all went well.
    Done,
    Fault(Fault<'a>),
    Malformed,
}

// === impl Judge ===

impl Judge {
    pub(crate) fn new(format: Format, dialect: Dialect) -> Self {
        Self { format, dialect, tally: Tally::default(), content: false, ended: false }
    }

    /// Says what a part means after those before it.
    pub(crate) fn settle<'a>(&mut self, part: impl FnOnce(&mut Self) -> Part<'a>) -> EventKind {
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
    pub(crate) fn settle_left<'a>(&mut self, part: impl FnOnce(&mut Self) -> Part<'a>) -> Option<EventKind> {
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
    pub(crate) fn settle_root(&mut self, value: &[u8]) -> EventKind {
        let object = value.first() == Some(&b'{');
        self.settle(|judge| match events::read(judge.format, None, value, &mut judge.tally) {
            Ok(Found { fault: Some(fault), .. }) => Part::Fault(fault),
            Ok(_) if object || judge.format == Format::Json => Part::Terminal,
            _ => Part::Malformed,
        })
    }

    /// Says what it means that nothing more comes.
    pub(crate) fn end(&self) -> EventKind {
        match (self.ended, self.content) {
            (true, _) => EventKind::Terminal,
            (false, true) => EventKind::Failure(StreamFailure::truncated()),
            (false, false) => EventKind::Failure(StreamFailure::empty()),
        }
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.tally.counts.usage(self.format)
    }

    /// Whether the answer has come to its end.
    pub(crate) const fn is_over(&self) -> bool {
        self.ended
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    pub(crate) const fn opened(&self) -> &Opened {
        &self.tally.opened
    }

    pub(crate) fn sse<'a>(&mut self, kind: SseKind<'a>) -> Part<'a> {
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

    pub(crate) fn line<'a>(&mut self, kind: NdjsonKind<'a>) -> Part<'a> {
        match kind {
            NdjsonKind::Line(line) | NdjsonKind::Unfinished(line) => self.event(None, line),
            NdjsonKind::Blank => Part::KeepAlive,
        }
    }

    pub(crate) fn event<'a>(&mut self, name: Option<&[u8]>, data: &'a [u8]) -> Part<'a> {
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
            Ok(Found { done: true, .. }) => Part::Done,
            Ok(Found { content: true, .. }) => Part::Content,
            Ok(Found { keep_alive: true, .. }) => Part::KeepAlive,
            Ok(_) => Part::Lifecycle,
        }
    }
}
