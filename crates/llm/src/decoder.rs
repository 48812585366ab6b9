//! Compressed bytes, decoded as they come.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::coding::Coding;

/// Decodes what is written to it, and writes that to `W`, which says by an error when it is enough.
///
/// What was decoded before an error is written all the same, at the latest by [`finish`](Self::finish).
pub(crate) struct Decoder<W: Write>(State<W>);

enum State<W: Write> {
    Plain(W),
    Gzip(MultiGzDecoder<W>),
    Zlib(ZlibDecoder<W>),
    Deflate(DeflateDecoder<W>),
    /// Before the first byte of deflate, which tells in which of its two forms it is, or of Brotli.
    Unsure(Coding, Option<W>),
    Brotli(Box<DecompressorWriter<W>>),
}

/// The beginning of what is written to it.
struct Beginning {
    bytes: Vec<u8>,
    max: usize,
}

/// How much of an error is decoded at most, whatever else is allowed: what is decoded has to be held.
const MAX: usize = 64 * 1024;

const BROTLI_BUFFER: usize = 8 * 1024;

/// Returns the beginning of what `data` stands for: at most `max` bytes of it, and at most 64 KiB.
///
/// What is broken or cut off gives what came before; what is not compressed after all is given as it is.
pub(crate) fn beginning(coding: Coding, data: &[u8], max: usize) -> Cow<'_, [u8]> {
    if matches!(coding, Coding::Plain | Coding::Unknown) {
        return Cow::Borrowed(data);
    }
    let mut decoder = Decoder::new(coding, Beginning { bytes: Vec::new(), max: max.min(MAX) });
    let _whole = decoder.write(data);
    decoder.finish();
    let decoded = std::mem::take(&mut decoder.sink_mut().bytes);
    if decoded.is_empty() { Cow::Borrowed(data) } else { Cow::Owned(decoded) }
}

// === impl Decoder ===

impl<W: Write> Decoder<W> {
    /// Decodes to `sink`. What is not compressed, or in a way that is not known, passes as it is.
    pub(crate) fn new(coding: Coding, sink: W) -> Self {
        Self(match coding {
            Coding::Plain | Coding::Unknown => State::Plain(sink),
            Coding::Gzip => State::Gzip(MultiGzDecoder::new(sink)),
            Coding::Deflate | Coding::Brotli => State::Unsure(coding, Some(sink)),
        })
    }

    /// Decodes all of `piece`, and gives out all that can be told from it.
    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let Some(&first) = piece.first() else { return Ok(()) };
        self.begin(first)?;
        let writer: &mut dyn Write = match &mut self.0 {
            State::Plain(sink) => sink,
            State::Gzip(decoder) => decoder,
            State::Zlib(decoder) => decoder,
            State::Deflate(decoder) => decoder,
            State::Brotli(decoder) => decoder,
            State::Unsure(..) => return Err(io::ErrorKind::InvalidData.into()),
        };
        writer.write_all(piece)?;
        writer.flush()
    }

    /// Gives out what is left. Whether the compressed data ended well does not matter: what it holds may be whole.
    pub(crate) fn finish(&mut self) {
        let _whole = match &mut self.0 {
            State::Gzip(decoder) => decoder.try_finish(),
            State::Zlib(decoder) => decoder.try_finish(),
            State::Deflate(decoder) => decoder.try_finish(),
            State::Brotli(decoder) => decoder.close(),
            State::Plain(_) | State::Unsure(..) => Ok(()),
        };
    }

    pub(crate) fn sink(&self) -> &W {
        match &self.0 {
            State::Plain(sink) => sink,
            State::Gzip(decoder) => decoder.get_ref(),
            State::Zlib(decoder) => decoder.get_ref(),
            State::Deflate(decoder) => decoder.get_ref(),
            State::Brotli(decoder) => decoder.get_ref(),
            State::Unsure(_, sink) => sink.as_ref().expect("it is taken only to become another"),
        }
    }

    pub(crate) fn sink_mut(&mut self) -> &mut W {
        match &mut self.0 {
            State::Plain(sink) => sink,
            State::Gzip(decoder) => decoder.get_mut(),
            State::Zlib(decoder) => decoder.get_mut(),
            State::Deflate(decoder) => decoder.get_mut(),
            State::Brotli(decoder) => decoder.get_mut(),
            State::Unsure(_, sink) => sink.as_mut().expect("it is taken only to become another"),
        }
    }

    /// Chooses a decoder by the first byte, where the coding's name does not tell.
    fn begin(&mut self, first: u8) -> io::Result<()> {
        let State::Unsure(coding, sink) = &mut self.0 else { return Ok(()) };
        // Brotli with a window of up to 1 GiB, which no browser takes. Here it is 16 MiB at most.
        if *coding == Coding::Brotli && first & 0x7f == 0x11 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(sink) = sink.take() else { return Ok(()) };
        self.0 = match coding {
            Coding::Brotli => State::Brotli(Box::new(DecompressorWriter::new(sink, BROTLI_BUFFER))),
            // The name stands for two formats, and servers send both. Section 2.2 of RFC 1950: the method of zlib is 8. As
            // deflate by itself, that would be a part without compression after a bit that no encoder sets.
            _ if first & 0x0f == 8 => State::Zlib(ZlibDecoder::new(sink)),
            _ => State::Deflate(DeflateDecoder::new(sink)),
        };
        Ok(())
    }
}

// === impl Beginning ===

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.max - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // Not by `Ok(0)`, after which the decoder of Brotli tries for ever.
        if bytes.len() > room { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    const TEXT: &[u8] = b"{\"error\":{\"code\":\"insufficient_quota\"}}";

    /// `TEXT` as Brotli writes it, without compression: a header, one part as it is, and the last, empty one.
    fn stored(text: &[u8]) -> Vec<u8> {
        let header = ((text.len() as u32 - 1) << 4) | (1 << 20);
        [&header.to_le_bytes()[..3], text, &[3]].concat()
    }

    /// Bytes in hexadecimal, as `node:zlib` wrote them.
    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// `TEXT`, and 32 MiB of spaces.
    const BROTLI: &str = "1b2600f88dd315f3238475af45f6c2be964e5f2b328928d968106638a619c60843c3dedd";
    const BROTLI_BOMB: &str =
        "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfbbffcffffc32f0110870500baf77f";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_is_decoded_as_far_as_it_goes() {
        for (coding, data) in [
            (Coding::Gzip, gzip(TEXT)),
            (Coding::Deflate, zlib(TEXT)),
            (Coding::Deflate, raw(TEXT)),
            (Coding::Brotli, stored(TEXT)),
            (Coding::Brotli, hex(BROTLI)),
            (Coding::Plain, TEXT.to_vec()),
            (Coding::Gzip, TEXT.to_vec()),
        ] {
            assert_eq!(*beginning(coding, &data, usize::MAX), *TEXT, "{coding:?}");
            let short = beginning(coding, &data[..data.len() - 5], 1 << 16);
            assert!(TEXT.starts_with(&short[..short.len().min(10)]), "{coding:?}");
            if coding != Coding::Plain && data != TEXT {
                assert_eq!(*beginning(coding, &data, 9), TEXT[..9], "{coding:?}");
            }
        }
        let two = [gzip(&TEXT[..9]), gzip(&TEXT[9..])].concat();
        assert_eq!(*beginning(Coding::Gzip, &two, 1 << 16), *TEXT);
    }

    #[test]
    fn a_bomb_is_cut_off() {
        let zeros = vec![b' '; 1 << 20];
        for (coding, bomb) in [
            (Coding::Gzip, gzip(&zeros)),
            (Coding::Deflate, zlib(&zeros)),
            (Coding::Deflate, raw(&zeros)),
            (Coding::Brotli, hex(BROTLI_BOMB)),
        ] {
            assert!(bomb.len() < MAX);
            assert_eq!(beginning(coding, &bomb, usize::MAX).len(), MAX, "{coding:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_within_the_bound(data in prop::collection::vec(any::<u8>(), 0..256), max in 0..512_usize) {
            for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
                let decoded = beginning(coding, &data, max);
                prop_assert!(decoded.len() <= max || *decoded == *data);
            }
        }
    }
}
