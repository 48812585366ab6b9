//! Sealing with keys of one's own.

use std::fmt;

use chacha20poly1305::{KeyInit as _, Tag, XChaCha20Poly1305, XNonce, aead::AeadInOut as _};
use rand::Rng as _;

use super::Seal;

/// Seals with XChaCha20-Poly1305 (RFC 8439, with a nonce of 24 bytes, drawn at random for each value).
///
/// Each key has a number, which is written with what it seals. To change keys: let all replicas [open](Self::and_opens) with the new one,
/// then seal with it and open with the old one, until all that the old one sealed has expired. What is sealed by an unknown key is a miss.
#[derive(Clone)]
pub struct KeyRing {
    seals: Key,
    opens: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    number: u32,
    cipher: XChaCha20Poly1305,
}

const NUMBER: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
/// More keys than that are in nobody's use at a time.
const KEYS: usize = 16;

// === impl KeyRing ===

impl KeyRing {
    /// Creates one that seals with `key`, which is known as `number`, and opens with it.
    #[must_use]
    pub fn new(number: u32, key: &[u8; 32]) -> Self {
        Self { seals: Key::new(number, key), opens: Vec::new() }
    }

    /// Opens with this key as well, of up to 16. Of two with the same number, the first counts.
    #[must_use]
    pub fn and_opens(mut self, number: u32, key: &[u8; 32]) -> Self {
        if self.opens.len() < KEYS {
            self.opens.push(Key::new(number, key));
        }
        self
    }
}

impl Seal for KeyRing {
    fn seal(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let Key { number, cipher } = &self.seals;
        let mut nonce = XNonce::default();
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = Vec::with_capacity(NUMBER + NONCE + plain.len() + TAG);
        sealed.extend_from_slice(&number.to_le_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let bound = [&sealed[..NUMBER], context].concat();
        let (_, text) = sealed.split_at_mut(NUMBER + NONCE);
        let tag = cipher.encrypt_inout_detached(&nonce, &bound, text.into()).ok()?;
        sealed.extend_from_slice(&tag);
        Some(sealed)
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (number, rest) = sealed.split_first_chunk::<NUMBER>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        let known = |key: &&Key| key.number == u32::from_le_bytes(*number);
        let key = std::iter::once(&self.seals).chain(&self.opens).find(known)?;
        let bound = [&number[..], context].concat();
        let mut plain = text.to_vec();
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        key.cipher.decrypt_inout_detached(&nonce, &bound, (&mut plain[..]).into(), &tag).ok()?;
        Some(plain)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opens: Vec<u32> = self.opens.iter().map(|key| key.number).collect();
        f.debug_struct("KeyRing").field("seals", &self.seals.number).field("opens", &opens).finish()
    }
}

// === impl Key ===

impl Key {
    fn new(number: u32, key: &[u8; 32]) -> Self {
        Self { number, cipher: XChaCha20Poly1305::new(key.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_its_key_in_its_context_alone() {
        let ring = KeyRing::new(1, &[1; 32]);
        let sealed = ring.seal(b"here", b"words").expect("it is sealed");
        assert!(!sealed.windows(5).any(|part| part == b"words"));
        assert_eq!(ring.open(b"here", &sealed).as_deref(), Some(&b"words"[..]));
        assert_eq!(ring.open(b"there", &sealed), None);
        assert_eq!(KeyRing::new(1, &[2; 32]).open(b"here", &sealed), None, "another key of that number");
        assert_eq!(KeyRing::new(2, &[1; 32]).open(b"here", &sealed), None, "the key under another number");
        assert_ne!(ring.seal(b"here", b"words"), Some(sealed.clone()), "a nonce of its own");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(ring.open(b"here", &changed), None, "{at}");
            assert_eq!(ring.open(b"here", &sealed[..at]), None, "{at}");
        }
    }

    #[test]
    fn keys_are_changed_without_a_miss() {
        let old = KeyRing::new(1, &[1; 32]);
        let both = KeyRing::new(2, &[2; 32]).and_opens(1, &[1; 32]);
        let sealed = old.seal(b"c", b"words").expect("it is sealed");
        assert!(both.open(b"c", &sealed).is_some());
        let sealed = both.seal(b"c", b"words").expect("it is sealed");
        assert!(old.open(b"c", &sealed).is_none());
        assert!(old.and_opens(2, &[2; 32]).open(b"c", &sealed).is_some());
    }

    #[test]
    fn no_key_is_in_the_debug_form() {
        let text = format!("{:?}", KeyRing::new(1, &[77; 32]).and_opens(2, &[78; 32]));
        assert_eq!(text, "KeyRing { seals: 1, opens: [2] }");
    }
}
