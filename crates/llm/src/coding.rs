//! Compressed errors, decoded to be read.

use std::{borrow::Cow, io::Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliState, StandardAlloc};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

/// How much is decoded at most, whatever else is allowed: what is decoded has to be held.
const MAX: usize = 64 * 1024;

/// How a body is compressed (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Deflate,
    Brotli,
    /// In another way, or in several.
    Unknown,
}

// === impl Coding ===

impl Coding {
    /// Reads how the body of an answer is compressed.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
        let mut codings = values.flat_map(|value| value.split(',')).map(Self::named).filter(|one| *one != Self::Plain);
        match (codings.next(), codings.next()) {
            (None, _) => Self::Plain,
            (Some(coding), None) => coding,
            (Some(_), Some(_)) => Self::Unknown,
        }
    }

    fn named(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            _ => Self::Unknown,
        }
    }

    /// Returns the beginning of what `data` stands for, at most `max` bytes of it, and at most 64 KiB. What is broken or cut off gives what came
    /// before; what is not compressed after all is given as it is.
    pub(crate) fn decoded(self, data: &[u8], max: usize) -> Cow<'_, [u8]> {
        let max = max.min(MAX);
        let decoded = match self {
            Self::Plain | Self::Unknown => return Cow::Borrowed(data),
            Self::Gzip => read(MultiGzDecoder::new(data), max),
            // The name stands for two formats, and servers send both.
            Self::Deflate if is_zlib(data) => read(ZlibDecoder::new(data), max),
            Self::Deflate => read(DeflateDecoder::new(data), max),
            Self::Brotli => brotli(data, max),
        };
        if decoded.is_empty() { Cow::Borrowed(data) } else { Cow::Owned(decoded) }
    }
}

fn read(decoder: impl Read, max: usize) -> Vec<u8> {
    let mut decoded = Vec::new();
    // After an error, what came before it is there.
    let _whole = decoder.take(max as u64).read_to_end(&mut decoded);
    decoded
}

/// The header of zlib (RFC 1950, section 2.2): the method is 8, and the two bytes are a multiple of 31.
fn is_zlib(data: &[u8]) -> bool {
    matches!(*data, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31))
}

/// Not through the crate's own reader: that allows windows of a gigabyte, which no browser does. Here it is 16 MiB at most.
fn brotli(data: &[u8], max: usize) -> Vec<u8> {
    let mut decoded = vec![0; max];
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let (mut left, mut at, mut room, mut length, mut total) = (data.len(), 0, max, 0, 0);
    let _whole =
        BrotliDecompressStream(&mut left, &mut at, data, &mut room, &mut length, &mut decoded, &mut total, &mut state);
    decoded.truncate(length);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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

    fn coding(values: &[&'static str]) -> Coding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        Coding::of(&headers)
    }

    #[test]
    fn a_coding_is_known_by_its_name() {
        for (values, expected) in [
            (&[][..], Coding::Plain),
            (&[""], Coding::Plain),
            (&["identity"], Coding::Plain),
            (&["gzip"], Coding::Gzip),
            (&["X-Gzip"], Coding::Gzip),
            (&["deflate"], Coding::Deflate),
            (&["identity, br "], Coding::Brotli),
            (&["gzip", "identity"], Coding::Gzip),
            (&["gzip, br"], Coding::Unknown),
            (&["gzip", "br"], Coding::Unknown),
            (&["zstd"], Coding::Unknown),
        ] {
            assert_eq!(coding(values), expected, "{values:?}");
        }
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
            assert_eq!(*coding.decoded(&data, usize::MAX), *TEXT, "{coding:?}");
            let short = coding.decoded(&data[..data.len() - 5], 1 << 16);
            assert!(TEXT.starts_with(&short[..short.len().min(10)]), "{coding:?}");
            if coding != Coding::Plain && data != TEXT {
                assert_eq!(*coding.decoded(&data, 9), TEXT[..9], "{coding:?}");
            }
        }
        let two = [gzip(&TEXT[..9]), gzip(&TEXT[9..])].concat();
        assert_eq!(*Coding::Gzip.decoded(&two, 1 << 16), *TEXT);
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
            assert_eq!(coding.decoded(&bomb, usize::MAX).len(), MAX, "{coding:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_within_the_bound(data in prop::collection::vec(any::<u8>(), 0..256), max in 0..512_usize) {
            for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
                let decoded = coding.decoded(&data, max);
                prop_assert!(decoded.len() <= max || *decoded == *data);
            }
        }
    }
}
