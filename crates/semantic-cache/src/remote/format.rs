//! What a value looks like in Redis.
//!
//! `version, kind, …`: of kind 0, `length, packed, bytes, checksum`; of kind 1 the same without checksum, sealed. `length` is that
//! of the bytes once unpacked, in four bytes, little end first; `packed` is 1 for LZ4. The checksum and the seal also cover the
//! context, so that a value that was moved to another place is none.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::Seal;

/// Why a value is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is of another version, damaged, cut off, moved, or not sealed by a key that is known.
    Broken,
    /// It is larger than what is taken in.
    TooLarge,
}

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const LZ4: u8 = 1;
const CHECKSUM: usize = 16;
/// The length, and how it is packed.
const HEAD: usize = 5;
/// What is shorter does not gain.
const WORTH_PACKING: usize = 128;

/// Makes a value. Nothing if it cannot be sealed, or is beyond 4 GiB.
pub(super) fn pack(bytes: &[u8], context: &[u8], seal: Option<&dyn Seal>) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok()?;
    let packed = (bytes.len() >= WORTH_PACKING).then(|| lz4_flex::block::compress(bytes));
    let packed = packed.filter(|packed| packed.len() < bytes.len());
    let (how, data) = packed.as_deref().map_or((0, bytes), |packed| (LZ4, packed));
    let mut value = Vec::with_capacity(2 + HEAD + data.len() + CHECKSUM);
    let kind = if seal.is_some() { SEALED } else { PLAIN };
    value.extend_from_slice(&[VERSION, kind]);
    value.extend_from_slice(&length.to_le_bytes());
    value.push(how);
    value.extend_from_slice(data);
    match seal {
        Some(seal) => {
            let sealed = seal.seal(context, &value[2..])?;
            value.truncate(2);
            value.extend_from_slice(&sealed);
        }
        None => {
            let sum = checksum(context, &value);
            value.extend_from_slice(&sum);
        }
    }
    Some(value)
}

/// Reads a value of at most `most` bytes once unpacked. No more than that is allocated for it.
pub(super) fn unpack(value: &[u8], context: &[u8], seal: Option<&dyn Seal>, most: usize) -> Result<Vec<u8>, Flaw> {
    let (&[version, kind], rest) = value.split_first_chunk().ok_or(Flaw::Broken)?;
    // What is not sealed was written by somebody without the key.
    let expected = if seal.is_some() { SEALED } else { PLAIN };
    if version != VERSION || kind != expected {
        return Err(Flaw::Broken);
    }
    match seal {
        Some(seal) => {
            let opened = seal.open(context, rest).ok_or(Flaw::Broken)?;
            expand(&opened, most)
        }
        None => {
            let (covered, sum) = value.split_last_chunk::<CHECKSUM>().ok_or(Flaw::Broken)?;
            if covered.len() < 2 + HEAD || checksum(context, covered) != *sum {
                return Err(Flaw::Broken);
            }
            expand(&covered[2..], most)
        }
    }
}

fn expand(framed: &[u8], most: usize) -> Result<Vec<u8>, Flaw> {
    let (length, rest) = framed.split_first_chunk::<4>().ok_or(Flaw::Broken)?;
    let (how, data) = rest.split_first().ok_or(Flaw::Broken)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > most {
        return Err(Flaw::TooLarge);
    }
    match *how {
        0 if data.len() == length => Ok(data.to_vec()),
        LZ4 => {
            let mut out = vec![0; length];
            let written = lz4_flex::block::decompress_into(data, &mut out).map_err(|_| Flaw::Broken)?;
            if written == length { Ok(out) } else { Err(Flaw::Broken) }
        }
        _ => Err(Flaw::Broken),
    }
}

/// Against accidents, not against forgers: those are what a seal is for.
fn checksum(context: &[u8], value: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = SipHasher13::new();
    hasher.write_usize(context.len());
    hasher.write(context);
    hasher.write(value);
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Not a cipher: it binds to the context, which is what is tested here.
    fn toy(key: u8) -> impl Seal {
        let flip = move |bytes: &[u8]| bytes.iter().map(|byte| byte ^ key).collect::<Vec<_>>();
        let seal = move |context: &[u8], plain: &[u8]| {
            let mut sealed = checksum(context, &[&[key], plain].concat()).to_vec();
            sealed.extend(flip(plain));
            Some(sealed)
        };
        let open = move |context: &[u8], sealed: &[u8]| {
            let (sum, rest) = sealed.split_first_chunk::<CHECKSUM>()?;
            let plain = flip(rest);
            (checksum(context, &[&[key], &plain[..]].concat()) == *sum).then_some(plain)
        };
        (seal, open)
    }

    #[test]
    fn a_value_says_no_more_than_it_is_allowed_to_unpack() {
        let bytes = vec![b'x'; 1 << 20];
        let value = pack(&bytes, b"c", None).expect("it fits");
        assert!(value.len() < 8_192, "{}", value.len());
        assert_eq!(unpack(&value, b"c", None, 1 << 20).as_deref(), Ok(&bytes[..]));
        assert_eq!(unpack(&value, b"c", None, (1 << 20) - 1), Err(Flaw::TooLarge));
    }

    #[test]
    fn a_lie_about_the_length_is_found_out_before_it_is_believed() {
        for claimed in [0_u32, 1, 999, 1_001, 60_000] {
            let mut framed = claimed.to_le_bytes().to_vec();
            framed.push(LZ4);
            framed.extend(lz4_flex::block::compress(&[7; 1_000]));
            assert_eq!(expand(&framed, 65_536), Err(Flaw::Broken), "{claimed}");
        }
    }

    #[test]
    fn with_a_key_what_is_not_sealed_is_nothing_and_the_other_way_round() {
        let (mine, other) = (toy(3), toy(5));
        let plain = pack(b"bytes", b"c", None).expect("it fits");
        let sealed = pack(b"bytes", b"c", Some(&mine)).expect("it fits");
        assert_eq!(unpack(&sealed, b"c", Some(&mine), 9).as_deref(), Ok(&b"bytes"[..]));
        assert_eq!(unpack(&plain, b"c", Some(&mine), 9), Err(Flaw::Broken));
        assert_eq!(unpack(&sealed, b"c", None, 9), Err(Flaw::Broken));
        assert_eq!(unpack(&sealed, b"c", Some(&other), 9), Err(Flaw::Broken));
        assert_eq!(unpack(&sealed, b"d", Some(&mine), 9), Err(Flaw::Broken));
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_and_nowhere_else(bytes in prop::collection::vec(0_u8..4, 0..2_000), sealed: bool) {
            let toy = toy(3);
            let seal: Option<&dyn Seal> = if sealed { Some(&toy) } else { None };
            let value = pack(&bytes, b"here", seal).expect("it fits");
            prop_assert_eq!(unpack(&value, b"here", seal, 2_000), Ok(bytes));
            prop_assert_eq!(unpack(&value, b"there", seal, 2_000), Err(Flaw::Broken));
        }

        #[test]
        fn what_was_changed_in_one_place_or_cut_off_is_broken(
            bytes in prop::collection::vec(0_u8..4, 0..400), at: prop::sample::Index, by in 1_u8..,
        ) {
            let value = pack(&bytes, b"c", None).expect("it fits");
            let mut changed = value.clone();
            changed[at.index(value.len())] ^= by;
            prop_assert!(unpack(&changed, b"c", None, 400).is_err());
            prop_assert!(unpack(&value[..at.index(value.len())], b"c", None, 400).is_err());
        }

        #[test]
        fn garbage_is_broken_and_nothing_else(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unpack(&garbage, b"c", None, 1 << 20).is_err());
            prop_assert!(expand(&garbage, 1 << 16).map_or(true, |bytes| bytes.len() <= 1 << 16));
        }
    }
}
