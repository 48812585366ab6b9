//! The seeded generator behind ids, words, lengths and scripted chances.

/// SplitMix64: small, fast, and the same on every platform and release, which a general-purpose generator does not promise.
/// The bytes a seed gives are part of what the simulator offers, so they must not move with a dependency.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

// === impl Seeded ===

impl Seeded {
    /// Creates the generator of one request. Requests draw from generators of their own, so that the order in which
    /// concurrent requests are served does not matter.
    pub(crate) fn for_request(seed: u64, number: u64) -> Self {
        let mut mixed = Self(seed);
        let seed = mixed.next();
        Self(seed ^ number.wrapping_mul(STEP))
    }

    /// Creates a generator from the FNV-1a hash of `bytes`.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self(hash)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; the bias is below one in 2^32 for the bounds used here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next() >> 11) as f64 * SCALE
    }

    pub(crate) fn base62(&mut self, length: usize) -> String {
        const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let digit = |_| char::from(DIGITS[self.below(62) as usize]);
        (0..length).map(digit).collect()
    }

    pub(crate) fn hex(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(length);
        text
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let high = (high & !0xf000) | 0x4000;
        let low = (low & !(0b11 << 62)) | (0b10 << 62);
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_number_draw_the_same_values() {
        let draw = |seed, number| Seeded::for_request(seed, number).base62(29);
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn texts_have_the_asked_length_and_alphabet() {
        let mut seeded = Seeded::for_request(1, 1);
        let text = seeded.base62(29);
        assert_eq!(text.len(), 29);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(seeded.hex(10).len(), 10);
        assert_eq!(seeded.uuid().len(), 36);
        assert_eq!(seeded.uuid().as_bytes()[14], b'4');
    }

    #[test]
    fn unit_stays_below_one() {
        let mut seeded = Seeded::for_request(3, 9);
        assert!((0..1000).map(|_| seeded.unit()).all(|draw| (0.0..1.0).contains(&draw)));
    }
}
