//! The error of a probe.

use std::{borrow::Cow, error::Error, fmt};

/// The error of a probe and of a scripted body. Two are equal if they say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError(Cow<'static, str>);

// === impl ProbeError ===

impl ProbeError {
    /// Creates an error that says `message`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }
}

impl From<&'static str> for ProbeError {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ProbeError {}
