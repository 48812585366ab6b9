//! What requests that should meet the same target have in common.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// What requests that should meet the same target have in common, in a request's extensions: a conversation, or a system
/// prompt that a target may have cached. See [`Policy::Sticky`](crate::Policy::Sticky).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Affinity(u64);

// === impl Affinity ===

impl Affinity {
    /// Creates the affinity of all requests with an equal `key`. Only a hash of it is kept.
    pub fn new(key: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Self(hasher.finish())
    }

    pub(crate) const fn key(self) -> u64 {
        self.0
    }
}
