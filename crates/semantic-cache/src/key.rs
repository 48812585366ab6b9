//! Which questions are the same, and whose they are.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use buttress_core::KeyHasher;

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

// === impl Scope ===

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

    /// Begins a hash within what this marks, whose end no other text can reach.
    pub(crate) fn begin(&self) -> KeyHasher {
        KeyHasher::after(&self.0)
    }

    pub(crate) fn of_tenant(hasher: KeyHasher) -> Self {
        Self::named("tenant", &hasher.digest()[..])
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
