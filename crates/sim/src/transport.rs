//! How a body travels: codings, ends of lines, pieces.

use std::io::Write;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde::{Deserialize, Serialize};

use crate::plan::{Mark, Part};

/// A content coding, for [`Fault::Encoded`](crate::Fault::Encoded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, the zlib format, as RFC 9110 wants it.
    Deflate,
    /// RFC 7932.
    Br,
}

/// How the lines of a stream end, for [`Fault::LineEnds`](crate::Fault::LineEnds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LineEnd {
    /// A line feed alone, as everyone does.
    Lf,
    /// Carriage return and line feed.
    Crlf,
    /// A carriage return alone.
    Cr,
}

/// The most offsets of [`Fault::Split`](crate::Fault::Split).
pub(crate) const MAX_SPLITS: usize = 1024;
/// The most pieces of a dripping body; the last has what is left.
const MAX_DRIPS: usize = 100_000;

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
}

// === impl Coding ===

impl Coding {
    /// The value of `content-encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
        }
    }
}

// === impl LineEnd ===

impl LineEnd {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
            Self::Cr => b"\r",
        }
    }
}

// === impl Encoder ===

impl Encoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::default())),
            Coding::Br => Self::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 4, 18))),
        }
    }

    /// What `bytes` become, to be decoded as far as it goes.
    fn encode(&mut self, bytes: &[u8]) -> Bytes {
        let written = match self {
            Self::Gzip(encoder) => encoder.write_all(bytes).and_then(|()| encoder.flush()),
            Self::Deflate(encoder) => encoder.write_all(bytes).and_then(|()| encoder.flush()),
            Self::Br(encoder) => encoder.write_all(bytes).and_then(|()| encoder.flush()),
        };
        written.expect("a vector takes all it is given");
        let out = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
        };
        Bytes::from(std::mem::take(out))
    }

    fn finish(self) -> Bytes {
        Bytes::from(match self {
            Self::Gzip(encoder) => encoder.finish().expect("a vector takes all it is given"),
            Self::Deflate(encoder) => encoder.finish().expect("a vector takes all it is given"),
            Self::Br(encoder) => encoder.into_inner(),
        })
    }
}

/// Encodes all parts as one message, so that each can be decoded when it has come.
pub(crate) fn encode(parts: &mut Vec<Part>, coding: Coding) {
    let mut encoder = Encoder::new(coding);
    for part in parts.iter_mut() {
        part.bytes = encoder.encode(&part.bytes);
    }
    let end = encoder.finish();
    if !end.is_empty() {
        parts.push(Part::new(Duration::ZERO, Mark::Done, end));
    }
}

/// Ends lines in another way.
pub(crate) fn end_lines(parts: &mut [Part], end: LineEnd) {
    for part in parts {
        let mut bytes = BytesMut::with_capacity(part.bytes.len() + 8);
        for byte in &part.bytes {
            match byte {
                b'\n' => bytes.extend_from_slice(end.text()),
                byte => bytes.extend_from_slice(&[*byte]),
            }
        }
        part.bytes = bytes.freeze();
    }
}

/// Cuts at these offsets and nowhere else. Each piece leaves when its last byte would have.
pub(crate) fn split(parts: &[Part], at: &[usize]) -> Vec<Part> {
    let all = joined(parts);
    let mut at: Vec<_> = at.iter().copied().filter(|offset| (1..all.len()).contains(offset)).collect();
    at.sort_unstable();
    at.dedup();
    at.push(all.len());
    let (mut start, mut sent, mut index) = (0, 0, 0);
    let mut pieces = Vec::with_capacity(at.len());
    for end in at {
        let mut wait = Duration::ZERO;
        while sent < end && index < parts.len() {
            sent += parts[index].bytes.len();
            wait += parts[index].wait;
            index += 1;
        }
        // Separate writes would still leave together; a moment between them keeps them apart.
        let apart = if start == 0 { Duration::ZERO } else { Duration::from_millis(1) };
        pieces.push(Part::new(wait.max(apart), Mark::Content, all.slice(start..end)));
        start = end;
    }
    pieces
}

/// Cuts into pieces of `size` bytes, `every` so often.
pub(crate) fn drip(parts: &[Part], size: usize, every: Duration) -> Vec<Part> {
    let all = joined(parts);
    let size = size.max(1).max(all.len().div_ceil(MAX_DRIPS));
    let piece = |start: usize| {
        let wait = if start == 0 { Duration::ZERO } else { every };
        Part::new(wait, Mark::Content, all.slice(start..all.len().min(start + size)))
    };
    (0..all.len()).step_by(size).map(piece).collect()
}

pub(crate) fn joined(parts: &[Part]) -> Bytes {
    let mut all = BytesMut::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
    for part in parts {
        all.extend_from_slice(&part.bytes);
    }
    all.freeze()
}
