//! What one replica tells the others of questions and answers.

use std::{fmt, time::Duration};

use crate::{Embedding, Fingerprint, Key, Scope};

/// What a [`Meaning`](crate::Meaning) of one replica tells those of others.
#[derive(Clone)]
#[non_exhaustive]
pub enum Lesson {
    /// A question has this answer.
    Asked(Box<Taught>),
    /// Somebody compared an answer with a fresh one: whether it was right, and whether it had been served.
    Judged {
        /// The answer.
        key: Key,
        /// Whether it was right.
        right: bool,
        /// Whether it had been served before.
        served: bool,
    },
    /// An answer is gone.
    Gone(Key),
}

/// A question with its answer.
#[derive(Clone)]
#[non_exhaustive]
pub struct Taught {
    /// The answer.
    pub key: Key,
    /// What an answer must share with the question, whatever it means.
    pub scope: Scope,
    /// Whose experience counts.
    pub class: u64,
    /// Who asked, in a number.
    pub sender: u64,
    /// What was asked.
    pub text: Box<str>,
    /// What it means.
    pub vector: Embedding,
    /// Where the vector is from.
    pub space: Fingerprint,
    /// How long the answer is there, about.
    pub lasting: Duration,
}

// === impl Taught ===

impl Taught {
    /// Creates a question with its answer, which lasts as long as one can.
    #[must_use]
    pub fn new(key: Key, scope: Scope, text: impl Into<Box<str>>, vector: Embedding, space: Fingerprint) -> Self {
        let lasting = Duration::MAX;
        Self { key, scope, class: 0, sender: 0, text: text.into(), vector, space, lasting }
    }

    /// Sets whose experience counts, and who asked.
    #[must_use]
    pub const fn of(mut self, class: u64, sender: u64) -> Self {
        (self.class, self.sender) = (class, sender);
        self
    }
}

impl fmt::Debug for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Never the text, nor the vector, which tells as much.
            Self::Asked(taught) => f.debug_struct("Asked").field("key", &taught.key).finish_non_exhaustive(),
            Self::Judged { key, right, .. } => {
                f.debug_struct("Judged").field("key", key).field("right", right).finish_non_exhaustive()
            }
            Self::Gone(key) => f.debug_tuple("Gone").field(key).finish(),
        }
    }
}

impl fmt::Debug for Taught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taught").field("key", &self.key).finish_non_exhaustive()
    }
}
