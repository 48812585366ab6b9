//! Which questions are the same, and whose they are.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use sha2::{Digest as _, Sha256};

/// What a question is known by: 256 bits of SHA-256 (FIPS 180-4) of its tenant and of all that its answer depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// What two questions must have in common for one's answer to be the other's, whatever they mean: 256 bits of the tenant, the
/// model, the instructions, the tools, the parameters and all that was said before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope([u8; 32]);

/// What is known of something that answers can be forgotten by: a tenant, a model, a tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; 32]);

/// Hashes what makes a question what it is. Anything that is [`Hash`] can be told to it.
#[derive(Clone)]
pub struct KeyHasher(Sha256);

// === impl Key ===

impl Key {
    pub(crate) fn of(hasher: KeyHasher) -> Self {
        Self(hasher.0.finalize().into())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // It is a hash already.
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

// === impl Scope ===

impl Scope {
    /// Returns its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(hasher: KeyHasher) -> Self {
        Self(hasher.0.finalize().into())
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
        let mut hasher = KeyHasher::new();
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

    /// Returns its first bits.
    pub(crate) const fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    pub(crate) fn of_tenant(hasher: KeyHasher) -> Self {
        Self::named("tenant", &hasher.0.finalize()[..])
    }

    fn named(kind: &str, name: impl Hash) -> Self {
        let mut hasher = KeyHasher::new();
        kind.hash(&mut hasher);
        name.hash(&mut hasher);
        Self(hasher.0.finalize().into())
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

// === impl KeyHasher ===

impl KeyHasher {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Begins with what was hashed before, whose end no other text can reach.
    pub(crate) fn after(mark: &Mark) -> Self {
        Self(Sha256::new_with_prefix(mark.0))
    }

    pub(crate) fn within(scope: &Scope) -> Self {
        Self(Sha256::new_with_prefix(scope.0))
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bits of what was hashed so far. A key has all of them.
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}
