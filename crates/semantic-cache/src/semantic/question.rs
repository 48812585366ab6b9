//! What is asked, and how much is remembered.

use crate::text::Text;

/// How much a [`Semantic`](crate::Semantic) remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Questions in all: 100,000.
    pub entries: usize,
    /// What they take, about, in bytes: 256 MiB.
    pub bytes: usize,
    /// Questions with the same answer: 256.
    pub per_answer: usize,
    /// Questions of the same sender: no bound.
    pub per_sender: usize,
}

/// A question, as far as a decision needs it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub(super) scope: [u8; 32],
    pub(super) class: u64,
    pub(super) sender: u64,
    pub(super) principal: Option<u64>,
    pub(super) text: &'a Text,
    /// The same as it was said, for what is named after it.
    pub(super) said: &'a str,
    pub(super) vector: &'a [f32],
    pub(super) least: f32,
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 256 << 20, per_answer: 256, per_sender: usize::MAX }
    }
}

// === impl Question ===

impl<'a> Question<'a> {
    /// Creates a question in a scope: what it says, and the vector of it.
    #[must_use]
    pub const fn new(scope: [u8; 32], text: &'a Text, vector: &'a [f32]) -> Self {
        Self { scope, class: 0, sender: 0, principal: None, text, said: "", vector, least: 0.0 }
    }

    /// Sets whose experience counts: a fingerprint of the route or the model. Experience of one class helps all its scopes.
    #[must_use]
    pub const fn class(self, class: u64) -> Self {
        Self { class, ..self }
    }

    /// Sets who asks: a fingerprint of the tenant or the key, whose influence on others is bounded.
    #[must_use]
    pub const fn sender(self, sender: u64) -> Self {
        Self { sender, ..self }
    }

    /// Sets which principal asks: a fingerprint of the user or the key, opaque here. It is for scopes that several principals share:
    /// an answer is given to another one only after [enough](crate::Policy::min_principals) had it of their own. Without it, all
    /// who ask in a scope are one.
    #[must_use]
    pub const fn principal(self, principal: u64) -> Self {
        Self { principal: Some(principal), ..self }
    }

    pub(crate) const fn said(self, said: &'a str) -> Self {
        Self { said, ..self }
    }

    /// Sets the similarity that the caller asks for at least. It makes the policy stricter, never laxer.
    #[must_use]
    pub const fn at_least(self, similarity: f32) -> Self {
        Self { least: similarity, ..self }
    }
}
