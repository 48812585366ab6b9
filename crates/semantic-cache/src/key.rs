//! Which questions are the same, and whose they are.

use std::{
    error, fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use buttress_core::KeyHasher;

/// What a question is known by: 256 bits of SHA-256 (FIPS 180-4) of its tenant and of all that its answer depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// A text is no [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey(());

/// What two questions must have in common for one's answer to be the other's, whatever they mean: 256 bits of the tenant, the
/// model, the instructions, the tools, the parameters and all that was said before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope([u8; 32]);

/// What is known of something that answers can be forgotten by: a tenant, a model, a tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; 32]);

// === impl Key ===

impl Key {
    pub(crate) fn of(hasher: KeyHasher) -> Self {
        Self(hasher.digest())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // It is a hash already.
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Display for Key {
    /// Writes all of it, in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoKey(()));
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| NoKey(()))?;
        }
        Ok(Self(bytes))
    }
}

// === impl NoKey ===

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key has 64 digits in hexadecimal")
    }
}

impl error::Error for NoKey {}

// === impl Scope ===

impl fmt::Display for Scope {
    /// Writes all of it, in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl Scope {
    /// Returns its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(hasher: KeyHasher) -> Self {
        Self(hasher.digest())
    }

    pub(crate) fn begin(&self) -> KeyHasher {
        KeyHasher::after(&self.0)
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Key(self.0).hash(state);
    }
}

// === impl Mark ===

impl Mark {
    /// Returns the mark of a tenant that is told as `value`, such as the text of a header or the value of an extension.
    pub fn tenant(value: &(impl Hash + ?Sized)) -> Self {
        let mut hasher = Self::begin_tenant();
        value.hash(&mut hasher);
        Self::of_tenant(hasher)
    }

    /// Returns the mark of a model.
    #[must_use]
    pub fn model(name: &str) -> Self {
        Self::named("model", name)
    }

    /// Returns the mark of a tag.
    #[must_use]
    pub fn tag(name: &str) -> Self {
        Self::named("tag", name)
    }

    /// Returns its first bits: the class of a model in what a [`Semantic`](crate::Semantic) has learned.
    #[must_use]
    pub const fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Begins a hash within what this marks, whose end no other text can reach.
    pub(crate) fn begin(&self) -> KeyHasher {
        KeyHasher::after(&self.0)
    }

    /// Begins with what no other mark begins with, whatever is told of a tenant.
    pub(crate) fn begin_tenant() -> KeyHasher {
        let mut hasher = KeyHasher::new();
        "tenant".hash(&mut hasher);
        hasher
    }

    /// Returns the mark of the tenant that was told.
    pub(crate) fn of_tenant(hasher: KeyHasher) -> Self {
        Self(hasher.digest())
    }

    fn named(kind: &str, name: impl Hash) -> Self {
        let mut hasher = KeyHasher::new();
        kind.hash(&mut hasher);
        name.hash(&mut hasher);
        Self(hasher.digest())
    }
}

impl Hash for Mark {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Key(self.0).hash(state);
    }
}

macro_rules! shown {
    ($($hash:ty),+) => {
        $(impl fmt::Debug for $hash {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Enough to tell two apart.
                self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        })+
    };
}

shown!(Key, Scope, Mark);

#[cfg(feature = "redis")]
macro_rules! told {
    ($($hash:ty),+) => {
        $(impl $hash {
            pub(crate) const fn to_bytes(self) -> [u8; 32] {
                self.0
            }

            pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        })+
    };
}

#[cfg(feature = "redis")]
told!(Key, Scope, Mark);

/// Writes bytes that are a part of each name in Redis: at once, at a fraction of the cost of `write!` for each.
fn write_hex(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let mut hasher = KeyHasher::new();
        hasher.write(b"x");
        let key = Key::of(hasher);
        let text = key.to_string();
        assert_eq!(text, key.0.map(|byte| format!("{byte:02x}")).concat());
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().parse(), Ok(key));
        for wrong in ["", &text[1..], &text.replace(&text[..1], "+"), &format!("{text}0"), &"\u{e9}".repeat(32)] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn marks_of_different_kinds_are_never_the_same_whatever_is_told_of_a_tenant() {
        /// Hashes its bytes and nothing else, as a careless implementation would.
        struct Raw(&'static [u8]);
        impl Hash for Raw {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(self.0);
            }
        }
        let tenants = [&b"a"[..], b"a\xff", b"tag\xffa\xff", b""].map(|told| Mark::tenant(&Raw(told)));
        for (at, tenant) in tenants.iter().enumerate() {
            assert!(![Mark::tag("a"), Mark::model("a"), Mark::tag(""), Mark::model("")].contains(tenant));
            assert!(!tenants[..at].contains(tenant));
        }
        assert_eq!(Mark::tenant("a"), tenants[1], "a text ends with what no text has");
    }
}
