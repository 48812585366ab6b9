//! Compressed answers, decoded only to be looked at.

use std::{
    fmt,
    io::{self, Write},
};

use buttress_core::{Event, EventKind, StreamFailure};

use crate::{coding::Coding, decoder::Decoder, reader::Reading};

/// Decodes an answer and reads what it says. What is decoded is not kept.
///
/// Events are told per piece of the wire: of what a piece holds, the most telling, and then an end or a failure.
pub(crate) struct Decoded {
    decoder: Decoder<Sink>,
    /// How many bytes of the wire were taken.
    read: u64,
    next: Option<EventKind>,
    over: bool,
}

/// Where decoded bytes go.
struct Sink {
    reading: Reading,
    made: u64,
    allowed: u64,
    best: Option<EventKind>,
    end: Option<EventKind>,
}

/// So much of the wire is decoded at once.
const PIECE: usize = 4 * 1024;

/// More than so many bytes for each of the wire, beyond [`FREE`], are a trap.
const MAX_RATIO: u64 = 256;

const FREE: u64 = 1 << 20;

// === impl Decoded ===

impl Decoded {
    pub(crate) fn new(coding: Coding, reading: Reading) -> Self {
        let sink = Sink { reading, made: 0, allowed: FREE, best: None, end: None };
        Self { decoder: Decoder::new(coding, sink), read: 0, next: None, over: false }
    }

    pub(crate) fn read(&mut self, rest: &mut &[u8]) -> Option<Event> {
        loop {
            if let Some(kind) = self.next.take() {
                return Some(self.event(kind));
            }
            if rest.is_empty() {
                return None;
            }
            if self.over {
                self.read += rest.len() as u64;
                *rest = &[];
                return None;
            }
            let (piece, after) = rest.split_at(rest.len().min(PIECE));
            *rest = after;
            if let Some(kind) = self.decode(piece) {
                return Some(self.event(kind));
            }
        }
    }

    /// Ends the answer. Whether the compressed data ended well matters less than whether the answer did.
    pub(crate) fn finish(&mut self) -> Event {
        if let Some(kind) = self.next.take() {
            return self.event(kind);
        }
        if !self.over {
            self.decoder.finish();
        }
        let sink = self.decoder.sink_mut();
        let kind = sink.end.take().unwrap_or_else(|| sink.reading.finish().kind);
        self.event(kind)
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.decoder.sink().reading
    }

    /// Returns the most telling event of a piece. One that comes after it is put down as the next.
    fn decode(&mut self, piece: &[u8]) -> Option<EventKind> {
        self.read += piece.len() as u64;
        let sink = self.decoder.sink_mut();
        sink.allowed = sink.allowed.saturating_add(MAX_RATIO * piece.len() as u64);
        let result = self.decoder.write(piece);
        let sink = self.decoder.sink_mut();
        let (best, mut end) = (sink.best.take(), sink.end.take());
        if result.is_err() && end.is_none() && !sink.reading.is_over() {
            end = Some(EventKind::Failure(StreamFailure::malformed()));
        }
        self.over |= result.is_err() || matches!(end, Some(EventKind::Failure(_)));
        match best {
            Some(best) => {
                self.next = end;
                Some(best)
            }
            None => end,
        }
    }

    const fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.read)
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, over, .. } = self;
        f.debug_struct("Decoded").field("read", read).field("over", over).finish_non_exhaustive()
    }
}

// === impl Sink ===

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.made += bytes.len() as u64;
        if self.made > self.allowed {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut rest = bytes;
        while let Some(event) = self.reading.read(&mut rest) {
            self.take(event.kind);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn take(&mut self, kind: EventKind) {
        let rank = |kind: &EventKind| match kind {
            EventKind::Content => 2,
            EventKind::Lifecycle => 1,
            _ => 0,
        };
        match kind {
            EventKind::Terminal | EventKind::Failure(_) => {
                self.end.get_or_insert(kind);
            }
            kind if self.best.as_ref().is_none_or(|best| rank(best) < rank(&kind)) => self.best = Some(kind),
            _ => {}
        }
    }
}
