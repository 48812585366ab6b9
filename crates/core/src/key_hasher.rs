//! A hash by which requests are known.

use std::{fmt, hash::Hasher};

use sha2::{Digest as _, Sha256};

/// Hashes what makes a request what it is, to 256 bits: SHA-256 (FIPS 180-4). Anything that is [`Hash`](std::hash::Hash) can be
/// told to it.
///
/// A prefix of 32 bytes sets apart what must never meet: it is a secret, or the [digest](Self::digest) of whose the request is.
#[derive(Clone)]
pub struct KeyHasher {
    digest: Sha256,
    /// What was told and is not hashed yet: most of it comes in words of a few bytes, and blocks are hashed faster together.
    held: [u8; Self::HELD],
    length: usize,
}

// === impl KeyHasher ===

impl KeyHasher {
    /// Four blocks.
    const HELD: usize = 256;

    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { digest: Sha256::new(), held: [0; Self::HELD], length: 0 }
    }

    /// Begins with `prefix`.
    #[must_use]
    pub fn after(prefix: &[u8; 32]) -> Self {
        let mut hasher = Self::new();
        hasher.write(prefix);
        hasher
    }

    /// Returns the hash of all that was told.
    #[must_use]
    pub fn digest(mut self) -> [u8; 32] {
        self.digest.update(&self.held[..self.length]);
        self.digest.finalize().into()
    }

    #[inline]
    fn write_few<const N: usize>(&mut self, bytes: [u8; N]) {
        match self.held.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut::<N>) {
            Some(room) => {
                *room = bytes;
                self.length += N;
            }
            None => self.write(&bytes),
        }
    }
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher for KeyHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if let Some(room) = self.held[self.length..].get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
            return;
        }
        self.digest.update(&self.held[..self.length]);
        self.length = 0;
        if bytes.len() < Self::HELD {
            self.held[..bytes.len()].copy_from_slice(bytes);
            self.length = bytes.len();
        } else {
            self.digest.update(bytes);
        }
    }

    // What is told most often is a byte or a number: these need no call.
    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.write_few([byte]);
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.write_few(number.to_ne_bytes());
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_few(number.to_ne_bytes());
    }

    /// The first bits of what was hashed so far. The [digest](Self::digest) has all of them.
    fn finish(&self) -> u64 {
        let digest = self.clone().digest();
        digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what was told: it may be somebody's words.
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_hashes_what_it_was_told_however_it_was_cut(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12)
        ) {
            let mut hasher = KeyHasher::new();
            words.iter().for_each(|word| hasher.write(word));
            let expected: [u8; 32] = Sha256::digest(words.concat()).into();
            let mut by_bytes = KeyHasher::new();
            words.concat().iter().for_each(|byte| by_bytes.write_u8(*byte));
            prop_assert_eq!(by_bytes.digest(), expected);
            let first = u64::from_be_bytes(*expected.first_chunk().expect("there are 32"));
            prop_assert_eq!(hasher.finish(), first);
            prop_assert_eq!(hasher.digest(), expected);
        }
    }

    #[test]
    fn numbers_are_hashed_as_their_bytes() {
        let (mut numbers, mut bytes) = (KeyHasher::new(), KeyHasher::new());
        for number in 0..100_u64 {
            numbers.write_u8(7);
            numbers.write_u64(number << 32);
            numbers.write_usize(number as usize);
            bytes.write(&[7]);
            bytes.write(&(number << 32).to_ne_bytes());
            bytes.write(&(number as usize).to_ne_bytes());
        }
        assert_eq!(numbers.digest(), bytes.digest());
    }

    #[test]
    fn a_prefix_is_hashed_before_all_else() {
        let expected: [u8; 32] = Sha256::digest([&[7_u8; 32][..], b"a"].concat()).into();
        let mut hasher = KeyHasher::after(&[7; 32]);
        hasher.write(b"a");
        assert_eq!(hasher.digest(), expected);
    }
}
