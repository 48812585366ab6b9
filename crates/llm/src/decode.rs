//! Compressed answers, decoded only to be looked at.

use std::{
    fmt,
    io::{self, Write},
};

use brotli_decompressor::DecompressorWriter;
use buttress_core::{Event, EventKind, StreamFailure};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::reader::Reading;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// Decodes an answer and reads what it says. What is decoded is not kept.
///
/// Events are told per piece of the wire: of what a piece holds, the most telling, and then an end or a failure.
pub(crate) struct Decoded {
    decoder: Decoder,
    /// How many bytes of the wire were taken.
    read: u64,
    next: Option<EventKind>,
    over: bool,
}

enum Decoder {
    Gzip(MultiGzDecoder<Sink>),
    Zlib(ZlibDecoder<Sink>),
    Deflate(DeflateDecoder<Sink>),
    /// Deflate in one of its two forms, which the first byte tells.
    Unsure(Option<Sink>),
    Brotli(Box<DecompressorWriter<Sink>>),
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

const BROTLI_BUFFER: usize = 8 * 1024;

// === impl Coding ===

impl Coding {
    /// Returns the coding with this name (RFC 9110, section 8.4.1).
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("deflate") {
            Some(Self::Deflate)
        } else {
            is("br").then_some(Self::Brotli)
        }
    }
}

// === impl Decoded ===

impl Decoded {
    pub(crate) fn new(coding: Coding, reading: Reading) -> Self {
        let sink = Sink { reading, made: 0, allowed: FREE, best: None, end: None };
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(sink)),
            Coding::Deflate => Decoder::Unsure(Some(sink)),
            Coding::Brotli => Decoder::Brotli(Box::new(DecompressorWriter::new(sink, BROTLI_BUFFER))),
        };
        Self { decoder, read: 0, next: None, over: false }
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
        // Brotli with a window of up to 1 GiB, which no browser takes.
        let too_wide = self.read == piece.len() as u64
            && matches!(self.decoder, Decoder::Brotli(_))
            && piece.first().is_some_and(|byte| byte & 0x7f == 0x11);
        let sink = self.decoder.sink_mut();
        sink.allowed = sink.allowed.saturating_add(MAX_RATIO * piece.len() as u64);
        let result = if too_wide { Err(io::ErrorKind::InvalidData.into()) } else { self.decoder.write(piece) };
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

// === impl Decoder ===

impl Decoder {
    /// Decodes all of `piece`, and gives out all that can be told from it.
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if let Self::Unsure(sink) = self
            && let (Some(&first), Some(sink)) = (piece.first(), sink.take())
        {
            // Section 2.2 of RFC 1950. Nearly all that is called deflate is wrapped so.
            let wrapped = first & 0x0f == 8;
            *self = if wrapped { Self::Zlib(ZlibDecoder::new(sink)) } else { Self::Deflate(DeflateDecoder::new(sink)) };
        }
        let writer: &mut dyn Write = match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Unsure(_) => return Ok(()),
        };
        writer.write_all(piece)?;
        writer.flush()
    }

    fn finish(&mut self) {
        // An error says that the compressed data is not whole; the answer in it may be.
        let _whole = match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Unsure(_) => Ok(()),
        };
    }

    fn sink(&self) -> &Sink {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zlib(decoder) => decoder.get_ref(),
            Self::Deflate(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Unsure(sink) => sink.as_ref().expect("it is taken only to become another"),
        }
    }

    fn sink_mut(&mut self) -> &mut Sink {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Unsure(sink) => sink.as_mut().expect("it is taken only to become another"),
        }
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
